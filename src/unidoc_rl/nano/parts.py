"""Parts of pages, as the model is shown them: cut out, scaled, and with the letters that stand on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unidoc_rl.agent.pictures import shown_size
from unidoc_rl.nano.glyphs import NOWHERE, Rectangle, glyphs, in_order, squares
from unidoc_rl.nano.model import PROTOCOL, TOKEN
from unidoc_rl.nano.pages import DrawnPage

OPEN = 64  # pages that are kept unpacked, of 6 MB each
MOST = 160  # tokens of a part of a page


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture, and the letters on it."""

    image: Image.Image
    glyphs: NDArray[np.int64]
    letters: NDArray[np.int64]  # of each token, one after the other
    squares: NDArray[np.int64]  # of each letter of the page, the token in which it stands
    page: DrawnPage

    @property
    def tokens(self) -> int:
        return len(self.glyphs)


class Passage(NamedTuple):
    """Words as one reads them."""

    text: str
    letters: tuple[int, ...]  # of each of its characters, which letter of the page it is; NOWHERE for a space


@lru_cache(OPEN)
def open_page(page: DrawnPage) -> Opened:
    """Kept for the next lessons: to unpack a page costs as much as twenty of them."""
    return Opened(page)


class Opened:
    """A page whose picture is unpacked, to take lessons from."""

    def __init__(self, page: DrawnPage) -> None:
        self.page = page
        self._image = page.image()

    @cached_property
    def whole(self) -> Seen:
        return self._seen((0, 0, self.page.width, self.page.height), *self.page_size)

    @property
    def page_size(self) -> tuple[int, int]:
        return shown_size(self.page.width, self.page.height, PROTOCOL)

    def zoomed(self, cut: Rectangle, fewest: int) -> Seen:
        """As the environment shows a zoom, where a picture has at least so many tokens."""
        params = PROTOCOL.model_copy(update={"min_pixels": fewest * TOKEN**2})
        return self._seen(cut, *shown_size(cut[2] - cut[0], cut[3] - cut[1], params))

    def scaled(self, cut: Rectangle, scale: float) -> Seen:
        width, height = (max(1, round(length * scale / TOKEN)) for length in (cut[2] - cut[0], cut[3] - cut[1]))
        return self._seen(cut, width * TOKEN, height * TOKEN)

    def _seen(self, cut: Rectangle, width: int, height: int) -> Seen:
        image = self._image.resize((width, height), Image.Resampling.BICUBIC, cut, reducing_gap=3.0)
        page = self.page
        at = page, cut, width, height
        return Seen(image, glyphs(*at), in_order(*at), squares(*at), page)


def some_words(
    rng: Random, page: DrawnPage, longest: int, heights: tuple[float, float] = (20, 260)
) -> tuple[Rectangle, Passage] | None:
    """A part of the page that cuts no word, and what it says; none where a picture is in the way."""
    if not len(page.words):
        return None
    around = _word_boxes(page)
    middle = (around[:, :2] + around[:, 2:]) / 2
    x, y = middle[rng.randrange(len(around))]
    wide, high = math.exp(rng.uniform(math.log(80), math.log(1100))), math.exp(rng.uniform(*map(math.log, heights)))
    x1, y1 = x - wide * rng.random(), y - high * rng.random()
    chosen = ((middle > [x1, y1]) & (middle < [x1 + wide, y1 + high])).all(axis=1)
    if not chosen.any():
        return None
    cut = _cut(around[chosen], page, rng)
    said = passage(page, cut)
    return (cut, said) if 0 < len(said.text) <= longest and not overlaps(page.pictures, cut) else None


def passage(page: DrawnPage, cut: Rectangle) -> Passage:
    """What a part of a page says: line by line, each from left to right; words whose middles lie in it."""
    around = _word_boxes(page)
    middle = (around[:, :2] + around[:, 2:]) / 2
    covered = ((middle > cut[:2]) & (middle < cut[2:])).all(axis=1)
    text, letters = "", list[int]()
    for line in _lines(around[covered]):
        for n, word in enumerate(sorted(line, key=lambda n: around[covered][n, 0])):
            first, end = page.words[covered][word].tolist()
            between = " " if n else "\n" if text else ""
            text += between + page.letters[first:end]
            letters += [*(NOWHERE for _ in between), *range(first, end)]
    return Passage(text, tuple(letters))


def _lines(around: NDArray[np.float32]) -> list[list[int]]:
    """Which words stand in one line."""
    lines: list[list[int]] = []
    for word in np.argsort((around[:, 1] + around[:, 3]) / 2, kind="stable"):
        middle = (around[word, 1] + around[word, 3]) / 2
        if lines and middle < around[lines[-1], 1::2].mean() + 0.4 * (around[word, 3] - around[word, 1]):
            lines[-1].append(int(word))
        else:
            lines.append([int(word)])
    return lines


def _word_boxes(page: DrawnPage) -> NDArray[np.float32]:
    starts = page.words[:, 0]
    low = np.minimum.reduceat(page.places[:, :2], starts)
    high = np.maximum.reduceat(page.places[:, 2:], starts)
    return np.concatenate([low, high], axis=1)


def _cut(around: NDArray[np.float32], page: DrawnPage, rng: Random) -> Rectangle:
    margins = [rng.choice((0, 0, 2, 6, 12)) for _ in range(4)]
    low, high = around[:, :2].min(axis=0), around[:, 2:].max(axis=0)
    left, top = max(0, int(low[0]) - margins[0]), max(0, int(low[1]) - margins[1])
    right = min(page.width, math.ceil(high[0]) + margins[2])
    return left, top, max(right, left + 1), max(min(page.height, math.ceil(high[1]) + margins[3]), top + 1)


def overlaps(pictures: NDArray[np.float32], cut: Rectangle) -> bool:
    return bool(((pictures[:, :2] < cut[2:]) & (pictures[:, 2:] > cut[:2])).all(axis=1).any())


def shown(rng: Random, opened: Opened, cut: Rectangle) -> Seen | None:
    """As a zoom shows it, or as small as on the whole page, or between; none where that is too large to learn from."""
    kind = rng.random()
    if kind < 0.65:
        seen = opened.zoomed(cut, math.floor(math.exp(rng.uniform(math.log(8), math.log(100)))))
    else:
        small = opened.page_size[0] / opened.page.width
        seen = opened.scaled(cut, small if kind < 0.75 else math.exp(rng.uniform(math.log(small), math.log(1.3))))
    return seen if seen.tokens <= MOST else None
