"""The pages that an index holds, numbered: index/pages.parquet."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unidoc_rl import columns, corpus
from unidoc_rl.corpus import Corpus
from unidoc_rl.errors import UnidocError

PAGES = "pages.parquet"
SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "document", "image", "content", "key")])


class Catalogue:
    """A page's number is its place in these lists, which have the order of the corpus."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.ids: list[str] = table["id"].to_pylist()
        self.documents: list[str] = table["document"].to_pylist()
        self.images: list[str] = table["image"].to_pylist()
        self.contents: list[str] = table["content"].to_pylist()  # of the document: other pages, another content
        self.keys: list[str] = table["key"].to_pylist()  # of the page: another name or content, another key

    def __len__(self) -> int:
        return len(self.ids)

    def write(self, folder: Path) -> None:
        pq.write_table(self._table, folder / PAGES)

    @cached_property
    def number_of_key(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.keys)}

    @cached_property
    def number_of_id(self) -> dict[str, int]:
        return {page: number for number, page in enumerate(self.ids)}

    @cached_property
    def pages_of(self) -> dict[str, NDArray[np.int64]]:
        """The numbers of a document's pages."""
        pages: dict[str, list[int]] = defaultdict(list)
        for number, document in enumerate(self.documents):
            pages[document].append(number)
        return {document: np.array(numbers) for document, numbers in pages.items()}


def of_corpus(folder: Path) -> Catalogue:
    """The pages of a corpus; what `ingest` says of a document's content tells whether its pages have changed."""
    table = Corpus(folder).table("id", "document", "image")
    contents = _contents(folder, table["document"].to_pylist())
    keys = [_key(page, content) for page, content in zip(table["id"].to_pylist(), contents, strict=True)]
    return Catalogue(pa.table([*table.columns, columns.texts(contents), columns.texts(keys)], schema=SCHEMA))


def read(folder: Path) -> Catalogue:
    try:
        return Catalogue(pq.ParquetFile(folder / PAGES).read().cast(SCHEMA))
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        raise UnidocError(f"{folder / PAGES}: is damaged ({error}); run `unidoc index` again") from error


def difference(index: Catalogue, folder: Path) -> str | None:
    """The first document by which an index differs from a corpus, and how; None where there is none."""
    indexed = dict(zip(index.documents, index.contents, strict=True))
    documents = Corpus(folder).table("document")["document"].unique().to_pylist()
    for document, content in zip(documents, _contents(folder, documents), strict=True):
        if document not in indexed:
            return f"{document} is not in the index"
        if indexed.pop(document) != content:
            return f"{document} has changed"
    return next((f"{document} is not in the corpus" for document in indexed), None)


def _contents(folder: Path, documents: Sequence[str]) -> list[str]:
    """Of each document, what `ingest` says of it; of other pages, it says another."""
    try:
        report = json.loads((folder / corpus.REPORT).read_text(encoding="utf-8"))
        content_of = {entry["document"]: entry["key"] for entry in report["documents"]}
        return [content_of[document] for document in documents]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UnidocError(
            f"{folder / corpus.REPORT}: does not tell of every document ({error!r}); run `unidoc ingest` again"
        ) from error


def spans(names: Sequence[str], longest: int) -> list[tuple[int, int]]:
    """The ranges of neighbours with the same name, none longer than that."""
    found: list[tuple[int, int]] = []
    for number, name in enumerate(names):
        if found and names[found[-1][0]] == name and number - found[-1][0] < longest:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


def _key(page: str, content: str) -> str:
    return hashlib.sha256(f"{page} {content}".encode()).hexdigest()[:24]
