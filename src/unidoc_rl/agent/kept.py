"""What a server has said, kept by what it was asked: nobody is asked twice, whoever is killed.

A file a reply, under the digest of its question, which comes whole under its name: any number of threads and
processes may share the folder, on a disk of the network too, and no lock or journal is left behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from unidoc_rl.errors import UnidocError
from unidoc_rl.s3 import copies


def for_later_runs() -> Path:
    """The folder of what serves runs to come too; whoever removes it pays once more."""
    return copies() / "replies"


class Kept:
    """The folder, made where there is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def get(self, asked: object) -> str | None:
        try:
            return self._file(asked).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(error) from error

    def put(self, asked: object, reply: str) -> None:
        file = self._file(asked)
        new = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            file.parent.mkdir(exist_ok=True)
            new.write_text(reply, encoding="utf-8")
            new.replace(file)
        except OSError as error:
            raise self._unusable(error) from error

    def __iter__(self) -> Iterator[str]:
        """All replies, in no order."""
        for file in self._folder.glob("??/*"):
            if not file.suffix:  # else it was never whole
                yield file.read_text(encoding="utf-8")

    def _file(self, asked: object) -> Path:
        name = digest(asked)
        return self._folder / name[:2] / name

    def _unusable(self, error: Exception) -> UnidocError:
        return UnidocError(
            f"{self._folder}: replies cannot be kept there ({error}); mend it, or name another cache by UNIDOC_CACHE"
        )


def digest(content: object) -> str:
    """Of anything that JSON can say."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
