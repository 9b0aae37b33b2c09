"""Boxes go from pixels to thousandths and back without loss that anybody could see, and never off the picture."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unidoc_rl import boxes
from unidoc_rl.types import Box

sizes = st.integers(1, 20_000)
positions = st.floats(-1e6, 1e6)
shares = st.integers(0, 1000)
any_box = st.builds(
    lambda x, y: Box(min(x), min(y), max(x), max(y)), st.tuples(shares, shares), st.tuples(shares, shares)
)


@given(any_box, sizes, sizes)
@example(Box(1000, 1000, 1000, 1000), 9, 9)
def test_a_rectangle_is_never_empty_and_never_outside(box: Box, width: int, height: int) -> None:
    left, top, right, bottom = boxes.to_pixels(box, width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@given(any_box, sizes, sizes)
def test_a_rectangle_holds_all_of_its_box(box: Box, width: int, height: int) -> None:
    left, top, right, bottom = boxes.to_pixels(box, width, height)
    assert left * 1000 <= box.x1 * width
    assert top * 1000 <= box.y1 * height
    assert right * 1000 >= box.x2 * width
    assert bottom * 1000 >= box.y2 * height


@given(any_box, st.integers(1000, 20_000), st.integers(1000, 20_000))
def test_there_and_back_is_off_by_a_thousandth_at_most(box: Box, width: int, height: int) -> None:
    again = boxes.from_pixels(*boxes.to_pixels(box, width, height), width, height)
    assert max(abs(a - b) for a, b in zip(box, again, strict=True)) <= 1


@given(st.data(), sizes, sizes)
def test_pixels_there_and_back_are_off_by_a_thousandth_and_a_pixel_at_most(
    data: st.DataObject, width: int, height: int
) -> None:
    x = sorted(data.draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    y = sorted(data.draw(st.tuples(st.integers(0, height), st.integers(0, height))))
    left, top, right, bottom = boxes.to_pixels(boxes.from_pixels(x[0], y[0], x[1], y[1], width, height), width, height)
    assert max(abs(left - x[0]), abs(right - x[1])) <= width / 1000 + 1
    assert max(abs(top - y[0]), abs(bottom - y[1])) <= height / 1000 + 1


@given(positions, positions, positions, positions, sizes, sizes)
def test_corners_may_come_in_any_order_and_lie_anywhere(
    x1: float, y1: float, x2: float, y2: float, width: int, height: int
) -> None:
    box = boxes.from_pixels(x1, y1, x2, y2, width, height)
    assert 0 <= box.x1 <= box.x2 <= 1000
    assert 0 <= box.y1 <= box.y2 <= 1000
    assert boxes.from_pixels(x2, y2, x1, y1, width, height) == box
    assert boxes.from_pixels(x2, y1, x1, y2, width, height) == box


@given(st.integers(0, 500), st.integers(0, 500), sizes, sizes, st.integers(1, 8))
def test_a_box_is_the_same_at_every_resolution(x: int, y: int, width: int, height: int, times: int) -> None:
    large = boxes.from_pixels(x * times, y * times, width * times, height * times, width * times, height * times)
    assert large == boxes.from_pixels(x, y, width, height, width, height)


@given(st.lists(any_box, min_size=1, max_size=5))
def test_the_box_around_boxes_holds_each_and_is_the_smallest(members: list[Box]) -> None:
    around = boxes.union(members)
    for box in members:
        assert around.x1 <= box.x1 <= box.x2 <= around.x2
        assert around.y1 <= box.y1 <= box.y2 <= around.y2
    for side, value in enumerate(around):
        assert value in {box[side] for box in members}


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 10)])
def test_a_picture_without_a_size_has_no_boxes(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]}"):
        boxes.from_pixels(0, 0, 1, 1, *size)
