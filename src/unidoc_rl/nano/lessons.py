"""What the nano model is asked to do with a page, and the right reply: all of it follows from how the page was drawn.

A lesson is a conversation in the form of an episode's, so that what is learned here serves there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unidoc_rl import boxes
from unidoc_rl.agent.dialect import write
from unidoc_rl.agent.pictures import shown_size
from unidoc_rl.nano.glyphs import Rectangle, glyphs
from unidoc_rl.nano.model import PROTOCOL, TOKEN
from unidoc_rl.nano.pages import Asked, DrawnPage
from unidoc_rl.types import Action, Answer, AnswerFormat, Box, QuestionKind, Said, Select, Zoom

RULES = "Read."  # short, since it stands before every lesson
LONGEST = 240  # letters to be read aloud at once
NUMBERS = (AnswerFormat.INT, AnswerFormat.FLOAT)
FEWEST = PROTOCOL.min_pixels // TOKEN**2
OPEN = 64  # pages that are kept unpacked, of 6 MB each
MOST = 160  # tokens of a part of a page


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture, and the letters on it."""

    image: Image.Image
    glyphs: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        return len(self.glyphs)


Part = str | Seen


@dataclass(frozen=True, slots=True)
class Lesson:
    told: tuple[tuple[Part, ...], ...]  # the user's messages
    reply: str

    @property
    def seen(self) -> list[Seen]:
        return [part for message in self.told for part in message if isinstance(part, Seen)]


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
        return Seen(image, glyphs(self.page, cut, width, height))


# --- parts of pages -------------------------------------------------------------------------------------------------


def some_words(
    rng: Random, page: DrawnPage, longest: int, heights: tuple[float, float] = (20, 260)
) -> tuple[Rectangle, str] | None:
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
    covered = ((middle > cut[:2]) & (middle < cut[2:])).all(axis=1)
    text = reading(around[covered], [page.letters[a:b] for a, b in page.words[covered]])
    return None if len(text) > longest or _overlaps(page.pictures, cut) else (cut, text)


def reading(around: NDArray[np.float32], words: Sequence[str]) -> str:
    """Words as one reads them: line by line, each from left to right."""
    lines: list[list[int]] = []
    for word in np.argsort((around[:, 1] + around[:, 3]) / 2, kind="stable"):
        middle = (around[word, 1] + around[word, 3]) / 2
        if lines and middle < around[lines[-1], 1::2].mean() + 0.4 * (around[word, 3] - around[word, 1]):
            lines[-1].append(int(word))
        else:
            lines.append([int(word)])
    return "\n".join(" ".join(words[n] for n in sorted(line, key=lambda n: around[n, 0])) for line in lines)


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


def _overlaps(pictures: NDArray[np.float32], cut: Rectangle) -> bool:
    return bool(((pictures[:, :2] < cut[2:]) & (pictures[:, 2:] > cut[:2])).all(axis=1).any())


def _shown(rng: Random, opened: Opened, cut: Rectangle) -> Seen | None:
    """As a zoom shows it, or as small as on the whole page, or between; none where that is too large to learn from."""
    kind = rng.random()
    if kind < 0.5:
        seen = opened.zoomed(cut, math.floor(math.exp(rng.uniform(math.log(6), math.log(100)))))
    else:
        small = opened.page_size[0] / opened.page.width
        seen = opened.scaled(cut, small if kind < 0.6 else math.exp(rng.uniform(math.log(small), math.log(1.3))))
    return seen if seen.tokens <= MOST else None


# --- lessons --------------------------------------------------------------------------------------------------------


def spelling(rng: Random, opened: Opened) -> Lesson | None:
    """Letters alone, nothing to say: what is learned first."""
    line = _line(rng, opened)
    return Lesson(((line[0],),), "") if line else None


def sounding(rng: Random, opened: Opened) -> Lesson | None:
    """To read a line aloud, as high as a token."""
    line = _line(rng, opened)
    return Lesson(((line[0],),), line[1]) if line else None


def _line(rng: Random, opened: Opened) -> tuple[Seen, str] | None:
    found = some_words(rng, opened.page, 60, heights=(1, 2))
    if found is None:
        return None
    (left, top, right, bottom), text = found
    seen = opened.scaled(found[0], TOKEN / (bottom - top))
    return (seen, text) if bottom - top < right - left and seen.tokens <= MOST else None


def looking(rng: Random, opened: Opened) -> Lesson | None:
    """Likewise any part of a page, of any size."""
    found = some_words(rng, opened.page, 400)
    seen = _shown(rng, opened, found[0]) if found else None
    return Lesson(((seen,),), "") if seen else None


def transcribing(rng: Random, opened: Opened) -> Lesson | None:
    found = some_words(rng, opened.page, LONGEST)
    seen = _shown(rng, opened, found[0]) if found else None
    return Lesson(((seen,),), found[1]) if found and seen else None


def answering(rng: Random, opened: Opened) -> Lesson | None:
    """A question, and the region that has the answer, or the exhibit in which it lies."""
    asked = _asked(rng, opened.page)
    if asked is None:
        return None
    box = boxes.union(asked.regions)
    if asked.exhibit is not None and (len(asked.regions) > 1 or rng.random() < 0.6):
        box = asked.exhibit
    cut = _around(rng, box, opened.page)
    seen = opened.zoomed(cut, rng.choice((16, 32, 64)))
    if seen.tokens > 2 * MOST:
        return None
    return _lesson([(asked.question.query,), ("The region: ", seen)], Answer(asked.question.answer))


def transcribing_evidence(rng: Random, opened: Opened) -> Lesson | None:
    """What the region of a question's evidence says; none where a picture says it."""
    page, asked = opened.page, _asked(rng, opened.page)
    if asked is None:
        return None
    cut = boxes.to_pixels(rng.choice(asked.regions), page.width, page.height)
    around = _word_boxes(page)
    middle = (around[:, :2] + around[:, 2:]) / 2
    covered = ((middle > cut[:2]) & (middle < cut[2:])).all(axis=1)
    if not covered.any() or _overlaps(page.pictures, cut):
        return None
    text = reading(around[covered], [page.letters[a:b] for a, b in page.words[covered]])
    return Lesson(((opened.zoomed(cut, FEWEST),),), text) if len(text) <= LONGEST else None


def reading_a_value(rng: Random, opened: Opened, *, whole: bool, exhibit: bool) -> Lesson | None:
    """The value of a named row, bar or figure; from its region, its table or chart, or the whole page."""
    page = opened.page
    able = [one for one in page.asked if _is_value(one) and (one.exhibit or not exhibit)]
    if not able:
        return None
    asked = rng.choice(able)
    box = asked.exhibit if exhibit and asked.exhibit else boxes.union(asked.regions)
    seen = opened.whole if whole else opened.zoomed(boxes.to_pixels(box, page.width, page.height), FEWEST)
    return _lesson([(asked.question.query,), ("The region: ", seen)], Answer(asked.question.answer))


def _is_value(asked: Asked) -> bool:
    question = asked.question
    return question.kind in (QuestionKind.LOOKUP, QuestionKind.CHART) and question.answer_format in NUMBERS


def finding(rng: Random, opened: Opened) -> Lesson | None:
    """Where some words stand on a part of a page."""
    page = opened.page
    found = some_words(rng, page, 500)
    if found is None:
        return None
    cut = found[0]
    around = _word_boxes(page)
    inside = np.asarray(((around[:, :2] >= cut[:2]) & (around[:, 2:] <= cut[2:])).all(axis=1))
    seen = _shown(rng, opened, cut)
    if seen is None or not inside.any():
        return None
    first = rng.choice(np.flatnonzero(inside).tolist())
    last = min(first + rng.randint(0, 3), len(around) - 1)
    while last > first and (not inside[last] or abs(around[last, 1] - around[first, 1]) > 2):
        last -= 1
    words = " ".join(page.letters[a:b] for a, b in page.words[first : last + 1])
    if sum(page.letters[a:b] == words for a, b in page.words[inside]) > 1:
        return None
    low, high = around[first : last + 1, :2].min(axis=0), around[first : last + 1, 2:].max(axis=0)
    region = _on_picture((*low, *high), cut, seen)
    return _lesson([(f"Where is “{words}”?",), ("Page 0: ", seen)], Zoom((region,)))


def locating(rng: Random, opened: Opened) -> Lesson | None:
    """The evidence of a question, on the whole page."""
    asked = _asked(rng, opened.page)
    if asked is None:
        return None
    page = opened.page
    seen = opened.whole
    regions = tuple(
        _on_picture(boxes.to_pixels(region, page.width, page.height), (0, 0, page.width, page.height), seen)
        for region in asked.regions
    )
    return _lesson([(asked.question.query,), ("Page 0: ", seen)], Zoom(regions))


def choosing(rng: Random, pages: Sequence[DrawnPage]) -> Lesson | None:
    """Which of three pages has the answer: others of the document, the same of other years, any of the family."""
    page = rng.choice(pages)
    asked = _asked(rng, page)
    if asked is None:
        return None
    alike = [other for other in pages if other.number == page.number and other is not page]
    near = [other for other in pages if other.file_name == page.file_name and other is not page]
    shown = [page]
    while len(shown) < 3:
        other = rng.choice(rng.choice([alike or near, near or alike, list(pages)]))
        if all(other is not one for one in shown):
            shown.append(other)
    rng.shuffle(shown)
    number = next(n for n, one in enumerate(shown) if one is page)
    told: list[Part] = ["Pages found:"]
    for n, one in enumerate(shown):
        told += [f"\n{n}: ", open_page(one).whole]
    return _lesson([(asked.question.query,), tuple(told)], Select(number))


def _lesson(told: Sequence[tuple[Part, ...]], action: Action) -> Lesson:
    return Lesson(tuple(told), write(Said("", "", action)))


def _asked(rng: Random, page: DrawnPage) -> Asked | None:
    return rng.choice(page.asked) if page.asked else None


def _around(rng: Random, box: Box, page: DrawnPage) -> Rectangle:
    left, top, right, bottom = boxes.to_pixels(box, page.width, page.height)
    slack = rng.choice((0, 0, 4, 10))
    return (
        max(0, left - rng.randint(0, slack)),
        max(0, top - rng.randint(0, slack)),
        min(page.width, right + rng.randint(0, slack)),
        min(page.height, bottom + rng.randint(0, slack)),
    )


def _on_picture(region: Sequence[float], cut: Rectangle, seen: Seen) -> tuple[float, float, float, float]:
    """A rectangle of the page as whole numbers on the picture of a part of it."""
    across, down = seen.image.width / (cut[2] - cut[0]), seen.image.height / (cut[3] - cut[1])
    x1, y1, x2, y2 = region
    return (
        float(math.floor((x1 - cut[0]) * across)),
        float(math.floor((y1 - cut[1]) * down)),
        float(math.ceil((x2 - cut[0]) * across)),
        float(math.ceil((y2 - cut[1]) * down)),
    )


ON_A_PAGE: Mapping[str, Callable[[Random, Opened], Lesson | None]] = {
    "spelling": spelling,
    "sounding": sounding,
    "looking": looking,
    "transcribing": transcribing,
    "answering": answering,
    "finding": finding,
    "locating": locating,
}
OF_A_PAGE = 8  # lessons tried on a page that is opened


def of(task: str, rng: Random, families: Sequence[Sequence[DrawnPage]]) -> Iterator[Lesson]:
    """Lessons of one kind, without end."""
    while True:
        family = rng.choice(families)
        if task == "choosing":
            made = [choosing(rng, family)]
        else:
            opened = open_page(rng.choice(family))
            made = [ON_A_PAGE[task](rng, opened) for _ in range(OF_A_PAGE)]
        yield from (lesson for lesson in made if lesson is not None)
