"""Promotion, with a real registry: gates, aliases, rollback, twice the same, and two at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from tests.servers import closed_port
from unidoc_rl import cli
from unidoc_rl.errors import UnidocError
from unidoc_rl.mlflow_server import PARENT, opened
from unidoc_rl.params import Params, PromoteParams, ServiceParams
from unidoc_rl.promote.gates import FEWEST, gates
from unidoc_rl.promote.registry import STALE_SECONDS, Registry
from unidoc_rl.promote.stage import Promotion, promote, roll_back
from unidoc_rl.provenance import identity

PARAMS = Params()
NAME = PARAMS.promote.name
PLAYED = {"questions": "q", "corpus": "c", "index": "i", "judge": "rules"}


def evaluated(values: Mapping[str, float], void: int = 0, kind: str = "lookup", seconds: float = 1.0) -> dict[str, Any]:
    accuracy = {"value": sum(values.values()) / len(values), "low": 0, "high": 1, "count": len(values)}
    rows = {uid: {"value": value, "kind": kind} for uid, value in values.items()}
    figures = {"seconds": {"value": seconds}}
    return {"accuracy": accuracy, "void": void, "figures": figures, "rows": rows, "inputs": dict(PLAYED)}


def of(place: Path) -> dict[str, Any]:
    """What an evaluation says it was made from."""
    return {"inputs": {"policy": identity(place), **PLAYED}}


def right(count: int, of: int = 40) -> dict[str, float]:
    return {f"q{n}": float(n < count) for n in range(of)}


def failed(own: dict[str, Any], champion: dict[str, Any] | None, params: PromoteParams) -> list[str]:
    return [gate.name for gate in gates(own, champion, params) if not gate.passed]


def test_each_gate_holds_back_what_it_is_for() -> None:
    params = PromoteParams(minimum=0.5, seconds=2)
    assert failed(evaluated(right(20)), None, params) == []
    assert failed(evaluated(right(19)), None, params) == ["minimum"]
    assert failed(evaluated(right(20), void=2), None, params) == []
    assert failed(evaluated(right(20), void=5), None, params) == ["void"]
    assert failed(evaluated(right(20), seconds=2.1), None, params) == ["seconds"]
    assert failed(evaluated(right(40)), evaluated(right(20)), params) == []
    assert failed(evaluated(right(21)), evaluated(right(20)), params) == ["gain"]
    assert failed(evaluated(right(25)), evaluated(right(40)), params) == ["gain", "kind lookup"]
    few = {f"q{n}": float(n >= FEWEST - 1) for n in range(40)}
    kinds = evaluated(few)
    for uid in few:
        kinds["rows"][uid]["kind"] = "lookup" if few[uid] else "chart"
    assert failed(kinds, evaluated(right(20)), params) == []  # too few charts to say that it has forgotten them
    *_, chart, _ = gates(kinds, evaluated(right(20)), params)
    assert (chart.name, chart.said[:6]) == ("kind chart", "-100.0")
    of_few = f"on {FEWEST - 1} questions; may be 10.0 points worse; of fewer than {FEWEST}, nothing can be said"
    assert chart.said.endswith(of_few)
    others = evaluated({f"x{n}": 1.0 for n in range(9)})
    assert failed(evaluated(right(40)), others, params) == ["gain"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["questions"], "other questions"),
        (["corpus", "index"], "other documents, another index"),
        (["index"], "another index"),
        (["judge"], "another judge"),
    ],
)
def test_questions_of_the_same_uids_are_not_compared_where_they_are_others(changed: list[str], told: str) -> None:
    champion = evaluated(right(20))
    champion["inputs"] |= dict.fromkeys(changed, "other")
    (gain,) = [gate for gate in gates(evaluated(right(40)), champion, PARAMS.promote) if not gate.passed]
    said = f"the champion was evaluated with {told}; evaluate with --beside champion, which plays the same"
    assert (gain.name, gain.said) == ("gain", said)


def test_an_evaluation_that_names_no_judge_is_compared() -> None:
    named, unnamed = evaluated(right(40)), evaluated(right(20))
    del unnamed["inputs"]["judge"]
    assert failed(named, unnamed, PARAMS.promote) == []
    assert failed(unnamed, named, PARAMS.promote) == ["gain", "kind lookup"]


@pytest.mark.slow
def test_equals_are_rarely_promoted() -> None:
    rng = np.random.default_rng(3)
    promoted = 0
    for _ in range(1000):
        hard = rng.random(80)  # what both have in common
        first, second = ((hard + rng.normal(0, 0.3, 80) < 0.6).astype(float) for _ in range(2))
        own, champion = (evaluated({f"q{n}": float(one) for n, one in enumerate(values)}) for values in (second, first))
        promoted += not failed(own, champion, PromoteParams(worse=1.0))
    assert promoted <= 50


def policy(folder: Path, name: str, values: Mapping[str, float]) -> tuple[Path, Path]:
    """A policy's folder (of which nothing is ever loaded) and its evaluation's."""
    place, measured = folder / name / "grpo", folder / name / "evaluation"
    place.mkdir(parents=True)
    measured.mkdir()
    (place / "model.safetensors").write_bytes(name.encode())
    (place / "README.md").write_text(f"# {name}")
    table = {"grpo": evaluated(values) | of(place), "sft": evaluated(values)}
    (measured / "evaluation.json").write_text(json.dumps(table))
    return place, measured


def promoted(folder: Path, name: str, values: Mapping[str, float], params: Params = PARAMS) -> Promotion:
    place, measured = policy(folder, name, values)
    return promote(place, measured, folder / name / "promotion", params)


@pytest.mark.slow
def test_from_the_first_champion_to_the_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIDOC_RUN", "tuesday")
    first = promoted(tmp_path, "first", right(10))
    assert (first.version, first.promoted, first.champion) == ("1", True, "1")
    again = promote(tmp_path / "first/grpo", tmp_path / "first/evaluation", tmp_path / "again", PARAMS)
    assert (again.version, again.promoted) == ("1", True)
    client, experiment = opened(None)
    assert len(client.search_model_versions(f"name = '{NAME}'")) == 1
    assert client.get_registered_model(NAME).aliases == {"champion": 1}
    better = promoted(tmp_path, "better", right(30))
    assert (better.version, better.champion) == ("2", "2")
    worse = promoted(tmp_path, "worse", right(31))
    assert (worse.version, worse.promoted, worse.champion) == ("3", False, "2")
    registry = Registry(NAME, None)
    assert [str(one.version) for alias in ("champion", "previous") if (one := registry.alias(alias))] == ["2", "1"]
    assert json.loads((tmp_path / "worse/promotion/promotion.json").read_text())["promoted"] is False
    last, *_ = client.search_runs([experiment], order_by=["attributes.start_time DESC"])
    whole = client.get_run(last.data.tags[PARENT])
    assert (last.info.run_name, whole.info.run_name) == ("promote", "tuesday")
    assert last.data.metrics == {"promoted": 0, "version": 3} == whole.data.metrics
    assert {one.dataset.name for one in last.inputs.dataset_inputs} == {"policy", "evaluation"}
    assert [file.path for file in client.list_artifacts(last.info.run_id)] == ["promotion.json"]
    done = CliRunner().invoke(cli.cli, ["promote", "--rollback"])
    assert done.stdout == f"{NAME}: version 1 is champion again, instead of version 2\n"
    assert [str(one.version) for alias in ("champion", "previous") if (one := registry.alias(alias))] == ["1", "2"]
    champion = registry.alias("champion")
    assert champion is not None
    assert registry.evaluation(champion)["grpo"]["rows"]["q0"]["value"] == 1
    assert champion.description == "25.0% right [0.0%, 100.0%] of 40 questions\n\n# first"
    told = {"data.questions": "q", "data.corpus": "c", "data.index": "i", "policy": identity(tmp_path / "first/grpo")}
    assert told.items() <= champion.tags.items()
    assert len(champion.tags["commit"]) >= 12


@pytest.mark.slow
def test_it_is_compared_with_the_champion_that_played_the_same_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody could follow a champion whose questions are not asked any more."""
    monkeypatch.chdir(tmp_path)
    promoted(tmp_path, "first", right(10))
    place, measured = policy(tmp_path, "second", right(1))

    def asked_anew(champion: Path) -> Promotion:
        before, now = ({f"x{n}": value for n in range(40)} for value in (0.0, 1.0))
        table = {"grpo": evaluated(now) | of(place), "champion": evaluated(before) | of(champion)}
        (measured / "evaluation.json").write_text(json.dumps(table))
        return promote(place, measured, tmp_path / "out", PARAMS)

    stranger = asked_anew(place)
    assert [gate.said for gate in stranger.gates if not gate.passed] == [
        "the champion was evaluated with other questions; evaluate with --beside champion, which plays the same"
    ]
    made = asked_anew(tmp_path / "first/grpo")
    assert (made.promoted, made.champion) == (True, made.version)


@pytest.mark.slow
def test_a_champion_that_stood_beside_another_is_known_by_its_own_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`evaluate grpo --beside sft`, and sft is promoted: now from where it is stored, now beside its follower."""
    monkeypatch.chdir(tmp_path)
    grpo, measured = policy(tmp_path, "first", right(40))
    sft = grpo.with_name("sft")
    sft.mkdir()
    (sft / "model.safetensors").write_bytes(b"sft")
    both = {"grpo": evaluated(right(40)) | of(grpo), "rag": evaluated(right(40)) | of(grpo)}
    (measured / "evaluation.json").write_text(json.dumps(both | {"sft": evaluated(right(10)) | of(sft)}))
    assert promote(sft, measured, tmp_path / "out", PARAMS).champion == "1"
    strict = Params(promote=PromoteParams(minimum=1.0))  # so that sft stays the champion
    place, asked = policy(tmp_path, "second", right(20))

    def gain() -> str:
        return next(gate.said for gate in promote(place, asked, tmp_path / "out", strict).gates if gate.name == "gain")

    assert gain().startswith("+25.0 points")
    (asked / "evaluation.json").write_text(
        json.dumps({"grpo": evaluated(right(20)) | of(place), "sft": evaluated(right(12)) | of(sft)})
    )
    assert gain().startswith("+20.0 points")


@pytest.mark.slow
def test_the_champion_evaluated_again_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = promoted(tmp_path, "first", right(30))
    place, measured = tmp_path / "first/grpo", tmp_path / "first/evaluation"
    (measured / "evaluation.json").write_text(json.dumps({"grpo": evaluated(right(29), seconds=2) | of(place)}))
    assert promote(place, measured, tmp_path / "out", PARAMS).gates[0].said == "accuracy 72.5%; asked for 0.0%"
    client, _ = opened(None)
    assert [one.version for one in client.search_model_versions(f"name = '{NAME}'")] == [int(first.version)]
    (place / "model.safetensors").write_bytes(b"learned on")
    with pytest.raises(UnidocError, match=r"evaluation\.json: is about grpo as it was, and .*/first/grpo has changed"):
        promote(place, measured, tmp_path / "out", PARAMS)


@pytest.mark.slow
def test_of_two_at_once_one_waits_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    registry = Registry(NAME, None)
    place, measured = policy(tmp_path, "second", right(10))
    with registry.held(), pytest.raises(UnidocError, match=r"another promotion has been at work for \d+ s"):
        promote(place, measured, tmp_path / "out", PARAMS)
    assert registry.alias("champion") is None
    made = promote(place, measured, tmp_path / "out", PARAMS)
    assert (made.promoted, made.version) == (True, "1")  # it was a candidate already
    client, _ = opened(None)
    killed = f"{time.time() - STALE_SECONDS}"
    client.create_registered_model(f"{NAME}.promoting", description=killed)
    assert promote(place, measured, tmp_path / "out", PARAMS).promoted
    assert [one.name for one in client.search_registered_models()] == [NAME]


@pytest.mark.slow
def test_without_a_previous_champion_there_is_no_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    promoted(tmp_path, "only", right(10))
    with pytest.raises(UnidocError, match="has no previous champion"):
        roll_back(PARAMS)


def test_a_registry_that_is_away_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    place, measured = policy(tmp_path, "one", right(10))
    with closed_port() as port:
        address = f"http://127.0.0.1:{port}"
        away = Params(services=ServiceParams(mlflow=address))
        told = rf"services\.mlflow: MLflow at {address} cannot be asked \(.*start it, or name its address"
        with pytest.raises(UnidocError, match=told):
            promote(place, measured, tmp_path / "out", away)
        with pytest.raises(UnidocError, match=told):
            roll_back(away)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_evaluation_of_another_policy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place, measured = policy(tmp_path, "one", right(10))
    (measured / "evaluation.json").write_text(json.dumps({"other": {}}))
    with pytest.raises(UnidocError, match="is about other, not about grpo"):
        promote(place, measured, tmp_path / "out", PARAMS)


@pytest.mark.slow
def test_another_team_s_model_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place, measured = policy(tmp_path, "one", right(10))
    client, _ = opened(None)
    client.create_registered_model(NAME)
    theirs = client.create_model_version(NAME, str(place))
    client.set_registered_model_alias(NAME, "champion", theirs.version)
    with pytest.raises(UnidocError, match=r"document-agent: version 1, whose alias is champion, was not registered by"):
        promote(place, measured, tmp_path / "out", PARAMS)


@pytest.mark.parametrize("name", ["agent-v1.2", "team/agent", "joe's agent", ""])
def test_a_name_that_mlflow_does_not_take_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValidationError, match=r"promote\.name"):
        Params.model_validate({"promote": {"name": name}})


@pytest.mark.slow
def test_the_command_says_which_gate_and_exits_with_four(tmp_path: Path) -> None:
    place, measured = policy(tmp_path, "weak", right(10))
    command: list[str | Path] = [Path(sys.executable).with_name("unidoc"), "promote", place, "--evaluation", measured]
    command += ["--out", tmp_path / "promotion", "--set", "promote.minimum=0.5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "FAILED  minimum: accuracy 25.0%; asked for 50.0%" in done.stdout
    assert "version 1 is a candidate; champion is none" in done.stdout
