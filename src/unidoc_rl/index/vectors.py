"""The computed vectors of pages: kept in files, so that an index can be made again without a GPU, or brought in.

A file holds a piece of a document, at most 64 pages. Of each page it has the same named arrays, whose lengths differ
from page to page: as one tensor a name, page after page, and `<name>.offsets`, where each page begins. `row_codes` and
`row_scales` are the rows that a query is compared with first; `late` has `codes` and `scales`, all vectors, as well.
"""

from __future__ import annotations

import json
import mmap
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unidoc_rl.errors import UnidocError
from unidoc_rl.index.catalogue import Catalogue
from unidoc_rl.index.maxsim import Floats, Quantised, checked

FOLDER = "vectors"  # of an index
PAGES_A_FILE = 64

_OPEN = 400  # files at once: many systems let a process have 1,024
_OFFSETS = ".offsets"
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}
_TYPES = {"I8": np.int8, "F16": np.float16, "F32": np.float32, "I64": np.int64}

Arrays = Mapping[str, NDArray[Any]]


def write(path: Path, pages: Sequence[Arrays]) -> None:
    """A file of pages that all have arrays of the same names; whole, or not there."""
    tensors: dict[str, NDArray[Any]] = {}
    for name in pages[0]:
        arrays = [page[name] for page in pages]
        tensors[name] = np.concatenate(arrays)
        tensors[name + _OFFSETS] = np.cumsum([0, *(len(array) for array in arrays)], dtype=np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    save_file(tensors, new)
    new.rename(path)


class Vectors:
    """Reads pages of many files. What it gives are views of the files: not copied, and not to be written to."""

    def __init__(self) -> None:
        self._file = lru_cache(_OPEN)(_File)

    def count(self, path: Path) -> int:
        """How many pages the file has."""
        return self._file(path).pages

    def page(self, path: Path, position: int) -> dict[str, NDArray[Any]]:
        """The arrays of one page, counted from 0 in its file."""
        return self._file(path).page(position)


class _File:
    def __init__(self, path: Path) -> None:
        try:
            tensors = _tensors(path)
            names = [name for name in tensors if not name.endswith(_OFFSETS)]
            self._arrays = {name: (tensors[name], tensors[name + _OFFSETS]) for name in names}
            self.pages = _count_pages(list(self._arrays.values()))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise UnidocError(
                f"{path}: is missing or damaged ({error!r}); remove it and run `unidoc index` again"
            ) from error

    def page(self, position: int) -> dict[str, NDArray[Any]]:
        return {
            name: array[offsets[position] : offsets[position + 1]] for name, (array, offsets) in self._arrays.items()
        }


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Views of a safetensors file; its own reader would copy them."""
    with safe_open(path, "numpy"):
        pass  # it sees to it that the header is sound, and the file as long as the header says
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(memory[:8], "little")
    tensors = {}
    for name, entry in json.loads(memory[8:start]).items():
        kind, (begin, end) = np.dtype(_TYPES[entry["dtype"]]), entry["data_offsets"]
        flat = np.frombuffer(memory, kind, (end - begin) // kind.itemsize, start + begin)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def _count_pages(arrays: Sequence[tuple[NDArray[Any], NDArray[np.int64]]]) -> int:
    for array, offsets in arrays:
        if offsets[0] != 0 or offsets[-1] != len(array) or (np.diff(offsets) < 0).any():
            raise ValueError("where its pages begin does not fit its vectors")
    (pages,) = {len(offsets) - 1 for _, offsets in arrays}
    return pages


class Archive:
    """The vectors that another program has computed of these pages, one page in memory at a time.

    An .npz file with an array (vectors, dimension) a page, named by the page's id or by its picture's file name.
    """

    def __init__(self, path: Path, ids: Sequence[str], dimension: int) -> None:
        """`dimension`: of the vectors that the queries' encoder makes."""
        self._path = path
        self._dimension = dimension
        with self._explained():
            self._archive = np.lib.npyio.NpzFile(path, allow_pickle=False)  # type: ignore[arg-type]  # it takes paths
        self._keys = _keys(path, self._archive.files, ids)
        self.page(ids[0])  # an archive of something else is told at once

    def page(self, page: str) -> Floats:
        with self._explained():
            try:
                return checked(self._archive[self._keys[page]], self._dimension)
            except (ValueError, zlib.error) as error:
                raise UnidocError(f"{self._path}: {self._keys[page]}: {error}") from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (
            OSError,
            ValueError,
            EOFError,
            BadZipFile,
            RuntimeError,
        ) as error:  # zipfile's for what it cannot unpack
            raise UnidocError(
                f"{self._path}: cannot be read ({error}); expected an .npz file of numpy's, an array a page"
            ) from error


def _keys(path: Path, names: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
    """The name of each page's array, by the page's id; of every page exactly one."""
    keys: dict[str, str] = {}
    wanted = set(ids)
    for name in names:
        file = PurePosixPath(name)
        page = file.stem if file.suffix.lower() in _PICTURES else file.name
        if page in keys:
            raise UnidocError(f"{path}: {keys[page]} and {name} are both of page {page}; leave one of them out")
        if page in wanted:
            keys[page] = name
    missing = [page for page in ids if page not in keys]
    if missing:
        some = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise UnidocError(
            f"{path}: has no vectors of {len(missing)} of {len(ids)} pages ({some}); "
            f"expected an array named by each page's id, or by its picture's file name ({missing[0]}.jpg)"
        )
    return keys


def of_rows(rows: Quantised) -> Arrays:
    return {"row_codes": rows.codes, "row_scales": rows.scales}


def rows_of(arrays: Arrays) -> Quantised:
    return Quantised(arrays["row_codes"], arrays["row_scales"])


def place(pages: Catalogue, store: str, number: int) -> tuple[Path, int]:
    """Where, below an index, the vectors of a page are kept, and its position in that file."""
    start, position = divmod(number - int(pages.pages_of[pages.documents[number]][0]), PAGES_A_FILE)
    return Path(FOLDER, store, pages.contents[number], f"{start * PAGES_A_FILE}.safetensors"), position


class Kept:
    """The arrays of every page of an index, by its number."""

    def __init__(self, folder: Path, pages: Catalogue, store: str) -> None:
        self._folder = folder
        self._pages = pages
        self._store = store
        self._vectors = Vectors()

    def page(self, number: int) -> Arrays:
        path, position = place(self._pages, self._store, number)
        return self._vectors.page(self._folder / path, position)
