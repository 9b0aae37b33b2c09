"""One name for each thing, in one order: commands, parameters, stages of dvc.yaml, components, tasks."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from unidoc_rl import params
from unidoc_rl.cli import cli

REPOSITORY = Path(__file__).parents[1]
DVC: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
STAGES: dict[str, Any] = DVC["stages"]
NOT_STAGES = {"ask", "doctor", "export", "nano", "search", "serve-index", "status", "view"}
SHARED = {"agent", "rewards", "services"}  # sections of params.yaml that several stages read


def test_dvc_stages_parameters_commands_and_components_have_the_same_names() -> None:
    stages = list(STAGES)
    assert [name for name in params.Params.model_fields if name not in SHARED] == stages
    assert [name for name in cli.commands if name not in NOT_STAGES] == stages
    assert {path.parent.name for path in REPOSITORY.glob("components/*/component.py")} == set(stages)
    for name, stage in STAGES.items():
        assert stage["params"][0] == name
        assert {*stage["params"][1:]} <= SHARED


def test_the_pipelines_have_a_task_for_each_stage_in_the_same_order() -> None:
    demo, own = _tasks("unidoc-rl-demo.yaml"), _tasks("unidoc-rl.yaml")
    assert demo == list(STAGES)
    assert own == ["documents", "questions", *[name for name in STAGES if name != "sample"]]


def _tasks(file: str) -> list[str]:
    """The names of a compiled pipeline's tasks, each after those that it depends on."""
    text = (REPOSITORY / "pipelines" / file).read_text()
    tasks = next(yaml.safe_load_all(text))["root"]["dag"]["tasks"]
    ordered: list[str] = []
    while len(ordered) < len(tasks):
        ordered += [
            key for key, task in tasks.items() if key not in ordered and {*task.get("dependentTasks", [])} <= {*ordered}
        ]
    return [tasks[key]["taskInfo"]["name"] for key in ordered]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_of_dvc_is_a_command_that_names_its_folders(name: str) -> None:
    stage = STAGES[name]
    program, command, *arguments = shlex.split(stage["cmd"])
    assert (program, command) == ("unidoc", name)
    cli.commands[name].make_context(name, list(arguments), parent=click.Context(cli))  # an unknown option raises
    folders = [dep for dep in stage["deps"] if not dep.startswith("src/")]
    folders += [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]
    assert [folder for folder in folders if folder not in arguments] == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_of_dvc_depends_on_its_code(name: str) -> None:
    code = [dep for dep in STAGES[name]["deps"] if dep.startswith("src/")]
    assert f"src/unidoc_rl/{name}" in code
    assert [path for path in code if not (REPOSITORY / path).exists()] == []


def test_params_yaml_holds_every_key_with_its_default_in_order() -> None:
    written = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    defaults = json.loads(params.Params().to_json())
    assert json.dumps(written) == json.dumps(defaults)


@pytest.mark.slow
def test_dvc_runs_the_stages_once_and_again_only_after_a_change(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    skip = shutil.ignore_patterns("__pycache__", "tmp", "cache")
    for folder in ("src", ".dvc"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=skip)
    for file in (".dvcignore", "dvc.yaml"):
        shutil.copy(REPOSITORY / file, copy)
    small: dict[str, dict[str, Any]] = {
        "sample": {"documents": 10, "seed": 3},
        "ingest": {"dpi": 60, "ocr": False, "layout": False},
        "index": {"retrievers": ["bm25"]},
    }
    (copy / "params.yaml").write_text(yaml.safe_dump(small))
    (copy / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")

    first = _repro(copy)
    assert "Running stage 'sample'" in first
    assert "Running stage 'ingest'" in first
    assert (copy / "artifacts" / "corpus" / "pages.parquet").is_file()
    assert "Running stage" not in _repro(copy)

    (copy / "params.yaml").write_text(yaml.safe_dump({**small, "ingest": {**small["ingest"], "dpi": 72}}))
    again = _repro(copy)
    assert "Running stage 'sample'" not in again
    assert "Running stage 'ingest'" in again
    assert "Running stage 'index'" in again


def _repro(folder: Path) -> str:
    binaries = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
    }
    command = [str(binaries / "dvc"), "repro", "index"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
