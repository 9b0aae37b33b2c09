"""Answers from what a region says, told in letters: at a tenth of what a picture of it costs, and of any numbers.

To find it and to read it is learned elsewhere; here, which of it answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from unidoc_rl.agent import scripted
from unidoc_rl.nano import acts
from unidoc_rl.nano.pages import Asked, DrawnPage, one_of
from unidoc_rl.nano.playing import rules, thought
from unidoc_rl.nano.talk import Lesson, Spot, Talk, letters
from unidoc_rl.types import Box, Question, QuestionKind

COMPARISONS = 0.6  # of the questions, where a page has any
CLOSE = 0.5  # of these, between numbers that begin alike
OTHERS = 4  # lines of the region, at most, that say something else
_ROW = re.compile(r"(?P<name>.*\S) (?P<number>[\d.,]*\d)(?P<unit> ?%?)")

_Lines = dict[Box, str]  # of what a page says, by their places


def listening(rng: Random, pages: Sequence[DrawnPage]) -> Lesson | None:
    page = rng.choice(pages)
    chosen = _one_of(rng, page.asked)
    if chosen is None:
        return None
    question, own = chosen.question, _lines([chosen], page)
    if question.kind is QuestionKind.COMPARISON:
        compared = _of_other_numbers(rng, question, own)
        if compared is None:
            return None
        question, own = compared
    elif not acts.last(question.answer, " ".join(own.values())):
        return None
    beside = [one for one in page.asked if one.regions == chosen.regions and one is not chosen]
    others = _lines(rng.sample(beside, min(rng.randint(0, OTHERS), len(beside))), page)
    return _lesson(rng, question, own, others | own)


def _one_of(rng: Random, asked: Sequence[Asked]) -> Asked | None:
    if not asked:
        return None
    compared = [one for one in asked if one.question.kind is QuestionKind.COMPARISON]
    return rng.choice(compared) if compared and rng.random() < COMPARISONS else one_of(rng, asked)


def _lines(asked: Sequence[Asked], page: DrawnPage) -> _Lines:
    lines = {place: acts.evidence(replace(one, places=(place,)), page).text for one in asked for place in one.places}
    return {place: line for place, line in lines.items() if line}


def _of_other_numbers(rng: Random, question: Question, lines: _Lines) -> tuple[Question, _Lines] | None:
    """The same comparison of numbers that stand nowhere; none where it is not of two rows, or of equal ones."""
    half = len(lines) // 2  # a table's row stands in two places, and a chart's mostly in one
    places = list(lines)
    rows = [_ROW.fullmatch(" ".join(lines[place] for place in row)) for row in (places[:half], places[half:])]
    if rows[0] is None or rows[1] is None:
        return None
    first = _like(rng, rows[0]["number"])
    alike = (first, rng.randrange(len(first))) if rng.random() < CLOSE else (rows[1]["number"],)
    second = _like(rng, *alike)
    lower, higher = (float(number.replace(",", "")) for number in (first, second))
    if lower == higher:
        return None
    own = dict(lines)
    for place, row, number in ((places[half - 1], rows[0], first), (places[-1], rows[1], second)):
        own[place] = own[place].removesuffix(row["number"] + row["unit"]) + number + row["unit"]
    return replace(question, answer=(rows[1] if lower < higher else rows[0])["name"]), own


def _like(rng: Random, number: str, kept: int = 0) -> str:
    """Other digits in the same places, after so many that stay."""
    other = "".join(rng.choice("0123456789") if letter.isdigit() else letter for letter in number[kept:])
    return re.sub(r"^0(?=\d)", "1", number[:kept] + other)


def _lesson(rng: Random, question: Question, own: Mapping[Box, str], told: Mapping[Box, str]) -> Lesson:
    """All lines as one reads them; what is noted are the question's own, in its order."""
    text, starts = "The region:", dict[Box, int]()
    for place in sorted(told, key=lambda place: (place.y1, place.x1)):
        starts[place] = len(text) + 1
        text += f" {told[place]}"
    talk = Talk(rules(rng))
    heard = talk.hear(question.query)
    part = talk.hear(text)
    read: list[Spot | None] = []
    for place, line in own.items():
        read += [*([None] if read else []), *letters(part, starts[place], len(line))]
    acts.conclude(talk, question, " ".join(own.values()), tuple(read), heard, thought(rng, scripted.ENDS))
    return talk.lesson()
