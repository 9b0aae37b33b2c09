"""Which documents are there: in a folder, in a list, or below an s3:// prefix.

A PDF is a document. Pictures are pages: named <document>_<n> they say of which document and which page; otherwise a
sub-folder of pictures is one document, its pages in the order of their names, and a picture that lies directly in
the folder is a document of its own.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal

from unidoc_rl import s3
from unidoc_rl.errors import UnidocError
from unidoc_rl.ingest.problems import Problem

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}
LIST = ".txt"
OF_WINDOWS = {"thumbs.db", "desktop.ini"}  # which it puts into folders by itself
OPEN_IN_OFFICE = "~$"  # how the name of a file begins that stands beside one that is open there

_NUMBERED = re.compile(r"(?P<document>.+)_(?P<n>\d{1,5})")


@dataclass(frozen=True, slots=True)
class File:
    name: str  # below the folder or prefix, with slashes; what the report says
    place: Path | s3.Object


@dataclass(frozen=True, slots=True)
class Found:
    """A document, before anybody has looked into it."""

    stem: str
    kind: Literal["pdf", "pictures"]
    files: tuple[File, ...]
    numbers: tuple[int, ...] = ()  # page numbers, where the names of the pictures say them


def discover(documents: str) -> tuple[list[Found], list[Problem]]:
    """Every document, in the order of the names, and every file that is none."""
    problems: list[Problem] = []
    files = _sort_out(_files(documents, problems), problems)
    found = sorted(_group(files), key=lambda document: document.files[0].name)
    if not found and not problems:
        raise UnidocError(f"{documents}: holds no PDF and no picture (jpg, png, webp, tiff)")
    return found, problems


def _files(documents: str, problems: list[Problem]) -> Iterator[File]:
    path = Path(documents)
    if s3.is_s3(documents):
        yield from _below_prefix(documents)
    elif path.is_dir():
        yield from _below_folder(path, problems)
    elif path.suffix.lower() == LIST and path.is_file():
        yield from _listed(path, problems)
    elif path.exists():
        yield File(path.name, path)
    else:
        raise UnidocError(f"{documents}: no such folder, file or list")


def _below_prefix(uri: str) -> Iterator[File]:
    for item in s3.list_objects(uri):
        below = item.uri.removeprefix(f"{uri.rstrip('/')}/")
        name = _shown(PurePosixPath(item.uri.rpartition("/")[2] if item.uri == uri else below))
        if not item.uri.endswith("/") and not _is_hidden(name):
            yield File(name, item)


def _below_folder(root: Path, problems: list[Problem]) -> Iterator[File]:
    def unreadable(error: OSError) -> None:
        name = _shown(Path(error.filename).relative_to(root))
        problems.append(Problem(name, f"cannot be read ({error.strerror})", "check the folder's permissions"))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in sorted(names + [name for name in folders if (Path(folder) / name).is_symlink()]):
            path = Path(folder) / name
            if _is_hidden(path.relative_to(root).as_posix()):
                continue
            shown = _shown(path.relative_to(root))
            try:
                problem = _why_not(path, root, shown)
                is_file = path.is_file()  # else a link to a folder inside: its files are found at their own place
            except OSError as error:
                problem = Problem(shown, f"cannot be read ({error.strerror})", "check its permissions")
            if problem is not None:
                problems.append(problem)
            elif is_file:
                yield File(shown, path)


def _shown(path: PurePath) -> str:
    """A name that fits on one line and into JSON: a file's may hold line breaks, or bytes that are no text."""
    name = path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join("\ufffd" if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in name)


def _why_not(path: Path, root: Path, name: str) -> Problem | None:
    if path.is_symlink():
        if not path.exists():
            return Problem(name, "is a link to nothing", "remove it")
        if not path.resolve().is_relative_to(root.resolve()):
            return Problem(name, "is a link that leads out of the folder", "put a copy in its place")
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return Problem(name, "is no ordinary file", "remove it")
    return None


def _listed(path: Path, problems: list[Problem]) -> Iterator[File]:
    """The files of a list: a path (from the list's folder) or an s3:// address a line, `#` for a remark."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UnidocError(f"{path}: is no list of files in UTF-8 ({error}); save it as UTF-8") from error
    for line in lines:
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        if s3.is_s3(entry):
            yield from (File(item.uri, item) for item in s3.list_objects(entry))
        elif _is_file(path.parent / entry):
            yield File(entry, path.parent / entry)
        else:
            why = f"is no file, as seen from the folder of {path.name}"
            problems.append(Problem(entry, why, "correct it there"))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a line that no name can be: too long, or with a zero in it
        return False


def _is_hidden(name: str) -> bool:
    """What systems and tools leave behind."""
    path = PurePosixPath(name)
    if path.name.lower() in OF_WINDOWS or path.name.startswith(OPEN_IN_OFFICE):
        return True
    return any(part.startswith(".") and part != ".." for part in path.parts) or path.name == s3.COMPLETE


def _sort_out(files: Iterable[File], problems: list[Problem]) -> Iterator[File]:
    for file in files:
        path = PurePosixPath(file.name)
        if path.suffix.lower() == ".pdf" or path.suffix.lower() in PICTURES:
            yield file
        else:
            problems.append(
                Problem(
                    file.name, "is neither a PDF nor a picture (jpg, png, webp, tiff)", "save it as PDF, or remove it"
                )
            )


def _group(files: Iterable[File]) -> Iterator[Found]:
    folders: dict[PurePosixPath, list[File]] = defaultdict(list)
    for file in files:
        path = PurePosixPath(file.name)
        if path.suffix.lower() == ".pdf":
            yield Found(path.stem, "pdf", (file,))
        else:
            folders[path.parent].append(file)
    for folder, pictures in folders.items():
        yield from _pictures(folder, sorted(pictures, key=lambda file: _natural(file.name)))


def _pictures(folder: PurePosixPath, files: list[File]) -> Iterator[Found]:
    """The documents that a folder's pictures make."""
    by_stem: dict[str, list[tuple[int, File]]] = defaultdict(list)
    others = []
    for file in files:
        match = _NUMBERED.fullmatch(PurePosixPath(file.name).stem)
        if match:
            by_stem[match["document"]].append((int(match["n"]), file))
        else:
            others.append(file)
    if folder.name and len(by_stem) <= 1:
        numbers = [n for pages in by_stem.values() for n, _ in pages] if not others else []
        yield _document(folder.name, files, numbers)
        return
    for stem, pages in by_stem.items():
        yield _document(stem, [file for _, file in pages], [n for n, _ in pages])
    for file in others:
        yield _document(PurePosixPath(file.name).stem, [file], [])


def _document(stem: str, files: list[File], numbers: list[int]) -> Found:
    given = len(set(numbers)) == len(files) and min(numbers) >= 1
    return Found(stem, "pictures", tuple(files), tuple(numbers) if given else ())


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """page2 before page10."""
    return [(part.isdigit(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]
