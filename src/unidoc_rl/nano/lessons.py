"""What the nano model is asked to do with a page, and the right reply: all of it follows from how the page was drawn.

A lesson is a conversation in the form of an episode's, so that what is learned here serves there; further questions
about the same pictures follow in it, since to look costs more than to ask.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from unidoc_rl import boxes
from unidoc_rl.agent.dialect import write
from unidoc_rl.nano.glyphs import Rectangle
from unidoc_rl.nano.model import PROTOCOL, TOKEN
from unidoc_rl.nano.pages import Asked, DrawnPage
from unidoc_rl.nano.parts import MOST, Opened, Seen, open_page, overlaps, reading, shown, some_words, word_boxes
from unidoc_rl.types import Action, Answer, AnswerFormat, Box, QuestionKind, Said, Select, Zoom

RULES = "Read."  # short, since it stands before every lesson
LONGEST = 240  # letters to be read aloud at once
NUMBERS = (AnswerFormat.INT, AnswerFormat.FLOAT)
FEWEST = PROTOCOL.min_pixels // TOKEN**2
MORE = 5  # questions about the same pictures

Part = str | Seen


@dataclass(frozen=True, slots=True)
class Lesson:
    told: tuple[tuple[Part, ...], ...]  # the user's messages
    reply: str  # empty where nothing is to be said
    more: tuple[tuple[str, str], ...] = ()  # further questions, and the replies

    @property
    def seen(self) -> list[Seen]:
        return [part for message in self.told for part in message if isinstance(part, Seen)]


# --- letters --------------------------------------------------------------------------------------------------------


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
    """Letters alone, of any part of a page, of any size."""
    found = some_words(rng, opened.page, 400)
    seen = shown(rng, opened, found[0]) if found else None
    return Lesson(((seen,),), "") if seen else None


def transcribing(rng: Random, opened: Opened) -> Lesson | None:
    found = some_words(rng, opened.page, LONGEST)
    seen = shown(rng, opened, found[0]) if found else None
    return Lesson(((seen,),), found[1]) if found and seen else None


def transcribing_evidence(rng: Random, opened: Opened) -> Lesson | None:
    """What the region of a question's evidence says; none where a picture says it."""
    page = opened.page
    if not page.asked:
        return None
    cut = boxes.to_pixels(rng.choice(rng.choice(page.asked).regions), page.width, page.height)
    around = word_boxes(page)
    middle = (around[:, :2] + around[:, 2:]) / 2
    covered = ((middle > cut[:2]) & (middle < cut[2:])).all(axis=1)
    if not covered.any() or overlaps(page.pictures, cut):
        return None
    text = reading(around[covered], [page.letters[a:b] for a, b in page.words[covered]])
    return Lesson(((opened.zoomed(cut, FEWEST),),), text) if len(text) <= LONGEST else None


# --- answers --------------------------------------------------------------------------------------------------------


def answering(rng: Random, opened: Opened) -> Lesson | None:
    """Questions, and the region that has the answer, or the exhibit in which they all lie."""
    page = opened.page
    if not page.asked:
        return None
    first = rng.choice(page.asked)
    asked, box = [first], boxes.union(first.regions)
    if first.exhibit is not None and (len(first.regions) > 1 or rng.random() < 0.7):
        box = first.exhibit
        asked = _some([one for one in page.asked if one.exhibit == box], first, rng)
    seen = opened.zoomed(_around(rng, box, page), rng.choice((16, 32, 64)))
    if seen.tokens > 2 * MOST:
        return None
    return _lesson(("The region: ", seen), [(one.question.query, Answer(one.question.answer)) for one in asked])


def reading_a_value(rng: Random, opened: Opened, *, whole: bool, exhibit: bool) -> Lesson | None:
    """The value of a named row, bar or figure; from its region, its table or chart, or the whole page."""
    page = opened.page
    able = [one for one in page.asked if is_value(one) and (one.exhibit or not exhibit)]
    if not able:
        return None
    asked = rng.choice(able)
    box = asked.exhibit if exhibit and asked.exhibit else boxes.union(asked.regions)
    seen = opened.whole if whole else opened.zoomed(boxes.to_pixels(box, page.width, page.height), FEWEST)
    return _lesson(("The region: ", seen), [(asked.question.query, Answer(asked.question.answer))])


def is_value(asked: Asked) -> bool:
    question = asked.question
    return question.kind in (QuestionKind.LOOKUP, QuestionKind.CHART) and question.answer_format in NUMBERS


# --- places ---------------------------------------------------------------------------------------------------------


def finding(rng: Random, opened: Opened) -> Lesson | None:
    """Where some words stand on a part of a page."""
    page = opened.page
    found = some_words(rng, page, 500)
    seen = shown(rng, opened, found[0]) if found else None
    if found is None or seen is None:
        return None
    cut, around = found[0], word_boxes(page)
    inside = np.asarray(((around[:, :2] >= cut[:2]) & (around[:, 2:] <= cut[2:])).all(axis=1))
    words = [page.letters[a:b] for a, b in page.words]
    count = Counter(words[n] for n in np.flatnonzero(inside))
    once = [n for n in np.flatnonzero(inside).tolist() if count[words[n]] == 1]
    asked: list[tuple[str, Action]] = []
    for first in rng.sample(once, min(MORE, len(once))):
        last = min(first + rng.randint(0, 3), len(words) - 1)
        while not inside[last] or abs(around[last, 1] - around[first, 1]) > 2:
            last -= 1
        low, high = around[first : last + 1, :2].min(axis=0), around[first : last + 1, 2:].max(axis=0)
        region = _on_picture((*low, *high), cut, seen)
        asked.append((f"Where is “{' '.join(words[first : last + 1])}”?", Zoom((region,))))
    return _lesson(("Page 0: ", seen), asked) if asked else None


def locating(rng: Random, opened: Opened, more: int = MORE) -> Lesson | None:
    """The evidence of questions, on the whole page."""
    page = opened.page
    if not page.asked:
        return None
    asked = _some(page.asked, rng.choice(page.asked), rng, more)
    return _lesson(("Page 0: ", opened.whole), [(one.question.query, Zoom(_regions(one, opened))) for one in asked])


def _regions(asked: Asked, opened: Opened) -> tuple[tuple[float, float, float, float], ...]:
    width, height = opened.page.width, opened.page.height
    return tuple(
        _on_picture(boxes.to_pixels(region, width, height), (0, 0, width, height), opened.whole)
        for region in asked.regions
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


# --- pages ----------------------------------------------------------------------------------------------------------


def choosing(rng: Random, pages: Sequence[DrawnPage], more: int = 2 * MORE) -> Lesson | None:
    """Which of three pages has the answer: others of the document, the same of other years, any of the family."""
    page = rng.choice(pages)
    if not page.asked:
        return None
    shown_pages = _three(rng, page, pages)
    told: list[Part] = ["Pages found:"]
    for n, one in enumerate(shown_pages):
        told += [f"\n{n}: ", open_page(one).whole]
    first = (rng.choice(page.asked).question.query, Select(shown_pages.index(page)))
    others = [(asked.question.query, Select(n)) for n, one in enumerate(shown_pages) for asked in one.asked]
    asked = [first, *rng.sample(others, min(more - 1, len(others)))]
    return _lesson(tuple(told), asked)


def _three(rng: Random, page: DrawnPage, pages: Sequence[DrawnPage]) -> list[DrawnPage]:
    alike = [other for other in pages if other.number == page.number and other is not page]
    near = [other for other in pages if other.file_name == page.file_name and other is not page]
    three = [page]
    while len(three) < 3:
        other = rng.choice(rng.choice([alike or near, near or alike, list(pages)]))
        if other not in three:
            three.append(other)
    rng.shuffle(three)
    return three


# --- all of them ----------------------------------------------------------------------------------------------------


def _lesson(told: tuple[Part, ...], asked: Sequence[tuple[str, Action]]) -> Lesson:
    """The first question comes before what is seen, as in an episode; the others after it."""
    (query, action), *others = [(query, write(Said("", "", action))) for query, action in asked]
    return Lesson(((query,), told), action, tuple(others))


def _some(asked: Sequence[Asked], first: Asked, rng: Random, count: int = MORE) -> list[Asked]:
    others = [one for one in asked if one is not first]
    return [first, *rng.sample(others, min(count - 1, len(others)))]


def _around(rng: Random, box: Box, page: DrawnPage) -> Rectangle:
    left, top, right, bottom = boxes.to_pixels(box, page.width, page.height)
    slack = rng.choice((0, 0, 4, 10))
    return (
        max(0, left - rng.randint(0, slack)),
        max(0, top - rng.randint(0, slack)),
        min(page.width, right + rng.randint(0, slack)),
        min(page.height, bottom + rng.randint(0, slack)),
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
