"""What a training leaves beside the weights can be read by programs, by people, and by DVC."""

from __future__ import annotations

import json
from pathlib import Path

from unidoc_rl import trained
from unidoc_rl.params import AgentParams, Params


def test_its_figures_are_noted_drawn_and_told(tmp_path: Path) -> None:
    history = [{"step": 1, "reward": 0.1, "loss": 5.0}, {"step": 1, "eval_accuracy": 0.0}, {"step": 2, "reward": 0.3}]
    params = Params.model_validate({"grpo": {"steps": 7}})
    trained.note(tmp_path, "grpo", params, {"reward": 0.3, "kl": 0.012345}, "another", history)
    assert trained.marks(tmp_path, "grpo") == {"reward": 0.3, "kl": 0.012345}
    noted = json.loads((tmp_path / "grpo.json").read_text())
    assert (noted["begun_with"], noted["history"]) == ("another", history)
    assert noted["params"] == params.model_dump(include={"grpo", "agent", "rewards"})
    assert (tmp_path / trained.CURVE).read_text().splitlines() == ["step,reward", "1,0.1", "2,0.3"]
    told = (tmp_path / trained.CARD).read_text().splitlines()
    assert {"| kl | 0.01235 |", "| reward | 0.3 |", "| grpo.steps | 7 |"} <= {*told}


def test_of_a_policy_that_says_nothing_of_its_protocol_nothing_is_told(tmp_path: Path) -> None:
    changed = AgentParams(turns=3)
    assert trained.unlike(tmp_path, changed) == []
    trained.note(tmp_path, "sft", Params(), {}, "another", [])
    assert trained.unlike(tmp_path, changed) == ["was trained with agent.turns=10, and here it is 3"]
    noted = json.loads((tmp_path / "sft.json").read_text())
    del noted["params"]["agent"]["turns"]  # of a version that did not know it
    (tmp_path / "sft.json").write_text(json.dumps(noted))
    assert trained.unlike(tmp_path, changed) == []
