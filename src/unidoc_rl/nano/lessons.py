"""What the nano model is asked to do with a page, and the right reply: all of it follows from how the page was drawn.

A lesson is a conversation in the form of an episode's, so that what is learned here serves there; further questions
about the same pictures follow in it, since to look costs more than to ask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import Literal

from unidoc_rl import boxes
from unidoc_rl.agent import scripted
from unidoc_rl.nano import acts
from unidoc_rl.nano.glyphs import Rectangle
from unidoc_rl.nano.listening import listening
from unidoc_rl.nano.model import TOKEN
from unidoc_rl.nano.pages import Asked, DrawnPage, one_of
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
)
from unidoc_rl.nano.playing import FEWEST, Choice, asking, playing, refusing, retrying, rules, show, thought, three
from unidoc_rl.nano.regions import on_part, widened
from unidoc_rl.nano.talk import Lesson, Talk, silent, squares
from unidoc_rl.types import AnswerFormat, Box, QuestionKind

LONGEST = 240  # letters to be read aloud at once
NUMBERS = (AnswerFormat.INT, AnswerFormat.FLOAT)
SIZES = (16, 32, FEWEST)  # of a zoom, in tokens, at least
PRINT = (0.8, 1.6)  # how large, beside the page at its full resolution: what an agent zooms into
SIDES = (5, 12)  # tokens of a picture
TOLD = 12  # words, of those in a picture and of others each
MORE = 5  # questions about the same pictures
PARTLY = 0.5  # of the pages on which something is to be found, without as much as
MARGIN = 0.15  # of their width and height at each side
PARTS = 2  # of a page that are shown so: each is new to the eye

# --- letters --------------------------------------------------------------------------------------------------------


def spelling(rng: Random, opened: Opened) -> Lesson | None:
    """Letters alone, nothing to say: what is learned first."""
    line = _line(rng, opened)
    return silent(line[0]) if line else None


def sounding(rng: Random, opened: Opened) -> Lesson | None:
    """To read a line aloud, as high as a token."""
    line = _line(rng, opened)
    return _aloud(*line) if line else None


def _aloud(seen: Seen, said: Passage) -> Lesson:
    talk = Talk()
    talk.say(said.text, {"": squares(talk.hear(seen), seen, said.letters)})
    return talk.lesson()


def _line(rng: Random, opened: Opened) -> tuple[Seen, Passage] | None:
    found = some_words(rng, opened.page, 60, heights=(1, 2))
    if found is None:
        return None
    (left, top, right, bottom), said = found
    seen = opened.scaled(found[0], TOKEN / (bottom - top))
    return (seen, said) if bottom - top < right - left and seen.tokens <= MOST else None


def looking(rng: Random, opened: Opened) -> Lesson | None:
    """Letters alone, of any part of a page, of any size; or of what an agent zooms into."""
    page = opened.page
    if page.asked and rng.random() < 0.5:
        return silent(opened.zoomed(widened(rng, one_of(rng, page.asked).regions, page), rng.choice(SIZES)))
    found = some_words(rng, page, 400)
    seen = shown(rng, opened, found[0]) if found else None
    return silent(seen) if seen else None


def printing(rng: Random, opened: Opened) -> Lesson | None:
    """Letters alone, of a part of a page that is full of them, as large as a zoom shows them or the whole page does."""
    page = opened.page
    on_page = opened.page_size[0] / page.width, PRINT[0]  # from the whole page's up to a zoom's
    sizes = rng.choice((PRINT, PRINT, on_page))
    scale = math.exp(rng.uniform(*map(math.log, sizes)))
    width, height = (round(rng.randint(*SIDES) * TOKEN / scale) for _ in range(2))
    left, top = rng.randint(0, max(0, page.width - width)), rng.randint(0, max(0, page.height - height))
    return silent(opened.scaled((left, top, min(left + width, page.width), min(top + height, page.height)), scale))


def transcribing(rng: Random, opened: Opened) -> Lesson | None:
    found = some_words(rng, opened.page, LONGEST)
    seen = shown(rng, opened, found[0]) if found else None
    return _aloud(seen, found[1]) if found and seen else None


def recognising(rng: Random, opened: Opened) -> Lesson | None:
    """To read aloud, of which some words were told before, among others of the page, in no order."""
    page = opened.page
    found = some_words(rng, page, LONGEST)
    seen = shown(rng, opened, found[0]) if found else None
    if found is None or seen is None:
        return None
    inside, anywhere = found[1].text.split(), [page.letters[first:end] for first, end in page.words.tolist()]
    told = [*rng.sample(inside, min(TOLD, len(inside))), *rng.sample(anywhere, min(TOLD, len(anywhere)))]
    rng.shuffle(told)
    talk = Talk()
    talk.hear(" ".join(told))
    talk.say(found[1].text, {"": squares(talk.hear(seen), seen, found[1].letters)})
    return talk.lesson()


def rows(rng: Random, opened: Opened) -> Lesson | None:
    """What the row, bar or line of a question's evidence says, in any size in which a zoom may show it."""
    page = opened.page
    if not page.asked:
        return None
    return _evidence(opened, widened(rng, _row(rng, page.asked), page), rng.choice(SIZES))


def transcribing_evidence(rng: Random, opened: Opened) -> Lesson | None:
    """What the row, bar or line of a question's evidence says."""
    page = opened.page
    if not page.asked:
        return None
    row = boxes.union(_row(rng, page.asked))
    return _evidence(opened, boxes.to_pixels(row, page.width, page.height), FEWEST)


def _row(rng: Random, asked: Sequence[Asked]) -> Sequence[Box]:
    """From its name to its value; or what stands by itself."""
    one = one_of(rng, asked)
    return one.places if is_value(one) else [rng.choice(one.places)]


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
    first = one_of(rng, page.asked)
    asked = _some([one for one in page.asked if one.regions == first.regions], first, rng, 2 * MORE)
    return _answers(rng, opened.zoomed(widened(rng, first.regions, page), rng.choice(SIZES)), asked, page)


def valuing(rng: Random, opened: Opened) -> Lesson | None:
    """The value of a named row, bar or figure, from about its place."""
    page = opened.page
    able = [one for one in page.asked if is_value(one)]
    if not able:
        return None
    asked = one_of(rng, able)
    return _answers(rng, opened.zoomed(widened(rng, asked.places, page), rng.choice(SIZES)), [asked], page)


def reading_a_value(rng: Random, opened: Opened, *, of: Literal["place", "region", "page"]) -> Lesson | None:
    """The value of a named row, bar or figure; from its place alone, its table, chart or text, or the whole page."""
    page = opened.page
    able = [one for one in page.asked if is_value(one) and (of != "region" or one.regions != one.places)]
    if not able:
        return None
    asked = one_of(rng, able)
    box = boxes.union(asked.regions if of == "region" else asked.places)
    seen = opened.whole if of == "page" else opened.zoomed(boxes.to_pixels(box, page.width, page.height), FEWEST)
    return _answers(rng, seen, [asked], page)


def _answers(rng: Random, seen: Seen, asked: Sequence[Asked], page: DrawnPage) -> Lesson:
    """The first question comes before what is seen, as in an episode; the others after it."""
    talk = Talk()
    part = -1
    for one in asked:
        heard = talk.hear(one.question.query)
        part = talk.hear("The region: ", seen) if part < 0 else part
        acts.answer(talk, one, page, heard, part, seen, thought(rng, scripted.ENDS))
    return talk.lesson()


def is_value(asked: Asked) -> bool:
    question = asked.question
    return question.kind in (QuestionKind.LOOKUP, QuestionKind.CHART) and question.answer_format in NUMBERS


# --- places ---------------------------------------------------------------------------------------------------------


def locating(rng: Random, pages: Sequence[DrawnPage], partly: float = PARTLY) -> Lesson | None:
    """The evidence of questions, on a page, or on the most of it."""
    opened = open_page(rng.choice(pages))
    page = opened.page
    cut, seen = _most(rng, opened) if rng.random() < partly else ((0, 0, page.width, page.height), opened.whole)
    able = [one for one in page.asked if all(_holds(cut, one, page))]
    if not able:
        return None
    talk = Talk(rules(rng))
    part = -1
    for one in _some(able, one_of(rng, able), rng):
        talk.hear(one.question.query)
        part = talk.hear("Page 0: ", seen) if part < 0 else part
        acts.zoom(talk, on_part(one, page, cut, seen), part, seen, thought(rng, scripted.ZOOMS))
    return talk.lesson()


def _most(rng: Random, opened: Opened) -> tuple[Rectangle, Seen]:
    """Of a page, in print as large: documents of one look have the same things in the same places, learned by heart."""
    page = opened.page
    own = Random(f"{page.file_name} {page.number} {rng.randrange(PARTS)}")
    left, top, right, bottom = (own.uniform(0, MARGIN * length) for length in 2 * (page.width, page.height))
    cut = round(left), round(top), round(page.width - right), round(page.height - bottom)
    return cut, opened.scaled(cut, opened.page_size[0] / page.width)


def _holds(cut: Rectangle, asked: Asked, page: DrawnPage) -> Iterator[bool]:
    """Whether each region of the evidence is left."""
    for region in asked.regions:
        left, top, right, bottom = boxes.to_pixels(region, page.width, page.height)
        yield cut[0] <= left and cut[1] <= top and right <= cut[2] and bottom <= cut[3]


# --- pages ----------------------------------------------------------------------------------------------------------


def choosing(rng: Random, pages: Sequence[DrawnPage], more: int = 2 * MORE) -> Lesson | None:
    """Which of three pages has the answer: others of the document, the same of other years, any of the family."""
    page = rng.choice(pages)
    if not page.asked:
        return None
    found = three(rng, page, pages, 0)
    first, others = one_of(rng, page.asked), [(n, asked) for n, one in enumerate(found) for asked in one.asked]
    talk = Talk(rules(rng))
    talk.hear(first.question.query)
    choice = show(talk, found)
    _select(rng, talk, found.index(page), choice, first)
    for number, asked in rng.sample(others, min(more - 1, len(others))):
        talk.hear(asked.question.query)
        _select(rng, talk, number, choice, asked)
    return talk.lesson()


def _select(rng: Random, talk: Talk, number: int, choice: Choice, asked: Asked) -> None:
    acts.select(talk, number, *choice(number, asked), thought(rng, scripted.KEEPS).format(number=number))


# --- all of them ----------------------------------------------------------------------------------------------------


def _some(asked: Sequence[Asked], first: Asked, rng: Random, count: int = MORE) -> list[Asked]:
    chosen, others = [first], [one for one in asked if one is not first]
    while others and len(chosen) < count:
        chosen.append(one_of(rng, others))
        others.remove(chosen[-1])
    return chosen


ON_A_PAGE: Mapping[str, Callable[[Random, Opened], Lesson | None]] = {
    "spelling": spelling,
    "sounding": sounding,
    "looking": looking,
    "printing": printing,
    "transcribing": transcribing,
    "copying": transcribing,
    "recognising": recognising,
    "rows": rows,
    "valuing": valuing,
    "answering": answering,
    "finding": partial(reading_a_value, of="region"),
    "asking": asking,
}
OF_A_FAMILY: Mapping[str, Callable[[Random, Sequence[DrawnPage]], Lesson | None]] = {
    "locating": locating,
    "choosing": choosing,
    "playing": playing,
    "retrying": retrying,
    "refusing": refusing,
    "listening": listening,
}
OF_A_SPECIMEN = ("printing", "copying")
OF_A_PAGE = 3  # lessons tried on a page that is opened


def of(task: str, rng: Random, families: Sequence[Sequence[DrawnPage]]) -> Iterator[Lesson]:
    """Lessons of one kind, without end."""
    while True:
        family = rng.choice(families)
        if task in OF_A_FAMILY:
            made = [OF_A_FAMILY[task](rng, family)]
        else:
            opened = open_page(rng.choice(family))
            made = [ON_A_PAGE[task](rng, opened) for _ in range(OF_A_PAGE)]
        yield from (lesson for lesson in made if lesson is not None)
