"""Which code, which data and which parameters a result is of."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

DVC_LOCK = Path("dvc.lock")  # of the folder in which the stage was started
COMMIT = "UNIDOC_COMMIT"  # the variable that has an image's
UNKNOWN = "unknown"  # as an image has it that was not told


@dataclass(frozen=True, slots=True)
class Known:
    """An input that is the same where its content is, wherever it lies."""

    place: str
    content: str


def commit() -> str:
    """Of the source, where it is a checkout; of the image; else the version."""
    # The checkout first: one that is worked on in a container is not what the container's image was built of.
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # it may be installed inside a checkout of another's
        return _git("rev-parse", "--short=12", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        built_of = os.environ.get(COMMIT, UNKNOWN)
        return f"version {version('unidoc-rl')}" if built_of == UNKNOWN else built_of[:12]


def _git(*command: str) -> str:
    here = Path(__file__).parent
    return subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=True).stdout.strip()


def data_version() -> str:
    """The digest of dvc.lock, which holds those of all data; empty where DVC has not run."""
    return hashlib.sha256(DVC_LOCK.read_bytes()).hexdigest() if DVC_LOCK.exists() else ""


def identity(source: str | Path | Known) -> str:
    """Of a file or a folder, the hash by which DVC knows its content; of an address, its own."""
    if isinstance(source, Known):
        return _md5(source.content.encode())
    path = Path(source)
    if not path.exists():
        return _md5(str(source).encode())
    if path.is_file():
        return _md5_of(path)
    files = {file.relative_to(path).as_posix(): _md5_of(file) for file in path.rglob("*") if file.is_file()}
    listed = [{"md5": known, "relpath": name} for name, known in sorted(files.items())]
    return _md5(json.dumps(listed).encode()) + ".dir"


def _md5_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def key(*inputs: Path | Known | BaseModel | str) -> str:
    """The same for the same inputs: files and folders by their contents, an address by itself."""
    told = [
        one.model_dump_json() if isinstance(one, BaseModel) else one if isinstance(one, str) else identity(one)
        for one in inputs
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
