"""Which code and which data a result is of."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path

DVC_LOCK = Path("dvc.lock")  # of the folder in which the stage was started


def commit() -> str:
    """Of the source, where it is a checkout; else the version."""
    try:
        told = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return f"version {version('unidoc-rl')}"
    return told.stdout.strip()


def data_version() -> str:
    """The digest of dvc.lock, which holds those of all data; empty where DVC has not run."""
    return hashlib.sha256(DVC_LOCK.read_bytes()).hexdigest() if DVC_LOCK.exists() else ""
