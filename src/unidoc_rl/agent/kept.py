"""What a server has said, kept by what it was asked: nobody is asked twice, whoever is killed.

A file a reply, under the digest of its question, which comes whole under its name: any number of threads and
processes may share the folder, on a disk of the network too, and no lock or journal is left behind. Its time is when
the reply was last used. Digests are even, so that a bound on all of them holds where each folder keeps to its share.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from unidoc_rl.agent.endpoint import Completion
from unidoc_rl.errors import UnidocError
from unidoc_rl.s3 import CACHE, copies
from unidoc_rl.types import Content

MOST = 4 * 2**30  # bytes of replies for later runs: about a million
BLOCK = 4096  # bytes that the shortest file takes, on most disks
FOLDERS = 16**2
LOOKED = "00"  # a reply whose digest ends so has its folder looked through: one in 256


def for_later_runs() -> Kept:
    """What serves all runs to come, of every stage; whoever removes its folder pays once more."""
    return Kept(copies() / "replies", MOST)


class Kept:
    """The folder, made where there is none. `most`: bytes; beyond them, what was used longest ago goes first."""

    def __init__(self, folder: Path, most: float = math.inf) -> None:
        self._folder = folder
        self._share = most / FOLDERS
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def get(self, asked: object) -> str | None:
        file = self._file(asked)
        try:
            os.utime(file)  # before it is read: from now on, it is the last to go
            return file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(error) from error

    def put(self, asked: object, reply: str) -> None:
        file = self._file(asked)
        new = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)  # whoever likes may remove them all
            new.write_text(reply, encoding="utf-8")
            new.replace(file)
            if file.name.endswith(LOOKED):
                self._forget(file.parent)
        except OSError as error:
            raise self._unusable(error) from error

    def completion(self, asked: object, complete: Callable[[], Completion]) -> Completion:
        """What was written for this; by `complete`, where it was never asked for."""
        if (kept := self.get(asked)) is not None:
            return Completion(**json.loads(kept))
        written = complete()
        self.put(asked, json.dumps(asdict(written)))
        return written

    def __iter__(self) -> Iterator[str]:
        """All replies, in no order."""
        for file in self._folder.glob("??/*"):
            if not file.suffix:  # else it was never whole
                yield file.read_text(encoding="utf-8")

    def _forget(self, folder: Path) -> None:
        """What is beyond the folder's share; files that a killed process has not ended are no exception."""
        room = self._share
        for _, size, path in sorted(_files(folder), reverse=True):
            room -= size
            if room < 0:
                path.unlink(missing_ok=True)

    def _file(self, asked: object) -> Path:
        name = digest(asked)
        return self._folder / name[:2] / name

    def _unusable(self, error: Exception) -> UnidocError:
        return UnidocError(
            f"{self._folder}: replies cannot be kept there ({error}); mend it, or name another cache by {CACHE}"
        )


def _files(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """When each was used, and what it takes."""
    with os.scandir(folder) as found:
        for entry in found:
            with suppress(FileNotFoundError):  # by another process
                known = entry.stat()
                yield known.st_mtime_ns, max(known.st_size, BLOCK), Path(entry)


def plain(content: Content) -> list[object]:
    """As JSON can say it."""
    return [part if isinstance(part, str) else [type(part).__name__, asdict(part)] for part in content]


def digest(content: object) -> str:
    """Of anything that JSON can say."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
