"""Runs in MLflow, in a database of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from unidoc_rl import tracking
from unidoc_rl.errors import UnidocError

pytestmark = pytest.mark.slow  # MLflow takes seconds to import


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def stored(run_id: str) -> object:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{Path('.mlflow/mlflow.db').resolve()}").get_run(run_id)


def test_what_a_run_tells_can_be_read_back(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("# a card")
    with tracking.run("sft", None) as run:
        run.params({"seed": 1, "long": "x" * 10_000})
        run.metrics([(step, {"loss": 1 / (step + 1), "reward": 0.5}) for step in range(1200)])
        run.file(tmp_path / "card.md")
    found = stored(run.id)
    assert found.info.status == "FINISHED"  # type: ignore[attr-defined]
    assert found.data.params["seed"] == "1"  # type: ignore[attr-defined]
    assert found.data.metrics["loss"] == pytest.approx(1 / 1200)  # type: ignore[attr-defined]
    assert list((tmp_path / ".mlflow").rglob("card.md"))


def test_a_run_that_failed_is_gone_on_with_under_its_id(tmp_path: Path) -> None:
    note = tmp_path / "run"
    with pytest.raises(ZeroDivisionError), tracking.run("sft", None, note) as run:
        raise ZeroDivisionError
    assert stored(run.id).info.status == "FAILED"  # type: ignore[attr-defined]
    with tracking.run("sft", None, note) as again:
        again.metrics([(1, {"loss": 2.0})])
    assert again.id == run.id
    assert stored(run.id).info.status == "FINISHED"  # type: ignore[attr-defined]


def test_a_run_that_is_in_no_database_any_more_begins_anew(tmp_path: Path) -> None:
    note = tmp_path / "run"
    note.write_text("0" * 32)
    with tracking.run("sft", None, note) as run:
        pass
    assert run.id == note.read_text() != "0" * 32


def test_processes_that_begin_together_make_one_database(tmp_path: Path) -> None:
    code = "from unidoc_rl import tracking\nwith tracking.run('sft', None): pass"
    together = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(3)]
    assert [process.wait() for process in together] == [0, 0, 0]


def test_a_server_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UnidocError, match=r"127\.0\.0\.1:9"), tracking.run("sft", "http://127.0.0.1:9"):
        pass
