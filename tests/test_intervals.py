"""Intervals hold the truth as often as they say, and differences are found where there are some, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl import intervals
from unidoc_rl.evaluate.measures import Row, evaluation, f1
from unidoc_rl.intervals import Measured, difference, difference_over_seeds, mcnemar, mean, over_seeds, share
from unidoc_rl.types import Outcome


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for intervals that are looked at two thousand times."""
    monkeypatch.setattr(intervals, "DRAWS", 1000)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(("truth", "count"), [(0.5, 60), (0.8, 60), (0.1, 60), (0.95, 150)])
def test_an_interval_of_an_accuracy_holds_the_truth(truth: float, count: int) -> None:
    rng = np.random.default_rng(1)
    held = [(one := share(rng.random(count) < truth, seed=n)).low <= truth <= one.high for n in range(2000)]
    assert 0.93 <= np.mean(held) <= 0.97


@pytest.mark.usefixtures("few_draws")
def test_an_interval_of_a_mean_holds_the_truth() -> None:
    rng = np.random.default_rng(2)
    held = [(one := mean(rng.beta(2, 3, 80), seed=n)).low <= 0.4 <= one.high for n in range(2000)]
    assert 0.93 <= np.mean(held) <= 0.97


# Of each question: whether it is right, wrong, refused, invented (it says what the documents do not), rightly refused.
@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("shares", [(0.36, 0.32, 0.12, 0.08, 0.12), (0.06, 0.6, 0.14, 0.1, 0.1)])
def test_an_interval_of_f1_holds_the_truth(shares: tuple[float, ...]) -> None:
    kinds = [_row(answerable=n < 3, answered_none=n in (2, 4), value=float(n in (0, 4))) for n in range(5)]
    right, wrong, refused, invented, _ = shares
    truth = 2 * right / ((right + wrong + refused) + (right + wrong + invented))
    rng = np.random.default_rng(5)
    drawn = ([kinds[kind] for kind in rng.choice(5, 60, p=shares)] for _ in range(2000))
    held = [(one := f1(rows)).low <= truth <= one.high for rows in drawn]
    assert 0.93 <= np.mean(held) <= 0.97


def _row(*, answerable: bool, answered_none: bool, value: float) -> Row:
    return Row("q", "", "", 1, value, None, Outcome.ANSWERED, {}, answered_none, answerable)


def test_a_share_that_was_whole_each_time_may_yet_not_be_and_a_count_was_what_it_was() -> None:
    row = replace(_row(answerable=True, answered_none=False, value=1), figures={"format": 1.0, "turns": 1.0})
    found = evaluation([row] * 20).figures
    assert found["format"].low < 0.9
    assert found["format"].high == found["turns"].low == found["turns"].high == 1


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize(
    ("first", "second", "most"), [(0.1, 0.2, 0.97), (0.065, 0.07, 0.97), (0.02, 0.12, 0.97), (0.02, 0.04, 0.99)]
)
def test_an_interval_of_a_difference_holds_the_truth_and_is_rarely_above_it(
    first: float, second: float, most: float
) -> None:
    """`first`, `second`: of 60 questions, the shares that each of two alone is right about: 8 or more, or fewer."""
    rng = np.random.default_rng(6)
    held, above = [], []
    for n in range(2000):
        dice = rng.random(60)
        found = difference((dice < first).tolist(), (dice > 1 - second).tolist(), seed=n)
        held.append(found.low <= second - first <= found.high)
        above.append(found.low > second - first)
    assert 0.93 <= np.mean(held) <= most
    assert np.mean(above) <= 0.03


def test_two_that_differ_in_nothing_may_yet_differ() -> None:
    found = difference([0.0, 1.0] * 20, [0.0, 1.0] * 20)
    assert found.low < found.value == 0 < found.high < 0.1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
def test_an_interval_of_a_difference_is_around_it_and_in_range(pairs: list[tuple[bool, bool]]) -> None:
    first, second = zip(*pairs, strict=True)
    found = difference(first, second)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_a_clear_gain_is_found() -> None:
    found = difference([0.0] * 40 + [1.0] * 40, [0.0] * 20 + [1.0] * 60)
    assert found.value == 0.25
    assert found.low > 0
    assert (found.won, found.lost) == (20, 0)
    assert found.p == pytest.approx(1 / 2**20)


def test_over_seeds_an_interval_holds_the_truth_and_equals_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(4)
    held, apart = [], []
    for n in range(100):
        hard = rng.random(60)  # what all seeds have in common
        bias = rng.normal(0, 0.04, (2, 3, 1))  # of each seed, of each of two
        first, second = (rng.random((2, 3, 60)) / 2 + hard / 2 < 0.5 + bias).astype(float)
        held.append((one := over_seeds(first, seed=n)).low <= 0.5 <= one.high)
        apart.append(difference_over_seeds(first, second, seed=n).p < 0.05)
    assert np.mean(held) >= 0.9
    assert np.mean(apart) <= 0.1


def test_three_seeds_are_drawn_as_far_apart_as_any_would_be_but_not_beyond_none_and_all() -> None:
    found = over_seeds(np.repeat([[0.4], [0.5], [0.6]], 50, axis=1))
    # One draw in 27 is of the lowest alone; the deviation of three is that of any, less a third of the variance.
    assert (found.low, found.high) == pytest.approx((0.5 - 0.1 * 1.5**0.5, 0.5 + 0.1 * 1.5**0.5))
    few = np.zeros((3, 40))
    few[0, :2] = 1
    assert (over_seeds(few).low, over_seeds(few).count) == (0, 120)  # answers of all seeds
    assert over_seeds(1 - few).high == 1


def test_a_gain_over_seeds_is_found_in_pairs() -> None:
    first = np.tile([0.0] * 30 + [1.0] * 30, (3, 1))
    second = np.tile([0.0] * 20 + [1.0] * 40, (3, 1))
    found = difference_over_seeds(first, second)
    assert found.value == pytest.approx(1 / 6)
    assert 0 < found.low < found.value < found.high
    assert found.p < 0.01
    assert (found.won, found.lost) == (30, 0)
    assert difference_over_seeds(second, first).p == pytest.approx(found.p, abs=0.01)


def test_over_seeds_where_all_is_alike_nothing_is_sure() -> None:
    none = over_seeds(np.zeros((3, 40)))
    assert (none.value, none.low, none.count) == (0, 0, 120)
    assert none.high > 0.05
    same = difference_over_seeds(np.zeros((3, 40)), np.zeros((3, 40)))
    assert (same.value, same.low, same.high, same.p) == (0, -none.high, none.high, 1)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(3, 1) == pytest.approx((2 * 1 + 4) / 16)
    assert mcnemar(1, 3) == mcnemar(3, 1)
    assert mcnemar(7, 7) == pytest.approx(1)


def test_an_interval_and_mcnemars_test_tell_two_apart_alike() -> None:
    for won, lost in product(range(13), range(4)):
        first, second = [0.0] * won + [1.0] * lost + [1.0] * 60, [1.0] * won + [0.0] * lost + [1.0] * 60
        found = difference(first, second)
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05), (won, lost)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_an_interval_of_a_share_is_around_it_and_in_range(values: list[float]) -> None:
    one = share(values)
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert one.low < one.high


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_an_interval_of_a_mean_is_around_it_and_among_its_values(values: list[float]) -> None:
    one, little = mean(values), 1e-9 * max(map(abs, values))
    assert min(values) - little <= one.low <= one.value <= one.high <= max(values) + little


def test_shares_count_what_was_measured_at_once_together() -> None:
    one = share([1, 0, 6], [2, 2, 8])
    assert one.value == pytest.approx(7 / 12)
    assert one.low < 7 / 12 < one.high


@pytest.mark.parametrize("of", [mean, share])
def test_nothing_measured_is_no_number(of: Callable[[Sequence[float]], Measured]) -> None:
    assert np.isnan(of([]).value)
    assert of([]).count == 0


def test_an_interval_is_narrower_for_more() -> None:
    few, many = (share([n % 4 == 0 for n in range(count)]) for count in (20, 2000))
    assert few.low < many.low < 0.25 < many.high < few.high
