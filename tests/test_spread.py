"""What a training does to the process that it runs in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from tests.test_checkpoints import GRPO, SFT
from tests.trainings import Learnable
from unidoc_rl import spread


def smallest() -> float:
    return float(torch.tensor(1e-30) * 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "sections"), [("sft", SFT), ("grpo", GRPO)])
def test_no_time_is_lost_with_numbers_that_are_nearly_zero_and_others_have_them_again(
    learnable: Learnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, sections: dict[str, Any]
) -> None:
    seen: list[float] = []
    step = Trainer.training_step

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(smallest())
        return step(*args, **kwargs)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trainer, "training_step", watched)
    learnable.learn(stage, tmp_path / stage, learnable.params(**sections))
    assert set(seen) == {0.0}
    assert smallest() > 0


def test_who_has_none_of_them_before_has_none_after() -> None:
    with spread.nearly_zero_is_zero():
        with spread.nearly_zero_is_zero():
            assert smallest() == 0
        assert smallest() == 0
    assert smallest() > 0
