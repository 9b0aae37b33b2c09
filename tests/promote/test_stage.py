"""Promotion, with a real registry: gates, aliases, rollback, twice the same, and two at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from unidoc_rl.errors import UnidocError
from unidoc_rl.mlflow_server import PARENT, opened
from unidoc_rl.params import Params, PromoteParams
from unidoc_rl.promote.gates import gates
from unidoc_rl.promote.registry import Registry
from unidoc_rl.promote.stage import Promotion, promote, roll_back

PARAMS = Params()
NAME = PARAMS.promote.name


def evaluated(values: Mapping[str, float], void: int = 0, kind: str = "lookup", seconds: float = 1.0) -> dict[str, Any]:
    accuracy = {"value": sum(values.values()) / len(values), "low": 0, "high": 1, "count": len(values)}
    rows = {uid: {"value": value, "kind": kind} for uid, value in values.items()}
    return {"accuracy": accuracy, "void": void, "figures": {"seconds": {"value": seconds}}, "rows": rows}


def right(count: int, of: int = 40) -> dict[str, float]:
    return {f"q{n}": float(n < count) for n in range(of)}


def failed(own: dict[str, Any], champion: dict[str, Any] | None, params: PromoteParams) -> list[str]:
    return [gate.name for gate in gates(own, champion, params) if not gate.passed]


def test_each_gate_holds_back_what_it_is_for() -> None:
    params = PromoteParams(minimum=0.5, seconds=2)
    assert failed(evaluated(right(20)), None, params) == []
    assert failed(evaluated(right(19)), None, params) == ["minimum"]
    assert failed(evaluated(right(20), void=5), None, params) == ["void"]
    assert failed(evaluated(right(20), seconds=2.1), None, params) == ["seconds"]
    assert failed(evaluated(right(40)), evaluated(right(20)), params) == []
    assert failed(evaluated(right(21)), evaluated(right(20)), params) == ["gain"]
    assert failed(evaluated(right(25)), evaluated(right(40)), params) == ["gain", "kind lookup"]
    others = evaluated({f"x{n}": 1.0 for n in range(9)})
    assert failed(evaluated(right(40)), others, params) == ["gain"]


def policy(folder: Path, name: str, values: Mapping[str, float]) -> tuple[Path, Path]:
    """A policy's folder (of which nothing is ever loaded) and its evaluation's."""
    place, measured = folder / name / "grpo", folder / name / "evaluation"
    place.mkdir(parents=True)
    measured.mkdir()
    (place / "model.safetensors").write_bytes(name.encode())
    (measured / "evaluation.json").write_text(json.dumps({"grpo": evaluated(values), "sft": evaluated(values)}))
    return place, measured


def promoted(folder: Path, name: str, values: Mapping[str, float]) -> Promotion:
    place, measured = policy(folder, name, values)
    return promote(place, measured, folder / name / "promotion", PARAMS)


@pytest.mark.slow
def test_from_the_first_champion_to_the_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIDOC_RUN", "tuesday")
    first = promoted(tmp_path, "first", right(10))
    assert (first.version, first.promoted, first.champion) == ("1", True, "1")
    again = promote(tmp_path / "first/grpo", tmp_path / "first/evaluation", tmp_path / "again", PARAMS)
    assert (again.version, again.promoted) == ("1", True)
    better = promoted(tmp_path, "better", right(30))
    assert (better.version, better.champion) == ("2", "2")
    worse = promoted(tmp_path, "worse", right(31))
    assert (worse.version, worse.promoted, worse.champion) == ("3", False, "2")
    registry = Registry(NAME, None)
    assert [str(one.version) for alias in ("champion", "previous") if (one := registry.alias(alias))] == ["2", "1"]
    assert json.loads((tmp_path / "worse/promotion/promotion.json").read_text())["promoted"] is False
    client, experiment = opened(None)
    last, *_, whole = client.search_runs([experiment], order_by=["attributes.start_time DESC"])
    assert (last.info.run_name, last.data.tags[PARENT]) == ("promote", whole.info.run_id)
    assert last.data.metrics == {"promoted": 0, "version": 3} == whole.data.metrics
    assert {one.dataset.name for one in last.inputs.dataset_inputs} == {"policy", "evaluation"}
    assert [file.path for file in client.list_artifacts(last.info.run_id)] == ["promotion.json"]
    assert roll_back(PARAMS) == ("1", "2")
    assert [str(one.version) for alias in ("champion", "previous") if (one := registry.alias(alias))] == ["1", "2"]
    champion = registry.alias("champion")
    assert champion is not None
    assert registry.evaluation(champion)["grpo"]["rows"]["q0"]["value"] == 1


@pytest.mark.slow
def test_of_two_at_once_one_waits_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    registry = Registry(NAME, None)
    place, measured = policy(tmp_path, "second", right(10))
    with registry.held(), pytest.raises(UnidocError, match="another promotion has been at work for 0 s"):
        promote(place, measured, tmp_path / "out", PARAMS)
    assert promote(place, measured, tmp_path / "out", PARAMS).promoted


@pytest.mark.slow
def test_without_a_previous_champion_there_is_no_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    promoted(tmp_path, "only", right(10))
    with pytest.raises(UnidocError, match="has no previous champion"):
        roll_back(PARAMS)


@pytest.mark.slow
def test_an_evaluation_of_another_policy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place, measured = policy(tmp_path, "one", right(10))
    (measured / "evaluation.json").write_text(json.dumps({"other": {}}))
    with pytest.raises(UnidocError, match="is about other, not about grpo"):
        promote(place, measured, tmp_path / "out", PARAMS)


@pytest.mark.slow
def test_the_command_says_which_gate_and_exits_with_four(tmp_path: Path) -> None:
    place, measured = policy(tmp_path, "weak", right(10))
    command: list[str | Path] = [Path(sys.executable).with_name("unidoc"), "promote", place, "--evaluation", measured]
    command += ["--out", tmp_path / "promotion", "--set", "promote.minimum=0.5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "FAILED  minimum: accuracy 25.0%; asked for 50.0%" in done.stdout
    assert "version 1 is a candidate; champion is none" in done.stdout
