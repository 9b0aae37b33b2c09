"""Two processes learn what one learns; where one of them is lost, both begin anew at the last checkpoint."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.grpo.vllm_server import NEVER_DRAWN, Served, gaps
from tests.test_checkpoints import GRPO, SFT
from tests.trainings import Learnable, learn, learn_together, marks, told

LONGER = {"sft": SFT["sft"] | {"epochs": 4.0}}  # four steps of two each


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "sections"), [("sft", LONGER), ("grpo", GRPO)])
def test_a_rank_that_is_lost_changes_nothing(
    learnable: Learnable, tmp_path: Path, stage: str, sections: dict[str, Any]
) -> None:
    params = learnable.params(**sections)
    whole, killed = tmp_path / "whole" / stage, tmp_path / "killed" / stage
    assert not learn_together(learnable, stage, whole, params)
    assert (whole / "model.safetensors").read_bytes() != (learnable.model / "model.safetensors").read_bytes()
    assert learn_together(learnable, stage, killed, params, dies=("in a step", 5))  # the checkpoint is of the second
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert marks(killed, stage) == marks(whole, stage)
    assert told(killed.parent) == told(whole.parent)
    assert sorted(path.name for path in killed.parent.iterdir()) == [".mlflow", stage]


@pytest.mark.slow
def test_two_do_not_go_on_with_what_one_has_begun(learnable: Learnable, tmp_path: Path) -> None:
    """A step of theirs learns from twice as much: they would leave half of it out."""
    params = learnable.params(**LONGER)
    whole, begun = tmp_path / "whole" / "sft", tmp_path / "begun" / "sft"
    learn_together(learnable, "sft", whole, params)
    assert learn(learnable, "sft", begun, params, ("between steps", 3)) == -signal.SIGKILL
    learn_together(learnable, "sft", begun, params)
    assert (begun / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_two_that_a_server_plays_for_hand_over_what_both_have_learned(
    learnable: Learnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    out = tmp_path / "whole" / "grpo"
    with Served(learnable.model).running() as served:
        params = learnable.params(**{**GRPO, "grpo": {**GRPO["grpo"], "server": served.url}})
        learn_together(learnable, "grpo", out, params)
    assert [version.split("-")[0] for version in served.versions[1:]] == ["0", "1", "2", "3", "4"]
    assert len(gaps(out)) == 4
    assert max(gaps(out)) < NEVER_DRAWN
