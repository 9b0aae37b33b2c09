"""The retriever `late`: pages by the multi-vectors of their pictures, in two steps.

A page's rows are a few directions that stand for its vectors; by them candidates are chosen. Exact MaxSim over all
vectors, kept in files, ranks these. The vectors are made by a ColQwen2 or ColPali model here, or come from a file that
the same model has filled elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unidoc_rl.errors import UnidocError
from unidoc_rl.index.identity import identity
from unidoc_rl.index.maxsim import Floats, Quantised, centroids, maxsim_together, quantise
from unidoc_rl.index.ranking import Found, ranked
from unidoc_rl.index.scan import Nearest
from unidoc_rl.index.vectors import Archive, Arrays, Kept, of_rows
from unidoc_rl.types import Query

CENTROIDS = 16  # rows of a page, at most
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
        return [arrays_of(vectors) for vectors in self._encoder.pages(_picture(corpus / image) for image in images)]


class Brought:
    """Vectors that come in a file; queries are still encoded by the model that made them."""

    reads = "image"

    def __init__(self, model: str, file: Path, ids: Sequence[str]) -> None:
        from unidoc_rl.index.colqwen import dimension_of, encoder_folder

        folder = encoder_folder(model)
        self.name = identity(folder)
        self.dimension = dimension_of(folder)
        self._archive = Archive(file, ids, self.dimension)
        with file.open("rb") as content:
            self.store = f"{self.name}-{hashlib.file_digest(content, 'sha256').hexdigest()[:12]}"

    def pages(self, images: Sequence[str], corpus: Path) -> list[Arrays]:
        return [arrays_of(self._archive.page(PurePosixPath(image).stem)) for image in images]


def arrays_of(vectors: Floats) -> Arrays:
    return {**of_rows(quantise(centroids(vectors, CENTROIDS))), **quantise(vectors)._asdict()}


def _picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except OSError as error:
        raise UnidocError(f"{path}: is missing or damaged ({error}); run `unidoc ingest` again") from error


class Late:
    def __init__(self, encoder: QueryEncoder, rows: Nearest, kept: Kept) -> None:
        self._encoder = encoder
        self._rows = rows
        self._kept = kept

    def find(self, queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int) -> list[Found]:
        tokens = self._encoder.queries([query.text for query in queries])
        candidates = self._rows.find(tokens, queries, among, max(CANDIDATES, depth))
        wanted = [np.array([page for page, _ in pages], np.int64) for pages in candidates]
        scores = maxsim_together(tokens, wanted, self._whole)
        return [ranked(pages, exact, depth) for pages, exact in zip(wanted, scores, strict=True)]

    def _whole(self, number: int) -> Quantised:
        arrays = self._kept.page(number)
        return Quantised(arrays["codes"], arrays["scales"])
