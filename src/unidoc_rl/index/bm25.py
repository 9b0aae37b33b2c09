"""BM25 over the terms of pages, from memory-mapped postings: a query touches those of its own terms alone.

bm25/terms.json    every term, in the order of `starts`
bm25/starts.npy    where each term's postings begin
bm25/pages.npy     the numbers of the pages that hold it
bm25/weights.npy   what it adds to their scores
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.index.ranking import Found, found
from unidoc_rl.index.terms import terms
from unidoc_rl.types import Query

FOLDER = "bm25"  # of an index
K1 = 1.2
B = 0.75


class Builder:
    """Takes pages one after the other; holds twelve bytes a different term of each."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._terms = array("i")
        self._pages = array("i")
        self._counts = array("f")
        self._lengths = array("f")

    def add(self, terms: Iterable[str]) -> None:
        """The terms of the next page."""
        counts = Counter(terms)
        self._terms.extend(self._numbers.setdefault(term, len(self._numbers)) for term in counts)
        self._pages.extend([len(self._lengths)] * len(counts))
        self._counts.extend(counts.values())
        self._lengths.append(counts.total())

    def write(self, folder: Path) -> None:
        folder.mkdir()
        terms, pages = np.frombuffer(self._terms, np.int32), np.frombuffer(self._pages, np.int32)
        counts, lengths = np.frombuffer(self._counts, np.float32), np.frombuffer(self._lengths, np.float32)
        order = np.argsort(terms, kind="stable")
        held_by = np.bincount(terms, minlength=len(self._numbers))
        rarity = np.log1p((len(lengths) - held_by + 0.5) / (held_by + 0.5))
        norm = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean())))
        weights = rarity[terms] * counts * (K1 + 1) / (counts + norm[pages])
        np.save(folder / "starts.npy", np.concatenate([[0], np.cumsum(held_by)]))
        np.save(folder / "pages.npy", pages[order])
        np.save(folder / "weights.npy", weights[order].astype(np.float32))
        (folder / "terms.json").write_text(json.dumps(list(self._numbers), ensure_ascii=False), encoding="utf-8")


class Bm25:
    def __init__(self, folder: Path, pages: int) -> None:
        self._count = pages
        terms = json.loads((folder / "terms.json").read_text(encoding="utf-8"))
        self._numbers = {term: number for number, term in enumerate(terms)}
        self._starts = np.load(folder / "starts.npy")
        # As plain arrays: every slice of a memmap costs twenty microseconds.
        self._pages = np.load(folder / "pages.npy", mmap_mode="r").view(np.ndarray)
        self._weights = np.load(folder / "weights.npy", mmap_mode="r").view(np.ndarray)

    def scores(self, terms: Sequence[str]) -> NDArray[np.float32]:
        """Of every page; 0 where it holds none of the terms."""
        scores = np.zeros(self._count, np.float32)
        for term, times in Counter(terms).items():
            number = self._numbers.get(term)
            if number is not None:
                span = slice(self._starts[number], self._starts[number + 1])
                scores[self._pages[span]] += times * self._weights[span]  # a term has a page once
        return scores

    def find(self, queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int) -> list[Found]:
        scores = [self.scores(terms(query.text)) for query in queries]
        return [found(row, allowed & (row > 0), depth) for row, allowed in zip(scores, among, strict=True)]
