"""Searching an index, in this process: the pages that answer to a text, best first."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from unidoc_rl import storage
from unidoc_rl.errors import UnidocError
from unidoc_rl.index import bm25, catalogue, manifest
from unidoc_rl.index.fusion import FUSIONS
from unidoc_rl.index.manifest import Collection
from unidoc_rl.index.maxsim import one_thread
from unidoc_rl.index.ranking import Found
from unidoc_rl.index.scan import Nearest, Scan
from unidoc_rl.index.vectors import Kept
from unidoc_rl.params import Retriever
from unidoc_rl.types import Hit, Query

if TYPE_CHECKING:
    from unidoc_rl.index.milvus import Milvus

DEPTH = 100  # pages of each retriever that are fused, at least
HITS_AT_MOST = 1000
QUERIES_AT_ONCE = 64  # more are searched for in turn, since the products of their tokens are held in memory
LONGEST = 4000  # characters of a query; no encoder reads more, and what compares its tokens must come to an end


class Finder(Protocol):
    """A retriever at work."""

    def find(self, queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int) -> list[Found]:
        """For each query the best pages of those that may be found."""


class Encoder(Protocol):
    name: str
    dimension: int


class Index:
    """An open index, to be called as types.Searcher says; it is closed by its user."""

    def __init__(
        self, folder: str | Path, retrievers: Sequence[Retriever] | None = None, *, corpus: Path | None = None
    ) -> None:
        """Searches by all retrievers that the index was made for, or by these.

        `corpus`: where its pages are looked at; one of other documents is an error.
        """
        self._folder = storage.local_folder(folder)
        self._manifest = manifest.read(self._folder)
        self._pages = catalogue.read(self._folder)
        differs = catalogue.difference(self._pages, corpus) if corpus else None
        if differs:
            raise UnidocError(
                f"{folder}: was made of other documents than {corpus} (first difference: {differs}); "
                "run `unidoc index` again"
            )
        chosen = self._manifest.retrievers if retrievers is None else retrievers
        for name in chosen:
            if name not in self._manifest.retrievers:
                has = ", ".join(self._manifest.retrievers)
                raise UnidocError(f"{folder}: has no {name}, only {has}; index it again with that retriever")
        self._milvus: Milvus | None = None
        self._one_search = Lock()  # how many threads a library uses is for the whole process
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._finders = {name: self._finder(name) for name in chosen}
            on_failure.pop_all()

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
        queries = [replace(query, text=whole_characters(query.text.strip()[:LONGEST])) for query in queries]
        for query in queries:
            self._check(query)
        parts = [queries[start : start + QUERIES_AT_ONCE] for start in range(0, len(queries), QUERIES_AT_ONCE)]
        return [hits for part in parts for hits in self._search(part, k)]

    def _search(self, queries: Sequence[Query], k: int) -> list[list[Hit]]:
        among = [self._among(query) for query in queries]
        depth = max(DEPTH, 2 * k)
        with self._one_search, one_thread():
            found = {name: finder.find(queries, among, depth) for name, finder in self._finders.items()}
        return [self._hits({name: lists[at] for name, lists in found.items()}, k, depth) for at in range(len(queries))]

    def _finder(self, name: Retriever) -> Finder:
        if name == "bm25":
            return bm25.Bm25(self._folder / bm25.FOLDER, len(self._pages))
        collection = self._manifest.collections[name]
        kept = Kept(self._folder, self._pages, collection.store)
        if name == "dense":
            from unidoc_rl.index.dense import Dense, Pieces

            pieces = Pieces(collection.source)
            self._same_encoder(collection, pieces)
            return Dense(pieces, self._rows(name, collection, kept))
        from unidoc_rl.index.colqwen import PageEncoder
        from unidoc_rl.index.late import Late

        encoder = PageEncoder(str(collection.source))
        self._same_encoder(collection, encoder)
        return Late(encoder, self._rows(name, collection, kept), kept)

    def _rows(self, name: Retriever, collection: Collection, kept: Kept) -> Nearest:
        if collection.name is None:
            return Scan(self._folder / name)
        from unidoc_rl.index.in_milvus import InMilvus
        from unidoc_rl.index.milvus import Milvus

        if self._milvus is None:
            self._milvus = Milvus(str(self._manifest.uri))
        rows = self._milvus.open(collection.name)
        rows.check(collection.rows)
        return InMilvus(rows, self._pages, kept)

    def _same_encoder(self, collection: Collection, found: Encoder) -> None:
        if (found.name, found.dimension) != (collection.encoder, collection.dimension):
            raise UnidocError(
                f"{self._folder}: of {collection.encoder} with vectors of {collection.dimension}, and "
                f"{collection.source or 'the package'} holds {found.name} with {found.dimension}; "
                "put that encoder back, or run `unidoc index` again"
            )

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

    def _hits(self, found: Mapping[Retriever, Found], k: int, depth: int) -> list[Hit]:
        if len(found) == 1:
            (fused,) = found.values()
        else:
            fused = FUSIONS[self._manifest.fusion](found, self._manifest.weights, depth)
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


def whole_characters(text: str) -> str:
    """Half characters (lone surrogates), which no tokenizer takes, become question marks."""
    return text.encode("utf-8", "replace").decode()
