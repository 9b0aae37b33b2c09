"""From rewards to advantages: how much better an episode did than the others of its question, and which turns did it.

A reward is nan where an episode is void: it counts in no mean, and nothing is learned from it. All functions are pure,
but for the running deviation, which is kept between steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.agent.trajectories import pictures_of
from unidoc_rl.types import Answer, Search, Select, Trajectory, Zoom

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST = 1e-4  # of a deviation: a group whose rewards are all but the same teaches nothing loudly
_NORMAL = NormalDist()


def centred(values: Floats, groups: Ints) -> Floats:
    """Each less the mean of its group."""
    return values - _of_groups(values, groups, np.mean)


def by_group(values: Floats, groups: Ints) -> Floats:
    """GRPO's scale: the deviation of each one's group (of a sample; of one alone there is none)."""
    return np.maximum(_of_groups(values, groups, _deviation), LEAST)


def ranked(values: Floats, groups: Ints) -> Floats:
    """G2RPO's advantages: normal quantiles of the ranks in a group; those that are equal share the mean of theirs."""
    return _of_groups(values, groups, _quantiles)


class RunningDeviation:
    """EMA-GRPO's scale: of all that the same kind of question has earned lately, whatever the group.

    What came first counts no more than what comes later, or a kind that began with nothing would be loud for long.
    """

    def __init__(self, kept: float = 0.99) -> None:
        self._kept = kept
        # By the kind of question, sums weighted by how lately they came: of rewards, of their squares, and of 1.
        self.moments: dict[str, Sequence[float]] = {}

    def __call__(self, values: Floats, kinds: Sequence[str]) -> Floats:
        """The deviations as they are after these."""
        for kind in sorted(set(kinds)):
            of_kind = _known(values[[one == kind for one in kinds]])
            if len(of_kind):
                now = [float(of_kind.mean()), float((of_kind**2).mean()), 1.0]
                former = self.moments.get(kind, [0.0, 0.0, 0.0])
                self.moments[kind] = [
                    self._kept * one + (1 - self._kept) * new for one, new in zip(former, now, strict=True)
                ]
        return np.array([self._deviation(kind) for kind in kinds])

    def _deviation(self, kind: str) -> float:
        mean, squares, weight = self.moments.get(kind, (0.0, 0.0, 1.0))
        return math.sqrt(max(squares / weight - (mean / weight) ** 2, LEAST**2))


def without_signal(earned: Floats, groups: Ints) -> float:
    """The share of groups from which nothing can be learned: all of them earned alike, or all are void.

    `earned`: (episodes, 1), or a column for each part of which turns are told.
    """
    alike = [
        all(len(np.unique(_known(earned[groups == group, part]))) <= 1 for part in range(earned.shape[1]))
        for group in np.unique(groups)
    ]
    return float(np.mean(alike))


# --- turns ------------------------------------------------------------------------------------------------------------


def influenced(trajectory: Trajectory) -> list[frozenset[str]]:
    """Of each turn, the parts of the reward on which it had an influence, by what it did or by what it left undone.

    A search shows pages, the first of which is in view. A turn may select one of them, or let the first stand, by
    zooming, searching again or answering. It may zoom into the page in view, or leave it as it is. Who answers before
    anything was found has left all of that undone. Whether the answer is right, and the form, hang on all turns.
    """
    parts = []
    to_select: set[str] = set()  # while the last search's pages are there to be selected from
    to_zoom: set[str] = set()  # while a page is in view
    for turn in trajectory.turns:
        own: set[str] = set()
        match turn.said.action:
            case Search():
                own = {"search"} | to_select | to_zoom
                found = bool(pictures_of(turn))
                to_select, to_zoom = ({"select"}, {"region"}) if found else (set(), set())
            case Select() if to_zoom:
                own, to_select = {"select"}, set()
            case Zoom() if to_zoom:
                own, to_select = {"region"} | to_select, set()
            case Answer():
                own = (to_select | to_zoom) or {"search", "select", "region"}
        parts.append(frozenset(own | {"answer", "format"}))
    return parts


def of_parts(contributions: Floats, groups: Ints, scale: Floats) -> Floats:
    """(episodes, parts): the advantage that each part of its reward gives an episode; together, the episode's own.

    They are less where a part differs more in its group than the whole does, as of episodes that earned as much by
    other parts: by the deviation of the whole, which may be next to none, it would be loud.

    `contributions`: what each part added to the reward, in a column of its own; nan in the rows of void episodes.
    """
    widest = np.max([_of_groups(column, groups, _deviation) for column in contributions.T], axis=0)
    scale = np.maximum(scale, widest)
    return np.nan_to_num(np.stack([centred(column, groups) / scale for column in contributions.T], axis=1))


def of_turns(parts: Floats, names: Sequence[str], trajectories: Sequence[Trajectory]) -> list[list[float]]:
    """Of each episode, its turns' advantages: of the parts of its reward that each could influence, together."""
    return [
        [float(sum(value for name, value in zip(names, row, strict=True) if name in own)) for own in influenced(one)]
        for row, one in zip(parts, trajectories, strict=True)
    ]


# --- groups -----------------------------------------------------------------------------------------------------------


def _of_groups(values: Floats, groups: Ints, function: Callable[[Floats], float | Floats]) -> Floats:
    """What the function makes of the known values of each group, at the places of its members; nan stays nan."""
    found = np.full(len(values), np.nan)
    for group in np.unique(groups):
        members = (groups == group) & ~np.isnan(values)
        if members.any():
            found[members] = function(values[members])
    return found


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]


def _deviation(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _quantiles(values: Floats) -> Floats:
    ranks = np.array([_NORMAL.inv_cdf((rank + 0.5) / len(values)) for rank in range(len(values))])
    ordered = np.sort(values)
    return np.array([ranks[ordered == value].mean() for value in values])
