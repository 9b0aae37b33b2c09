"""What the teacher is shown: pages as the agent sees them, at full resolution, and with numbered regions on them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

from PIL import Image, ImageDraw, ImageFont

from unidoc_rl import boxes
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.curate.layout import Layout
from unidoc_rl.types import Box, Picture

LARGEST = 2048 * 28 * 28  # pixels of a page at full resolution; models reduce what has more
QUALITY = 90
KEPT = 1024  # pictures, as JPEG of some 100 kB
COLOURS = ((225, 30, 60), (20, 90, 200), (0, 130, 80), (150, 50, 170), (190, 95, 0))  # of frames, in turn

Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Numbered(Picture):
    """A page with frames around these regions, numbered from 1."""


class Shown:
    """Draws the pictures of a conversation, for any number of threads."""

    def __init__(self, pictures: Pictures, layout: Layout) -> None:
        self._pictures = pictures
        self._layout = layout
        self.jpeg = lru_cache(KEPT)(self._jpeg)

    def whole(self, page: str) -> Picture:
        """As the agent sees it."""
        return self._pictures.whole(page)

    def cut(self, page: str, regions: tuple[Box, ...]) -> Picture:
        """Likewise, regions enlarged."""
        return self._pictures.cut(page, regions)

    def full(self, page: str) -> Picture:
        """At full resolution, or the highest that makes sense."""
        return Picture(page, *self._full_size(page))

    def numbered(self, page: str, regions: tuple[Box, ...]) -> Numbered:
        return Numbered(page, *self._full_size(page), regions)

    def _full_size(self, page: str) -> tuple[int, int]:
        _, _, width, height = self._layout.place(page)
        scale = min(1.0, math.sqrt(LARGEST / (width * height)))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def _jpeg(self, picture: Picture, smaller: int = 1) -> bytes:
        """`smaller`: so many times narrower and lower."""
        image = self._drawn(picture)
        if smaller > 1:
            image = image.resize((max(1, image.width // smaller), max(1, image.height // smaller)))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=QUALITY)
        return file.getvalue()

    def _drawn(self, picture: Picture) -> Image.Image:
        if picture.boxes and not isinstance(picture, Numbered):
            return self._pictures.show(picture).copy()  # saving writes on the image, and others may be saving it
        page = self._pictures.reduced(picture)
        _frame(page, picture.boxes)
        return page


def _frame(page: Image.Image, regions: Sequence[Box]) -> None:
    """Each region's number stands left of its frame, in the frame's colour, and hides no other number."""
    pen, size = ImageDraw.Draw(page), max(12, page.height // 75)
    font = ImageFont.load_default(size)
    taken: list[Rectangle] = []
    for number, (region, colour) in enumerate(zip(regions, cycle(COLOURS), strict=False), start=1):
        left, upper, right, lower = boxes.to_pixels(region, *page.size)
        left, upper, right, lower = left - size // 4, upper - size // 4, right + size // 4, lower + size // 4  # air
        pen.rectangle((left, upper, right - 1, lower - 1), outline=colour, width=max(2, size // 8))
        width = round(pen.textlength(f" {number} ", font))
        tag = (max(0, left - width), upper, max(0, left - width) + width, upper + size + 2)
        while any(_overlap(tag, other) for other in taken):
            tag = (tag[0], tag[1] + 2, tag[2], tag[3] + 2)
        taken.append(tag)
        pen.rectangle(tag, fill=colour)
        pen.text(tag[:2], f" {number} ", "white", font)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
