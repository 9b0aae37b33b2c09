"""`unidoc nano pretrain`: the nano model from nothing, stage by stage.

On CPUs each core is a learner, which makes its own share of every batch; their gradients are averaged. On a GPU there
is one learner, for which the cores make batches. Killed at any moment, it goes on from what it saved last, with the
batches that it would have seen; these are of as many learners, and others are refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessRaisedException, spawn
from torch.utils.data import DataLoader
from transformers import Qwen2_5_VLForConditionalGeneration

from unidoc_rl import progress, storage, tracking
from unidoc_rl.cores import cores
from unidoc_rl.errors import UnidocError
from unidoc_rl.nano import card, curves, model
from unidoc_rl.nano.batches import Batch, Batches, Share
from unidoc_rl.nano.learner import Learner, Marks, optimizer, rate
from unidoc_rl.nano.recipe import STAGES, Stage
from unidoc_rl.processes import end_with_parent
from unidoc_rl.spread import nearly_zero_is_zero, quick_in_bfloat16

CURVES = "curves.png"
SAVED_EVERY = 100  # steps
CLIP = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What all learners know."""

    work: Path  # survives a kill
    seed: int
    stages: Sequence[Stage]
    learners: int
    mlflow: str | None
    saved_every: int

    @property
    def state(self) -> Path:
        return self.work / f"state-{self.seed}.pt"


@dataclass(slots=True)
class _State:
    """How far a run has come."""

    stage: int = 0
    step: int = 0  # of the stage
    seconds: float = 0  # of learning
    marks: list[dict[str, Any]] = field(default_factory=list)


def pretrain(
    out: Path, seed: int, mlflow: str | None, stages: Sequence[Stage] = STAGES, saved_every: int = SAVED_EVERY
) -> None:
    """Writes the folder of a policy, with the curves of its learning."""
    learners = 1 if torch.cuda.is_available() else cores()
    with storage.writing(out, card.MADE, CURVES) as output:
        plan = Plan(output.work, seed, stages, learners, mlflow, saved_every)
        _learn_together(plan)
        learner, tokenizer = _new(plan)
        work = _Work(plan, 0, learner)
        work.resume()
        nano = learner.whole().to(torch.bfloat16)  # half as much to carry; it is as good
        model.save(nano, tokenizer, output.new)
        curves.draw(work.state.marks, stages, output.new / CURVES)
        card.note_making(output.new, seed, work.state.seconds, stages, nano)


def _learn_together(plan: Plan) -> None:
    """Until all is learned; what a learner says of an error, for a person, is said here."""
    meeting = plan.work / "meeting"  # a file in which the learners find each other
    meeting.unlink(missing_ok=True)
    try:
        spawn(_learn, (plan, meeting), plan.learners)  # type: ignore[no-untyped-call]
    except ProcessRaisedException as error:
        _, known, told = str(error).rpartition(f"{UnidocError.__name__}: ")
        if not known:
            raise
        raise UnidocError(told.strip()) from error


def _new(plan: Plan) -> tuple[Learner, Any]:
    torch.manual_seed(plan.seed)
    tokenizer = model.make_tokenizer(model.PROTOCOL)
    return Learner(Qwen2_5_VLForConditionalGeneration(model.configuration(tokenizer))), tokenizer


@nearly_zero_is_zero()
def _learn(rank: int, plan: Plan, meeting: Path) -> None:
    """One learner, all stages; the first of them notes and saves."""
    end_with_parent()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=plan.learners)
    work = _Work(plan, rank, _new(plan)[0])
    work.resume()
    distributed.barrier()  # nobody saves before everybody has read
    if rank:
        work.learn(None)
    else:
        with tracking.run("nano pretrain", plan.mlflow, plan.work / "run") as run:
            run.params({"seed": plan.seed, **{f"{stage.name}.steps": stage.steps for stage in plan.stages}})
            work.learn(run)
    distributed.destroy_process_group()


class _Work:
    """The model, its optimizer, and how far they have come."""

    def __init__(self, plan: Plan, rank: int, learner: Learner) -> None:
        self.state = _State()
        self._plan = plan
        self._rank = rank
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._learner = learner.to(self._device)
        self._optimizer = optimizer(learner)
        self._bfloat16 = quick_in_bfloat16()

    def resume(self) -> None:
        if self._plan.state.exists():
            saved = torch.load(self._plan.state, weights_only=True, map_location=self._device)
            if saved.get("of") != self._of():
                raise UnidocError(
                    f"{self._plan.state}: was saved by a version that has other stages or weights, or by other than "
                    f"{self._plan.learners} learners (one a core, or one on a GPU); finish it as it was begun, "
                    "or delete it to begin anew"
                )
            self.state = _State(**saved["state"])
            self._learner.load_state_dict(saved["learner"])
            self._optimizer.load_state_dict(saved["optimizer"])

    def learn(self, run: tracking.Run | None) -> None:
        """The rest of all stages; the learner that has the run notes and saves."""
        while self.state.stage < len(self._plan.stages):
            stage = self._plan.stages[self.state.stage]
            steps = self._stage(stage)
            if run is None:
                for _ in steps:
                    pass
            else:
                self._noted(stage, steps, run)
            self.state.stage, self.state.step = self.state.stage + 1, 0
            self._optimizer = optimizer(self._learner)
            if run is not None:
                self._save()
                curves.draw(self.state.marks, self._plan.stages, self._plan.work / CURVES)
                run.file(self._plan.work / CURVES)

    def _noted(self, stage: Stage, steps: Iterator[None], run: tracking.Run) -> None:
        sent = len(self.state.marks)
        with progress.bar(stage.steps, stage.name, "step", done=self.state.step) as bar:
            for _ in steps:
                if self.state.step % self._plan.saved_every == 0 or self.state.step == stage.steps:
                    run.metrics([(mark["total"], _figures(mark)) for mark in self.state.marks[sent:]])
                    sent = len(self.state.marks)
                    self._save()
                bar.update()

    def _stage(self, stage: Stage) -> Iterator[None]:
        """The rest of a stage, step by step."""
        self._learner.model.model.visual.requires_grad_(not stage.frozen)
        for batch in self._batches(stage):
            start = time.monotonic()
            marks = self._step(stage, batch.on(self._device))
            self.state.seconds += time.monotonic() - start
            self.state.marks.append(_mark(stage, self.state, batch.task, marks))
            self.state.step += 1
            yield

    def _batches(self, stage: Stage) -> Iterator[Batch]:
        makers = max(1, cores() - 1) if torch.cuda.is_available() else 0
        share = Share(self._rank, self._plan.learners)
        loader: DataLoader[Batch] = DataLoader(
            Batches(stage, self._plan.seed, self.state.step, share),
            batch_size=None,
            num_workers=makers,
            prefetch_factor=4 if makers else None,
        )
        yield from loader

    def _step(self, stage: Stage, batch: Batch) -> Marks:
        for group in self._optimizer.param_groups:
            group["lr"] = rate(stage, self.state.step)
        marks: Marks
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            loss, marks = self._learner(batch)
        if not math.isfinite(marks.loss):
            raise UnidocError(f"stage {stage.name}, step {self.state.step}: the loss is {marks.loss}; lower its rate")
        loss.backward()
        self._average()
        torch.nn.utils.clip_grad_norm_(self._learner.parameters(), CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return marks

    def _average(self) -> None:
        """The gradients of all learners; all of them have the same task, and so gradients of the same weights."""
        gradients = [weight.grad for weight in self._learner.parameters() if weight.grad is not None]
        flat = torch.cat([gradient.view(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self._plan.learners
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _save(self) -> None:
        state = {name: getattr(self.state, name) for name in _State.__slots__}
        learner, chosen = self._learner.state_dict(), self._optimizer.state_dict()
        with storage.replacing(self._plan.state) as new:
            torch.save({"of": self._of(), "state": state, "learner": learner, "optimizer": chosen}, new)

    def _of(self) -> Mapping[str, Any]:
        """What a state serves, and no other."""
        shapes = {name: list(weight.shape) for name, weight in self._learner.state_dict().items()}
        stages = [asdict(stage) for stage in self._plan.stages]
        return {"stages": stages, "weights": shapes, "learners": self._plan.learners}


def _mark(stage: Stage, state: _State, task: str, marks: Marks) -> dict[str, Any]:
    at = {"stage": stage.name, "step": state.step, "total": len(state.marks), "task": task}
    return at | {name: None if math.isnan(one) else round(one, 4) for name, one in asdict(marks).items()}


def _figures(mark: Mapping[str, Any]) -> dict[str, float]:
    return {f"{mark['task']}/{key}": mark[key] for key in Marks.__slots__ if mark[key] is not None}
