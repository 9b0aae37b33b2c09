"""Plots: everything lies within the axes, where its value says, and no name over another."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl.plots import HEIGHT, WIDTH, Point, curves, scatter

shares = st.floats(0, 1)
costs = st.floats(0, 1e7, allow_subnormal=False)
points = st.lists(st.builds(lambda x, y: Point("<a>", x, y, y, y), costs, shares), min_size=1, max_size=8)


def numbers(drawn: str, of: str) -> list[float]:
    return [float(number) for number in re.findall(rf'{of}="(-?[\d.]+)"', drawn)]


@given(points)
def test_points_lie_where_their_values_say(some: list[Point]) -> None:
    drawn = scatter(some, "cost", "accuracy")
    across, down = numbers(drawn, "cx"), numbers(drawn, "cy")
    assert all(0 < x < WIDTH for x in across)
    assert all(0 < y < HEIGHT for y in down)
    assert down == sorted(down)  # the best is drawn first
    for one, x in zip(sorted(some, key=lambda one: -one.y), across, strict=True):
        others = [other for other, place in zip(sorted(some, key=lambda one: -one.y), across, strict=True) if place > x]
        assert all(other.x >= one.x for other in others)
    assert "<a>" not in drawn
    heights = [float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)" text-anchor="(?:end|start)">', drawn)]
    assert all(below - above >= 12.9 for above, below in pairwise(heights))
    assert max(heights) < HEIGHT - 30  # above the numbers of the axis
    joined = re.findall(r'<line class="to" x1="([\d.]+)" x2="[\d.]+" y1="([\d.]+)"', drawn)  # each with its name
    assert [(float(x), float(y)) for x, y in joined] == list(zip(across, down, strict=True))


def test_the_one_that_it_is_about_lies_over_the_others() -> None:
    one, other = Point("own", 5.0, 0.51, 0.4, 0.6, strong=True), Point("other", 5.0, 0.5, 0.4, 0.6)
    assert re.findall(r'<circle class="(\w+)"', scatter([one, other], "cost", "accuracy")) == ["other", "own"]


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(-5, 1000)), min_size=2, max_size=20))
def test_curves_stay_within_the_axes(line: list[tuple[float, float]]) -> None:
    (path,) = re.findall(r'points="([^"]+)"', curves({"reward": line}, "step"))
    places = [tuple(map(float, pair.split(","))) for pair in path.split()]
    assert len(places) == len(line)
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)


def test_names_stand_above_the_lines() -> None:
    legend, _, drawn = curves({"<reward>": [(1.0, 3.0)], "loss": [(2.0, 1.0)]}, "step").partition("<svg")
    assert re.findall(r'class="c(\d)"></i>([^<]+)', legend) == [("0", "&lt;reward&gt;"), ("1", "loss")]
    assert "loss" not in re.sub(r'aria-label="[^"]*"', "", drawn)


@given(st.floats(0, 1), st.integers(1, 80))
def test_a_long_name_is_cut_to_what_there_is_room_for(x: float, length: int) -> None:
    name = "x" * length
    drawn = scatter([Point("the end", 1.0, 0.9, 0.9, 0.9), Point(name, x, 0.1, 0.1, 0.1)], "cost", "accuracy")
    ((start, anchor, told),) = re.findall(
        r'<text x="([\d.]+)"[^>]* text-anchor="(\w+)"><title>x+</title>(x*…?) 10%', drawn
    )
    width = 5.5 * len(f"{told} 10%")  # of letters of 11 pixels
    assert told.endswith("…") or told == name
    assert float(start) - width > 0 if anchor == "end" else float(start) + width < WIDTH
    assert f"{name} 10%" in drawn.partition(">")[0]  # for who cannot see it


@given(st.floats(1e-6, 1e7))
def test_the_data_fill_the_plot_and_its_numbers_are_written_out(most: float) -> None:
    drawn = scatter([Point("one", most, 0.5, 0.4, 0.6)], "tokens", "accuracy")
    (x,) = numbers(drawn, "cx")
    assert x > WIDTH * 0.6
    across = re.findall(r'text-anchor="middle">([^<]+)', drawn)[:5]
    assert not any("e" in told for told in across if most >= 0.01)
    assert float(across[-1].replace(",", "")) >= most * (1 - 1e-3)


@given(st.integers(1, 100_000))
def test_steps_are_told_as_whole_numbers(steps: int) -> None:
    drawn = curves({"loss": [(0, 1.0), (steps, 0.5)]}, "step")
    across = re.findall(r'text-anchor="middle">([^<]+)', drawn)[:5]
    assert all(told.replace(",", "").isdecimal() for told in across)


def test_shares_are_told_as_such() -> None:
    told = re.findall(r'text-anchor="end">([^<]+)', curves({"right": [(0, 0.1), (4, 0.3)]}, "step", percent=True))
    assert told == ["0%", "7.5%", "15%", "22.5%", "30%"]
