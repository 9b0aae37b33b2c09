"""A pretraining that was killed ends as one that was not, and tells MLflow once what it learned."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from tests.nano.pretraining import SEED, STAGES
from unidoc_rl.cli import cli
from unidoc_rl.errors import UnidocError
from unidoc_rl.nano.curves import draw
from unidoc_rl.nano.learner import Marks, rate
from unidoc_rl.nano.pretrain import pretrain

SCRIPT = Path(__file__).with_name("pretraining.py")


def started(out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, SCRIPT, out], cwd=out.parent)


def test_the_rate_rises_and_falls_to_little() -> None:
    stage = STAGES[0]
    long = type(stage)("long", {}, 1000, 1, 2e-3, 0)
    rates = [rate(long, step) for step in range(1000)]
    assert max(rates) == pytest.approx(2e-3, rel=1e-3)
    assert rates[0] < 1e-4
    assert rates[-1] < 2.1e-4
    assert rates.index(max(rates)) < 120


def test_curves_are_drawn_of_every_task(tmp_path: Path) -> None:
    marks = [
        {
            **dict.fromkeys(Marks.__slots__),
            "stage": stage.name,
            "step": step,
            "task": task,
            "letters": 0.5,
            "said": None if task == "spelling" else 0.2,
        }
        for stage in STAGES
        for step in range(stage.steps)
        for task in stage.tasks
    ]
    draw(marks, STAGES, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_killed_and_run_again_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole" / "nano", tmp_path / "killed" / "nano"
    for out in (whole, killed):
        out.parent.mkdir()
    assert started(whole).wait() == 0
    run = started(killed)
    saved = killed.parent / ".nano.work" / f"state-{SEED}.pt"
    while reached(saved) < (1, 2):
        with suppress(subprocess.TimeoutExpired):
            run.wait(0.02)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert not killed.exists()
    assert started(killed).wait() == 0
    assert (whole / "model.safetensors").read_bytes() == (killed / "model.safetensors").read_bytes()
    undisturbed, resumed = told(whole.parent), told(killed.parent)
    assert resumed == undisturbed
    assert sorted(step for task in resumed.values() for step in task) == list(range(sum(s.steps for s in STAGES)))
    assert f"--seed {SEED}" in (killed / "README.md").read_text()


@pytest.mark.slow
def test_a_state_of_other_stages_or_learners_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "nano"
    saved = tmp_path / ".nano.work" / f"state-{SEED}.pt"
    broken, cores = [*STAGES[:1], replace(STAGES[1], rate=math.nan)], len(os.sched_getaffinity(0))
    with pytest.raises(UnidocError, match="lower its rate"):
        pretrain(out, SEED, None, broken, saved_every=2)
    with pytest.raises(UnidocError, match=re.escape(f"{saved}: was saved by a version that has other stages")):
        pretrain(out, SEED, None, STAGES, saved_every=2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(cores + 1)})
    with pytest.raises(UnidocError, match=f"or by other than {cores + 1} learners "):
        pretrain(out, SEED, None, broken, saved_every=2)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_whose_worlds_could_be_asked_for_is_refused(tmp_path: Path, seed: int) -> None:
    done = CliRunner().invoke(cli, ["nano", "pretrain", "--out", str(tmp_path / "nano"), "--seed", str(seed)])
    assert done.exit_code == 2
    assert "--seed" in done.output
    assert not (tmp_path / "nano").exists()


def reached(saved: Path) -> tuple[int, int]:
    """The stage and the step that are saved."""
    if not saved.exists():
        return 0, 0
    state = torch.load(saved, weights_only=True)["state"]
    return state["stage"], state["step"]


def told(folder: Path) -> dict[str, dict[int, float]]:
    """The losses by task and step in the one run that is there."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / '.mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("unidoc-rl")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert "curves.png" in {file.path for file in client.list_artifacts(run.info.run_id)}
    found = {}
    for task in ("spelling", "transcribing", "rows", "locating"):
        rows = client.get_metric_history(run.info.run_id, f"{task}/loss")
        assert len({row.step for row in rows}) == len(rows)
        found[task] = {row.step: row.value for row in rows}
    return found
