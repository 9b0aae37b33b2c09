"""Where on which page what stands, as `ingest` has proposed it: for all pages at once, without their words."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from unidoc_rl.corpus import Corpus
from unidoc_rl.types import Box, Region

MOST = 60  # regions of a page; nobody can tell more of them apart


class Place(NamedTuple):
    """Of a page in its document, and the size of its picture in pixels."""

    document: str
    n: int
    width: int
    height: int


class Layout:
    """Of a corpus, for any number of threads."""

    def __init__(self, corpus: Path) -> None:
        table = Corpus(corpus).table("id", *Place._fields, "regions")
        self._rows = {page: row for row, page in enumerate(table["id"].to_pylist())}
        self._places = table.select(list(Place._fields))
        self._regions = table["regions"].combine_chunks()
        self.pages_of: dict[str, list[str]] = {}
        for page, document in zip(self._rows, table["document"].to_pylist(), strict=True):
            self.pages_of.setdefault(document, []).append(page)

    def place(self, page: str) -> Place:
        row = self._rows[page]
        return Place(*(self._places[name][row].as_py() for name in Place._fields))

    def regions(self, page: str) -> list[Region]:
        """In their order; of too many, those that are the most certain."""
        told = self._regions[self._rows[page]].as_py()
        if len(told) > MOST:
            least = sorted((one["score"] for one in told), reverse=True)[MOST - 1]
            told = [one for one in told if one["score"] >= least][:MOST]
        return [Region(one["kind"], Box(*(one[corner] for corner in Box._fields)), one["score"]) for one in told]
