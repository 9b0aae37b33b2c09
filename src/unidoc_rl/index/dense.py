"""The retriever `dense`: a page is as near to a question as the nearest of its pieces of text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.index.encoder import SentenceEncoder
from unidoc_rl.index.vectors import Arrays

WORDS = 60  # of a piece; longer ones hold several thoughts, and a vector holds one
STEP = 45  # from a piece's beginning to the next one's: what lies on a border is whole in one of the two
PIECES_AT_MOST = 64  # of a page


class Dense:
    """Makes the vectors of pages and of queries."""

    reads = "text"

    def __init__(self, encoder: str | None) -> None:
        self._encoder = SentenceEncoder(encoder)
        self.name = self._encoder.name
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
