"""`unidoc nano evaluate`: what the nano model can read, measured on pages that it cannot have seen.

The pages are of the sample world of a seed that training never draws; each measure asks the policy as an episode would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Literal

from PIL import Image

from unidoc_rl import progress
from unidoc_rl.agent.dialect import parse
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.edits import edits
from unidoc_rl.intervals import Measured, share
from unidoc_rl.nano import lessons, pages
from unidoc_rl.nano.model import PROTOCOL
from unidoc_rl.nano.parts import Opened, Seen, open_page
from unidoc_rl.nano.talk import RULES, Lesson
from unidoc_rl.types import Answer, AnswerFormat, Content, Message, Picture, Question, Reply, Role, Select, Zoom

SEED = 20_261  # of the world that is asked about
FAMILIES = 24
TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Measure:
    what: str
    asked: str  # of it, in the card
    lessons: Callable[[Random, Sequence[Sequence[pages.DrawnPage]]], Iterator[Lesson]]
    score: Callable[[str, Lesson], tuple[float, float]]  # of a reply: how much is right, of how much


def evaluate(model: Path, count: int, seed: int = SEED) -> Mapping[str, Measured]:
    """Each measure by its name, from so many lessons."""
    shown = Shown()
    policy = TransformersPolicy.of(model, shown, PROTOCOL.model_copy(update={"turn_tokens": 256}))
    families = [pages.family(seed, index) for index in range(FAMILIES)]
    found = {}
    with progress.bar(len(MEASURES) * count, "asking", "lesson") as bar:
        for measure in MEASURES:
            asked = list(islice(measure.lessons(Random(f"{seed}/{measure.what}"), families), count))
            scores = []
            for start in range(0, count, TOGETHER):
                some = asked[start : start + TOGETHER]
                scores += [measure.score(*pair) for pair in zip(replies(policy, shown, some), some, strict=True)]
                bar.update(len(some))
            found[measure.what] = share([right for right, _ in scores], [of for _, of in scores])
    return found


class Shown:
    """Pictures that are of no corpus, by the names that they have in messages."""

    def __init__(self) -> None:
        self._images: dict[str, Image.Image] = {}

    def add(self, image: Image.Image) -> Picture:
        name = f"picture-{len(self._images)}"
        self._images[name] = image
        return Picture(name, image.width, image.height)

    def __call__(self, picture: Picture) -> Image.Image:
        return self._images[picture.page]


def conversation(number: int, told: Sequence[Content]) -> Episode:
    """An episode in which the user has said so much, and nobody has replied."""
    episode = Episode(Question(f"{number}", "", "", AnswerFormat.STR, "", "", "", ()), 0, RULES)
    episode.messages = [episode.messages[0], *(Message(Role.USER, content) for content in told)]
    return episode


def replies(policy: TransformersPolicy, shown: Shown, asked: Sequence[Lesson]) -> list[str]:
    episodes = [
        conversation(
            n, [tuple(shown.add(p.image) if isinstance(p, Seen) else p for p in told) for told in lesson.turns[0].told]
        )
        for n, lesson in enumerate(asked)
    ]
    return [reply.text if isinstance(reply, Reply) else "" for reply in policy.reply(episodes)]


# --- what is asked --------------------------------------------------------------------------------------------------


def _opened(families: Sequence[Sequence[pages.DrawnPage]], rng: Random) -> Iterator[Opened]:
    while True:
        yield open_page(rng.choice(rng.choice(families)))


def _evidence(rng: Random, families: Sequence[Sequence[pages.DrawnPage]]) -> Iterator[Lesson]:
    """What the row, bar or line of a question's evidence says."""
    for opened in _opened(families, rng):
        lesson = lessons.transcribing_evidence(rng, opened)
        if lesson:
            yield lesson


def _values(of: Literal["place", "region", "page"]) -> Callable[..., Iterator[Lesson]]:
    def made(rng: Random, families: Sequence[Sequence[pages.DrawnPage]]) -> Iterator[Lesson]:
        for opened in _opened(families, rng):
            lesson = lessons.reading_a_value(rng, opened, of=of)
            if lesson:
                yield lesson

    return made


def _regions(rng: Random, families: Sequence[Sequence[pages.DrawnPage]]) -> Iterator[Lesson]:
    while True:
        lesson = lessons.locating(rng, rng.choice(families), partly=0)
        if lesson:
            yield lesson


def _choices(rng: Random, families: Sequence[Sequence[pages.DrawnPage]]) -> Iterator[Lesson]:
    yield from lessons.of("choosing", rng, families)


# --- how a reply is scored ------------------------------------------------------------------------------------------


def _misread(reply: str, lesson: Lesson) -> tuple[float, float]:
    return edits(reply, lesson.turns[0].reply), len(lesson.turns[0].reply)


def _same_answer(reply: str, lesson: Lesson) -> tuple[float, float]:
    said, wanted = parse(reply).action, parse(lesson.turns[0].reply).action
    return float(isinstance(said, Answer) and said == wanted), 1.0


def _same_page(reply: str, lesson: Lesson) -> tuple[float, float]:
    said, wanted = parse(reply).action, parse(lesson.turns[0].reply).action
    return float(isinstance(said, Select) and said == wanted), 1.0


def _same_region(reply: str, lesson: Lesson) -> tuple[float, float]:
    said, wanted = parse(reply).action, parse(lesson.turns[0].reply).action
    if not isinstance(said, Zoom) or not isinstance(wanted, Zoom):
        return 0.0, 1.0
    return float(_iou(said.regions[0], wanted.regions[0]) >= 0.5), 1.0


def _iou(one: Sequence[float], other: Sequence[float]) -> float:
    x1, y1, x2, y2 = (max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    both = max(0.0, x2 - x1) * max(0.0, y2 - y1)
    areas = sum(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (one, other))
    return both / (areas - both) if areas > both else 0.0


MEASURES = (
    Measure("letters misread in a row, bar or line", "<= 2 %", _evidence, _misread),
    Measure("value in its row, bar or line", ">= 95 %", _values("place"), _same_answer),
    Measure("value in a crop of a whole table, chart or text", ">= 95 %", _values("region"), _same_answer),
    Measure("value on the whole page", "< 40 %", _values("page"), _same_answer),
    Measure("page, of three", ">= 90 %", _choices, _same_page),
    Measure("region at IoU 0.5", ">= 85 %", _regions, _same_region),
)
