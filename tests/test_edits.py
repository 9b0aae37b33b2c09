"""The distance of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl.edits import edits

WORDS = st.text("abc ", max_size=12)


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("12.5", "125", 1), ("flaw", "lawn", 2)],
)
def test_edits_by_hand(one: str, other: str, count: int) -> None:
    assert edits(one, other) == count


@given(WORDS, WORDS, WORDS)
def test_edits_are_a_distance(one: str, other: str, third: str) -> None:
    assert edits(one, one) == 0
    assert edits(one, other) == edits(other, one) <= max(len(one), len(other))
    assert edits(one, third) <= edits(one, other) + edits(other, third)
    assert edits(one, other) >= abs(len(one) - len(other))
