"""`unidoc pipeline ...`, as it is typed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.pipelines import checkout
from tests.pipelines.kfp_server import Kfp
from unidoc_rl.cli import cli
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import of_a_run

REPOSITORY = Path(__file__).parents[2]
OWN = ["--documents", "s3://bucket/reports", "--questions", "s3://bucket/questions"]


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kfp]:
    for name in ("KFP_TOKEN", "KFP_COOKIE", "KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    # Code that is not committed has no version, and whoever works on the tests has some.
    monkeypatch.setattr("pipelines.version.CHECKOUT", checkout.make(tmp_path / "checkout"))
    with Kfp().running() as running:
        yield running


def pipeline(kfp: Kfp, *arguments: str) -> Result:
    settings = ["--params", str(REPOSITORY / "params.yaml"), "--set", f"services.kfp={kfp.url}"]
    settings += ["--set", "services.mlflow=http://mlflow:5000"]
    return CliRunner().invoke(cli, ["pipeline", *arguments, *settings])


def test_a_run_is_submitted_and_told_of(kfp: Kfp) -> None:
    kfp.states = [
        {"state": "RUNNING", "run_details": {"task_details": [{"display_name": "ingest", "state": "RUNNING"}]}},
        {"state": "SUCCEEDED"},
    ]
    first = pipeline(kfp, "submit", *OWN, "--set", "sft.epochs=3")
    assert first.exit_code == 0, first.output
    (run,), (version,) = kfp.runs, kfp.versions
    assert f"unidoc-rl: version {version['name']} uploaded" in first.output
    assert f"run {run['run_id']}: {kfp.url}/#/runs/details/{run['run_id']}" in first.output
    parameters = version["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    assert '"sft":{"epochs":3.0}' in parameters["params"]["defaultValue"]
    told = pipeline(kfp, "status", run["run_id"]).output
    assert "running    ingest" in told
    again = pipeline(kfp, "submit", *OWN, "--set", "sft.epochs=3", "--wait")
    assert again.exit_code == 0, again.output
    assert "is there already" in again.output
    assert "has succeeded" in again.output
    listed = pipeline(kfp, "versions", "--set", "sft.epochs=3").output
    assert f"{version['name']}  (this one)" in listed
    assert "has not been submitted yet" in pipeline(kfp, "versions").output


def test_versions_are_listed_to_whoever_has_none_of_their_own(kfp: Kfp, tmp_path: Path) -> None:
    assert pipeline(kfp, "submit", "--demo").exit_code == 0
    (tmp_path / "checkout/src/code.py").write_text("two")
    assert isinstance(pipeline(kfp, "submit", "--demo").exception, UnidocError)
    listed = pipeline(kfp, "versions")
    assert listed.exit_code == 0
    assert kfp.versions[0]["name"] in listed.output
    assert "(this one)" not in listed.output
    assert "src/code.py is not committed" in listed.output


def test_the_demonstration_needs_no_documents(kfp: Kfp) -> None:
    assert pipeline(kfp, "submit", "--demo").exit_code == 0
    assert kfp.pipelines[0]["display_name"] == "unidoc-rl-demo"
    assert kfp.runs[0]["runtime_config"]["parameters"] == {}


def test_model_and_profile_are_a_run_s_and_not_another_version(kfp: Kfp) -> None:
    assert pipeline(kfp, "submit", *OWN).exit_code == 0
    done = pipeline(kfp, "submit", *OWN, "--model", "Qwen/Qwen2.5-VL-3B-Instruct", "--profile", "paper")
    assert "is there already" in done.output
    given = {"model": "Qwen/Qwen2.5-VL-3B-Instruct", "profile": "paper"}
    assert kfp.runs[1]["runtime_config"]["parameters"].items() >= given.items()
    assert isinstance(pipeline(kfp, "submit", *OWN, "--profile", "papers").exception, UnidocError)
    assert len(kfp.runs) == 2


def test_what_is_set_comes_to_the_run_over_its_profile_though_it_is_the_default(kfp: Kfp) -> None:
    for more in ([], ["--set", "sft.deepspeed=none", "--set", "grpo.group=4"]):
        assert pipeline(kfp, "submit", "--demo", "--profile", "paper", *more).exit_code == 0
    runs = []
    for version, run in zip(kfp.versions, kfp.runs, strict=True):
        defaults = version["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
        given = {name: one["defaultValue"] for name, one in defaults.items()} | run["runtime_config"]["parameters"]
        runs.append(of_a_run(given["params"], given["model"], given["profile"]))
    assert [(run.sft.deepspeed, run.grpo.group, run.grpo.deepspeed) for run in runs] == [
        ("zero3", 5, "zero3"),
        ("none", 4, "zero3"),
    ]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED"])
def test_waiting_for_a_run_that_does_not_succeed_is_an_error(kfp: Kfp, state: str) -> None:
    kfp.states = [{"state": state}]
    assert isinstance(pipeline(kfp, "submit", "--demo", "--wait").exception, UnidocError)
    assert isinstance(pipeline(kfp, "status", kfp.runs[0]["run_id"], "--wait").exception, UnidocError)


@pytest.mark.parametrize("arguments", [[], OWN[:2], ["--demo", *OWN]])
@pytest.mark.parametrize("command", ["submit", "run-local"])
def test_what_goes_in_is_either_one_s_own_or_the_demonstration(
    kfp: Kfp, command: str, arguments: list[str], tmp_path: Path
) -> None:
    done = pipeline(kfp, command, *arguments)
    assert done.exit_code == 2
    assert "name --documents and --questions; or --demo alone" in done.output
    assert kfp.pipelines == []


def test_compiling_writes_a_file_for_each_pipeline(kfp: Kfp, tmp_path: Path) -> None:
    done = pipeline(kfp, "compile", "--out", str(tmp_path / "new"), "--set", "pipeline.registry=registry/team")
    assert done.output.split() == [str(tmp_path / "new" / f"{name}.yaml") for name in ("unidoc-rl", "unidoc-rl-demo")]
    for file in done.output.split():
        assert "image: registry/team/unidoc-rl-cpu:" in Path(file).read_text()
        assert len([*yaml.safe_load_all(Path(file).read_text())]) == 2


def test_without_a_checkout_it_says_what_is_missing(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.path = [path for path in sys.path if path not in ('', {str(REPOSITORY)!r})]\n"
        "sys.argv = ['unidoc', 'pipeline', 'submit', '--demo']\n"
        "from unidoc_rl.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("unidoc: pipelines is not there: pipelines are defined in the repository; get it")
