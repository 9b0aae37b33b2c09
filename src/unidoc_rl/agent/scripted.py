"""A policy that plays what the questions' annotations say, with as many mistakes of each kind as one likes.

It knows the gold pages, regions and answer, but searches with the question's own words alone and notes what the regions
say: what it plays can be learned from. Where the protocol leaves select or zoom out, it does without. It is also the
ceiling of a comparison, and what tests play with.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary, proxy

from unidoc_rl import boxes
from unidoc_rl.agent.dialect import write
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.policy import Failed, written
from unidoc_rl.agent.rules import is_answerable
from unidoc_rl.corpus import Corpus
from unidoc_rl.params import AgentParams
from unidoc_rl.questions import gold_page, gold_pages, gold_regions
from unidoc_rl.types import (
    Answer,
    Box,
    Picture,
    Question,
    QuestionKind,
    Reply,
    Said,
    Search,
    Select,
    Zoom,
)

_T = TypeVar("_T")
_Left = dict[str, tuple[Box, ...] | None]  # the regions of gold pages that are still to be read

NOT_ANSWERABLE = "not answerable"
NOT_SAID = "It does not say it."  # what is noted of a page
SEARCHES = 5  # after which it gives up
LONGEST_NOTE = 90  # letters of a region that are noted
NOWHERE = Box(980, 980, 1000, 1000)  # a corner in which no evidence stands
_QUOTED = re.compile(r"[“\"]([^”\"]+)[”\"]")
_ASKING = frozenset(
    """
    a an the this that in on of for to from by at as and or is are was were did does do it its what which who how much
    many when where according look please find tell name give given gives reported report's value figure shown show says
    say told consider compare under
    """.split()  # noqa: SIM905
)

# What it thinks, at each point in one of several ways.
STARTS = (
    "I have to find the page that says this.",
    "First I look for the page.",
    "I search for what the question names.",
    "Where could this stand? I search for it.",
)
_AGAIN = (
    "One more page is needed.",
    "The other page is still missing.",
    "Now I look for the rest of it.",
)
RETRIES = (
    "None of these is it. I search in other words.",
    "The page is not among them; I try again.",
    "That was not it. I put it differently.",
)
KEEPS = (
    "Page {number} is the one.",
    "Page {number} fits the question.",
    "The document and the subject are those of page {number}.",
    "I keep page {number}.",
)
ZOOMS = (
    "The print is too small to be sure.",
    "I look closer at this part.",
    "I need to see this enlarged.",
)
ENDS = (
    "That answers it.",
    "This is what was asked for.",
    "Now I can answer.",
    "That settles it.",
)
REFUSALS = (
    "The documents do not say it.",
    "Nothing here answers this.",
    "No page holds it.",
)


@dataclass(frozen=True, slots=True)
class Mistakes:
    """How often each is made where it can be made, from 0 to 1."""

    search: float = 0  # something else is searched for first
    detour: float = 0  # another candidate is kept first, and left again
    select: float = 0  # another candidate is kept, and never left
    region: float = 0  # a zoom beside the evidence
    needless: float = 0  # a zoom where the page reads well as it is
    missing: float = 0  # no zoom, where one is needed
    answer: float = 0  # a wrong answer
    format: float = 0  # nothing is ever noted
    leak: float = 0  # the answer is thought of before anything was seen


class Scripted:
    name = "scripted"

    def __init__(self, corpus: Path, params: AgentParams, mistakes: Mistakes = Mistakes(), seed: int = 0) -> None:
        self._page = lru_cache(64)(Corpus(corpus).page)
        self._params = params
        self._mistakes = mistakes
        self._seed = seed
        self._scripts: WeakKeyDictionary[Episode, Iterator[Said]] = WeakKeyDictionary()

    def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
        return [self._next(episode) for episode in episodes]

    def _next(self, episode: Episode) -> Reply:
        if episode not in self._scripts:  # a script that held its episode would keep it for ever
            self._scripts[episode] = self._script(proxy(episode))
        script = self._scripts[episode]
        return written(write(next(script)), episode, self._params, seconds=0)

    # --- the script ---------------------------------------------------------------------------------------------------

    def _script(self, episode: Episode) -> Iterator[Said]:
        question = episode.question
        makes = _Dice(self._mistakes, f"{self._seed} {question.uid} {episode.sample}")
        silent, mistaken = makes("format"), makes("answer")
        noted, thought = "", makes.one_of(STARTS)
        if makes("leak"):
            thought = f"It should be {question.answer}."
        left = gold_regions(question)
        look = self._keep if "select" in self._params.actions else self._see
        for query in self._queries(question, makes):
            yield Said(thought, noted, Search(query))
            thought, missing = makes.one_of(RETRIES), len(left)
            says = yield from look(episode, left, makes)
            noted = "" if silent else says
            if question.evidence and not left:
                break
            if len(left) < missing:
                thought = makes.one_of(_AGAIN)
        yield Said(
            makes.one_of(REFUSALS if left or not question.evidence else ENDS),
            noted,
            Answer(_answer(question, mistaken or bool(left))),
        )

    def _keep(self, episode: Episode, left: _Left, makes: _Dice) -> Generator[Said, None, str]:
        """One of the candidates is kept and looked at; what is to be noted of it."""
        question, gold = episode.question, gold_pages(episode.question)
        shown = [candidate.page for candidate in episode.candidates]
        others = [number for number, page in enumerate(shown) if page not in gold]
        wanted = next((page for page in shown if page in (list(left)[:1] if _in_turn(question) else left)), None)
        if not gold and shown:
            yield self._kept(0, makes)
            return NOT_SAID
        if wanted is None:
            return ""
        if others and not episode.used and makes("detour"):
            yield self._kept(makes.one_of(others), makes)
            return "This page does not say it."
        regions = left.pop(wanted)
        wrong = bool(others) and makes("select")
        yield self._kept(makes.one_of(others) if wrong else shown.index(wanted), makes)
        if not wrong:
            yield from self._closer(episode, regions, makes)
        return self._note(question, wanted, last=not left)

    def _see(self, episode: Episode, left: _Left, makes: _Dice) -> Generator[Said, None, str]:
        """Where nothing can be kept, all that was shown is read, since it is shown once; closer, what stands first."""
        question, seen = episode.question, episode.used
        if not question.evidence:
            return NOT_SAID if seen else ""
        known = list(takewhile(seen.__contains__, left) if _in_turn(question) else filter(seen.__contains__, left))
        if episode.selected is not None and episode.selected.page in known:
            yield from self._closer(episode, left[episode.selected.page], makes)
        for page in known:
            del left[page]
        notes = [self._note(question, page, last=not left and page == known[-1]) for page in known]
        return " ".join(dict.fromkeys(notes))

    def _queries(self, question: Question, makes: _Dice) -> Iterator[str]:
        """In the question's own words, in several ways; after two searches, one knows that nothing answers it."""
        outside, words = _QUOTED.sub(" ", question.query), keywords(question.query)
        ways = [words, question.query] if makes.random() < 0.8 else [question.query, words]
        ways += [keywords(outside), f"{keywords(outside)} {' '.join(_QUOTED.findall(question.query))}"]
        if _in_turn(question):
            ways = [ways[2], *ways]  # what is quoted stands on the second page
        if words and makes("search"):
            yield " ".join(makes.some_of(words.split()))
        different = list(dict.fromkeys(way.strip() for way in ways if way.strip()))
        if len(different) == 1:  # of keywords alone, which one can only put in another order
            some = different[0].split()
            different.append(" ".join([*some[len(some) // 2 :], *some[: len(some) // 2]]))
        most = SEARCHES if question.evidence else 2
        yield from (different[n % len(different)] for n in range(most))

    def _kept(self, number: int, makes: _Dice) -> Said:
        return Said(makes.one_of(KEEPS).format(number=number), "", Select(number))

    def _closer(self, episode: Episode, regions: Sequence[Box] | None, makes: _Dice) -> Iterator[Said]:
        """A zoom into the page that is selected, if it needs one."""
        page = episode.selected
        drawn: Sequence[Box] | None = regions
        if regions:
            drawn = None if makes("missing") else (NOWHERE,) if makes("region") else regions
        elif makes("needless"):
            drawn = (NOWHERE,)
        if drawn and page is not None and "zoom" in self._params.actions:
            yield Said(makes.one_of(ZOOMS), "", zoom(drawn, page, self._params))

    def _note(self, question: Question, page: str, *, last: bool) -> str:
        """What the evidence on a page says, in its own words; the answer, where these are too many or a picture."""
        evidence = [one for one in question.evidence if gold_page(one) == page]
        inside = [box for one in evidence for box in one.places or one.regions]
        said = " ".join(word.text for word in self._page(page).words if any(_holds(box, word.box) for box in inside))
        if said and len(said) <= LONGEST_NOTE:
            return said
        return question.answer if last else "This page says it."


def _in_turn(question: Question) -> bool:
    """Whether its pages must be read so: the first tells what to look for on the second."""
    files = {one.file_name for one in question.evidence}
    return question.kind == QuestionKind.MULTI_HOP and len(files) == 1 < len(question.evidence)


def _holds(outer: Box, inner: Box) -> bool:
    x, y = (inner.x1 + inner.x2) / 2, (inner.y1 + inner.y2) / 2
    return outer.x1 <= x <= outer.x2 and outer.y1 <= y <= outer.y2


def keywords(text: str) -> str:
    """Without the words that only ask."""
    words = (word.strip('“”"?!.,:;()') for word in text.split())
    return " ".join(word for word in words if word and word.lower() not in _ASKING)


def zoom(regions: Sequence[Box], page: Picture, params: AgentParams) -> Zoom:
    """Into regions of a page as shown, written as a model would: in whole numbers."""
    size = (page.width, page.height) if params.coordinates == "pixels" else (boxes.SCALE, boxes.SCALE)
    drawn = (boxes.to_pixels(box, *size) for box in regions)
    return Zoom(tuple((float(left), float(top), float(right), float(bottom)) for left, top, right, bottom in drawn))


def _answer(question: Question, mistaken: bool) -> str:
    if not is_answerable(question):
        return "42" if mistaken else NOT_ANSWERABLE
    return NOT_ANSWERABLE if mistaken else question.answer


class _Dice:
    """The same for the same text."""

    def __init__(self, chances: Mistakes, seed: str) -> None:
        self._chances = chances
        self._seed = seed
        self._random = random.Random(seed)

    def __call__(self, kind: str) -> bool:
        """Each kind has dice of its own: one mistake more or less changes nothing else."""
        chance = float(getattr(self._chances, kind))
        return chance > 0 and random.Random(f"{self._seed} {kind}").random() < chance

    def random(self) -> float:
        return self._random.random()

    def one_of(self, choices: Sequence[_T]) -> _T:
        return self._random.choice(choices)

    def some_of(self, choices: Sequence[_T]) -> list[_T]:
        """A third of them, one at least."""
        return self._random.sample(choices, max(1, len(choices) // 3))
