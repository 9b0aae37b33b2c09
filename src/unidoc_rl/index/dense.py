"""The retriever `dense`: a page is as near to a question as the nearest of its pieces of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.index.catalogue import Catalogue
from unidoc_rl.index.encoder import SentenceEncoder
from unidoc_rl.index.fusion import Found
from unidoc_rl.index.milvus import ROWS_AT_MOST, Rows, key_of
from unidoc_rl.index.vectors import Arrays
from unidoc_rl.types import Query

WORDS = 60  # of a piece; longer ones hold several thoughts, and a vector holds one
STEP = 45  # from a piece's beginning to the next one's: what lies on a border is whole in one of the two
PIECES_AT_MOST = 64  # of a page


class Dense:
    """Makes the vectors of pages and of queries."""

    reads = "text"

    def __init__(self, encoder: str | None) -> None:
        self._encoder = SentenceEncoder(encoder)
        self.name = self.store = self._encoder.name
        self.dimension = self._encoder.dimension

    def pages(self, texts: Sequence[str], corpus: Path) -> list[Arrays]:
        texts_of = [pieces(text) for text in texts]
        vectors = self._encoder.encode([text for page in texts_of for text in page]).astype(np.float16)
        ends = np.cumsum([len(page) for page in texts_of])
        return [{"rows": part} for part in np.split(vectors, ends[:-1])]

    def query(self, text: str) -> NDArray[np.float32]:
        return self._encoder.encode([text])


def pieces(text: str) -> list[str]:
    words = text.split()
    starts = range(0, max(1, len(words) - WORDS + STEP), STEP) if words else range(0)
    return [" ".join(words[start : start + WORDS]) for start in starts][:PIECES_AT_MOST]


class Nearest:
    """Pages by the nearest of their rows in Milvus."""

    def __init__(self, encoder: Dense, rows: Rows, pages: Catalogue) -> None:
        self._encoder = encoder
        self._rows = rows
        self._pages = pages

    def find(self, queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int) -> list[Found]:
        return [self._one(query, allowed, depth) for query, allowed in zip(queries, among, strict=True)]

    def _one(self, query: Query, allowed: NDArray[np.bool_], depth: int) -> Found:
        vector = self._encoder.query(query.text)
        wanted = min(depth, int(allowed.sum()))
        rows = 4 * (depth + len(query.excluded))
        while True:  # several rows may be of one page: ask for more until there are pages enough
            (hits,) = self._rows.nearest(vector, rows, query.documents)
            scores = self._by_page(hits, allowed)
            if len(scores) >= wanted or len(hits) < rows or rows >= ROWS_AT_MOST:
                break
            rows *= 4
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:depth]

    def _by_page(self, hits: Iterable[tuple[str, float]], allowed: NDArray[np.bool_]) -> dict[int, float]:
        """A page's score is its best row's."""
        scores: dict[int, float] = {}
        for row, score in hits:
            page = self._pages.number_of_key[key_of(row)]
            if allowed[page]:
                scores.setdefault(page, score)  # best first
        return scores
