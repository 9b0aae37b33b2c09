"""Pages by their scores, best first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Found = Sequence[tuple[int, float]]  # pages by their numbers, with scores, best first


def best(scores: NDArray[np.floating[Any]], possible: NDArray[np.bool_], depth: int) -> NDArray[np.int64]:
    """The numbers of the possible pages with the highest scores; of equal ones those that come first."""
    pages = np.flatnonzero(possible)
    if len(pages) > depth:
        lowest = np.partition(scores[pages], -depth)[-depth]
        pages = pages[scores[pages] >= lowest]
    return pages[np.lexsort((pages, -scores[pages]))][:depth]


def found(scores: NDArray[np.floating[Any]], possible: NDArray[np.bool_], depth: int) -> Found:
    """The same, with their scores."""
    return [(int(page), float(scores[page])) for page in best(scores, possible, depth)]
