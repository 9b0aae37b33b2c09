"""A trainer of transformers, watched as our own long work is: a progress bar, and its figures in MLflow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import is_peft_model
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from unidoc_rl import progress, tracking, waited
from unidoc_rl.errors import UnidocError
from unidoc_rl.provenance import Known

SENT_EVERY = 20  # rows of figures
LARGE = 1_000_000_000  # weights, of a model for which the defaults of params.yaml are not meant
HIGH = 0.00002  # a rate, for one


def watch(
    trainer: Trainer,
    what: str,
    run: tracking.Run | None,
    params: Mapping[str, Any],
    inputs: Mapping[str, str | Path | Known],
) -> None:
    """`run`: None in all processes of a training but the first. `inputs`: what is learned from, by names."""
    trainer.remove_callback(PrinterCallback)
    if run is not None:
        run.params(params)
        run.inputs(inputs)
        trainer.add_callback(_Watch(what, run))
        _tell_of_a_high_rate(trainer, what)


def _tell_of_a_high_rate(trainer: Trainer, what: str) -> None:
    """Low-rank changes want a high one."""
    model: Any = trainer.model
    weights, rate = model.num_parameters(), trainer.args.learning_rate
    if weights >= LARGE and rate > HIGH and not is_peft_model(model):
        progress.tell(
            f"{what}: a rate of {rate:g} may ruin a model of {weights / 1e9:.1f} B weights: params.yaml names its own"
        )


def last_marks(trainer: Trainer, kinds: tuple[str, ...]) -> dict[str, float]:
    """Of all figures whose names begin so, the last that was told of each."""
    rows = trainer.state.log_history
    return {name: float(value) for row in rows for name, value in row.items() if name.startswith(kinds)}


def course(trainer: Trainer, name: str) -> dict[str, float]:
    """Of a figure that is told now and then: before the first step, the best of the checkpoints, and the last."""
    first, *told = [float(row[name]) for row in trainer.state.log_history if name in row]
    return {f"{name}_first": first, f"{name}_best": max(told), f"{name}_last": told[-1]}


def finite(what: str, value: Tensor | float | None, stage: str, step: int, of: Iterable[str]) -> None:
    """Stops before what is no number is learned from and saved, and says what to do about it.

    None: DeepSpeed has not told it.
    """
    if value is not None and not math.isfinite(value):
        raise UnidocError(
            f"{stage}: step {step}: the {what} is {float(value)}, of the questions {', '.join(of)}; lower {stage}.rate "
            "and run again, which begins anew"
        )


class _Watch(TrainerCallback):
    """Whoever was killed how often, MLflow is told each figure once: of whole steps, and of none that it knows."""

    def __init__(self, what: str, run: tracking.Run) -> None:
        self._what = what
        self._run = run
        self._known = -1  # the last step of which MLflow has been told
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._bar: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self._bar = progress.bar(state.max_steps, self._what, "step", done=state.global_step).__enter__()
        self._known = self._run.last_step()
        for row in state.log_history:  # of a checkpoint: its last may have been told to nobody
            self._note(int(row["step"]), {name: value for name, value in row.items() if name != "step"})

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if len(self._rows) >= SENT_EVERY:
            self._send()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        waited.check()
        self._bar.update()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: object,
    ) -> None:
        self._note(state.global_step, logs or {})

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self._send()
        self._bar.__exit__(None, None, None)

    def _note(self, step: int, told: dict[str, Any]) -> None:
        if step > self._known:
            figures = {name: float(value) for name, value in told.items() if isinstance(value, (int, float))}
            self._rows.append((step, figures))

    def _send(self) -> None:
        self._run.metrics(self._rows)
        self._rows = []
