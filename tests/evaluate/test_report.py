"""The report's table: its numbers are written so that they can be read and compared, whatever their size."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from unidoc_rl.evaluate import report
from unidoc_rl.evaluate.measures import Cause, Evaluation, Row, evaluation
from unidoc_rl.evaluate.report import Told
from unidoc_rl.evaluate.stage import paired
from unidoc_rl.intervals import difference
from unidoc_rl.types import Outcome


def played(figures: Mapping[str, float], right: int, questions: int = 1400) -> Evaluation:
    """The first so many are right."""
    rows = [(f"q{n:04}", n < right) for n in range(questions)]
    return evaluation(
        Row(
            uid,
            "chart",
            "table",
            1,
            float(is_right),
            None if is_right else Cause.MISREAD,
            Outcome.ANSWERED,
            figures,
            False,
            True,
        )
        for uid, is_right in rows
    )


def columns(found: Mapping[str, Evaluation]) -> dict[str, list[str]]:
    """The cells of the report's table, below their heads."""
    own, *others = found
    compared = {name: difference(*paired(found[name], found[own])) for name in others}
    drawn = report._table(Told(found, compared, {}, {}, {}))
    head, *rows = (re.findall(r"<t[hd]>([^<]*)", row) for row in drawn.split("<details>")[0].split("</tr>"))
    return {name: [row[at] for row in rows if row] for at, name in enumerate(head)}


def test_numbers_of_a_column_have_as_many_digits_as_each_other_and_no_exponents() -> None:
    few = {"select": 1.0, "context": 2888.8, "turns": 4.0, "seconds": 0.021, "cost": 0.00012}
    many = {"select": 0.90476, "context": 31234.5, "turns": 3.957, "seconds": 123.4, "cost": 0.0000456}
    table = columns({"few": played(few, 3), "many": played(many, 3)})
    assert table["select"] == ["1.000", "0.905"]
    assert table["context"] == ["2,889", "31,234"]
    assert table["turns"] == ["4.00", "3.96"]
    assert table["seconds"] == ["0", "123"]
    assert table["cost"] == ["0.000120", "0.000046"]
    none = columns({"one": played({"zooms": 0.0}, 1)})
    assert none["zooms"] == ["0.00"]


def test_what_cannot_come_by_chance_is_told_as_that_and_thousands_are_parted() -> None:
    table = columns({"own": played({}, 1300), "twin": played({}, 1300), "other": played({}, 0)})
    assert table["won"] == ["", "0", "1,300"]
    assert table["p"] == ["", "1.000", "&lt; 0.001"]


@pytest.mark.parametrize(("questions", "told"), [(1, "1 question; "), (1400, "1,400 questions; ")])
def test_one_is_no_several(questions: int, told: str) -> None:
    assert report._said(played({}, 1, questions)).startswith(told)
