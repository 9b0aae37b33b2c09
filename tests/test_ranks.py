"""Two processes learn what one learns; where one of them is lost, both begin anew at the last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.test_checkpoints import GRPO, SFT
from tests.trainings import Learnable, learn_together, marks, told


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "sections"), [("sft", SFT), ("grpo", GRPO)])
def test_a_rank_that_is_lost_changes_nothing(
    learnable: Learnable, tmp_path: Path, stage: str, sections: dict[str, Any]
) -> None:
    params = learnable.params(**sections)
    whole, killed = tmp_path / "whole" / stage, tmp_path / "killed" / stage
    learn_together(learnable, stage, whole, params)
    learn_together(learnable, stage, killed, params, dies=("in a step", 5))
    assert (killed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert marks(killed, stage) == marks(whole, stage)
    assert told(killed.parent) == told(whole.parent)
    assert sorted(path.name for path in killed.parent.iterdir()) == [".mlflow", stage]
