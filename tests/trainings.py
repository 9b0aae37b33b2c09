"""Trainings of a second or two, in processes of their own, which can be made to die where it hurts most."""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import multiprocessing.process
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.agent.models import RIGHT, write_policy
from tests.agent.world import QUESTION, World, played
from unidoc_rl import questions, spread, watching
from unidoc_rl.agent import trajectories
from unidoc_rl.params import AgentParams, Params

AGENT = AgentParams(turns=2, turn_tokens=16, max_pixels=6 * 28 * 28, min_pixels=28 * 28)
TURNS = (
    "<think>a</think><search>bees</search>",
    "<select>0</select>",
    "<information>a</information><answer>b</answer>",
)
PROCESSES = multiprocessing.get_context("forkserver")  # what takes long to import is imported once
STAGES = ("unidoc_rl.sft.stage", "unidoc_rl.grpo.stage")
PROCESSES.set_forkserver_preload(["tests.trainings", *STAGES, "mlflow.store.tracking.sqlalchemy_store", "peft"])


@dataclass(frozen=True, slots=True)
class Learnable:
    """What a training needs, on a disk."""

    corpus: Path
    index: Path
    model: Path
    folder: Path  # of the files to learn from

    def params(self, **sections: dict[str, Any]) -> Params:
        return Params.model_validate({"agent": AGENT, **sections})

    def learn(self, stage: str, out: Path, params: Params) -> dict[str, float]:
        """In the folder of `out`, where MLflow's database is then, too."""
        from unidoc_rl.grpo.stage import grpo
        from unidoc_rl.sft.stage import sft

        os.chdir(out.parent)
        if stage == "sft":
            begun = params.sft.model_copy(update={"model": str(self.model)})
            return sft(self.folder / "sft.jsonl", self.corpus, out, params.model_copy(update={"sft": begun}))
        learned, validation = self.folder / "rl.jsonl", self.folder / "validation.json"
        return grpo(learned, validation, self.corpus, str(self.index), self.model, out, params)


def make(folder: Path) -> Learnable:
    world = World(folder / "world")
    episodes = [played(world.environment(AGENT), *TURNS[start:]).trajectory("scripted") for start in range(3)]
    trajectories.write(folder / "sft.jsonl", [replace(one, sample=at) for at, one in enumerate(episodes)])
    kinds = ("lookup", "chart", "lookup", "lookup", "chart")
    asked = [replace(QUESTION, uid=f"q{n}", query=f"What do {n} bees make?", kind=kind) for n, kind in enumerate(kinds)]
    questions.write(folder / "rl.jsonl", asked[:3])
    questions.write(folder / "validation.json", asked[3:])
    model = write_policy(folder / "model", AGENT, "qwen2_5_vl", RIGHT)
    return Learnable(world.corpus, world.folder, model, folder)


def learn(learnable: Learnable, stage: str, out: Path, params: Params, dies: tuple[str, int] | None = None) -> int:
    """The exit code. `dies`: where the process kills itself, and which time that it gets there."""
    out.parent.mkdir(exist_ok=True)
    process = PROCESSES.Process(target=_learn, args=(learnable, stage, out, params, dies))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _learn(learnable: Learnable, stage: str, out: Path, params: Params, dies: tuple[str, int] | None) -> None:
    gc.freeze()  # what was imported is not looked through again
    watching.SENT_EVERY = 2
    if dies:
        deadly(*dies)
    learnable.learn(stage, out, params)


def learn_where_the_disk_is_small(learnable: Learnable, stage: str, out: Path, params: Params, sizes: list[str]) -> int:
    """The exit code of a process whose disk is too small in all its attempts but the last."""
    out.parent.mkdir()
    process = PROCESSES.Process(target=_learn_where_it_is_small, args=(learnable, stage, out, params, sizes))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _learn_where_it_is_small(learnable: Learnable, stage: str, out: Path, params: Params, sizes: list[str]) -> None:
    disk = out.parent / "disk"
    disk.mkdir()
    *small, enough = sizes
    for attempt, size in enumerate(small):
        _mount(disk, size, again=attempt > 0)
        with pytest.raises(OSError, match="No space left on device"):
            learnable.learn(stage, disk / stage, params)
        assert not (disk / stage).exists()
    _mount(disk, enough, again=True)
    learnable.learn(stage, disk / stage, params)
    shutil.copytree(disk / stage, out)  # out of the name space in which the disk is


def _mount(folder: Path, size: str, again: bool) -> None:
    """A disk in memory, in a name space of this process's own."""
    libc, new_user, new_mounts, remount = ctypes.CDLL(None, use_errno=True), 0x10000000, 0x20000, 0x20
    if not again:
        me = {"uid_map": f"0 {os.getuid()} 1", "gid_map": f"0 {os.getgid()} 1"}
        if libc.unshare(new_user | new_mounts):
            raise OSError(ctypes.get_errno(), "unshare")
        for file, text in {"setgroups": "deny", **me}.items():
            Path("/proc/self", file).write_text(text)
    if libc.mount(b"none", bytes(folder), b"tmpfs", remount if again else 0, f"size={size}".encode()):
        raise OSError(ctypes.get_errno(), "mount")


def deadly(place: str, time: int) -> None:
    """From now on, whoever gets there for so manieth time dies at once."""
    from transformers import Trainer

    owner, name, before = {
        "in a step": (Trainer, "training_step", False),
        "between steps": (Trainer, "_maybe_log_save_evaluate", True),
        "while a checkpoint is written": (Trainer, "_save_rng_state", True),
        "before a checkpoint is marked": (Trainer, "_save_checkpoint", False),
        "after the last step": (spread, "save", True),
    }[place]
    real: Callable[..., Any] = getattr(owner, name)
    left = time

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        made = None if left == 0 and before else real(*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    setattr(owner, name, dying)


def serve(index: Path, port: int) -> multiprocessing.process.BaseProcess:
    """The search service of an index."""
    process = PROCESSES.Process(target=_serve, args=(index, port))
    process.start()
    return process


def _serve(index: Path, port: int) -> None:
    from unidoc_rl.index import service
    from unidoc_rl.index.search import Index

    service.serve(lambda: Index(index), str(index), port=port)


def told(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """All that the one run in MLflow was told, but for what a clock says."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / '.mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("unidoc-rl")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    clocks = ("train_", "seconds/")
    names = [name for name in run.data.metrics if not name.startswith(clocks) and "time" not in name]
    return {name: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)] for name in names}


def marks(out: Path, stage: str) -> Any:
    return json.loads((out / f"{stage}.json").read_text())["marks"]


def learn_together(
    learnable: Learnable, stage: str, out: Path, params: Params, dies: tuple[str, int] | None = None
) -> bool:
    """By two processes, as torchrun starts them: anew, where one of them has died. Whether it had to be."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    out.parent.mkdir(exist_ok=True)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        max_restarts=1,
        run_id=stage,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        start_method="forkserver",
    )
    elastic_launch(config, _learn_ranked)(learnable, stage, out, params, dies)
    return _begun_anew(out).exists()


def _learn_ranked(learnable: Learnable, stage: str, out: Path, params: Params, dies: tuple[str, int] | None) -> None:
    rank, restarts = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
    if restarts != "0":
        _begun_anew(out).touch()
    _learn(learnable, stage, out, params, dies if (rank, restarts) == ("1", "0") else None)


def _begun_anew(out: Path) -> Path:
    return out.parent.with_name(f"{out.parent.name} begun anew")
