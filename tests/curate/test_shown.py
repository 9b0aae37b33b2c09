"""What the teacher is shown: the agent's own pictures, full resolution within bounds, and numbers that can be read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unidoc_rl import boxes
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.curate.layout import Layout, Place
from unidoc_rl.curate.shown import COLOURS, LARGEST, Shown
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Box

INSIDE = Box(300, 300, 700, 600)


def pixels(jpeg: bytes) -> NDArray[np.float32]:
    return np.asarray(Image.open(io.BytesIO(jpeg)), np.float32)


def of_colour(picture: NDArray[np.float32], colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture - np.array(colour)).max(-1) < 40).sum())


def test_numbers_hide_neither_each_other_nor_what_they_are_about(with_regions: Path) -> None:
    layout = Layout(with_regions)
    shown = Shown(Pictures(with_regions, AgentParams()), layout)
    page = next(iter(layout.pages_of.values()))[1]
    numbered = shown.numbered(page, (INSIDE, INSIDE, Box(0, 0, 200, 50)))
    plain, drawn = pixels(shown.jpeg(shown.full(page))), pixels(shown.jpeg(numbered))
    left, upper, right, lower = boxes.to_pixels(INSIDE, numbered.width, numbered.height)
    assert np.abs(plain - drawn)[upper:lower, left:right].mean() < 3  # JPEG's
    beside = drawn[upper - 20 : lower, left - 60 : left - 4]
    assert all(of_colour(beside, colour) > 60 for colour in COLOURS[:2])
    assert of_colour(drawn, COLOURS[2]) > of_colour(plain, COLOURS[2]) + 100


class _Scanned(Layout):
    """Pages of much more than anybody can see."""

    def place(self, page: str) -> Place:
        return super().place(page)._replace(width=4000, height=6000)


def test_full_resolution_is_what_the_page_has_and_no_more_than_makes_sense(with_regions: Path) -> None:
    pictures = Pictures(with_regions, AgentParams())
    for layout in (Layout(with_regions), _Scanned(with_regions)):
        page = next(iter(layout.pages_of.values()))[0]
        full, place = Shown(pictures, layout).full(page), layout.place(page)
        if place.width * place.height <= LARGEST:
            assert (full.width, full.height) == (place.width, place.height)
        else:
            assert 0.99 * LARGEST < full.width * full.height < 1.01 * LARGEST
            assert abs(full.width / full.height - 4000 / 6000) < 0.01


def test_pictures_have_bounds_and_can_be_made_smaller(with_regions: Path) -> None:
    layout, params = Layout(with_regions), AgentParams()
    shown = Shown(Pictures(with_regions, params), layout)
    for own in layout.pages_of.values():
        full, whole = shown.full(own[0]), shown.whole(own[0])
        assert whole.width * whole.height <= params.max_pixels
    height, width, _ = pixels(shown.jpeg(full, 4)).shape
    assert (width, height) == (full.width // 4, full.height // 4)
