"""One name for each thing, in one order: commands, parameters, stages of dvc.yaml, components, tasks."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.agent.chat import Chat
from tests.conftest import Bucket
from tests.curate import stub
from tests.small import Small
from unidoc_rl import params, questions
from unidoc_rl.cli import cli
from unidoc_rl.tracking import RUNS
from unidoc_rl.trained import note

REPOSITORY = Path(__file__).parents[1]
DVC: dict[str, Any] = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
STAGES: dict[str, Any] = DVC["stages"]
NOT_STAGES = {
    "ask", "doctor", "export", "learn", "nano", "pipeline", "search", "serve-index", "status", "track", "view",
}  # fmt: skip
SHARED = {"agent", "pipeline", "rewards", "services"}  # sections of params.yaml that are of no one stage
PACKAGE = REPOSITORY / "src" / "unidoc_rl"
# What stores, waits, shares out and tells, and what has no logic: a change of it makes no other result.
BESIDE = {
    "cores.py", "errors.py", "keys.py", "many.py", "mlflow_server.py", "params.py", "plots.py", "plural.py",
    "processes.py", "progress.py", "promote", "provenance.py", "retry.py", "s3.py", "shards.py", "storage.py",
    "tracking.py", "trained.py", "types.py", "waited.py", "watching.py", "webpage.py",
}  # fmt: skip
AROUND = {"prerequisites", "report"}  # tasks of the pipelines, before and after the stages


def test_dvc_stages_parameters_commands_and_components_have_the_same_names() -> None:
    stages = list(STAGES)
    assert [name for name in params.Params.model_fields if name not in SHARED] == stages
    assert [name for name in cli.commands if name not in NOT_STAGES] == stages
    components = {path.parent.name for path in REPOSITORY.glob("components/*/component.py")}
    assert components == {*stages, *AROUND}
    for name, stage in STAGES.items():
        assert stage["params"][0] == name
        assert {*stage["params"][1:]} <= SHARED


def test_the_pipelines_have_a_task_for_each_stage_in_the_same_order() -> None:
    demo, own = _tasks("unidoc-rl-demo.yaml"), _tasks("unidoc-rl.yaml")
    assert demo == ["prerequisites", *STAGES]
    assert own == ["documents", "questions", "prerequisites", *[name for name in STAGES if name != "sample"]]


def _tasks(file: str) -> list[str]:
    """The names of a compiled pipeline's tasks, each after those that it depends on."""
    text = (REPOSITORY / "pipelines" / file).read_text()
    tasks = next(yaml.safe_load_all(text))["components"]["comp-exit-handler-1"]["dag"]["tasks"]
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
    assert [folder for folder in folders if folder not in arguments and folder != f"{RUNS}/{name}"] == []


def test_every_stage_has_a_run_that_dvc_keeps_with_what_it_has_made() -> None:
    assert [name for name, stage in STAGES.items() if f"{RUNS}/{name}" not in stage["outs"]] == []


def test_a_stage_takes_from_the_same_stages_in_dvc_and_in_the_pipeline() -> None:
    makes = {
        (one if isinstance(one, str) else next(iter(one))): name for name in STAGES for one in STAGES[name]["outs"]
    }
    makes |= dict.fromkeys(("${documents}", "${questions}"), "sample")
    text = (REPOSITORY / "pipelines" / "unidoc-rl-demo.yaml").read_text()
    tasks = next(yaml.safe_load_all(text))["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    for name, stage in STAGES.items():
        files = [dep for dep in stage["deps"] if not dep.startswith("src/")]
        wanted = {maker for made, maker in makes.items() for file in files if f"{file}/".startswith(f"{made}/")}
        given = tasks[name].get("inputs", {}).get("artifacts", {}).values()
        assert {one["taskOutputArtifact"]["producerTask"] for one in given} == wanted, name


def test_dvc_plots_how_the_policies_have_learned(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    wanted = {"sft": ("loss", 0.5), "grpo": ("reward", 0.25)}
    for stage, (figure, value) in wanted.items():
        folder = tmp_path / "artifacts" / stage
        folder.mkdir(parents=True)
        history = [{"step": 1, figure: value}, {"step": 1, "train_runtime": 2.0}]
        note(folder, stage, params.Params(), {}, begun_with="nano", history=history)
    _dvc(tmp_path, "init", "--no-scm", "--quiet")
    plotted = json.loads(_dvc(tmp_path, "plots", "show", "--json"))["data"]
    for stage, (figure, value) in wanted.items():
        (drawn,) = plotted[f"artifacts/{stage}/curve.csv"]
        (point,) = drawn["content"]["data"]["values"]
        assert (point["step"], point[figure]) == ("1", str(value))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_of_dvc_depends_on_its_code(name: str) -> None:
    code = [dep for dep in STAGES[name]["deps"] if dep.startswith("src/")]
    assert f"src/unidoc_rl/{name}" in code
    assert [path for path in code if not (REPOSITORY / path).exists()] == []
    assert {f"src/unidoc_rl/{one}" for one in _reached(name) - BESIDE} - {*code} == set()


def _reached(stage: str) -> set[str]:
    """The modules and folders of the package that its code imports; of a folder, what is imported of it does too."""
    left, seen = [*(PACKAGE / stage).glob("*.py")], set[Path]()
    while left:
        file = left.pop()
        if file not in seen:
            seen.add(file)
            left += _imports(file) if file.parent != PACKAGE else ()
    return {file.relative_to(PACKAGE).parts[0] for file in seen}


def _imports(file: Path) -> Iterator[Path]:
    """Without constants, such as the name of a file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            place = PACKAGE.parent.joinpath(*node.module.split("."))
            for one in (place / alias.name for alias in node.names if not alias.name.isupper()):
                ways = (one.with_suffix(".py"), one / "__init__.py", place.with_suffix(".py"), place / "__init__.py")
                yield next(way for way in ways if way.exists())


def test_params_yaml_holds_every_key_with_its_default_in_order() -> None:
    written = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    defaults = params.Params().model_dump()
    assert json.dumps(written) == json.dumps(defaults)


@pytest.mark.slow
def test_dvc_runs_the_stages_once_and_again_only_after_a_change_here_or_elsewhere(
    tmp_path: Path, bucket: Bucket
) -> None:
    here = _checkout(tmp_path / "here")
    first = _repro(here)
    assert "Running stage 'sample'" in first
    assert "Running stage 'ingest'" in first
    assert (here / "artifacts" / "corpus" / "pages.parquet").is_file()
    assert "Running stage" not in _repro(here)

    (here / "params.yaml").write_text(yaml.safe_dump({**SMALL, "ingest": {**SMALL["ingest"], "dpi": 72}}))
    again = _repro(here)
    assert "Running stage 'sample'" not in again
    assert "Running stage 'ingest'" in again
    assert "Running stage 'index'" in again

    made = ("sample", "ingest", "index")
    _dvc(here, "remote", "add", "--default", "team", f"{bucket.uri}/dvc")
    _dvc(here, "push", *made)
    _git(here, "add", "--all")
    _git(here, "commit", "--quiet", "--message", "made")
    there = tmp_path / "there"
    _git(tmp_path, "clone", "--quiet", str(here), str(there))
    assert not (there / "artifacts").exists()
    _dvc(there, "pull", *made)
    assert _content(there / "artifacts") == _content(here / "artifacts")
    assert "Running stage" not in _repro(there)


@pytest.mark.slow
def test_dvc_has_a_teacher_write_what_a_folder_of_questions_has_not(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("UNIDOC_CACHE", str(tmp_path / "cache"))
    with_regions = stub.with_regions(small.corpus, tmp_path / "regions", small.asked())
    here = tmp_path / "here"
    shutil.copytree(with_regions, here / "artifacts" / "corpus")
    shutil.copytree(small.index, here / "artifacts" / "index")
    (here / "mine").mkdir()
    ours = [dep for dep in STAGES["curate"]["deps"] if not dep.startswith("src/")]
    stages = {"curate": STAGES["curate"] | {"deps": ours}}
    (here / "dvc.yaml").write_text(yaml.safe_dump({"vars": [{"questions": "mine"}], "stages": stages}))
    with Chat(stub.Stub(with_regions, small.asked())).running() as chat:
        settings = params.Params.model_validate({"curate": {"teacher": chat.url, "questions": 30}})
        (here / "params.yaml").write_text(yaml.safe_dump(settings.model_dump()))
        _dvc(here, "init", "--no-scm", "--quiet")
        assert "Running stage 'curate'" in _dvc(here, "repro")
        assert "Running stage" not in _dvc(here, "repro")
    made = here / "artifacts" / "trajectories"
    assert all(questions.read(made / f"{name}.json") for name in ("questions", "validation", "test"))
    assert (made / "sft.jsonl").stat().st_size


SMALL: dict[str, dict[str, Any]] = {
    "sample": {"documents": 10, "seed": 3},
    "ingest": {"dpi": 60, "ocr": False, "layout": False},
    "index": {"retrievers": ["bm25"]},
}


def _checkout(folder: Path) -> Path:
    """A repository with our code, our stages and small parameters."""
    skip = shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
    for name in ("src", ".dvc"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=skip)
    for name in (".dvcignore", ".gitignore", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(SMALL))
    _git(folder, "init", "--quiet")
    return folder


def _content(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _git(folder: Path, *arguments: str) -> None:
    named = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True)


def _repro(folder: Path) -> str:
    return _dvc(folder, "repro", "index")


def _dvc(folder: Path, *arguments: str) -> str:
    binaries = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
    }
    command = [str(binaries / "dvc"), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
