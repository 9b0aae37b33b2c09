"""Where an answer stands, as a picture: the page at its full size, with a frame around each region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance

from unidoc_rl import boxes, storage
from unidoc_rl.agent.ask import Standing
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.errors import UnidocError
from unidoc_rl.names import page_id
from unidoc_rl.types import Box

FRAME = (225, 30, 60)
DIMMED = 0.85  # of its brightness is left to what is around the regions
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_WHOLE = Box(0, 0, boxes.SCALE, boxes.SCALE)


def check(out: Path) -> None:
    """Whether such a file can be written, before any work."""
    if out.suffix.lower() not in _FORMATS:
        raise UnidocError(f"{out}: no name of a picture; expected one that ends in {' or '.join(_FORMATS)}")
    if out.is_dir():
        raise UnidocError(f"{out}: is a folder; name the file to write")


def save(pictures: Pictures, place: Standing, out: Path) -> None:
    """Written whole or not at all."""
    page = pictures.full(page_id(place.document, place.page))
    drawn = _framed(page, place.boxes or (_WHOLE,))
    with storage.replacing(out) as new:
        drawn.save(new, _FORMATS[out.suffix.lower()], quality=90, subsampling=0)  # else JPEG smears the frames' colour


def _framed(page: Image.Image, regions: Sequence[Box]) -> Image.Image:
    """Each frame leaves its region air, since agents draw close to the letters; at the page's edge it lies inside."""
    thick = 2 + max(page.size) // 500
    outer = [_widened(boxes.to_pixels(region, *page.size), 2 * thick, *page.size) for region in regions]
    drawn = ImageEnhance.Brightness(page).enhance(DIMMED)
    for place in outer:
        drawn.paste(page.crop(place), place[:2])
    pen = ImageDraw.Draw(drawn)
    for left, upper, right, lower in outer:
        pen.rectangle((left, upper, right - 1, lower - 1), outline=FRAME, width=thick)
    return drawn


def _widened(place: tuple[int, int, int, int], by: int, width: int, height: int) -> tuple[int, int, int, int]:
    left, upper, right, lower = place
    return max(left - by, 0), max(upper - by, 0), min(right + by, width), min(lower + by, height)
