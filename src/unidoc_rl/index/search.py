"""Searching an index, in this process: the pages that answer to a text, best first."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unidoc_rl import storage
from unidoc_rl.errors import UnidocError
from unidoc_rl.index import bm25, catalogue, manifest
from unidoc_rl.index.fusion import FUSIONS, Found
from unidoc_rl.index.milvus import FOLDER, ROWS_AT_MOST, Milvus, Rows, key_of
from unidoc_rl.index.terms import terms
from unidoc_rl.params import Retriever
from unidoc_rl.types import Hit, Query

if TYPE_CHECKING:
    from unidoc_rl.index.dense import Dense

DEPTH = 100  # pages of each retriever that are fused, at least
HITS_AT_MOST = 1000


class Index:
    """An open index, to be called as types.Search says; it belongs to one process, and is closed by its user."""

    def __init__(self, folder: str | Path, retrievers: Sequence[Retriever] | None = None) -> None:
        """Searches by all retrievers that the index was made for, or by these."""
        self._folder = storage.local_folder(folder)
        self._manifest = manifest.read(self._folder)
        self._pages = catalogue.read(self._folder)
        chosen = self._manifest.retrievers if retrievers is None else retrievers
        for name in chosen:
            if name not in self._manifest.retrievers:
                has = ", ".join(self._manifest.retrievers)
                raise UnidocError(f"{folder}: has no {name}, only {has}; index it again with that retriever")
        self._milvus: Milvus | None = None
        self._finders = {name: self._finder(name) for name in chosen}

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._milvus is not None:
            self._milvus.close()

    def __call__(self, queries: Sequence[Query], k: int = 10) -> list[list[Hit]]:
        if not 1 <= k <= HITS_AT_MOST:
            raise UnidocError(f"k: {k} hits are not possible; ask for 1 to {HITS_AT_MOST}")
        for query in queries:
            self._check(query)
        among = [self._among(query) for query in queries]
        depth = max(DEPTH, 2 * k)
        found = {name: finder.find(queries, among, depth) for name, finder in self._finders.items()}
        return [self._hits({name: lists[at] for name, lists in found.items()}, k) for at in range(len(queries))]

    def _finder(self, name: Retriever) -> _Words | _Vectors:
        if name == "bm25":
            return _Words(bm25.Bm25(self._folder / bm25.FOLDER, len(self._pages)))
        collection = self._manifest.collections[name]
        if self._milvus is None:
            self._milvus = Milvus(self._manifest.uri or self._folder / FOLDER)
        rows = self._milvus.open(collection.name)
        rows.check(collection.rows)
        from unidoc_rl.index.dense import Dense

        encoder = Dense(collection.source)
        if encoder.name != collection.encoder:
            raise UnidocError(
                f"{self._folder}: made by {collection.encoder}, and {collection.source or 'the package'} holds "
                f"{encoder.name}: put that encoder back, or run `unidoc index` again"
            )
        return _Vectors(encoder, rows, self._pages)

    def _check(self, query: Query) -> None:
        if not any(character.isalnum() for character in query.text):
            raise UnidocError(f"the query {query.text[:80]!r} holds no word; say what to look for")
        for document in query.documents or ():
            if document not in self._pages.pages_of:
                near = difflib.get_close_matches(document, self._pages.pages_of, n=1, cutoff=0)
                raise UnidocError(f"{self._folder}: has no document {document!r}; the nearest name is {near[0]!r}")

    def _among(self, query: Query) -> NDArray[np.bool_]:
        """Which pages may be found."""
        if query.documents is None:
            among = np.ones(len(self._pages), bool)
        else:
            among = np.zeros(len(self._pages), bool)
            for document in query.documents:
                among[self._pages.pages_of[document]] = True
        known = self._pages.number_of_id
        among[[known[page] for page in query.excluded if page in known]] = False
        return among

    def _hits(self, found: Mapping[Retriever, Found], k: int) -> list[Hit]:
        if len(found) == 1:
            (fused,) = found.values()
        else:
            fused = FUSIONS[self._manifest.fusion](found, self._manifest.weights)
        scores = {name: dict(pages) for name, pages in found.items()}
        return [
            Hit(
                page=self._pages.ids[page],
                document=self._pages.documents[page],
                image=self._pages.images[page],
                score=score,
                scores={name: by_page[page] for name, by_page in scores.items() if page in by_page},
            )
            for page, score in fused[:k]
        ]


class _Words:
    def __init__(self, index: bm25.Bm25) -> None:
        self._index = index

    def find(self, queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int) -> list[Found]:
        found = []
        for query, allowed in zip(queries, among, strict=True):
            scores = np.where(allowed, self._index.scores(terms(query.text)), 0)
            found.append(_best(np.flatnonzero(scores), scores, depth))
        return found


class _Vectors:
    """Pages by the nearest of their rows in Milvus."""

    def __init__(self, encoder: Dense, rows: Rows, pages: catalogue.Catalogue) -> None:
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


def _best(pages: NDArray[np.int64], scores: NDArray[np.float32], depth: int) -> Found:
    order = pages[np.lexsort((pages, -scores[pages]))][:depth]
    return [(int(page), float(scores[page])) for page in order]
