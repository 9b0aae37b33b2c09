"""What a run has finished so far, a folder a document, so that a killed run goes on where it stopped.

pieces/<key>/document.json     the numbers of its pages
pieces/<key>/<n>.jpg           pictures
pieces/<key>/0-16.parquet      the rows of its first sixteen pages, written last: their pictures are whole
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unidoc_rl import columns
from unidoc_rl.corpus import CONTENT_SCHEMA
from unidoc_rl.ingest.tasks import Row
from unidoc_rl.types import Box

PAGES_A_TASK = 16

_SCHEMA = CONTENT_SCHEMA.append(pa.field("note", pa.string()))


class Pieces:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, key: str) -> Path:
        return self._folder / key

    def numbers(self, key: str) -> list[int] | None:
        """The document's page numbers, if somebody has counted them."""
        path = self.of(key) / "document.json"
        return list(json.loads(path.read_text())) if path.exists() else None

    def counted(self, key: str, numbers: Sequence[int]) -> None:
        self.of(key).mkdir(parents=True, exist_ok=True)
        path = self.of(key) / "document.json"
        path.with_suffix(".new").write_text(json.dumps(list(numbers)))
        path.with_suffix(".new").rename(path)

    def missing(self, key: str, pages: int) -> list[tuple[int, int]]:
        """The ranges of positions that are still to be read."""
        starts = range(0, pages, PAGES_A_TASK)
        ranges = [(start, min(start + PAGES_A_TASK, pages)) for start in starts]
        return [(start, stop) for start, stop in ranges if not self._rows(key, start, stop).exists()]

    def finished(self, key: str, start: int, stop: int, rows: list[Row]) -> None:
        path = self._rows(key, start, stop)
        pq.write_table(_table(rows), path.with_suffix(".new"), compression="lz4", use_dictionary=False)
        path.with_suffix(".new").rename(path)

    def tables(self, key: str) -> Iterator[pa.Table]:
        """The rows of a finished document, in the order of its pages."""
        pages = len(self.numbers(key) or ())
        for start in range(0, pages, PAGES_A_TASK):
            yield pq.ParquetFile(self._rows(key, start, min(start + PAGES_A_TASK, pages))).read()

    def _rows(self, key: str, start: int, stop: int) -> Path:
        return self.of(key) / f"{start}-{stop}.parquet"


def _table(rows: Sequence[Row]) -> pa.Table:
    made = [
        columns.numbers([row.n for row in rows], np.int32),
        columns.numbers([row.width for row in rows], np.int32),
        columns.numbers([row.height for row in rows], np.int32),
        columns.texts(row.text.text for row in rows),
        columns.texts(row.text_source for row in rows),
        _words(rows),
        _regions(rows),
        columns.texts(row.note for row in rows),
    ]
    return pa.table(made, schema=_SCHEMA)


def _words(rows: Sequence[Row]) -> pa.Array:
    corners = np.concatenate([row.text.boxes for row in rows])
    words = {"text": columns.texts(word for row in rows for word in row.text.words), **_boxes(corners)}
    return columns.lists([len(row.text.words) for row in rows], columns.records(words))


def _regions(rows: Sequence[Row]) -> pa.Array:
    found = [region for row in rows for region in row.regions]
    corners = np.array([region.box for region in found], np.uint16).reshape(-1, len(Box._fields))
    regions = {
        "kind": columns.texts(region.kind for region in found),
        "score": columns.numbers([region.score for region in found], np.float32),
        **_boxes(corners),
    }
    return columns.lists([len(row.regions) for row in rows], columns.records(regions))


def _boxes(corners: NDArray[np.uint16]) -> dict[str, pa.Array]:
    return {name: columns.numbers(corners[:, at], np.uint16) for at, name in enumerate(Box._fields)}
