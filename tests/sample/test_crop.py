"""Whether one must zoom in: said by the size of print, and true for a reader of pictures."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sample.reading import World
from unidoc_rl import boxes, questions
from unidoc_rl.ingest.eyes import Eyes
from unidoc_rl.params import SampleParams
from unidoc_rl.sample import style
from unidoc_rl.sample.stage import sample
from unidoc_rl.types import AnswerFormat, Box, Question, QuestionKind

os.environ.setdefault("OMP_NUM_THREADS", "1")
Reader = Callable[[Image.Image], str]
LEAST, MOST = 256 * 28 * 28, 512 * 28 * 28


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture(scope="module")
def reader() -> Reader:
    from rapidocr import RapidOCR

    ocr = RapidOCR(params={"Global.use_cls": False, "Det.limit_type": "max", "Det.limit_side_len": 1280})

    def read(image: Image.Image) -> str:
        found = ocr(np.asarray(image)[:, :, ::-1])
        return " ".join(found.txts or ()).replace(",", "")

    return read


def test_both_small_and_large_print_occur_in_plenty(world: World) -> None:
    evidence = [e for question in world.all for e in question.evidence]
    share = sum(e.needs_crop is True for e in evidence) / len(evidence)
    assert 0.25 < share < 0.75
    for source in ("table", "chart"):
        assert {e.needs_crop for q in world.all if q.source_type == source for e in q.evidence} == {True, False}


def test_who_reads_nothing_small_must_zoom_more(world: World, tmp_path: Path) -> None:
    sample(tmp_path / "d", tmp_path / "q", SampleParams(documents=10, seed=7, readable=1000), workers=2)
    near_sighted = questions.read(tmp_path / "q" / "train.json")
    assert {e.needs_crop for q in near_sighted for e in q.evidence} == {True}
    others = {q.uid: q for q in world.all}
    for question in near_sighted:  # else the same
        evidence = tuple(replace(e, needs_crop=True) for e in others[question.uid].evidence)
        assert question == replace(others[question.uid], evidence=evidence)


def test_labels_follow_the_height_of_the_letters(world: World) -> None:
    """Measured on the page: digits of small print are lower than those of large print, as shown to the agent."""
    heights: dict[bool, list[float]] = {True: [], False: []}
    for question in _lookups(world, "table"):
        evidence = question.evidence[0]
        page = world.pdf(evidence.file_name)[evidence.page - 1]
        width, height = page.get_size()
        box = evidence.places[0]
        # A row's place is as high as its type.
        heights[bool(evidence.needs_crop)].append(
            (box.y2 - box.y1) / 1000 * height * math.sqrt(MOST / (width * height))
        )
    assert max(heights[True]) < 8 < min(heights[False])


def test_print_is_large_enough_in_the_crop(world: World) -> None:
    """A region as a zoom shows it: what stands in a row of it is as high as what can be read on a page."""
    for question in world.all:
        for evidence in question.evidence:
            width, height = world.pdf(evidence.file_name)[evidence.page - 1].get_size()
            for place in evidence.places if question.source_type == "table" else ():
                (region,) = (one for one in evidence.regions if boxes.union([one, place]) == one)
                area = (region.x2 - region.x1) * width * (region.y2 - region.y1) * height / 1e6
                enlarged = math.sqrt(MOST / area)  # to the points of the page, where it is as large as it may be
                shown = (place.y2 - place.y1) / 1000 * height * min(enlarged, 150 / 72)
                assert shown > style.SMALL_PRINT, question


@pytest.mark.slow
def test_small_print_is_read_from_the_crop_only(world: World, reader: Reader) -> None:
    for question in _lookups(world, "table", crop=True)[::12][:3]:
        assert question.answer not in reader(_page(world, question)), question
        assert question.answer in reader(_crop(world, question)), question


@pytest.mark.slow
def test_large_print_is_read_from_the_page(world: World, reader: Reader) -> None:
    question = _lookups(world, "table", crop=False)[0]
    assert question.answer in reader(_page(world, question))


@pytest.mark.slow
def test_the_region_of_a_charts_picture_holds_the_value(world: World, reader: Reader) -> None:
    charts = [
        q
        for q in _lookups(world, "chart")
        if not world.text_in(q.file_name, q.evidence[0].page, q.evidence[0].regions[0])
    ]
    for question in charts[:3]:
        assert question.answer in reader(_crop(world, question)), question


@pytest.mark.parametrize("source", ["table", "chart", "figures", "text"])
def test_regions_are_the_blocks_that_a_layout_model_proposes(world: World, eyes: Eyes, source: str) -> None:
    """A teacher draws what it is proposed: where nothing of it is gold, it is never right."""
    asked = _lookups(world, source)[::3]
    proposed = [eyes.regions(np.asarray(_at_150_dpi(world, question))[:, :, ::-1]) for question in asked]
    close = [
        any(_iou(question.evidence[0].regions[0], one.box) >= 0.5 for one in several)
        for question, several in zip(asked, proposed, strict=True)
    ]
    assert sum(close) / len(close) > 0.6


def _lookups(world: World, source: str, crop: bool | None = None) -> list[Question]:
    return [
        q
        for q in world.all
        if q.kind in (QuestionKind.LOOKUP, QuestionKind.CHART)
        and q.source_type == source
        and q.answer_format in (AnswerFormat.INT, AnswerFormat.FLOAT)
        and len(q.answer) >= 3
        and (crop is None or q.evidence[0].needs_crop is crop)
    ]


def _page(world: World, question: Question) -> Image.Image:
    """A page as the agent sees it."""
    evidence = question.evidence[0]
    width, height = world.pdf(evidence.file_name)[evidence.page - 1].get_size()
    return world.picture(evidence.file_name, evidence.page, math.sqrt(MOST / (width * height)))


def _crop(world: World, question: Question) -> Image.Image:
    """The gold region, cut with a margin from the page at 150 dpi, and enlarged as it is for the agent."""
    page = _at_150_dpi(world, question)
    x1, y1, x2, y2 = boxes.to_pixels(question.evidence[0].regions[0], *page.size)
    crop = page.crop((max(x1 - 28, 0), max(y1 - 28, 0), min(x2 + 28, page.width), min(y2 + 28, page.height)))
    area = min(max(crop.width * crop.height, LEAST), MOST)
    scale = math.sqrt(area / (crop.width * crop.height))
    return crop.resize((round(crop.width * scale), round(crop.height * scale)), Image.Resampling.BICUBIC)


def _at_150_dpi(world: World, question: Question) -> Image.Image:
    evidence = question.evidence[0]
    return world.picture(evidence.file_name, evidence.page, 150 / 72)


def _iou(one: Box, other: Box) -> float:
    wide, high = min(one.x2, other.x2) - max(one.x1, other.x1), min(one.y2, other.y2) - max(one.y1, other.y1)
    common = max(0, wide) * max(0, high)
    return common / (sum((box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other)) - common)
