"""Boxes between pixels and thousandths of the page: the one place where they are converted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.types import Box

SCALE = 1000


def from_pixels(x1: float, y1: float, x2: float, y2: float, width: float, height: float) -> Box:
    """The box of a rectangle on a picture (or page) of this size, cut off at its edges; corners may be swapped."""
    if width <= 0 or height <= 0:
        raise ValueError(f"a picture of {width} x {height} has no boxes")
    left, right = sorted((x1, x2))
    top, bottom = sorted((y1, y2))
    return Box(_share(left, width), _share(top, height), _share(right, width), _share(bottom, height))


def from_shares(corners: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """As `from_pixels`, for many rectangles (rows of x1, y1, x2, y2) on a picture of size 1 x 1."""
    thousandths = np.rint(np.clip(corners, 0, 1) * SCALE).astype(np.uint16).reshape(-1, 2, 2)
    return np.concatenate([thousandths.min(axis=1), thousandths.max(axis=1)], axis=1)


def to_pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The rectangle of a box on a picture of this size: never empty, never outside."""
    left = min(box.x1 * width // SCALE, width - 1)
    top = min(box.y1 * height // SCALE, height - 1)
    right = max(-(-box.x2 * width // SCALE), left + 1)
    bottom = max(-(-box.y2 * height // SCALE), top + 1)
    return left, top, min(right, width), min(bottom, height)


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all of them."""
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return Box(min(x1), min(y1), max(x2), max(y2))


def _share(position: float, length: float) -> int:
    return round(min(max(position / length, 0.0), 1.0) * SCALE)
