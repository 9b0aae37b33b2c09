"""What an agent is shown of a page: the whole page, or regions cut from its full resolution, at the protocol's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from unidoc_rl import boxes
from unidoc_rl.corpus import Corpus
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Box, Picture

KEPT_PAGES = 8  # at full size, decoded, of some 9 MB: an agent zooms into one page several times
KEPT_SHOWN = 192  # as shown, of 1.6 MB: who selects a candidate sees it again, when 63 others have seen theirs
LONGEST = 100  # times as long as broad may a picture be; models refuse what is longer than 200 times
_SAMPLING = Image.Resampling.BICUBIC


class _Page(NamedTuple):
    image: str
    width: int
    height: int


class Pictures:
    """Of the pages of a corpus."""

    def __init__(self, folder: Path, params: AgentParams) -> None:
        self._folder = folder
        self._params = params
        table = Corpus(folder).table("id", "image", "width", "height")
        columns = (table[name].to_pylist() for name in ("image", "width", "height"))
        self._pages: dict[str, _Page] = dict(zip(table["id"].to_pylist(), map(_Page, *columns), strict=True))
        self._decoded = lru_cache(KEPT_PAGES)(self.full)
        self._drawn = lru_cache(KEPT_SHOWN)(self._draw)

    def whole(self, page: str) -> Picture:
        """The page as it is shown."""
        known = self._page(page)
        return Picture(page, *shown_size(known.width, known.height, self._params))

    def full(self, page: str) -> Image.Image:
        """The page itself, at its full resolution."""
        return self._load(page)

    def cut(self, page: str, regions: Sequence[Box]) -> Picture:
        """Regions of the page as they are shown: widened, and stacked from top to bottom."""
        known = self._page(page)
        margin = self._params.widen * known.width // shown_size(known.width, known.height, self._params)[0]
        rectangles = [_rectangle(region, margin, known.width, known.height) for region in regions]
        width = max(right - left for left, _, right, _ in rectangles)
        height = sum(lower - upper for _, upper, _, lower in rectangles)
        return Picture(page, *shown_size(width, height, self._params), tuple(regions), margin)

    def show(self, picture: Picture) -> Image.Image:
        """The pixels, not to be changed; the same for the same picture, whenever they are asked for."""
        return self._drawn(picture)

    def reduced(self, picture: Picture) -> Image.Image:
        """The pixels of a whole page, drawn anew."""
        size = (picture.width, picture.height)
        return self._load(picture.page, size).resize(size, _SAMPLING)

    def _draw(self, picture: Picture) -> Image.Image:
        if not picture.boxes:
            return self.reduced(picture)
        page = self._decoded(picture.page)
        parts = [page.crop(_rectangle(region, picture.margin, *page.size)) for region in picture.boxes]
        return _stacked(parts).resize((picture.width, picture.height), _SAMPLING)

    def _load(self, page: str, at_least: tuple[int, int] | None = None) -> Image.Image:
        """At full size; or a JPEG at a half or a quarter of it, where that is enough: in half the time."""
        path = self._folder / self._page(page).image
        try:
            with Image.open(path) as image:
                if at_least is not None:
                    image.draft("RGB", at_least)
                return image.convert("RGB")
        except OSError as error:
            raise UnidocError(f"{path}: cannot be read ({error}); run `unidoc ingest` again") from error

    def _page(self, page: str) -> _Page:
        if page not in self._pages:
            raise UnidocError(
                f"{self._folder}: has no page {page}; name the corpus of which the index, or what was played, was made"
            )
        return self._pages[page]


def shown_size(width: int, height: int, params: AgentParams) -> tuple[int, int]:
    """The size at which a picture of this size is shown: aspect kept, as nearly as patches allow."""
    pixels = min(max(width * height, params.min_pixels), params.max_pixels)
    scale = math.sqrt(pixels / (width * height)) / params.patch
    most = params.max_pixels // params.patch**2
    across = min(max(round(width * scale), 1), most)
    down = min(max(round(height * scale), 1), most)
    while across * down > most:  # both were rounded up
        across, down = (across - 1, down) if across > down else (across, down - 1)
    across, down = min(across, LONGEST * down), min(down, LONGEST * across)
    return across * params.patch, down * params.patch


def _rectangle(region: Box, margin: int, width: int, height: int) -> tuple[int, int, int, int]:
    left, upper, right, lower = boxes.to_pixels(region, width, height)
    return max(left - margin, 0), max(upper - margin, 0), min(right + margin, width), min(lower + margin, height)


def _stacked(parts: Sequence[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), "white")
    top = 0
    for part in parts:
        whole.paste(part, (0, top))
        top += part.height
    return whole
