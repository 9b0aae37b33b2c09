"""What a run has finished so far, a folder a document, so that a killed run goes on where it stopped.

pieces/<key>/document.json     the numbers of its pages
pieces/<key>/<n>.jpg           pictures
pieces/<key>/0-16.parquet      the rows of its first sixteen pages, written last: their pictures are whole
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
    columns = [
        [row.n for row in rows],
        [row.width for row in rows],
        [row.height for row in rows],
        [row.text.text for row in rows],
        [row.text_source for row in rows],
        _words(rows),
        [[{"kind": one.kind, "score": one.score, **one.box._asdict()} for one in row.regions] for row in rows],
        [row.note for row in rows],
    ]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], _SCHEMA)


def _words(rows: Sequence[Row]) -> pa.Array:
    texts = [word for row in rows for word in row.text.words]
    corners = np.ascontiguousarray(np.concatenate([row.text.boxes for row in rows]).T)
    words = pa.StructArray.from_arrays([pa.array(texts, pa.string()), *corners], names=["text", *Box._fields])
    return pa.ListArray.from_arrays(list(accumulate((len(row.text.words) for row in rows), initial=0)), words)
