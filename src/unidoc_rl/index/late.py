"""The retriever `late`: pages by the multi-vectors of their pictures, in two steps.

A few directions of each page choose candidates: on one machine by comparing all of them, on a Milvus server by its
nearest rows. Exact MaxSim over vectors kept in files ranks them. The vectors are made by a ColQwen2 or ColPali model
here, or come from a file that the same model has filled elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unidoc_rl.errors import UnidocError
from unidoc_rl.index.catalogue import Catalogue
from unidoc_rl.index.fusion import Found
from unidoc_rl.index.identity import identity
from unidoc_rl.index.maxsim import Floats, Integers, Quantised, centroids, maxsim, maxsim_together, pool, quantise
from unidoc_rl.index.milvus import Rows, key_of
from unidoc_rl.index.sketches import Sketches
from unidoc_rl.index.vectors import Arrays, Vectors, bring_in, place
from unidoc_rl.types import Query

CENTROIDS = 16  # directions of a page
TOKENS = 12  # vectors of a query that Milvus is asked for; more are pooled
HITS = 200  # rows for each of them
CANDIDATES = 500  # pages that are compared exactly


class QueryEncoder(Protocol):
    def queries(self, texts: Sequence[str]) -> list[Floats]: ...


class Computed:
    """Vectors that a model makes here."""

    reads = "image"

    def __init__(self, model: str) -> None:
        from unidoc_rl.index.colqwen import PageEncoder

        self._encoder = PageEncoder(model)
        self.name = self.store = self._encoder.name
        self.dimension = self._encoder.dimension

    def pages(self, images: Sequence[str], corpus: Path) -> list[Arrays]:
        made = []
        for image in images:  # one by one: a page at full resolution takes megabytes
            with Image.open(corpus / image) as picture:
                made += self._encoder.pages([picture.convert("RGB")])
        return [arrays_of(vectors) for vectors in made]


class Brought:
    """Vectors that come in a file; queries are still encoded by the model that made them."""

    reads = "image"

    def __init__(self, model: str, file: Path, ids: Sequence[str]) -> None:
        from unidoc_rl.index.colqwen import folder_of

        self.name = identity(folder_of(model))
        self._file = file
        _, first = next(bring_in(file, ids))
        self.dimension = first.shape[1]
        with file.open("rb") as content:
            self.store = f"{self.name}-{hashlib.file_digest(content, 'sha256').hexdigest()[:12]}"

    def pages(self, images: Sequence[str], corpus: Path) -> list[Arrays]:
        ids = [PurePosixPath(image).stem for image in images]
        return [arrays_of(vectors) for _, vectors in bring_in(self._file, ids)]


def arrays_of(vectors: Floats) -> Arrays:
    directions = centroids(vectors, CENTROIDS)
    few = quantise(directions)
    return {
        "rows": directions.astype(np.float16),
        "sketch_codes": few.codes,
        "sketch_scales": few.scales,
        **quantise(vectors)._asdict(),
    }


class Late:
    def __init__(
        self, encoder: QueryEncoder, first: Sketches | Rows, pages: Catalogue, folder: Path, store: str
    ) -> None:
        self._encoder = encoder
        self._first = first
        self._pages = pages
        self._folder = folder
        self._store = store
        self._vectors = Vectors()

    def find(self, queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int) -> list[Found]:
        tokens = self._encoder.queries([query.text for query in queries])
        return self.find_vectors(tokens, [query.documents for query in queries], among, depth)

    def find_vectors(
        self,
        tokens: Sequence[Floats],
        documents: Sequence[Iterable[str] | None],
        among: Sequence[NDArray[np.bool_]],
        depth: int,
    ) -> list[Found]:
        count = max(CANDIDATES, depth)
        if isinstance(self._first, Sketches):
            wanted = self._by_sketches(self._first, tokens, among, count)
        else:
            asked = zip(tokens, documents, among, strict=True)
            wanted = [self._by_rows(self._first, *one, count) for one in asked]
        scores = maxsim_together(tokens, wanted, self._whole)
        found: list[Found] = []
        for pages, exact in zip(wanted, scores, strict=True):
            order = np.lexsort((pages, -exact))[:depth]
            found.append([(int(pages[at]), float(exact[at])) for at in order])
        return found

    def _by_sketches(
        self, sketches: Sketches, tokens: Sequence[Floats], among: Sequence[NDArray[np.bool_]], count: int
    ) -> list[Integers]:
        scores = sketches.scores(tokens)
        return [_best(np.flatnonzero(allowed), row[allowed], count) for row, allowed in zip(scores, among, strict=True)]

    def _by_rows(
        self, rows: Rows, tokens: Floats, documents: Iterable[str] | None, allowed: NDArray[np.bool_], count: int
    ) -> Integers:
        number_of = self._pages.number_of_key
        pooled = pool(tokens, TOKENS)
        found = {row for hits in rows.nearest(pooled, HITS, documents) for row, _ in hits}
        pages = np.array(sorted({number_of[key_of(row)] for row in found}), np.int64)
        pages = pages[allowed[pages]]
        return _best(pages, maxsim(pooled, (sketch(self._arrays(int(page))) for page in pages)), count)

    def _whole(self, number: int) -> Quantised:
        arrays = self._arrays(number)
        return Quantised(arrays["codes"], arrays["scales"])

    def _arrays(self, number: int) -> Arrays:
        path, position = place(self._pages, self._store, number)
        return self._vectors.page(self._folder / path, position)


def sketch(arrays: Arrays) -> Quantised:
    """A page's directions, of the arrays that are kept of it."""
    return Quantised(arrays["sketch_codes"], arrays["sketch_scales"])


def _best(pages: Integers, scores: Floats, count: int) -> Integers:
    return pages[np.lexsort((pages, -scores))][:count]


def check_dimension(model: str, made: int, expected: int) -> None:
    if made != expected:
        raise UnidocError(f"index.late_encoder: {model} makes vectors of {made}, those of the pages have {expected}")
