"""MLflow: a server where one is named, else a database below this folder; told in such a way that twice is once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidoc_rl import trace
from unidoc_rl.errors import UnidocError
from unidoc_rl.journal import Event, Journal

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = Path(".mlflow")
DATABASE = "mlflow.db"  # in there
EXPERIMENT = "unidoc-rl"
KEY = "unidoc.key"  # the tag by which a run is found again
PARENT = "mlflow.parentRunId"
MOST = 1000  # metrics that it takes at once


class Server:
    """MLflow, which may be told anything twice: it makes no difference."""

    def __init__(self, address: str | None) -> None:
        self.client, self._experiment = opened(address)
        self._runs: dict[str, str] = {}  # their ids by their keys

    def take(self, journal: Journal) -> None:
        """Tells it what is left in the journal."""
        for event in journal.left():
            self._take(event, journal)

    def made(self, key: str, name: str, tags: Mapping[str, str], at: int | None = None) -> str:
        """The id of the run with this key, which is made where there is none, and began then, or does so now."""
        known = self._run(key)
        if known is not None:
            return known
        return str(self.client.create_run(self._experiment, at, {KEY: key, **tags}, name).info.run_id)

    def steps(self, key: str) -> list[int]:
        """Of which a run has told."""
        run_id = self._run(key)
        names = self.client.get_run(run_id).data.metrics if run_id else ()
        return [mark.step for name in names for mark in self.client.get_metric_history(run_id, name)]

    def _take(self, event: Event, journal: Journal) -> None:
        client, run_id = self.client, self._run(journal.key) or ""
        match event["what"]:
            case "begin":
                self._begin(event, journal.key)
            case "params":
                self._params(run_id, event["values"])
            case "metrics":
                self._metrics(run_id, event["rows"])
            case "result":
                if (parent := client.get_run(run_id).data.tags.get(PARENT)) is not None:
                    self._metrics(parent, event["rows"])
            case "beside":
                self._beside(run_id, event, journal.key)
            case "inputs":
                self._inputs(run_id, event["inputs"])
            case "file":
                client.log_artifact(run_id, str(journal.files / event["file"]), event["folder"])
            case "trace":
                with found_by_itself(client):
                    trace.send(client, self._experiment, run_id, event)
            case "end":
                self._end(run_id, event)

    def _run(self, key: str) -> str | None:
        if key not in self._runs:
            found = self.client.search_runs([self._experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
            if not found:
                return None
            self._runs[key] = found[0].info.run_id
        return self._runs[key]

    def _begin(self, event: Event, key: str) -> None:
        tags = dict(event["tags"])
        if event["pipeline"] is not None:
            parent = event["pipeline"]
            tags[PARENT] = self.made(parent["key"], parent["name"], event["tags"], event["at"])
        run_id = self.made(key, event["name"], tags, event["at"])
        if PARENT in tags:
            self._move(run_id, tags[PARENT], event["at"])
        for one in (run_id, tags.get(PARENT)):
            if one is not None:
                self.client.update_run(one, status="RUNNING")

    def _move(self, run_id: str, parent: str, at: int) -> None:
        """Below the pipeline that goes on with it. The former one, if it has not ended, was killed, and nobody says so.

        One that lives on all the same is told as running again by its next stage, and its end by itself.
        """
        former = self.client.get_run(run_id).data.tags.get(PARENT)
        if former == parent:
            return
        self.client.set_tag(run_id, PARENT, parent)
        if former is not None and self.client.get_run(former).info.status == "RUNNING":
            self.client.set_terminated(former, "KILLED", at)

    def _end(self, run_id: str, event: Event) -> None:
        """A stage ends its pipeline's run too; that it was killed may be found out when another has ended that."""
        self.client.set_terminated(run_id, event["status"], event["at"])
        parent = self.client.get_run(run_id).data.tags.get(PARENT)
        if parent is None:
            return
        if event["status"] != "KILLED" or self.client.get_run(parent).info.status == "RUNNING":
            self.client.set_terminated(parent, event["status"], event["at"])

    def _params(self, run_id: str, values: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        known = self.client.get_run(run_id).data.params
        self.client.log_batch(run_id, params=[Param(*pair) for pair in values.items() if pair[0] not in known])

    def _metrics(self, run_id: str, rows: Sequence[Sequence[Any]]) -> None:
        from mlflow.entities import Metric

        for start in range(0, len(rows), MOST):
            self.client.log_batch(run_id, metrics=[Metric(*row) for row in rows[start : start + MOST]])

    def _beside(self, parent: str, event: Event, key: str) -> None:
        """A run below this one, whose key is made of its own."""
        at = event["at"]
        run_id = self.made(f"{key}/{event['name']}", event["name"], {PARENT: parent}, at)
        self._params(run_id, event["params"])
        self._metrics(run_id, [(name, value, at, 0) for name, value in event["figures"].items()])
        self.client.set_terminated(run_id, "FINISHED", at)

    def _inputs(self, run_id: str, inputs: Sequence[Mapping[str, str]]) -> None:
        from mlflow.entities import Dataset, DatasetInput

        given = [
            DatasetInput(Dataset(one["name"], one["digest"], "local", json.dumps({"uri": one["source"]})), [])
            for one in inputs
        ]
        self.client.log_inputs(run_id, datasets=given)


def opened(address: str | None) -> tuple[MlflowClient, str]:
    """A client, and the experiment that holds our runs."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # by itself it goes on for minutes
    os.environ.setdefault("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    if address is not None:
        client = MlflowClient(address, address)
        return client, _experiment_of(client, None)
    from sqlalchemy.exc import DatabaseError, OperationalError

    FOLDER.mkdir(exist_ok=True)
    folder = FOLDER.resolve()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that create one database break it
        database = f"sqlite:///{folder / DATABASE}"
        try:
            if not (folder / DATABASE).exists():
                _make_database(folder)
            client = MlflowClient(database, database)
            return client, _experiment_of(client, (folder / "artifacts").as_uri())
        except OperationalError as error:  # locked, or the disk is full: it is sound
            raise UnidocError(
                f"{folder / DATABASE}: cannot be used now ({error.orig}); free some space, or end what holds it, "
                "and run again"
            ) from error
        except DatabaseError as error:
            raise UnidocError(
                f"{folder / DATABASE}: is damaged ({error.orig}); bring a copy back, or move it away for a new one"
            ) from error


def _make_database(folder: Path) -> None:
    """Whole or not at all: of one that is half made, MLflow makes nothing any more."""
    from mlflow import MlflowClient

    new = folder / "new"
    shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
    new.mkdir()
    MlflowClient(f"sqlite:///{new / DATABASE}").search_experiments(max_results=1)
    (new / DATABASE).rename(folder / DATABASE)
    new.rmdir()


@contextmanager
def found_by_itself(client: MlflowClient) -> Iterator[None]:
    """Where this client is, MLflow looks too when it is told of a model by its id alone, or of a trace."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _experiment_of(client: MlflowClient, artifacts: str | None) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))


def place(address: str | None) -> str:
    return address or str(FOLDER / DATABASE)


def away() -> tuple[type[Exception], ...]:
    """What is raised where MLflow, or where it keeps files, cannot be reached or refuses."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from requests import RequestException  # type: ignore[import-untyped]

    return (MlflowException, RequestException, Boto3Error, BotoCoreError, ClientError)
