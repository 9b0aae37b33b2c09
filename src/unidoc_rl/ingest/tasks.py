"""What is said between the stage and its workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unidoc_rl.types import Region, TextSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unidoc_rl.params import IngestParams

Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Settings:
    """What pages depend on, of the parameters; a worker starts sooner without the library that checks those."""

    dpi: int
    image_format: Literal["jpg", "png", "webp"]
    ocr: bool
    layout: bool

    @classmethod
    def of(cls, params: IngestParams) -> Settings:
        return cls(params.dpi, params.image_format, params.ocr, params.layout)


@dataclass(frozen=True, slots=True)
class Source:
    """The files of one document: a PDF, or pictures in the order of their pages."""

    kind: Literal["pdf", "pictures"]
    paths: tuple[Path, ...]
    numbers: tuple[int, ...]  # page numbers, where the pictures' names give them
    stamps: tuple[Stamp, ...]  # of each file, when its content was looked at


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """What changes when a file does: its size and time."""
    return tuple((found.st_size, found.st_mtime_ns) for found in (path.stat() for path in paths))


@dataclass(frozen=True, slots=True)
class Count:
    """Open a document, and tell which pages it has; answered by `Counted` or `Failed`."""

    key: str
    source: Source


@dataclass(frozen=True, slots=True)
class Read:
    """Turn pages (positions start … stop, from 0) into rows and pictures; answered by `Pages` or `Failed`."""

    key: str
    source: Source
    start: int
    stop: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Counted:
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """What stands on a page. Its words are columns, not `types.Word`: a page has thousands, to be made and sent."""

    text: str
    words: list[str]
    boxes: NDArray[np.uint16]  # (words, 4)


@dataclass(frozen=True, slots=True)
class Row:
    """A page, without its document's name; `note` is for the user."""

    n: int
    width: int
    height: int
    note: str
    text: Text
    text_source: TextSource
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Pages:
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Failed:
    reason: str
    advice: str


@dataclass(frozen=True, slots=True)
class DiskError:
    """Not the document's fault: nothing can be written any more."""

    errno: int
    message: str
    path: str | None
