"""Rows of pages in Milvus: it names the nearest, and their pages are compared by all their rows, from files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.index.catalogue import Catalogue
from unidoc_rl.index.maxsim import Floats, Integers, maxsim, pool
from unidoc_rl.index.milvus import ROWS_AT_MOST, Rows, key_of
from unidoc_rl.index.ranking import Found, ranked
from unidoc_rl.index.vectors import Kept, rows_of
from unidoc_rl.types import Query

TOKENS = 12  # vectors of a query that Milvus is asked for; more are pooled
HITS = 200  # rows for each of them, at least


class InMilvus:
    """A scan.Nearest."""

    def __init__(self, rows: Rows, pages: Catalogue, kept: Kept) -> None:
        self._rows = rows
        self._pages = pages
        self._kept = kept

    def find(
        self, tokens: Sequence[Floats], queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int
    ) -> list[Found]:
        return [self._one(*one, depth) for one in zip(tokens, queries, among, strict=True)]

    def _one(self, tokens: Floats, query: Query, allowed: NDArray[np.bool_], depth: int) -> Found:
        if not allowed.any():
            return []
        pooled = pool(tokens, TOKENS)
        pages = self._hit(pooled, query, allowed, min(depth, int(allowed.sum())))
        scores = maxsim(pooled, (rows_of(self._kept.page(int(page))) for page in pages))
        return ranked(pages, scores, depth)

    def _hit(self, pooled: Floats, query: Query, allowed: NDArray[np.bool_], wanted: int) -> Integers:
        """Several rows may be of one page: Milvus is asked for more until there are pages enough."""
        number_of = self._pages.number_of_key
        rows = max(HITS, 4 * (wanted + len(query.excluded)) // len(pooled))
        while True:
            hits = self._rows.nearest(pooled, rows, query.documents)
            pages = np.array(sorted({number_of[key_of(row)] for ids in hits for row in ids}), np.int64)
            pages = pages[allowed[pages]]
            if len(pages) >= wanted or rows >= ROWS_AT_MOST or all(len(ids) < rows for ids in hits):
                return pages
            rows *= 4
