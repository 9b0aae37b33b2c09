"""The data card's counts: of what is kept, in the order of their sizes, and few enough to be looked at."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.world import QUESTION
from unidoc_rl.agent.dialect import write
from unidoc_rl.curate import card
from unidoc_rl.questions import gold_pages
from unidoc_rl.types import Answer, Box, Content, Outcome, Picture, Reply, Said, Search, Select, Trajectory, Turn, Zoom

counts = st.dictionaries(st.integers(0, 200_000), st.integers(1, 5), min_size=1)


def drawn(name: str, counted: Counter[str]) -> list[tuple[str, int]]:
    rows = re.findall(r"<th>([^<]+)</th><td class=n>([\d,]+)<", card._counted(name, counted))
    return [(key, int(value.replace(",", ""))) for key, value in rows]


@pytest.mark.parametrize(
    ("name", "ordered"),
    [
        ("size of a region", [name for _, name in card._AREAS]),
        ("place chosen", ["0", "1", "2", "10"]),
        ("turns", ["4", "9", "10", "22"]),
        ("right, of the weak policy's plays", ["0%", "25%", "50%", "100%"]),
    ],
)
def test_what_has_a_size_stands_in_its_order(name: str, ordered: list[str]) -> None:
    counted = Counter({key: at for at, key in enumerate(reversed(ordered), start=1)})
    assert [key for key, _ in drawn(name, counted)] == [
        key.replace("<", "&lt;").replace(">", "&gt;") for key in ordered
    ]


@given(counts)
def test_tokens_are_counted_in_a_few_ranges_without_gaps(counts: dict[int, int]) -> None:
    rows = drawn("tokens written", Counter({str(tokens): many for tokens, many in counts.items()}))
    ranges = [tuple(int(end.replace(",", "")) for end in key.split("–")) for key, _ in rows]
    assert len(rows) <= card.ROWS
    assert len(rows) > 1 or max(counts) - min(counts) < 10
    assert all(before[1] + 1 == behind[0] for before, behind in pairwise(ranges))
    for (start, end), (_, many) in zip(ranges, rows, strict=True):
        assert many == sum(one for tokens, one in counts.items() if start <= tokens <= end)
    assert sum(many for _, many in rows) == sum(counts.values())


def test_a_trajectory_is_counted_by_what_it_is_about_did_and_found() -> None:
    (gold,) = gold_pages(QUESTION)
    page = Picture(gold, 280, 280)
    boxes = (Box(0, 0, 100, 100), Box(0, 0, 1000, 1000), Box(500, 500, 1000, 700))  # 1, 100 and 10 % of the page
    turns: list[tuple[Search | Select | Zoom | Answer, Content]] = [
        (Search("bees"), (Picture("other_1", 280, 280), page)),
        (Select(1), (page,)),
        (Zoom(((0, 0, 28, 28),)), (replace(page, boxes=boxes),)),
        (Answer("honey"), ()),
    ]
    said = [(Said("", "", action), shown) for action, shown in turns]
    one = Trajectory(
        replace(QUESTION, source_type=""),
        0,
        "agent",
        tuple(Turn(Reply(write(text), 30, 1, 0), text, shown, 0) for text, shown in said),
        Outcome.ANSWERED,
        "",
        None,
    )
    kept = card.Counts()
    kept.add(one)
    assert kept.tables == {
        "kind": {QUESTION.kind: 1},
        "evidence": {"not said": 1},
        "turns": {"4": 1},
        "action": {"search": 1, "select": 1, "zoom": 1, "answer": 1},
        "place of the right page": {"1": 1},
        "place chosen": {"1": 1},
        "size of a region": {"< 2 % of the page": 1, "10–30 %": 1, "> 30 %": 1},
        "tokens written": {"120": 1},
    }
