"""A training that was killed, wherever, ends as one that was not."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.trainings import Learnable, learn, learn_where_the_disk_is_small, marks, told

SFT = {"sft": {"epochs": 2.0, "batch": 2, "together": 1, "rate": 5e-3, "save_steps": 2}}
GRPO: dict[str, dict[str, Any]] = {
    "grpo": {"steps": 4, "questions": 1, "group": 4, "together": 2, "rate": 1e-2, "save_steps": 2, "scale": "kind"},
    "rewards": {"of": "outcome"},  # which the model earns now and then
}
DEATHS = [  # of four steps; a checkpoint is made after the second and the fourth
    ("while a checkpoint is written", 1),
    ("in a step", 6),
    ("before a checkpoint is marked", 1),
    ("between steps", 1),
    ("after the last step", 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "sections"), [("sft", SFT), ("grpo", GRPO)])
def test_killed_again_and_again_it_ends_as_if_it_never_was(
    learnable: Learnable, tmp_path: Path, stage: str, sections: dict[str, Any]
) -> None:
    params = learnable.params(**sections)
    whole, killed = tmp_path / "whole" / stage, tmp_path / "killed" / stage
    assert learn(learnable, stage, whole, params) == 0
    assert (whole / "model.safetensors").read_bytes() != (learnable.model / "model.safetensors").read_bytes()
    for death in DEATHS:
        assert learn(learnable, stage, killed, params, death) == -signal.SIGKILL, death
        assert not killed.exists()
    assert learn(learnable, stage, killed, params) == 0
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert marks(killed, stage) == marks(whole, stage)
    assert told(killed.parent) == told(whole.parent)
    assert sorted(path.name for path in killed.parent.iterdir()) == [".mlflow", stage]


@pytest.mark.slow
def test_a_full_disk_is_told_as_such_and_with_room_again_it_ends_the_same(learnable: Learnable, tmp_path: Path) -> None:
    database = {"services": {"mlflow": f"sqlite:///{tmp_path / 'mlflow.db'}"}}
    params = learnable.params(**SFT, **database)
    assert learn(learnable, "sft", tmp_path / "whole" / "sft", params) == 0
    out = tmp_path / "small" / "sft"
    sizes = ["256k", "640k", "64m"]  # weights have 400 kB, and what the optimizer knows of them twice as much
    assert learn_where_the_disk_is_small(learnable, "sft", out, params, sizes) == 0
    weights = (tmp_path / "whole" / "sft" / "model.safetensors").read_bytes()
    assert (out / "model.safetensors").read_bytes() == weights
