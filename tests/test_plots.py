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


@given(st.lists(st.tuples(st.integers(0, 1000), st.floats(-5, 1000)), min_size=2, max_size=20))
def test_curves_stay_within_the_axes(line: list[tuple[float, float]]) -> None:
    (path,) = re.findall(r'points="([^"]+)"', curves({"reward": line}, "step"))
    places = [tuple(map(float, pair.split(","))) for pair in path.split()]
    assert len(places) == len(line)
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in places)


def test_names_stand_where_the_lines_leave_room() -> None:
    rising, falling = [(0.0, 1.0), (9.0, 4.0)], [(0.0, 4.0), (9.0, 1.0)]
    (left,) = re.findall(r'class="c0" x="(\d+)"', curves({"reward": rising}, "step"))
    (right,) = re.findall(r'class="c0" x="(\d+)" text-anchor="end"', curves({"loss": falling}, "step"))
    assert int(left) < WIDTH / 4 < WIDTH * 0.9 < int(right) < WIDTH
