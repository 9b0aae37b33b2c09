"""Checkpoints of a trainer of transformers: a run that was killed goes on from the last that is whole.

A checkpoint is many files, written by all processes of a training; its mark is written once all of them are there, and
removed before any of them is. What has no mark is no checkpoint.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list, is_peft_model
from safetensors import SafetensorError
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from unidoc_rl import storage
from unidoc_rl.pretrained import whole_model

MARK = "whole.json"  # holds what else the run must know to go on
PROBE = 1 << 20  # bytes


class Resuming:
    """Of a Trainer, before its own class: training that goes on."""

    args: Any
    accelerator: Any
    state: Any
    model: Any
    is_deepspeed_enabled: bool

    def go_on(self) -> None:
        """From the last whole checkpoint, or from the beginning, to the end."""
        folder = Path(self.args.output_dir)
        if self.args.should_save:
            forget([one for one in found(folder) if not (one / MARK).exists()])
        begun = broadcast_object_list([last(folder)])[0]  # a disk of the network may tell each process something else
        if begun is not None:
            self.take_up(json.loads((begun / MARK).read_text()))
            self.args.eval_on_start = False  # that was done
        self.train(resume_from_checkpoint=str(begun) if begun else None)  # type: ignore[attr-defined]

    def carried(self) -> Mapping[str, Any]:
        """What else a run that goes on has to know."""
        return {}

    def take_up(self, carried: Mapping[str, Any]) -> None:
        """Goes on with what another run has carried so far."""

    def _run_epoch(self, **how: Any) -> None:
        """A run that was killed behind its last step has no other one to do; Trainer would do one more."""
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(**how)  # type: ignore[misc]

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        """Under the names that weights have in memory: Trainer takes those in a file for the same, and goes on with
        none of them where transformers has renamed them, as in models of the Qwen-VL family."""
        if is_peft_model(self.model):
            super()._load_from_checkpoint(checkpoint, model)  # type: ignore[misc]
        else:
            saved = whole_model(type(self.model), Path(checkpoint), self.model.dtype)
            self.model.load_state_dict(saved.state_dict())

    def _load_best_model(self) -> None:
        if self.is_deepspeed_enabled or is_peft_model(self.model):
            super()._load_best_model()  # type: ignore[misc]
        else:
            self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self.args.output_dir)
        with a_full_disk_told(folder):
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            made = folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            best = self.state.best_model_checkpoint
            with storage.replacing(made / MARK) as mark:
                mark.write_text(json.dumps(self.carried()))
            forget([one for one in found(folder) if one not in (made, best and Path(best))])


def found(folder: Path) -> list[Path]:
    """Checkpoints, whole or not."""
    return list(folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"))


def last(folder: Path) -> Path | None:
    """The last whole one."""
    whole = [one for one in found(folder) if (one / MARK).exists()]
    return max(whole, key=lambda one: int(one.name.rpartition("-")[2]), default=None)


def forget(checkpoints: Iterable[Path]) -> None:
    for one in checkpoints:
        (one / MARK).unlink(missing_ok=True)
        shutil.rmtree(one)


@contextmanager
def a_full_disk_told(folder: Path) -> Iterator[None]:
    """An error of torch or safetensors in which a full disk is not said is the OSError that it stands for."""
    try:
        yield
    except (RuntimeError, SafetensorError):
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE))
        raise
