"""`unidoc nano pretrain`: the nano model from nothing, stage by stage.

Killed at any moment, it goes on from what it saved last, with the batches that it would have seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Qwen2_5_VLForConditionalGeneration

from unidoc_rl import progress, storage, tracking
from unidoc_rl.errors import UnidocError
from unidoc_rl.nano import card, curves, model
from unidoc_rl.nano.batches import Batch, Batches
from unidoc_rl.nano.learner import Learner, Marks, optimizer, rate
from unidoc_rl.nano.recipe import STAGES, Stage

CURVES = "curves.png"
SAVED_EVERY = 100  # steps
CLIP = 1.0


@dataclass(slots=True)
class _State:
    """How far a run has come."""

    stage: int = 0
    step: int = 0  # of the stage
    seconds: float = 0  # of learning
    marks: list[dict[str, Any]] = field(default_factory=list)


def pretrain(out: Path, seed: int, mlflow: str | None, stages: Sequence[Stage] = STAGES) -> None:
    """Writes the folder of a policy, with the curves of its learning."""
    with storage.writing(out, marker=card.MADE) as output:
        torch.manual_seed(seed)
        tokenizer = model.make_tokenizer(model.PROTOCOL)
        learner = Learner(Qwen2_5_VLForConditionalGeneration(model.configuration(tokenizer)))
        work = _Work(learner, seed, output.work)
        work.resume()
        with tracking.run("nano pretrain", mlflow, output.work / "run") as run:
            run.params({"seed": seed, **{f"{stage.name}.steps": stage.steps for stage in stages}})
            while work.state.stage < len(stages):
                work.learn(stages[work.state.stage], run)
                curves.draw(work.state.marks, stages, output.new / CURVES)
                run.file(output.new / CURVES)
        model.save(learner.model, tokenizer, output.new)
        card.note_making(output.new, seed, work.state.seconds, stages, learner.model)


class _Work:
    """The model, its optimizer, and how far they have come."""

    def __init__(self, learner: Learner, seed: int, work: Path) -> None:
        self.state = _State()
        self._learner = learner
        self._optimizer = optimizer(learner)
        self._seed = seed
        self._saved = work / f"state-{seed}.pt"

    def resume(self) -> None:
        if self._saved.exists():
            saved = torch.load(self._saved, weights_only=True)
            self.state = _State(**saved["state"])
            self._learner.load_state_dict(saved["learner"])
            self._optimizer.load_state_dict(saved["optimizer"])

    def learn(self, stage: Stage, run: tracking.Run) -> None:
        """The rest of a stage."""
        sent = len(self.state.marks)
        with progress.bar(stage.steps, stage.name, "step", done=self.state.step) as bar:
            for batch in _batches(stage, self._seed, self.state.step):
                start = time.monotonic()
                marks = self._step(stage, batch)
                self.state.seconds += time.monotonic() - start
                self._note(stage, batch, marks)
                self.state.step += 1
                if self.state.step % SAVED_EVERY == 0 or self.state.step == stage.steps:
                    run.metrics([(mark["total"], _figures(mark)) for mark in self.state.marks[sent:]])
                    sent = len(self.state.marks)
                    self._save()
                bar.update()
        self.state.stage, self.state.step = self.state.stage + 1, 0
        self._optimizer = optimizer(self._learner)
        self._save()

    def _step(self, stage: Stage, batch: Batch) -> Marks:
        for group in self._optimizer.param_groups:
            group["lr"] = rate(stage, self.state.step)
        marks: Marks
        loss, marks = self._learner(batch)
        if not math.isfinite(marks.loss):
            raise UnidocError(f"stage {stage.name}, step {self.state.step}: the loss is {marks.loss}; lower its rate")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._learner.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return marks

    def _note(self, stage: Stage, batch: Batch, marks: Marks) -> None:
        said = None if math.isnan(marks.said) else round(marks.said, 4)
        self.state.marks.append(
            {
                "stage": stage.name,
                "step": self.state.step,
                "total": len(self.state.marks),
                "task": batch.task,
                "loss": round(marks.loss, 4),
                "letters": round(marks.letters, 4),
                "said": said,
            }
        )

    def _save(self) -> None:
        state = {name: getattr(self.state, name) for name in _State.__slots__}
        with storage.replacing(self._saved) as new:
            torch.save(
                {
                    "state": state,
                    "learner": self._learner.state_dict(),
                    "optimizer": self._optimizer.state_dict(),
                },
                new,
            )


def _figures(mark: Mapping[str, Any]) -> dict[str, float]:
    return {f"{mark['task']}/{key}": mark[key] for key in ("loss", "letters", "said") if mark[key] is not None}


def _batches(stage: Stage, seed: int, start: int) -> Iterator[Batch]:
    """Made in a process of their own, a few ahead."""
    loader: DataLoader[Batch] = DataLoader(
        Batches(stage, seed, start), batch_size=None, num_workers=1, prefetch_factor=4
    )
    yield from loader
