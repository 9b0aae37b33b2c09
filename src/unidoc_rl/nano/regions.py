"""Regions of a page, in the pixels of the pictures in which it is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from unidoc_rl import boxes
from unidoc_rl.nano.glyphs import Rectangle
from unidoc_rl.nano.model import TOKEN
from unidoc_rl.nano.pages import Asked, DrawnPage
from unidoc_rl.nano.parts import Opened, Seen
from unidoc_rl.nano.talk import Spot
from unidoc_rl.types import Box

Region = tuple[float, float, float, float]  # pixels of a picture, whole numbers


def on_page(asked: Asked, opened: Opened) -> tuple[Region, ...]:
    """What one would cut out to read the evidence, on the whole page."""
    return on_part(asked, opened.page, (0, 0, opened.page.width, opened.page.height), opened.whole)


def on_part(asked: Asked, page: DrawnPage, cut: Rectangle, seen: Seen) -> tuple[Region, ...]:
    """The same, on the picture of a part of the page."""
    return tuple(_on_picture(boxes.to_pixels(one, page.width, page.height), cut, seen) for one in asked.regions)


def _on_picture(region: Sequence[float], cut: Rectangle, seen: Seen) -> Region:
    """A rectangle of the page as whole numbers on the picture of a part of it."""
    across, down = seen.image.width / (cut[2] - cut[0]), seen.image.height / (cut[3] - cut[1])
    x1, y1, x2, y2 = region
    return (
        float(math.floor((x1 - cut[0]) * across)),
        float(math.floor((y1 - cut[1]) * down)),
        float(min(math.ceil((x2 - cut[0]) * across), seen.image.width)),
        float(min(math.ceil((y2 - cut[1]) * down), seen.image.height)),
    )


def square(x: float, y: float, seen: Seen) -> int:
    """The token in which a pixel of a picture lies; of one beyond its edge, the nearest."""
    across, down = seen.image.width // TOKEN, seen.image.height // TOKEN
    column, row = (min(max(int(at) // TOKEN, 0), most - 1) for at, most in ((x, across), (y, down)))
    return row * across + column


def covered(region: Region, part: int, seen: Seen) -> list[Spot]:
    """The tokens of a picture in which a region of it lies."""
    across = seen.image.width // TOKEN
    (top, left), (bottom, right) = (
        divmod(square(x, y, seen), across) for x, y in (region[:2], (region[2] - 1, region[3] - 1))
    )
    return [Spot(part, row * across + at) for row in range(top, bottom + 1) for at in range(left, right + 1)]


def centre(asked: Asked, opened: Opened) -> int:
    """The token of the whole page that shows the middle of the evidence."""
    x1, y1, x2, y2 = on_page(asked, opened)[0]
    return square((x1 + x2) / 2, (y1 + y2) / 2, opened.whole)


def widened(rng: Random, regions: Sequence[Box], page: DrawnPage) -> Rectangle:
    """All of these, cut out of the page as a reader would: now and then a little too much."""
    left, top, right, bottom = boxes.to_pixels(boxes.union(regions), page.width, page.height)
    slack = rng.choice((0, 0, 4, 10))
    return (
        max(0, left - rng.randint(0, slack)),
        max(0, top - rng.randint(0, slack)),
        min(page.width, right + rng.randint(0, slack)),
        min(page.height, bottom + rng.randint(0, slack)),
    )
