"""The table of the ladder: from what was played and told below its folder to numbers with their intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from unidoc_rl import trained
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate import EVALUATION
from unidoc_rl.intervals import Difference, Measured, difference_over_seeds, over_seeds
from unidoc_rl.learn.rows import ROWS, Row
from unidoc_rl.params import Params

SURE = 0.05  # p below which two rows are told apart
PART = "reward/"
Curve = list[tuple[float, float]]  # over the steps


@dataclass(frozen=True, slots=True)
class Learned:
    """How a row learned from rewards: means over the seeds."""

    silent: float  # share of groups without signal
    parts: Mapping[str, tuple[float, float]]  # of the reward: in the first quarter of the steps, and in the last
    best: float  # the step whose checkpoint is kept
    seconds: float  # of all steps; the validation is beside that
    tried: Curve  # accuracy on the validation
    curves: Mapping[str, Curve]  # of each step


@dataclass(frozen=True, slots=True)
class Rung:
    row: Row
    accuracy: Measured
    seeds: Sequence[float]  # the accuracy of each
    gain: Difference | None  # above the row before
    learned: Learned | None

    @property
    def verdict(self) -> str:
        if self.gain is None:
            return ""
        if self.gain.p >= SURE:
            return "not told apart"
        return "better" if self.gain.value > 0 else "worse"


@dataclass(frozen=True, slots=True)
class Ladder:
    seeds: int
    questions: int
    episodes: int  # that each row with rewards learned from, a seed
    params: Mapping[str, Any]
    rungs: Sequence[Rung]


def places(out: Path, seed: int, policy: str) -> tuple[Path, Path]:
    """Of a policy, and of what it played; seeds are counted from 0."""
    folder = out / f"seed-{seed + 1}"
    return folder / "policies" / policy, folder / "evaluations" / policy


def ladder(out: Path, seeds: int, params: Params) -> Ladder:
    """Of the first seeds; all rows have played the same questions."""
    worth = {row.name: [_worth(out, seed, row) for seed in range(seeds)] for row in ROWS}
    uids = sorted({uid for several in worth.values() for one in several for uid in one})
    _check(out, worth, len(uids))
    tables = {name: [[one[uid] for uid in uids] for one in several] for name, several in worth.items()}
    gains = {row.name: difference_over_seeds(tables[before.name], tables[row.name]) for before, row in pairwise(ROWS)}
    rungs = [
        Rung(
            row,
            over_seeds(tables[row.name]),
            [fmean(one) for one in tables[row.name]],
            gains.get(row.name),
            _learned([_history(out, seed, row) for seed in range(seeds)], params) if row.rewarded else None,
        )
        for row in ROWS
    ]
    episodes = params.grpo.steps * params.grpo.questions * params.grpo.group
    return Ladder(seeds, len(uids), episodes, json.loads(params.to_json()), rungs)


def _worth(out: Path, seed: int, row: Row) -> dict[str, float]:
    """Of what it answered, by question."""
    _, folder = places(out, seed, row.policy)
    found = json.loads((folder / EVALUATION).read_text(encoding="utf-8"))
    rows = found[row.baseline or next(iter(found))]["rows"]
    return {uid: float(one["value"]) for uid, one in rows.items()}


def _check(out: Path, worth: Mapping[str, Sequence[Mapping[str, float]]], questions: int) -> None:
    """Rows are compared question by question."""
    for row in ROWS:
        for seed, one in enumerate(worth[row.name]):
            if len(one) < questions:
                _, folder = places(out, seed, row.policy)
                raise UnidocError(
                    f"{folder}: has {len(one)} of the {questions} questions for the row {row.name}; remove this "
                    "folder, and run `unidoc learn` again, which plays them"
                )


def _history(out: Path, seed: int, row: Row) -> list[dict[str, float]]:
    policy, _ = places(out, seed, row.policy)
    noted = json.loads((policy / trained.marker("grpo")).read_text(encoding="utf-8"))
    history: list[dict[str, float]] = noted["history"]
    return history


def _learned(histories: Sequence[list[dict[str, float]]], params: Params) -> Learned:
    steps = [[row for row in history if "step_time" in row] for history in histories]
    tried = [[row for row in history if f"eval_{params.grpo.best}" in row] for history in histories]
    names = dict.fromkeys(name for row in steps[0] for name in row if name.startswith(PART))
    curves = {name: _curve(steps, name) for name in ("groups_without_signal", "reward", *names)}
    return Learned(
        silent=fmean(share for _, share in curves["groups_without_signal"]),
        parts={name.removeprefix(PART): _ends(curves[name]) for name in names},
        best=fmean(_best(several, f"eval_{params.grpo.best}") for several in tried),
        seconds=fmean(sum(row["step_time"] for row in several) for several in steps),
        tried=_curve(tried, "eval_accuracy"),
        curves=curves,
    )


def _curve(histories: Sequence[Sequence[Mapping[str, float]]], name: str) -> Curve:
    """The mean over the seeds, step by step."""
    told: dict[float, list[float]] = {}
    for history in histories:
        for row in history:
            if name in row:
                told.setdefault(row["step"], []).append(row[name])
    return [(step, fmean(values)) for step, values in sorted(told.items())]


def _ends(curve: Curve) -> tuple[float, float]:
    quarter = max(1, len(curve) // 4)
    return fmean(value for _, value in curve[:quarter]), fmean(value for _, value in curve[-quarter:])


def _best(tried: Sequence[Mapping[str, float]], name: str) -> float:
    """Of which checkpoint; before the first step there is none."""
    return max((row for row in tried if row["step"]), key=lambda row: row[name])["step"]
