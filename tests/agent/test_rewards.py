"""Rewards by hand: what each part gives for an episode, and what the parts make together.

An episode is written as its turns: `?abc` a search that shows these pages, `!b` a select after which b is selected,
`+bAB` a zoom into these regions of b, `~` a malformed turn, `=` an answer; without letters, nothing was shown. A `*`
behind a turn: it notes information. Gold pages: `b` reads well, `bAB` needs these regions, `b?` nobody has said.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl.agent import rewards
from unidoc_rl.agent.judging import Verdict
from unidoc_rl.params import RewardParams
from unidoc_rl.questions import gold_pages, gold_regions
from unidoc_rl.types import (
    Action,
    Answer,
    AnswerFormat,
    Box,
    Content,
    Evidence,
    Malformed,
    Outcome,
    Picture,
    Question,
    Reply,
    Said,
    Scores,
    Search,
    Select,
    Trajectory,
    Turn,
    Zoom,
)

BOXES = {
    "A": Box(0, 0, 100, 100),
    "B": Box(200, 0, 300, 100),
    "D": Box(0, 100, 100, 200),  # below A
    "W": Box(0, 0, 100, 200),  # A and D together: an IoU of a half with each
    "H": Box(0, 0, 100, 50),  # a half of A
    "S": Box(0, 0, 100, 49),  # a little less
    "L": Box(50, 0, 50, 100),  # a line
}
NOBODY = Reply("", 0, 0, 0.0)


def asking(gold: str) -> Question:
    evidence = [_evidence(ord(page[0]) - ord("a") + 1, page[1:]) for page in gold.split()]
    return Question("q", "What?", "x", AnswerFormat.STR, "", "", "doc.pdf", tuple(evidence))


def _evidence(page: int, says: str) -> Evidence:
    needs = None if says == "?" else bool(says)
    return Evidence("doc.pdf", page, tuple(BOXES[letter] for letter in says if letter in BOXES), needs)


def play(gold: str, turns: str, outcome: Outcome = Outcome.ANSWERED) -> Trajectory:
    return Trajectory(asking(gold), 0, "test", tuple(map(_turn, turns.split())), outcome, "", None)


def _turn(text: str) -> Turn:
    kind, letters = text[0], text.rstrip("*")[1:]
    boxes = tuple(BOXES[letter] for letter in letters if letter.isupper())
    shown = tuple(Picture(f"doc_{ord(letter) - ord('a') + 1}", 10, 10, boxes) for letter in letters if letter.islower())
    actions: dict[str, Action] = {
        "?": Search("words"),
        "!": Select(0),
        "+": Zoom(((0.0, 0.0, 1.0, 1.0),)),
        "~": Malformed("no"),
        "=": Answer("x"),
    }
    observation: Content = () if kind == "=" else ("Here: ", *shown)
    return Turn(NOBODY, Said("", "noted" if text.endswith("*") else "", actions[kind]), observation, 0.0)


# gold | turns | search, select, region, format
PARTS = """
a       | ?abc !a* =              | 1      1     1    1
b       | ?abc !b* =              | 0.6309 1     1    1
c       | ?abc !c* =              | 0.5    1     1    1
b       | ?abc !a* =              | 0.6309 0     1    1
b       | ?abc !c* =              | 0.6309 0     1    1
b       | ?abc =                  | 0.6309 0     1    0
a       | ?abc =                  | 1      1     1    0
z       | ?abc !a* =              | 0      1     1    1
z       | ?abc !b* =              | 0      0     1    1
z       | ?abc ?z !z* =           | 0.6309 1     1    1
z       | ?abc ?def ?ghz !z* =    | 0.3010 1     1    1
d       | ?abc ?def !d* =         | 0.6309 1     1    1
b       | ?abc ?def !d* =         | 0.5    0.5   1    1
a b     | ?acd !a* ?bcd !b* =     | 1      1     1    1
a b     | ?acd !a* ?cdb !b* =     | 0.8772 1     1    1
a b     | ?acd !a* =              | 0.6131 1     1    1
b a     | ?acd !a* =              | 0.6131 1     1    1
a b     | ?abc !a* =              | 1      1     1    1
b a     | ?abc !a* =              | 1      1     1    1
a b     | ?abc !b* =              | 1      0     1    1
b       | ?ab ?ab ?ab !b* =       | 0.6309 0.333 1    1
a       | ? ?a !a* =              | 1      1     1    1
a       | ? !* =                  | 0      0     0    1
a       | =                       | 0      0     0    0
a       | ~ ~                     | 0      0     0    0
a       |                         | 0      0     0    0
a       | ?abc !a*                | 1      1     1    0.5
a       | ?abc* !a                | 1      1     1    0.5
a       | ?abc !a =*              | 1      1     1    1
a       | ?abc !a ~* =            | 1      1     1    1
a       | ?abc* =                 | 1      1     1    0
a       | ?abc !a =               | 1      1     1    0
a       | !a* =                   | 0      0     0    0
b       | ?abc !a !b* =           | 0.6309 1     1    1
b       | ?abc !b !a* =           | 0.6309 0     1    1
b       | ?abc !b ? !* =          | 0.6309 1     1    1
aA      | ?abc !a +aA* =          | 1      1     1    1
aA      | ?abc +aA !a* =          | 1      1     1    1
aA      | ?abc !a* =              | 1      1     0    1
aA      | ?abc !a +aH* =          | 1      1     1    1
aA      | ?abc !a +aS* =          | 1      1     0    1
aA      | ?abc !a +aB* =          | 1      1     0    1
aA      | ?abc !a +aL* =          | 1      1     0    1
aL      | ?abc !a +aA* =          | 1      1     0    1
aAD     | ?abc !a +aW* =          | 1      1     0.667 1
aAD     | ?abc !a +aWA* =         | 1      1     1    1
aAD     | ?abc !a +aAW* =         | 1      1     1    1
aW      | ?abc !a +aAD* =         | 1      1     0.667 1
aAB     | ?abc !a +aA* =          | 1      1     0.667 1
aA      | ?abc !a +aAB* =         | 1      1     0.667 1
aA      | ?abc !a +aA +aA* =      | 1      1     0.667 1
aAB     | ?abc !a +aA +aB* =      | 1      1     1    1
aA aB   | ?abc !a +aAB* =         | 1      1     1    1
aA a    | ?abc !a +aA* =          | 1      1     1    1
aA a?   | ?abc !a +aA* =          | 1      1     1    1
aA aA   | ?abc !a +aA* =          | 1      1     1    1
a       | ?abc !a +aA* =          | 1      1     0    1
z       | ?abc !a +aA* =          | 0      1     0    1
aA      | ?abc !a + +aA* =        | 1      1     1    1
a       | ?abc !a +* =            | 1      1     1    1
aA b    | ?acd !a +aA* ?bde !b* = | 1      1     1    1
aA b    | ?acd !a* ?bde !b* =     | 1      1     0.5  1
bA      | ?abc !b +bA* =          | 0.6309 1     1    1
bA      | ?abc +aB !b +bA* =      | 0.6309 1     0.5  1
a?      | ?abc !a +aA* =          | 1      1     1    1
a?      | ?abc !a* =              | 1      1     1    1
a? z    | ?abc !a* ?def +dA =     | 0.6131 1     0    1
a?      | ?bac !b* =              | 0.6309 0     1    1
aX      | ?abc !a* =              | 1      1     1    1
"""


def part_rows() -> list[tuple[str, str, list[float]]]:
    cells = (line.split("|") for line in PARTS.strip().splitlines())
    return [(gold, turns, [float(v) for v in values.split()]) for gold, turns, values in cells]


def measured(trajectory: Trajectory) -> list[float]:
    measures = (rewards.searched, rewards.selected, rewards.zoomed, rewards.kept_format)
    return [measure(trajectory) for measure in measures]


@pytest.mark.parametrize(("gold", "turns", "parts"), part_rows())
def test_parts(gold: str, turns: str, parts: list[float]) -> None:
    assert measured(play(gold, turns)) == pytest.approx(parts, abs=1e-3)


# reward set | gold | turns | what the answer is worth | total
TOTALS = """
unidoc  | b | ?abc !b* =        | 1   | 0.9631
unidoc  | b | ?abc !b* =        | 0   | 0.3631
unidoc  | b | ?abc !b* =        | 0.5 | 0.6631
unidoc  | a | ?abc !a* =        | 1   | 1
unidoc  | a | ?abc !a*          | 1   | 0.35
unidoc  | a | ?abc* =           | 1   | 0
unidoc  | a | ?abc !a =         | 1   | 0
unidoc  | a | =                 | 1   | 0
unidoc  | a |                   | 1   | 0
unidoc  |   | ?abc !a* =        | 1   | 1
unidoc  |   | ?abc !b +bA* =    | 1   | 1
unidoc  |   | ?abc !a* =        | 0   | 0.1429
unidoc  |   | ?abc !a*          | 1   | 0.0714
unidoc  |   | ?abc =            | 1   | 0
outcome | a | ?abc =            | 1   | 1
outcome | a | ?abc !a* =        | 0   | 0
outcome | a | ?abc !a*          | 1   | 0
outcome |   | =                 | 1   | 1
vrag    | a | ?abc !a* =        | 1   | 1
vrag    | a | ?abc !b +bA* =    | 1   | 1
vrag    | z | ?abc ?z !z* =     | 1   | 0.8861
vrag    | z | ?abc ?z !z* =     | 0   | 0.1861
vrag    | a | ?abc !a*          | 1   | 0.25
vrag    | a | ?abc =            | 1   | 0
vrag    | a | ?abc* +aA* =      | 1   | 1
vrag    |   | ?abc !a* =        | 0   | 0.125
gated   | b | ?abc !b* =        | 1   | 0.9631
gated   | b | ?abc !b* =        | 0   | 0
gated   | a | ?abc !a* =        | 0.5 | 0.7
gated   | a | ?abc !a* =        | 0.4 | 0.24
gated   | a | ?abc !a*          | 1   | 0
gated   | a | ?abc =            | 1   | 0
gated   |   | ?abc !a* =        | 0   | 0
"""
ALL = {"answer", "search", "select", "region", "format"}
PART_NAMES = {"unidoc": ALL, "gated": ALL, "outcome": {"answer"}, "vrag": {"answer", "search", "format"}}
NEEDS_GOLD = {"search", "select", "region"}


def scored(trajectory: Trajectory, params: RewardParams, value: float) -> Scores:
    (result,) = rewards.score([trajectory], params, lambda asked: [Verdict(value, "so it is") for _ in asked])
    assert result.scores is not None
    return result.scores


def total_rows() -> list[tuple[str, str, str, float, float]]:
    cells = (line.split("|") for line in TOTALS.strip().splitlines())
    return [(of.strip(), gold, turns, float(value), float(total)) for of, gold, turns, value, total in cells]


@pytest.mark.parametrize(("of", "gold", "turns", "value", "total"), total_rows())
def test_totals(of: str, gold: str, turns: str, value: float, total: float) -> None:
    scores = scored(play(gold, turns), RewardParams.model_validate({"of": of}), value)
    assert scores.total == pytest.approx(total, abs=1e-4)
    assert scores.parts.keys() == PART_NAMES[of] - (NEEDS_GOLD if not gold.strip() else set())
    assert scores.judged == ("so it is" if "=" in turns else "there is no answer")


@pytest.mark.parametrize(
    ("weights", "value", "total"),
    [
        ({"answer": 1, "search": 0, "select": 0, "region": 0, "format": 0}, 1, 1),
        ({"answer": 0.5, "search": 0.5, "select": 0, "region": 0, "format": 0}, 0, 0.3155),
        ({"answer": 0.2, "search": 0.2, "select": 0, "region": 0, "format": 0}, 1, 0.8155),
        ({"answer": 0, "search": 0, "select": 0, "region": 0, "format": 0}, 1, 0),
        ({"of": "gated", "threshold": 0}, 0, 0.3631),
        ({"of": "gated", "threshold": 1}, 0.9, 0.54),
    ],
)
def test_weights(weights: dict[str, object], value: float, total: float) -> None:
    params = RewardParams.model_validate(weights, strict=False)
    assert scored(play("b", "?abc !b* ="), params, value).total == pytest.approx(total, abs=1e-4)


# --- judging ----------------------------------------------------------------------------------------------------------


class Recorder:
    """A judge that notes what it is asked, and answers from a list."""

    def __init__(self, *values: float | None) -> None:
        self.values = values
        self.calls: list[Sequence[tuple[Question, str]]] = []

    def __call__(self, asked: Sequence[tuple[Question, str]]) -> list[Verdict]:
        self.calls.append(asked)
        return [Verdict(value, f"number {at}") for at, value in enumerate(self.values)]


def test_the_judge_is_asked_once_for_all_that_answered_and_for_nothing_else() -> None:
    void = play("a", "?abc !a* =", Outcome.VOID)
    silent = play("a", "?abc !a*", Outcome.OUT_OF_TURNS)
    first, second = play("a", "?abc !a* ="), play("b", "?abc !b* =")
    judge = Recorder(0.0, 1.0)
    results = rewards.score([void, first, silent, second], RewardParams(), judge)
    assert judge.calls == [[(first.question, "x"), (second.question, "x")]]
    assert results[0] is void
    totals = [result.scores.total for result in results[1:] if result.scores]
    assert totals == pytest.approx([0.4, 0.35, 0.9631], abs=1e-4)
    assert [result.question for result in results] == [t.question for t in (void, first, silent, second)]


def test_what_cannot_be_judged_is_void_and_says_why() -> None:
    first, second = play("a", "?abc !a* ="), play("a", "?abc !a* =")
    lost, kept = rewards.score([first, second], RewardParams(), Recorder(None, 1.0))
    assert (lost.outcome, lost.scores) == (Outcome.VOID, None)
    assert "number 0" in lost.failure
    assert kept.outcome is Outcome.ANSWERED
    assert kept.scores is not None


def test_a_judge_that_leaves_one_out_is_not_believed() -> None:
    with pytest.raises(ValueError, match="shorter"):
        rewards.score([play("a", "?abc !a* =")] * 2, RewardParams(), Recorder(1.0))


# --- properties -------------------------------------------------------------------------------------------------------

letters = st.text("abcdz", max_size=4)
uppers = st.text("".join(BOXES), max_size=4)
any_turn = st.one_of(
    letters.map("?{}".format),
    st.sampled_from(["!", "!a", "!b", "!z", "~", "=", "+"]),
    st.builds("+{}{}".format, st.sampled_from("abz"), uppers),
)
any_turns = st.lists(st.builds("{}{}".format, any_turn, st.sampled_from(["", "*"])), max_size=10).map(" ".join)
any_gold = st.lists(st.builds("{}{}".format, st.sampled_from("abcdz"), uppers | st.just("?")), max_size=4)


@given(any_gold, any_turns, st.sampled_from(["unidoc", "outcome", "vrag", "gated"]), st.floats(0, 1))
def test_everything_is_between_0_and_1(gold: list[str], turns: str, of: str, value: float) -> None:
    trajectory = play(" ".join(gold), turns)
    scores = scored(trajectory, RewardParams.model_validate({"of": of}), value)
    assert all(0 <= part <= 1 for part in [scores.total, *scores.parts.values(), *measured(trajectory)])


@given(any_gold, any_turns, st.randoms())
def test_the_order_of_gold_pages_and_regions_does_not_matter(
    gold: list[str], turns: str, chance: random.Random
) -> None:
    before = measured(play(" ".join(gold), turns))
    mixed = [page[0] + "".join(chance.sample(page[1:], len(page) - 1)) for page in chance.sample(gold, len(gold))]
    assert measured(play(" ".join(mixed), turns)) == pytest.approx(before)


corners = st.integers(0, 5)
small_box = st.builds(
    lambda x, y: Box(min(x), min(y), max(x), max(y)), st.tuples(corners, corners), st.tuples(corners, corners)
)
small_boxes = st.lists(small_box, min_size=1, max_size=5)


def zooming(drawn: Sequence[Box], wanted: Sequence[Box]) -> Trajectory:
    """Of the first page, which needs it."""
    question = Question("q", "", "", AnswerFormat.STR, "", "", "", (Evidence("doc.pdf", 1, tuple(wanted), True),))
    shown = Picture("doc_1", 10, 10, tuple(drawn))
    turns = (Turn(NOBODY, Said("", "", Zoom(())), (shown,), 0.0),)
    return Trajectory(question, 0, "test", turns, Outcome.OUT_OF_TURNS, "", None)


def iou(one: Box, other: Box) -> float:
    """By counting the unit squares."""
    cells = [{(x, y) for x in range(box.x1, box.x2) for y in range(box.y1, box.y2)} for box in (one, other)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1]) if cells[0] | cells[1] else 0.0


@given(small_boxes, small_boxes)
def test_boxes_are_paired_in_the_best_way_there_is(drawn: list[Box], wanted: list[Box]) -> None:
    wanted = list(dict.fromkeys(wanted))
    few, many = sorted((drawn, wanted), key=len)
    best = max(
        sum(iou(one, other) >= 0.5 for one, other in zip(few, order, strict=False)) for order in permutations(many)
    )
    assert rewards.zoomed(zooming(drawn, wanted)) == pytest.approx(2 * best / (len(drawn) + len(wanted)))
    assert rewards.zoomed(zooming(drawn[::-1], wanted[::-1])) == rewards.zoomed(zooming(drawn, wanted))


@pytest.mark.parametrize("step", [1, 20, 40])
def test_thousands_of_boxes_are_paired_at_once(step: int) -> None:
    """In chains in which each box overlaps the next, so that one pair more may move all the others: tried one way after
    the other, they would not come to an end."""
    drawn = [Box(at * step, 0, at * step + 100, 100) for at in range(2000)]
    wanted = [Box(at * step + 20, 0, at * step + 120, 100) for at in reversed(range(2000))]
    assert rewards.zoomed(zooming(drawn, wanted)) == 1
    assert rewards.zoomed(zooming(drawn[:500] * 4, wanted)) < 0.5


# --- gold pages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_name", "page"),
    [
        ("a.pdf", "a_3"),
        ("a.PDF", "a_3"),
        ("acme-annual-report-2023", "acme-annual-report-2023_3"),
        ("PH_2016.06.08_Economy-Final.pdf", "PH_2016.06.08_Economy-Final_3"),
        ("PH_2016.06.08_Economy-Final", "PH_2016.06.08_Economy-Final_3"),
        ("reports/net sales (final).pdf", "net_sales_final_3"),
        ("scan.JPEG", "scan_3"),
    ],
)
def test_a_page_is_named_as_ingest_names_it(file_name: str, page: str) -> None:
    question = Question("q", "", "", AnswerFormat.STR, "", "", "", (Evidence(file_name, 3, (), None),))
    assert gold_pages(question) == (page,)
    assert gold_regions(question) == {page: None}
