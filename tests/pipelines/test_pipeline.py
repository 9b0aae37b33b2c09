"""The Kubeflow pipelines: as committed, and run for real by Kubeflow's local runner."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from kfp import dsl, local

from components.ingest.component import ingest
from components.sample.component import sample
from pipelines import compile as compile_pipelines
from pipelines.pipeline import unidoc_rl, unidoc_rl_demo
from tests.agent.models import write_policy
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams

AGENT = AgentParams(turns=2, turn_tokens=16, min_pixels=28 * 28, max_pixels=20 * 28 * 28)
SMALL: dict[str, dict[str, Any]] = {
    "sample": {"documents": 10, "seed": 3},
    "ingest": {"dpi": 60, "ocr": False, "layout": False},
    "index": {"retrievers": ["bm25"]},
    "curate": {"attempts": 1},
    "sft": {"epochs": 0.1, "batch": 1, "together": 1},
    "grpo": {"steps": 1, "questions": 1, "group": 2, "together": 2},
    "agent": AGENT.model_dump() | {"turns": 10},
}


def as_json(**ingest_changes: int) -> str:
    return json.dumps({**SMALL, "ingest": {**SMALL["ingest"], **ingest_changes}})


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Parameters of a run from end to end, with a model of the real class at a tiny size."""
    model = write_policy(tmp_path_factory.mktemp("model"), AGENT, "qwen2_5_vl")
    return json.dumps({**SMALL, "sft": {**SMALL["sft"], "model": str(model)}})


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten documents, made by the component's own body."""
    folder = tmp_path_factory.mktemp("sample")
    made = {name: dsl.Dataset(uri=str(folder / name)) for name in ("documents", "questions")}
    sample.python_func(params=as_json(), **made)
    assert len(list((folder / "documents").glob("*.pdf"))) == 10
    assert {"train.json", "validation.json", "test.json"} <= {path.name for path in (folder / "questions").iterdir()}
    return folder / "documents"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Kubeflow's local runner, with everything that it writes below one folder."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    root = tmp_path / "root"
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    yield root
    tempfile.tempdir = None


def corpus_in(root: Path) -> Path:
    (corpus,) = root.glob("*/ingest/corpus")
    return corpus


def pages_of(corpus: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(corpus / "pages.parquet").to_pylist()
    assert (corpus / "report.json").is_file()
    return rows


def test_the_committed_files_are_what_the_pipelines_compile_to(tmp_path: Path) -> None:
    names = {file.name for file in compile_pipelines.write(tmp_path)}
    assert names == {file.name for file in compile_pipelines.FOLDER.glob("*.yaml")}, "run `make compile`"
    for name in names:
        committed = _without_versions((compile_pipelines.FOLDER / name).read_text())
        assert _without_versions((tmp_path / name).read_text()) == committed, f"{name} has changed: run `make compile`"


def _without_versions(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.strip().startswith(("sdkVersion:", "image:"))]


def test_nothing_is_installed_when_a_task_starts() -> None:
    for file in compile_pipelines.FOLDER.glob("*.yaml"):
        assert "pip install" not in file.read_text()


def test_new_documents_in_the_same_folder_are_not_taken_for_the_old_ones() -> None:
    def caches(name: str) -> bool:
        spec = next(yaml.safe_load_all((compile_pipelines.FOLDER / name).read_text()))
        return bool(spec["root"]["dag"]["tasks"]["ingest"]["cachingOptions"].get("enableCache"))

    assert not caches("unidoc-rl.yaml")
    assert caches("unidoc-rl-demo.yaml")


@pytest.mark.slow
def test_a_component_fails_if_more_was_left_out_than_allowed(documents: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(next(documents.glob("*.pdf")), mine)
    (mine / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    given = dsl.Dataset(uri=str(mine))
    with pytest.raises(UnidocError, match=r"1 files left out, ingest.may_leave_out is 0: see report.json"):
        ingest.python_func(documents=given, params=as_json(), corpus=dsl.Dataset(uri=str(tmp_path / "strict")))
    corpus = dsl.Dataset(uri=str(tmp_path / "lenient"))
    ingest.python_func(documents=given, params=as_json(may_leave_out=1), corpus=corpus)
    assert len({page["document"] for page in pages_of(Path(corpus.path))}) == 1


def champion_in(root: Path) -> dict[str, Any]:
    (promotion,) = root.glob("*/promote/promotion/promotion.json")
    made: dict[str, Any] = json.loads(promotion.read_text())
    return made


@pytest.mark.slow
def test_the_demonstration_world_becomes_a_champion(
    runner: Path, everything: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    unidoc_rl_demo(params=everything)
    assert len({page["document"] for page in pages_of(corpus_in(runner))}) == 10
    assert champion_in(runner)["champion"] == "1"
    (report,) = runner.glob("*/evaluate/report")
    assert report.read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_one_s_own_documents_and_questions_become_a_champion(
    runner: Path, documents: Path, everything: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "my documents"
    shutil.copytree(documents, mine)
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    unidoc_rl(documents=str(mine), questions=str(documents.parent / "questions"), params=everything)
    assert champion_in(runner)["promoted"]
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
