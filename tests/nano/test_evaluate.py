"""How replies are scored, and how sure a measure is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl.cli import cli
from unidoc_rl.errors import UnidocError
from unidoc_rl.nano.evaluate import _iou, _misread, _same_answer, _same_page, _same_region
from unidoc_rl.nano.talk import Lesson, Turn

CORNERS = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50), st.integers(1, 50))


def lesson(reply: str) -> Lesson:
    return Lesson((Turn((), reply),))


@given(CORNERS, CORNERS)
def test_the_overlap_of_boxes(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    first, second = ((x, y, x + w, y + h) for x, y, w, h in (one, other))
    assert _iou(first, first) == pytest.approx(1)
    assert _iou(first, second) == pytest.approx(_iou(second, first))
    cells = [{(x, y) for x in range(b[0], b[2]) for y in range(b[1], b[3])} for b in (first, second)]
    assert _iou(first, second) == pytest.approx(len(cells[0] & cells[1]) / len(cells[0] | cells[1]))


def test_replies_are_scored_as_actions() -> None:
    assert _same_answer("<think>x</think><answer> 12.5 </answer>", lesson("<answer>12.5</answer>")) == (1, 1)
    assert _same_answer("12.5", lesson("<answer>12.5</answer>")) == (0, 1)
    assert _same_page("<select>1</select>", lesson("<select>2</select>")) == (0, 1)
    assert _same_region("<bbox>[[0, 0, 10, 10]]</bbox>", lesson("<bbox>[[0, 0, 10, 18]]</bbox>")) == (1, 1)
    assert _same_region("<bbox>[[0, 0, 10, 10]]</bbox>", lesson("<bbox>[[0, 0, 10, 21]]</bbox>")) == (0, 1)
    assert _same_region("nowhere", lesson("<bbox>[[0, 0, 10, 21]]</bbox>")) == (0, 1)
    assert _misread("Nat sales", lesson("Net sales")) == (1, 9)


def test_a_card_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unidoc_rl.nano.evaluate.evaluate", lambda *_: pytest.fail("it was measured"))
    done = CliRunner().invoke(cli, ["nano", "evaluate", "--card", "--model", str(tmp_path)])
    assert isinstance(done.exception, UnidocError)
    assert str(done.exception).startswith(f"{tmp_path / 'made.json'}: is not there")
    assert not [*tmp_path.iterdir()]
