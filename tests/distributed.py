"""DeepSpeed on two processes of this machine's CPU: `make test-distributed`, some minutes; no part of `make test`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.grpo.vllm_server import NEVER_DRAWN, Served, gaps
from tests.test_checkpoints import GRPO
from tests.test_ranks import LONGER
from tests.trainings import Learnable, learn_together, marks


@pytest.mark.parametrize(("zero", "death"), [("zero2", ("in a step", 5)), ("zero3", ("after the last step", 1))])
@pytest.mark.parametrize(("stage", "sections"), [("sft", LONGER), ("grpo", GRPO)])
def test_it_learns_goes_on_and_writes_what_ddp_does(
    learnable: Learnable, tmp_path: Path, stage: str, sections: dict[str, Any], zero: str, death: tuple[str, int]
) -> None:
    plain, shared = tmp_path / "plain" / stage, tmp_path / "shared" / stage
    learn_together(learnable, stage, plain, learnable.params(**sections))
    both = sections | {stage: sections[stage] | {"deepspeed": zero}}
    assert learn_together(learnable, stage, shared, learnable.params(**both), dies=death)
    begun, written, expected = (load_file(out / "model.safetensors") for out in (learnable.model, shared, plain))
    assert written.keys() == expected.keys()
    assert any(not weight.equal(begun[name]) for name, weight in expected.items())
    for name, weight in expected.items():  # which may have been computed in bfloat16
        assert (written[name] - weight).norm() <= 0.1 * (weight - begun[name]).norm(), name
    assert marks(shared, stage)["loss" if stage == "sft" else "reward"] == pytest.approx(
        marks(plain, stage)["loss" if stage == "sft" else "reward"], abs=1e-3
    )


def test_of_weights_that_no_process_has_a_server_is_handed_all(
    learnable: Learnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    out = tmp_path / "whole" / "grpo"
    with Served(learnable.model).running() as served:
        shared = {**GRPO, "grpo": {**GRPO["grpo"], "deepspeed": "zero3", "server": served.url}}
        learn_together(learnable, "grpo", out, learnable.params(**shared))
    assert len(gaps(out)) == 4
    assert max(gaps(out)) < NEVER_DRAWN
