"""Rows: the vectors of pages that a query is compared with first; and how they are searched where no Milvus is named.

The rows of all pages lie in mapped files, and all are compared. In a byte a number, 140,000 rows of 384 numbers take
14 ms; Milvus Lite needs 250, and ten seconds to open. No list of nearest rows is cut off, so none is missed. Past some
million rows, a Milvus server is faster.

<retriever>/codes.npy    (rows, dimension) of int8, page after page
<retriever>/scales.npy   (rows,)
<retriever>/starts.npy   (pages + 1,) where each page's rows begin
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.index.maxsim import Floats, Quantised
from unidoc_rl.index.ranking import Found, found
from unidoc_rl.types import Query

PAGES_AT_ONCE = 512  # what is computed of them fits into a processor's cache
NOWHERE = np.float32(-np.inf)  # the score of a page without rows


class Nearest(Protocol):
    """Pages by the MaxSim of their rows, wherever these lie."""

    def find(
        self, tokens: Sequence[Floats], queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int
    ) -> list[Found]:
        """For each query, given as its vectors too, the best pages of those that may be found."""


def write(folder: Path, pages: Iterable[Quantised], counts: Sequence[int], dimension: int) -> None:
    """`counts`: how many rows each page has."""
    folder.mkdir()
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    scales = np.empty(starts[-1], np.float32)
    with (folder / "codes.npy").open("wb") as file:
        shape = (int(starts[-1]), dimension)
        np.lib.format.write_array_header_1_0(file, {"descr": "|i1", "fortran_order": False, "shape": shape})
        for page, start, stop in zip(pages, starts[:-1], starts[1:], strict=True):
            file.write(page.codes.tobytes())
            scales[start:stop] = page.scales
    np.save(folder / "scales.npy", scales)
    np.save(folder / "starts.npy", starts)


class Scan:
    def __init__(self, folder: Path) -> None:
        self._codes = np.load(folder / "codes.npy", mmap_mode="r").view(np.ndarray)
        self._scales = np.load(folder / "scales.npy")
        self._starts = np.load(folder / "starts.npy")

    def find(
        self, tokens: Sequence[Floats], queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int
    ) -> list[Found]:
        scores = self.scores(tokens)
        return [found(row, allowed & (row > NOWHERE), depth) for row, allowed in zip(scores, among, strict=True)]

    def scores(self, queries: Sequence[Floats]) -> NDArray[np.float32]:
        """(queries, pages): MaxSim over the rows of each page."""
        tokens = np.concatenate(queries)
        firsts = np.cumsum([0, *(len(query) for query in queries[:-1])])
        count = len(self._starts) - 1
        scores = np.full((len(queries), count), NOWHERE)

        def compare(first: int) -> None:
            starts = self._starts[first : first + PAGES_AT_ONCE + 1]
            rows, counts = slice(starts[0], starts[-1]), np.diff(starts)
            products = self._codes[rows].astype(np.float32) @ tokens.T
            products *= self._scales[rows, None]
            some = np.flatnonzero(counts)  # pages that have rows
            if len(some):
                scores[:, first + some] = np.add.reduceat(_largest(products, counts[some]), firsts, axis=1).T

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(compare, range(0, count, PAGES_AT_ONCE)))
        return scores


def _largest(products: Floats, counts: NDArray[np.int64]) -> Floats:
    """Of each page's rows."""
    if (counts == counts[0]).all():  # twenty times as fast
        return np.asarray(products.reshape(len(counts), counts[0], -1).max(axis=1))
    return np.asarray(np.maximum.reduceat(products, np.cumsum(counts) - counts, axis=0))
