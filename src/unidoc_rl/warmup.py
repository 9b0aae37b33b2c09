"""A rate of learning that rises from the first step on.

The schedules of transformers begin at a rate of 0: their first step, for which episodes are played as for any other,
teaches nothing, and a training of a single step learns nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class Warming:
    """Of a Trainer, before its own class: the schedule that its arguments name, one step ahead."""

    lr_scheduler: Any

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> Any:
        if self.lr_scheduler is None:
            # Made for one step more: one that falls would else come to 0 before the last.
            named = super().create_scheduler(num_training_steps + 1, optimizer)  # type: ignore[misc]
            self.lr_scheduler = LambdaLR(named.optimizer, [partial(_ahead, share) for share in named.lr_lambdas])
        return self.lr_scheduler


def _ahead(share: Callable[[int], float], step: int) -> float:
    return share(step + 1)
