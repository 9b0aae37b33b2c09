"""BM25 over the terms of pages, from memory-mapped postings: a query touches those of its own terms alone.

bm25/terms.npy     a hash of every term, in rising order
bm25/starts.npy    where each term's postings begin, and where the last one's end
bm25/pages.npy     the numbers of the pages that hold it
bm25/weights.npy   what it adds to their scores
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.index.ranking import Found, found
from unidoc_rl.index.terms import terms
from unidoc_rl.types import Query

FOLDER = "bm25"  # of an index
K1 = 1.2
B = 0.75
HASH = np.dtype("<u8")  # of a term, which takes the place of its letters


class Builder:
    """Takes pages one after the other; holds twelve bytes a different term of each page, and no dictionary."""

    def __init__(self) -> None:
        self._hashes = bytearray()
        self._counts = array("f")
        self._different = array("i")  # terms of each page
        self._lengths = array("f")

    def add(self, terms: Iterable[str]) -> None:
        """The terms of the next page."""
        counts = Counter(terms)
        self._hashes += _digests(counts)
        self._counts.extend(counts.values())
        self._different.append(len(counts))
        self._lengths.append(counts.total())

    def write(self, folder: Path) -> None:
        folder.mkdir()
        hashes = np.frombuffer(self._hashes, HASH)
        order = np.argsort(hashes, kind="stable")
        terms, held_by = np.unique(hashes[order], return_counts=True)
        np.save(folder / "terms.npy", terms)
        np.save(folder / "starts.npy", np.concatenate([[0], np.cumsum(held_by)]))
        pages = np.repeat(np.arange(len(self._lengths), dtype=np.int32), self._different)[order]
        np.save(folder / "pages.npy", pages)
        np.save(folder / "weights.npy", self._weights(held_by, pages, np.frombuffer(self._counts, np.float32)[order]))

    def _weights(
        self, held_by: NDArray[np.int64], pages: NDArray[np.int32], counts: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        lengths = np.frombuffer(self._lengths, np.float32)
        rarity = np.log1p((len(lengths) - held_by + 0.5) / (held_by + 0.5))
        norm = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean())))
        weights = np.repeat(rarity, held_by) * counts * (K1 + 1) / (counts + norm[pages])
        return weights.astype(np.float32)


class Bm25:
    def __init__(self, folder: Path, pages: int) -> None:
        self._count = pages
        self._terms, self._starts, self._pages, self._weights = (
            # As plain arrays: every slice of a memmap costs twenty microseconds.
            np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
            for name in ("terms", "starts", "pages", "weights")
        )

    def scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Of every page; 0 where it holds none of the terms."""
        scores = np.zeros(self._count, np.float32)
        counts = Counter(terms)
        hashes = np.frombuffer(_digests(counts), HASH)
        starts = self._starts[np.searchsorted(self._terms, hashes)]
        stops = self._starts[np.searchsorted(self._terms, hashes, "right")]  # the same, where no page holds the term
        for start, stop, times in zip(starts, stops, counts.values(), strict=True):
            scores[self._pages[start:stop]] += times * self._weights[start:stop]  # a term has a page once
        return scores

    def find(self, queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int) -> list[Found]:
        scores = [self.scores(terms(query.text)) for query in queries]
        return [found(row, allowed & (row > 0), depth) for row, allowed in zip(scores, among, strict=True)]


def _digests(terms: Iterable[str]) -> bytes:
    """A HASH of each, one after the other; among a thousand million terms, two share one in an index of forty."""
    return b"".join(blake2b(term.encode(), digest_size=HASH.itemsize).digest() for term in terms)
