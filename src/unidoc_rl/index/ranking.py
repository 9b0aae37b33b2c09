"""Pages by their scores, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Found = Sequence[tuple[int, float]]  # pages by their numbers, with scores, best first


def ranked(pages: NDArray[np.int64], scores: NDArray[np.floating[Any]], depth: int) -> Found:
    """Pages with the highest scores; of equal ones those that come first."""
    order = np.lexsort((pages, -scores))[:depth]
    return list(zip(pages[order].tolist(), scores[order].tolist(), strict=True))


def found(scores: NDArray[np.floating[Any]], possible: NDArray[np.bool_], depth: int) -> Found:
    """The same, of scores that all pages have: of those that are possible."""
    pages = np.flatnonzero(possible)
    if len(pages) > depth:  # most need not be put into an order
        pages = pages[scores[pages] >= np.partition(scores[pages], -depth)[-depth]]
    return ranked(pages, scores[pages], depth)
