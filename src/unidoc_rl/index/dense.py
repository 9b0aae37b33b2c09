"""The retriever `dense`: a page is as near to a question as the nearest of its pieces of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.index.encoder import SentenceEncoder
from unidoc_rl.index.maxsim import Quantised, quantise
from unidoc_rl.index.ranking import Found
from unidoc_rl.index.scan import Nearest
from unidoc_rl.index.vectors import Arrays, of_rows
from unidoc_rl.types import Query

WORDS = 60  # of a piece; longer ones hold several thoughts, and a vector holds one
STEP = 45  # from a piece's beginning to the next one's: what lies on a border is whole in one of the two


class Pieces:
    """Makes the vectors of pages and of queries."""

    reads = "text"

    def __init__(self, encoder: str | None) -> None:
        self._encoder = SentenceEncoder(encoder)
        self.name = self._encoder.name
        self.store = f"{self.name}-2"  # the second way of cutting texts: vectors of the first lack what was cut off
        self.dimension = self._encoder.dimension

    def pages(self, texts: Sequence[str], corpus: Path) -> list[Arrays]:
        pieces_of = [pieces(text) for text in texts]
        parts = iter(parted([piece for page in pieces_of for piece in page], self._fit))
        texts_of = [[part for _ in page for part in next(parts)] for page in pieces_of]
        vectors = self._encoder.encode([self._encoder.before_pages + text for page in texts_of for text in page])
        codes, scales = quantise(vectors) if len(vectors) else (vectors.astype(np.int8), vectors[:, 0])
        ends = np.cumsum([len(page) for page in texts_of])[:-1]
        return [of_rows(Quantised(*part)) for part in zip(np.split(codes, ends), np.split(scales, ends), strict=True)]

    def _fit(self, pieces: Sequence[str]) -> list[bool]:
        return self._encoder.fit([self._encoder.before_pages + piece for piece in pieces])

    def queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._encoder.encode_now([self._encoder.before_queries + text for text in texts])


def pieces(text: str) -> list[str]:
    words = text.split()
    starts = range(0, max(1, len(words) - WORDS + STEP), STEP) if words else range(0)
    return [" ".join(words[start : start + WORDS]) for start in starts]


def parted(texts: Sequence[str], fit: Callable[[Sequence[str]], Sequence[bool]]) -> list[list[str]]:
    """Each text in parts that an encoder reads to their ends, since what it cuts off would be in no vector.

    Sixty words are too many where they are numbers, or of a script that has no spaces. They are halved until they fit.
    """
    if not texts:
        return []
    whole = [fits or len(text) == 1 for text, fits in zip(texts, fit(texts), strict=True)]
    cut = [half for text, is_whole in zip(texts, whole, strict=True) if not is_whole for half in _halves(text)]
    halves = iter(parted(cut, fit))
    return [[text] if is_whole else next(halves) + next(halves) for text, is_whole in zip(texts, whole, strict=True)]


def _halves(text: str) -> tuple[str, str]:
    words = text.split(" ")
    middle = len(words) // 2
    if middle:
        return " ".join(words[:middle]), " ".join(words[middle:])
    return text[: len(text) // 2], text[len(text) // 2 :]


class Dense:
    def __init__(self, encoder: Pieces, rows: Nearest) -> None:
        self._encoder = encoder
        self._rows = rows

    def find(self, queries: Sequence[Query], among: Sequence[NDArray[np.bool_]], depth: int) -> list[Found]:
        vectors = self._encoder.queries([query.text for query in queries])
        return self._rows.find([vector[None] for vector in vectors], queries, among, depth)
