"""How a training went, by what its trainer told."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import Trainer, TrainingArguments

from unidoc_rl.watching import course, last_marks


def test_the_best_is_one_that_was_learned_and_of_other_figures_the_last_counts(tmp_path: Path) -> None:
    trainer = Trainer(torch.nn.Linear(1, 1), TrainingArguments(str(tmp_path)))
    trainer.state.log_history = [
        {"step": 0, "eval_accuracy": 0.9},  # what it began with
        {"step": 1, "reward": 0.1, "reward/answer": 0.2, "kl": 0.0},
        {"step": 2, "reward": 0.3, "kl": 0.01},
        {"step": 2, "eval_accuracy": 0.4},
        {"step": 3, "reward": 0.2, "loss": 0.5},
        {"step": 3, "eval_accuracy": 0.25},
    ]
    assert course(trainer, "eval_accuracy") == {
        "eval_accuracy_first": 0.9,
        "eval_accuracy_best": 0.4,
        "eval_accuracy_last": 0.25,
    }
    assert last_marks(trainer, ("reward", "kl")) == {"reward": 0.2, "reward/answer": 0.2, "kl": 0.01}
