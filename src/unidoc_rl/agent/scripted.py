"""A policy that plays what the questions' annotations say, with as many mistakes of each kind as one likes.

It reads the gold answer, so it is for tests, for trajectories to learn from, and for the ceiling of a comparison.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary, proxy

from unidoc_rl import boxes
from unidoc_rl.agent.dialect import write
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.policy import Failed
from unidoc_rl.corpus import Corpus
from unidoc_rl.params import AgentParams
from unidoc_rl.questions import gold_regions
from unidoc_rl.types import Answer, AnswerFormat, Box, Picture, Question, Reply, Said, Search, Select, Zoom

_T = TypeVar("_T")

NOT_ANSWERABLE = "not answerable"
WORDS = 40  # of a page, by which it is searched for
NOWHERE = Box(980, 980, 1000, 1000)  # a corner in which no evidence stands


@dataclass(frozen=True, slots=True)
class Mistakes:
    """How often each is made where it can be made, from 0 to 1."""

    search: float = 0  # a search that finds something else comes first
    select: float = 0  # another candidate is kept
    region: float = 0  # a zoom beside the evidence, or one that was not needed
    answer: float = 0  # a wrong answer
    format: float = 0  # nothing is ever noted


class Scripted:
    name = "scripted"

    def __init__(self, corpus: Path, params: AgentParams, mistakes: Mistakes = Mistakes(), seed: int = 0) -> None:
        pages = Corpus(corpus)
        texts = zip(pages.column("id"), pages.column("text"), strict=True)
        self._query_of = {page: " ".join(text.split()[:WORDS]) for page, text in texts}
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
        text = write(next(script))
        tokens = len(text) // 3
        read = sum(self._tokens(part) for message in episode.messages for part in message.content)
        return Reply(text, tokens, read + tokens, seconds=0)

    def _tokens(self, part: str | Picture) -> int:
        """About as many as a model would count."""
        return len(part) // 3 if isinstance(part, str) else part.width * part.height // self._params.patch**2

    def _script(self, episode: Episode) -> Iterator[Said]:
        question = episode.question
        makes = _Dice(self._mistakes, f"{self._seed} {question.uid} {episode.sample}")
        quiet = makes("format")
        noted = ""
        left = gold_regions(question)
        gold = frozenset(left)
        tried: set[str] = set()  # pages that were searched for
        while wanted := next(iter(left), None):
            lost = wanted not in tried and makes("search")
            query = (
                makes.one_of(sorted(self._query_of.values())) if lost else self._query_of.get(wanted, question.query)
            )
            yield Said("Something else first." if lost else "I look for the page.", noted, Search(query))
            noted = ""
            tried.add(wanted)
            shown = [candidate.page for candidate in episode.candidates]
            found = next((page for page in shown if page in left), None)
            if found is None:
                if not lost:
                    del left[wanted]  # it cannot be found
                continue
            regions = left.pop(found)
            others = [number for number, page in enumerate(shown) if page not in gold]
            wrong = bool(others) and makes("select")
            yield Said("This one looks right.", "", Select(makes.one_of(others) if wrong else shown.index(found)))
            if not wrong and (region := self._region(episode, regions, makes("region"))):
                yield Said("I look closer.", "", region)
            noted = "" if quiet else f"{found} says it."
        if not gold:
            yield Said("I look for it.", "", Search(question.query))
            yield Said("This one is the nearest.", "", Select(0))
            noted = "" if quiet else "The documents do not say it."
        yield Said("That settles it.", noted, Answer(_answer(question, makes("answer"))))

    def _region(self, episode: Episode, regions: Sequence[Box] | None, mistaken: bool) -> Zoom | None:
        """What to draw on the page that is selected."""
        drawn = (NOWHERE,) if mistaken else regions
        page = episode.selected
        if not drawn or page is None:
            return None
        size = (page.width, page.height) if self._params.coordinates == "pixels" else (boxes.SCALE, boxes.SCALE)
        return Zoom(tuple(_on_picture(box, *size) for box in drawn))


def _on_picture(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    """As a model would write it: whole numbers, on the picture as shown."""
    left, top, right, bottom = boxes.to_pixels(box, width, height)
    return float(left), float(top), float(right), float(bottom)


def _answer(question: Question, mistaken: bool) -> str:
    if question.answer_format is AnswerFormat.NONE:
        return "42" if mistaken else NOT_ANSWERABLE
    return NOT_ANSWERABLE if mistaken else question.answer


class _Dice:
    """The same for the same text."""

    def __init__(self, chances: Mistakes, seed: str) -> None:
        self._chances = chances
        self._random = random.Random(seed)

    def __call__(self, kind: str) -> bool:
        return self._random.random() < float(getattr(self._chances, kind))

    def one_of(self, choices: Sequence[_T]) -> _T:
        return self._random.choice(choices)
