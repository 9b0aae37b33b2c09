"""The model that comes with the package reads what it is shown, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from random import Random
from statistics import fmean

import pytest
import torch

from unidoc_rl.agent.loading import load
from unidoc_rl.nano import WEIGHTS, pages
from unidoc_rl.nano.batches import Maker
from unidoc_rl.nano.evaluate import MEASURES, SEED
from unidoc_rl.nano.parts import Seen
from unidoc_rl.nano.talk import Lesson
from unidoc_rl.params import AgentParams

COUNT = 24


@pytest.fixture(scope="module")
def families() -> list[list[pages.DrawnPage]]:
    return [list(pages.family(SEED, index)) for index in range(4)]


def surprise(lessons: list[Lesson]) -> float:
    """Nats a token, by which the right replies surprise it."""
    model, encoder = load(WEIGHTS, AgentParams())
    maker = Maker(encoder)
    losses = []
    for lesson in lessons:
        untaught = tuple(replace(turn, spots=(), evidence=()) for turn in lesson.turns)  # of an exchanged picture
        batch = maker.collated("lesson", [replace(lesson, turns=untaught)])
        (rows,) = batch.rows
        is_picture = rows.ids == model.config.image_token_id
        with torch.no_grad():
            told = model(
                input_ids=rows.ids,
                labels=rows.labels,
                pixel_values=batch.pixels,
                image_grid_thw=batch.grids,
                mm_token_type_ids=is_picture.int(),
            )
        losses.append(float(told.loss))
    return fmean(losses)


def exchanged(lessons: list[Lesson]) -> list[Lesson]:
    """Each lesson with the pictures of the next one."""
    others = [*lessons[1:], lessons[0]]
    made = []
    for lesson, other in zip(lessons, others, strict=True):
        pictures = iter(other.seen)
        (turn,) = lesson.turns
        told = tuple(
            tuple(next(pictures) if isinstance(part, Seen) else part for part in message) for message in turn.told
        )
        made.append(replace(lesson, turns=(replace(turn, told=told),)))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])  # what stands there, and a value
def test_with_another_s_picture_it_knows_nothing(families: list[list[pages.DrawnPage]], number: int) -> None:
    lessons = list(islice(MEASURES[number].lessons(Random(1), families), COUNT))
    assert surprise(lessons) < 0.9 * surprise(exchanged(lessons))


def test_it_is_small_and_says_how_it_was_made() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 25e6
    card = (WEIGHTS / "README.md").read_text()
    assert "--seed" in card
    assert all(measure.what in card for measure in MEASURES)
