"""The corpus, as `ingest` writes it and every later stage reads it.

corpus/pages.parquet                        a row a page, documents in the order of their names
corpus/images/<document>/<document>_<n>.jpg its picture
corpus/report.json                          the documents, and every file that was left out
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unidoc_rl.errors import UnidocError
from unidoc_rl.names import split_page_id
from unidoc_rl.types import Box, Page, Region, TextSource, Word

PAGES = "pages.parquet"
REPORT = "report.json"
IMAGES = "images"
ROWS_A_GROUP = 512  # what is held in memory at once

_BOX = [(corner, pa.uint16()) for corner in Box._fields]
CONTENT_SCHEMA = pa.schema(
    [
        ("n", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("text", pa.string()),
        ("text_source", pa.string()),
        ("words", pa.list_(pa.struct([("text", pa.string()), *_BOX]))),
        ("regions", pa.list_(pa.struct([("kind", pa.string()), ("score", pa.float32()), *_BOX]))),
    ]
)
PAGE_SCHEMA = pa.schema([("id", pa.string()), ("document", pa.string()), ("image", pa.string()), *CONTENT_SCHEMA])


class Corpus:
    """A corpus folder, read a piece at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: tuple[int, pa.Table] | None = None
        try:
            self._file = pq.ParquetFile(folder / PAGES)
        except (OSError, pa.ArrowInvalid) as error:
            raise UnidocError(f"{folder}: is no corpus ({error}); make one with `unidoc ingest`") from error
        if not {*PAGE_SCHEMA.names} <= {*self._file.schema_arrow.names}:
            raise UnidocError(f"{folder}: is no corpus, but an index perhaps; make one with `unidoc ingest`")

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def __iter__(self) -> Iterator[Page]:
        for batch in self._file.iter_batches(batch_size=ROWS_A_GROUP):
            for row in batch.to_pylist():
                yield _page(row)

    def column(self, name: str) -> Iterator[Any]:
        """One value a page, without reading the rest."""
        for batch in self._file.iter_batches(batch_size=ROWS_A_GROUP, columns=[name]):
            yield from batch.column(0).to_pylist()

    def table(self, *columns: str) -> pa.Table:
        """Some columns of all pages; parquet.read_table would do the same after importing pandas, for two seconds."""
        return self._file.read(columns=list(columns))

    def first(self) -> Page:
        return next(iter(self))

    def rows(self, document: str) -> Iterator[pa.Table]:
        """A document's rows, part by part; asking in the order of the corpus reads every part of it once."""
        for group in self._groups_of[document]:
            part = self._group(group)
            yield part.filter(pc.equal(part["document"], document))

    def page(self, id: str) -> Page:
        """One page; those of a document one after the other are read once."""
        document, n = split_page_id(id)
        for part in self.rows(document) if document in self._groups_of else ():
            for row in part.filter(pc.equal(part["n"], n)).to_pylist():
                return _page(row)
        raise UnidocError(f"{self.folder}: has no page {id}")

    @cached_property
    def _groups_of(self) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for group in range(self._file.num_row_groups):
            for document in self._file.read_row_group(group, columns=["document"])["document"].unique().to_pylist():
                groups.setdefault(document, []).append(group)
        return groups

    def _group(self, group: int) -> pa.Table:
        if self._held is None or self._held[0] != group:
            self._held = (group, self._file.read_row_group(group))
        return self._held[1]


def write_pages(path: Path, tables: Iterable[pa.Table]) -> None:
    """Writes tables of PAGE_SCHEMA as they come; the same rows are the same bytes, in whatever pieces they come."""
    with pq.ParquetWriter(path, PAGE_SCHEMA, compression="zstd") as writer:
        gathered: list[pa.Table] = []
        for table in tables:
            gathered.append(table)
            while sum(len(part) for part in gathered) >= ROWS_A_GROUP:
                whole = pa.concat_tables(gathered)
                writer.write_table(whole.slice(0, ROWS_A_GROUP).combine_chunks())
                gathered = [whole.slice(ROWS_A_GROUP)]
        if gathered:
            writer.write_table(pa.concat_tables(gathered).combine_chunks())


def _page(row: dict[str, Any]) -> Page:
    return Page(
        id=row["id"],
        document=row["document"],
        n=row["n"],
        width=row["width"],
        height=row["height"],
        image=row["image"],
        text=row["text"],
        text_source=TextSource(row["text_source"]),
        words=tuple(Word(word["text"], _box(word)) for word in row["words"]),
        regions=tuple(Region(region["kind"], _box(region), region["score"]) for region in row["regions"]),
    )


def _box(row: dict[str, Any]) -> Box:
    return Box(*(row[corner] for corner in Box._fields))
