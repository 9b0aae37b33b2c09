"""A git repository that stands for a checkout of this one."""

from __future__ import annotations

import subprocess
from pathlib import Path

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b")


def make(folder: Path) -> Path:
    """With a file of code, which is committed, and what `make demo` leaves, which is not."""
    code = folder / "src" / "code.py"
    code.parent.mkdir(parents=True)
    code.write_text("one")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*GIT, *command], cwd=folder, check=True)
    (folder / "dvc.lock").write_text("stages")
    return folder
