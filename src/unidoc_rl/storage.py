"""What a stage reads and writes: a folder here or on S3, and a result that is whole or absent.

A stage fills a new folder beside the one it makes (`.corpus.work/new` beside `corpus`) and exchanges the two at
the end. Killed at any moment, it leaves the former result or none; what it had finished in `.corpus.work` is there
for the next run. A result on S3 is made in a copy of it on this machine, and then sent.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TextIO

from unidoc_rl import s3
from unidoc_rl.errors import UnidocError

_copied: dict[Path, str] = {}  # files of the cache, and the addresses that they are copies of


@dataclass(frozen=True, slots=True)
class Output:
    """The folders of a stage at work."""

    new: Path  # empty; what is put here becomes the result
    former: Path | None  # the result that stood there before, to take over what has not changed
    work: Path  # survives a kill, and is removed once the result stands

    def goes_on_with(self, inputs: str) -> None:
        """What a killed run has left in `work` serves the same inputs only: that of others is removed."""
        note = _inputs(self.work)
        if note.exists() and note.read_text() == inputs:
            return
        note.unlink(missing_ok=True)
        for path in self.work.iterdir():
            if path.is_dir() and path != self.new:
                shutil.rmtree(path)
            elif path.name not in ("lock", "unsent") and path.is_file():
                path.unlink()
        note.write_text(inputs)


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `out` once it is whole."""
    new = out.with_name(out.name + ".new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield new
        new.replace(out)
    except OSError as error:
        raise UnidocError(f"{out}: cannot be written ({error})") from error
    finally:
        with suppress(OSError):
            new.unlink()


def written_by_another(out: str | Path) -> Output:
    """The folders of a process that has `writing`, for one that helps it."""
    work = _work(_target(out))
    return Output(work / "new", None, work)


def keep_apart(out: str | Path, *inputs: str | Path) -> None:
    """A result among what it is made of would change that; what stands where the result is to be, would be removed."""
    for one in inputs:
        for inner, outer in ((out, one), (one, out)):
            if _place(inner).is_relative_to(_place(outer)):
                raise UnidocError(
                    f"{inner}: is, or lies inside, {outer}; keep what a stage reads and what it makes apart"
                )


def _place(path: str | Path) -> PurePath:
    """An address stays as it is, and a file that was copied from one is where it came from."""
    path = _copied.get(Path(path), path)
    return PurePath(path) if "://" in str(path) else Path(path).resolve()


@contextmanager
def writing(out: str | Path, *markers: str) -> Iterator[Output]:
    """Gives the folders to work in; leaving it without an error puts `new` in the place of `out`.

    `markers` are files that a result of this stage holds, and nothing else holds them all: a folder in which one of
    them is missing is somebody's, or another stage's, and not replaced.
    """
    target = _target(out)
    if target.is_mount():
        raise UnidocError(f"{out}: is where a disk begins, and cannot be exchanged; name a folder below it")
    if Path.cwd().is_relative_to(target):
        raise UnidocError(f"{out}: is the folder that you are in, or holds it; go elsewhere, or name one below it")
    work = _work(target)
    unsent = _unsent(target)
    with _named_where_full(out), _lock(work, out):
        _recover(target, work)
        if s3.is_s3(out):
            s3.refuse_foreign(str(out))
            if not unsent.exists() or _half(target).exists():
                s3.pull(str(out), target, _half(target))
        former = _former(target, out, markers)
        new = work / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        yield Output(new, former, work)
        if target.exists():
            target.rename(work / "former")
        new.rename(target)
        if s3.is_s3(out):
            unsent.touch()  # if sending fails, the next run takes over what this one made, not what S3 still holds
            s3.push(target, str(out))
        _remove(work)


@contextmanager
def _named_where_full(out: str | Path) -> Iterator[None]:
    """Of a file that is open already, the system does not say on which disk it found no space."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename is None:
            error.filename = str(out)
        raise


def local_folder(path: str | Path) -> Path:
    """A stage's input as a folder on this machine; one on S3 is copied into the cache first, changed files only."""
    if not s3.is_s3(path):
        if not Path(path).is_dir():
            what = "is no folder" if Path(path).exists() else "no such folder"
            raise UnidocError(f"{path}: {what}; correct its name, or run the stage that makes it first")
        return Path(path)
    target = s3.mirror(str(path))
    with _lock(_work(target), path, wait=True):
        if _unsent(target).exists():
            raise UnidocError(
                f"{path}: what was made for it here has not been sent; run that stage again first, "
                f"or give it up: remove {_unsent(target)}"
            )
        if not s3.pull(str(path), target, _half(target)):
            raise s3.not_whole(str(path))
    return target


def _target(out: str | Path) -> Path:
    return s3.mirror(str(out)) if s3.is_s3(out) else Path(out).resolve()


def _work(target: Path) -> Path:
    return target.with_name(f".{target.name}.work")


def _inputs(work: Path) -> Path:
    """Of which what is in `work` was made. It goes before that does: half of it must serve nobody."""
    return work / "inputs"


def _half(target: Path) -> Path:
    """Stands while a copy from S3 is being made, and after one that was broken off."""
    return _work(target) / "half"


def _unsent(target: Path) -> Path:
    """Stands from a result's being whole here until it is on S3, which holds an older one as long."""
    return _work(target) / "unsent"


def local_file(path: str | Path) -> Path:
    """A stage's input as a file on this machine; one on S3 is copied into the cache first."""
    if not s3.is_s3(path):
        return Path(path)
    target = s3.mirror(str(path))
    _copied[target] = str(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(_work(target), path, wait=True):
        s3.download(str(path), target)
    return target


@contextmanager
def _lock(work: Path, out: str | Path, wait: bool = False) -> Iterator[None]:
    """One process at a time: a second one is told, instead of both writing into the same folder."""
    while True:
        with _open_lock(work, out) as file:
            _take(file, out, wait)
            if not _stands(work / "lock", file):
                continue  # the one before us finished and removed its folder between our two calls
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
            return


def _open_lock(work: Path, out: str | Path) -> TextIO:
    while True:
        try:
            work.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # removed, likewise, between these two calls
                return (work / "lock").open("a+")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UnidocError(f"{out}: cannot be written ({error}); name another folder") from error


def _take(file: TextIO, out: str | Path, wait: bool) -> None:
    """A POSIX lock, not flock's: a killed stage's worker processes, which may outlive it, do not inherit it."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = f"{out}: process {file.read()} is at work on it"
        if not wait:
            raise UnidocError(f"{holder}; wait for that one, or end it") from None
        print(f"{holder}; waiting", file=sys.stderr)
        fcntl.lockf(file, fcntl.LOCK_EX)


def _stands(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _recover(target: Path, work: Path) -> None:
    """A run that was killed between the two renames has put the former result aside: bring it back."""
    former = work / "former"
    if former.exists() and not target.exists():
        former.rename(target)
    shutil.rmtree(former, ignore_errors=True)


def _former(target: Path, out: str | Path, markers: Sequence[str]) -> Path | None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    for marker in markers:
        if not (target / marker).is_file():
            raise UnidocError(
                f"{out}: exists, and holds no {marker}: not ours to replace; name another folder, or remove it"
            )
    return target


def _remove(work: Path) -> None:
    """The lock goes last: a process that opens it before that is told; one that makes it anew keeps its folder."""
    _inputs(work).unlink(missing_ok=True)
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
    (work / "lock").unlink()
    with suppress(OSError):
        work.rmdir()
