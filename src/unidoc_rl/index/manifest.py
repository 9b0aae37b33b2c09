"""What an index folder holds, in index.json: by it an index is known, and held against what is found at opening."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from unidoc_rl.errors import UnidocError
from unidoc_rl.params import Retriever

FILE = "index.json"
FORMAT = 3
_AT_ONCE = 1 << 20  # bytes of a file that are in memory


class Collection(BaseModel):
    """Rows that a query is compared with first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None  # in Milvus; null where they are files of the index
    encoder: str  # whose vectors these are
    store: str  # the folder below `vectors` that they are kept in
    source: str | None  # where that encoder was loaded from; the one in a package where null
    dimension: int
    rows: int


class Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    pages: int
    retrievers: list[Retriever]
    fusion: str
    weights: dict[Retriever, float]
    uri: str | None  # of Milvus
    collections: dict[Retriever, Collection]
    files: dict[str, int]  # checksums of what is read without Milvus, but for vectors: these have gigabytes

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def checksums(folder: Path, files: Iterable[Path]) -> dict[str, int]:
    """Of files in that folder; 0.2 s a gigabyte."""
    return {path.relative_to(folder).as_posix(): _checksum(path) for path in sorted(files)}


def content(folder: Path) -> str:
    """The same for the same index, wherever Milvus has its rows, and its encoder came from."""
    return _noted(folder).model_dump_json(exclude={"uri": True, "collections": {"__all__": {"name", "source"}}})


def read(folder: Path) -> Manifest:
    """A damaged index is none."""
    manifest = _noted(folder)
    for name, checksum in manifest.files.items():
        path = folder / name
        if not path.is_file() or _checksum(path) != checksum:
            what = "is not what was written" if path.is_file() else "is missing"
            raise UnidocError(f"{path}: {what}: the index is damaged; run `unidoc index` again")
    return manifest


def _noted(folder: Path) -> Manifest:
    path = folder / FILE
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UnidocError(f"{folder}: is no index; make one with `unidoc index CORPUS --out {folder}`") from None
    except (OSError, ValidationError) as error:
        raise UnidocError(f"{path}: is damaged ({error}); run `unidoc index` again") from error
    if manifest.format != FORMAT:
        raise UnidocError(
            f"{path}: has format {manifest.format}, this version reads {FORMAT}; run `unidoc index` again"
        )
    return manifest


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while content := file.read(_AT_ONCE):
            value = zlib.crc32(content, value)
    return value
