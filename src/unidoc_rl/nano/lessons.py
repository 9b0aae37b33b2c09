"""What the nano model is asked to do with a page, and the right reply: all of it follows from how the page was drawn.

A lesson is a conversation in the form of an episode's, so that what is learned here serves there; further questions
about the same pictures follow in it, since to look costs more than to ask.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

import numpy as np

from unidoc_rl import boxes
from unidoc_rl.agent.dialect import write
from unidoc_rl.nano.glyphs import NOWHERE, Rectangle
from unidoc_rl.nano.model import PROTOCOL, TOKEN
from unidoc_rl.nano.pages import Asked, DrawnPage
from unidoc_rl.nano.parts import (
    MOST,
    Opened,
    Passage,
    Seen,
    open_page,
    overlaps,
    passage,
    shown,
    some_words,
    word_boxes,
)
from unidoc_rl.types import Action, Answer, AnswerFormat, Box, QuestionKind, Said, Select, Zoom

RULES = "Read."  # short, since it stands before every lesson
LONGEST = 240  # letters to be read aloud at once
NUMBERS = (AnswerFormat.INT, AnswerFormat.FLOAT)
FEWEST = PROTOCOL.min_pixels // TOKEN**2
MORE = 5  # questions about the same pictures

Part = str | Seen


Places = tuple[int, ...]  # of each character of a reply, the visual token in which it stands; NOWHERE, if in none


@dataclass(frozen=True, slots=True)
class Lesson:
    told: tuple[tuple[Part, ...], ...]  # the user's messages
    reply: str  # empty where nothing is to be said
    more: tuple[tuple[str, str], ...] = ()  # further questions, and the replies
    places: tuple[Places, ...] = ()  # of each reply; none where it is not copied from a picture

    @property
    def seen(self) -> list[Seen]:
        return [part for message in self.told for part in message if isinstance(part, Seen)]

    @property
    def replies(self) -> list[str]:
        return [self.reply, *(reply for _, reply in self.more)]


# --- letters --------------------------------------------------------------------------------------------------------


def spelling(rng: Random, opened: Opened) -> Lesson | None:
    """Letters alone, nothing to say: what is learned first."""
    line = _line(rng, opened)
    return Lesson(((line[0],),), "") if line else None


def sounding(rng: Random, opened: Opened) -> Lesson | None:
    """To read a line aloud, as high as a token."""
    line = _line(rng, opened)
    return _aloud(*line) if line else None


def _aloud(seen: Seen, said: Passage) -> Lesson:
    return Lesson(((seen,),), said.text, places=(_places(said.letters, seen),))


def _places(letters: Sequence[int], seen: Seen) -> Places:
    return tuple(NOWHERE if letter == NOWHERE else int(seen.squares[letter]) for letter in letters)


def _line(rng: Random, opened: Opened) -> tuple[Seen, Passage] | None:
    found = some_words(rng, opened.page, 60, heights=(1, 2))
    if found is None:
        return None
    (left, top, right, bottom), said = found
    seen = opened.scaled(found[0], TOKEN / (bottom - top))
    return (seen, said) if bottom - top < right - left and seen.tokens <= MOST else None


def looking(rng: Random, opened: Opened) -> Lesson | None:
    """Letters alone, of any part of a page, of any size."""
    found = some_words(rng, opened.page, 400)
    seen = shown(rng, opened, found[0]) if found else None
    return Lesson(((seen,),), "") if seen else None


def transcribing(rng: Random, opened: Opened) -> Lesson | None:
    found = some_words(rng, opened.page, LONGEST)
    seen = shown(rng, opened, found[0]) if found else None
    return _aloud(seen, found[1]) if found and seen else None


def rows(rng: Random, opened: Opened) -> Lesson | None:
    """What the row, bar or line of a question's evidence says, in any size in which a zoom may show it."""
    page = opened.page
    if not page.asked:
        return None
    place = rng.choice(rng.choice(page.asked).places)
    return _evidence(opened, _around(rng, place, page), rng.choice((16, 32, FEWEST)))


def transcribing_evidence(rng: Random, opened: Opened) -> Lesson | None:
    """What the row, bar or line of a question's evidence says."""
    page = opened.page
    if not page.asked:
        return None
    place = rng.choice(rng.choice(page.asked).places)
    return _evidence(opened, boxes.to_pixels(place, page.width, page.height), FEWEST)


def _evidence(opened: Opened, cut: Rectangle, fewest: int) -> Lesson | None:
    """None where nothing stands there, or a picture says it."""
    said = passage(opened.page, cut)
    if not said.text or len(said.text) > LONGEST or overlaps(opened.page.pictures, cut):
        return None
    return _aloud(opened.zoomed(cut, fewest), said)


# --- answers --------------------------------------------------------------------------------------------------------


def answering(rng: Random, opened: Opened) -> Lesson | None:
    """Questions, and the region in which all of their answers stand."""
    page = opened.page
    if not page.asked:
        return None
    first = rng.choice(page.asked)
    asked = _some([one for one in page.asked if one.regions == first.regions], first, rng, 2 * MORE)
    seen = opened.zoomed(_around(rng, boxes.union(first.regions), page), rng.choice((16, 32, FEWEST)))
    return _answers(seen, asked, page)


def valuing(rng: Random, opened: Opened) -> Lesson | None:
    """The value of a named row, bar or figure, from about its place."""
    page = opened.page
    able = [one for one in page.asked if is_value(one)]
    if not able:
        return None
    asked = rng.choice(able)
    cut = _around(rng, boxes.union(asked.places), page)
    return _answers(opened.zoomed(cut, rng.choice((16, 32, FEWEST))), [asked], page)


def reading_a_value(rng: Random, opened: Opened, *, of: Literal["place", "region", "page"]) -> Lesson | None:
    """The value of a named row, bar or figure; from its place alone, its table or chart, or the whole page."""
    page = opened.page
    able = [one for one in page.asked if is_value(one) and (of != "region" or one.regions != one.places)]
    if not able:
        return None
    asked = rng.choice(able)
    box = boxes.union(asked.regions if of == "region" else asked.places)
    seen = opened.whole if of == "page" else opened.zoomed(boxes.to_pixels(box, page.width, page.height), FEWEST)
    return _answers(seen, [asked], page)


def _answers(seen: Seen, asked: Sequence[Asked], page: DrawnPage) -> Lesson:
    lesson = _lesson(("The region: ", seen), [(one.question.query, Answer(one.question.answer)) for one in asked])
    return replace(
        lesson, places=tuple(_copied(one, reply, seen, page) for one, reply in zip(asked, lesson.replies, strict=True))
    )


def _copied(asked: Asked, reply: str, seen: Seen, page: DrawnPage) -> Places:
    """Where the answer stands among the words of its evidence: the last such words, since a value ends its region.

    Commas are passed over: pages write 52,230 and answers 52230.
    """
    answer = asked.question.answer
    said = passage(page, boxes.to_pixels(boxes.union(asked.places), page.width, page.height))
    letters = [(one, letter) for one, letter in zip(said.text, said.letters, strict=True) if one != ","]
    first = "".join(one for one, _ in letters).rfind(answer)
    if first < 0:
        return ()
    before = reply.index(answer)
    inside = _places([letter for _, letter in letters[first : first + len(answer)]], seen)
    return (*[NOWHERE] * before, *inside, *[NOWHERE] * (len(reply) - before - len(answer)))


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
    "rows": rows,
    "valuing": valuing,
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
