"""The model that comes with the package reads what it is shown, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from random import Random

import pytest

from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.intervals import share
from unidoc_rl.nano import WEIGHTS, pages
from unidoc_rl.nano.evaluate import MEASURES, SEED, Measure, Shown, replies
from unidoc_rl.nano.lessons import Lesson
from unidoc_rl.nano.model import PROTOCOL
from unidoc_rl.nano.parts import Seen

COUNT = 24


@pytest.fixture(scope="module")
def families() -> list[list[pages.DrawnPage]]:
    return [list(pages.family(SEED, index)) for index in range(4)]


def measured(measure: Measure, lessons: list[Lesson]) -> float:
    shown = Shown()
    policy = TransformersPolicy.of(WEIGHTS, shown, PROTOCOL.model_copy(update={"turn_tokens": 128}))
    said = replies(policy, shown, lessons)
    scores = [measure.score(*pair) for pair in zip(said, lessons, strict=True)]
    return share([right for right, _ in scores], [of for _, of in scores]).value


def exchanged(lessons: list[Lesson]) -> list[Lesson]:
    """Each lesson with the pictures of the next one."""
    others = [*lessons[1:], lessons[0]]
    made = []
    for lesson, other in zip(lessons, others, strict=True):
        pictures = iter(other.seen)
        told = tuple(
            tuple(next(pictures) if isinstance(part, Seen) else part for part in message) for message in lesson.told
        )
        made.append(replace(lesson, told=told))
    return made


@pytest.mark.slow
def test_it_reads_the_picture_that_it_is_shown(families: list[list[pages.DrawnPage]]) -> None:
    measure = next(one for one in MEASURES if one.what.startswith("letters misread"))
    lessons = list(islice(measure.lessons(Random(1), families), COUNT))
    right, wrong = measured(measure, lessons), measured(measure, exchanged(lessons))
    assert right < 0.5 < wrong


def test_it_is_small_and_says_how_it_was_made() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 25e6
    card = (WEIGHTS / "README.md").read_text()
    assert "--seed" in card
    assert all(measure.what in card for measure in MEASURES)
