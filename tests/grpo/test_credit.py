"""Advantages against numbers worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.world import QUESTION
from unidoc_rl.grpo import credit
from unidoc_rl.types import (
    Action,
    Answer,
    Malformed,
    Outcome,
    Picture,
    Reply,
    Said,
    Scores,
    Search,
    Select,
    Trajectory,
    Turn,
    Zoom,
)

NAN = float("nan")
TWO_GROUPS = np.array([0, 0, 0, 1, 1])
REWARDS = np.array([1.0, 0.0, 0.5, 0.2, NAN])


def episode(*actions: Action) -> Trajectory:
    shown = (Picture("a_1", 28, 28),)
    turns = tuple(
        Turn(Reply("", 1, 1, 0), Said("", "", action), () if isinstance(action, Malformed) else shown, 0)
        for action in actions
    )
    return Trajectory(QUESTION, 0, "p", turns, Outcome.ANSWERED, "", Scores(1.0, {}, ""))


def test_a_group_is_centred_and_scaled_by_its_own_deviation() -> None:
    assert credit.centred(REWARDS, TWO_GROUPS) == pytest.approx([0.5, -0.5, 0.0, 0.0, NAN], nan_ok=True)
    scale = credit.by_group(REWARDS, TWO_GROUPS)
    assert scale == pytest.approx([0.5, 0.5, 0.5, credit.LEAST, NAN], nan_ok=True)


def test_ranks_become_normal_quantiles() -> None:
    # Of three, 1/6, 1/2 and 5/6 lie at -0.96742, 0 and 0.96742; two that are equal share the mean of theirs.
    three = np.zeros(3, int)
    assert credit.ranked(np.array([0.1, 7.0, 0.2]), three) == pytest.approx([-0.96742, 0.96742, 0.0], abs=1e-5)
    assert credit.ranked(np.array([0.0, 0.0, 1.0]), three) == pytest.approx([-0.48371, -0.48371, 0.96742], abs=1e-5)
    assert credit.ranked(np.array([0.3, 0.3, NAN]), np.zeros(3, int)) == pytest.approx([0.0, 0.0, NAN], nan_ok=True)


def test_a_running_deviation_is_kept_for_each_kind() -> None:
    running = credit.RunningDeviation(kept=0.75)
    kinds = ["lookup"] * 3 + ["chart"] * 2
    # Of 1, 0 and 1/2, the mean is 1/2 and that of the squares 5/12; of one known reward, nothing deviates.
    deviation = (5 / 12 - 1 / 4) ** 0.5
    assert running(REWARDS, kinds) == pytest.approx([deviation] * 3 + [credit.LEAST] * 2)
    # Then lookup has 0.2 and 0.14 / 3: what came before counts three quarters of them, of seven in all.
    mean, squares = (3 * 0.5 + 4 * 0.2) / 7, (3 * 5 / 12 + 4 * 0.14 / 3) / 7
    assert running(np.array([0.1, 0.2, 0.3]), ["lookup"] * 3) == pytest.approx([(squares - mean**2) ** 0.5] * 3)
    assert running.moments["lookup"] == pytest.approx([7 / 16 * mean, 7 / 16 * squares, 7 / 16])
    assert running.moments["chart"] == pytest.approx([0.05, 0.01, 0.25])


def test_a_kind_that_began_with_nothing_is_not_loud() -> None:
    running, some = credit.RunningDeviation(), np.array([1.0, 1.0, 0.0, 0.0])
    running(np.zeros(4), ["lookup"] * 4)
    for _ in range(7):
        (deviation, *_) = running(some, ["lookup"] * 4)
    assert deviation == pytest.approx(0.5, rel=0.02)


def test_a_running_deviation_is_of_all_rewards_of_a_kind_whatever_their_groups() -> None:
    running = credit.RunningDeviation()
    assert running(np.array([1.0, 1.0, 0.0, 0.0]), ["lookup"] * 4) == pytest.approx([0.5] * 4)


def test_groups_without_signal_are_counted() -> None:
    def share(rewards: Sequence[float], groups: Sequence[int]) -> float:
        return credit.without_signal(np.array(rewards)[:, None], np.array(groups))

    assert share([1.0, 0.0, 0.5, 0.2, NAN], [0, 0, 0, 1, 1]) == 0.5
    assert share([NAN, NAN, 0.3, 0.3], [4, 4, 7, 7]) == 1.0
    assert share([0.1, 0.3, 0.9, 0.1, 0.3, 0.9], [0, 1, 2, 0, 1, 0]) == 2 / 3
    parts = np.array([[0.1, 0.0], [0.0, 0.1], [0.1, 0.1], [0.1, 0.1], [NAN, NAN]])  # turns are told of each
    assert credit.without_signal(parts, np.array([0, 0, 1, 1, 1])) == 0.5


ZOOM = Zoom(((0, 0, 1, 1),))


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (
            [Search("a"), Select(1), ZOOM, Search("b"), Answer("x")],
            ["search", "select", "region", "search region", "select region"],  # it left pages as they were
        ),
        ([Search("a"), Malformed(""), Select(0), Answer("x")], ["search", "", "select", "region"]),
        ([Search("a"), Select(1), Select(0), Answer("x")], ["search", "select", "select", "region"]),  # the last counts
        ([Search("a"), Search("b"), ZOOM], ["search", "search select region", "region select"]),
        ([Answer("x")], ["search select region"]),
        ([Select(0), ZOOM, Answer("x")], ["", "", "search select region"]),  # nothing was there yet
    ],
)
def test_a_turn_has_the_parts_that_it_could_influence(actions: list[Action], expected: list[str]) -> None:
    outcome = {"answer", "format"}
    assert credit.influenced(episode(*actions)) == [outcome | set(parts.split()) for parts in expected]


def test_what_finds_nothing_leaves_nothing_to_select_from() -> None:
    found = episode(Search("a"), Search("b"), Answer("x"))
    missed = replace(found, turns=(found.turns[0], replace(found.turns[1], observation=()), found.turns[2]))
    last = credit.influenced(missed)[-1]
    assert credit.influenced(found)[-1] == {"answer", "format", "select", "region"}
    assert last == {"answer", "format", "search", "select", "region"}  # it might have searched again


def test_turns_share_out_the_episode_s_advantage_by_hand() -> None:
    played = [episode(Search("a"), Select(0), Answer("x")), episode(Search("b"), Answer("y"))]
    names = ("answer", "search", "select")
    parts = credit.of_parts(np.array([[0.6, 0.1, 0.1], [0.0, 0.05, 0.1]]), np.zeros(2, int), np.array([0.5, 0.5]))
    assert parts == pytest.approx(np.array([[0.6, 0.05, 0.0], [-0.6, -0.05, 0.0]]))
    first, second = credit.of_turns(parts, names, played)
    assert first == pytest.approx([0.65, 0.6, 0.6])
    assert second == pytest.approx([-0.65, -0.6])


def test_parts_that_differ_more_than_the_whole_are_not_loud() -> None:
    groups, earned = np.zeros(4, int), np.array([[0.1, 0.0], [0.0, 0.1], [0.1, 0.0], [0.0, 0.1]])
    parts = credit.of_parts(earned, groups, credit.by_group(earned.sum(axis=1), groups))
    assert parts == pytest.approx(np.array([[1, -1], [-1, 1]] * 2) * 0.75**0.5)  # 0.05, of a deviation of 0.0577


def test_nothing_is_learned_from_a_void_episode() -> None:
    played = [episode(Search("a"), Answer("x")), episode(Search("b")), episode(Search("c"), Answer("z"))]
    parts = credit.of_parts(np.array([[1.0], [NAN], [0.0]]), np.zeros(3, int), np.ones(3))
    assert credit.of_turns(parts, ("answer",), played) == [[0.5, 0.5], [0.0], [-0.5, -0.5]]


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.integers(1, 4))
def test_advantages_add_up_to_nothing_in_a_group_and_keep_the_order(rewards: list[float], groups: int) -> None:
    values = np.array(rewards)
    members = np.arange(len(rewards)) % groups
    for advantages in (credit.centred(values, members), credit.ranked(values, members)):
        for group in np.unique(members):
            mine = members == group
            assert advantages[mine].sum() == pytest.approx(0, abs=1e-9)
            order = np.argsort(values[mine], kind="stable")
            assert (np.diff(advantages[mine][order]) >= -1e-12).all()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_a_turn_that_influences_all_has_the_whole_episode_s_advantage(rewards: list[float]) -> None:
    played = [episode(Search("a"), Search("b")) for _ in rewards]
    groups, values = np.zeros(len(rewards), int), np.array(rewards)
    scale = credit.by_group(values, groups)
    parts = credit.of_parts(values[:, None] * [0.7, 0.2, 0.1], groups, scale)
    turns = credit.of_turns(parts, ("answer", "search", "select"), played)
    assert [one[1] for one in turns] == pytest.approx(credit.centred(values, groups) / scale, abs=1e-6)
