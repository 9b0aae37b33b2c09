"""What a Trainer learns at, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from unidoc_rl.warmup import Warming

RATE = 0.5


class _Short(Warming, Trainer):
    pass


class _One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        return {"loss": (self.weight * x).sum()}


def _rates(steps: int, warmup: float, kind: str, folder: Path) -> list[float]:
    args = TrainingArguments(
        str(folder),
        max_steps=steps,
        learning_rate=RATE,
        lr_scheduler_type=kind,
        warmup_steps=warmup,
        per_device_train_batch_size=1,
        logging_steps=1,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
    )
    trainer = _Short(_One(), args, train_dataset=[{"x": torch.ones(1)}] * steps)
    trainer.train()
    return [one["learning_rate"] for one in trainer.state.log_history if "learning_rate" in one]


def test_the_first_of_a_few_steps_teaches(tmp_path: Path) -> None:
    rates = _rates(8, 0.285, "constant_with_warmup", tmp_path)
    assert rates == pytest.approx([RATE / 3, RATE * 2 / 3] + [RATE] * 6)


def test_a_rate_that_falls_ends_above_nothing(tmp_path: Path) -> None:
    rates = _rates(10, 0.1, "cosine", tmp_path)
    highest = rates.index(max(rates))
    assert rates[0] > 0
    assert max(rates) == pytest.approx(RATE)
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
    assert 0 < rates[-1] < RATE / 10


def test_a_single_step_teaches(tmp_path: Path) -> None:
    assert _rates(1, 0.285, "constant_with_warmup", tmp_path) == [RATE]
