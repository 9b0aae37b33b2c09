"""Runs in MLflow: a server where `services.mlflow` names one, else a database below this folder.

Metrics are sent in batches, and a run that was killed is gone on with under its own id.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidoc_rl.errors import UnidocError

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = Path(".mlflow")
EXPERIMENT = "unidoc-rl"
LONGEST_PARAM = 6000  # letters that MLflow takes
MOST = 1000  # metrics that it takes at once


class Run:
    """A run that is going on."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.id = run_id

    def params(self, params: Mapping[str, Any]) -> None:
        """A run that is gone on with keeps those that it began with: MLflow changes none."""
        from mlflow.entities import Param

        known = self._client.get_run(self.id).data.params
        given = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in params.items() if name not in known]
        self._client.log_batch(self.id, params=given)

    def metrics(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Of several steps at once."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        all_of_them = [Metric(name, value, now, step) for step, row in rows for name, value in row.items()]
        for start in range(0, len(all_of_them), MOST):
            self._client.log_batch(self.id, metrics=all_of_them[start : start + MOST])

    def last_step(self) -> int:
        """The last of which it was told anything; -1 where it was told nothing."""
        names = self._client.get_run(self.id).data.metrics
        told = (mark.step for name in names for mark in self._client.get_metric_history(self.id, name))
        return max(told, default=-1)

    def file(self, path: Path, folder: str | None = None) -> None:
        self._client.log_artifact(self.id, str(path), folder)


@contextmanager
def run(name: str, address: str | None, note: Path | None = None) -> Iterator[Run]:
    """A run under this name; how it ended is noted there.

    `note`: a file for its id, by which a later process goes on with it.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException

    try:
        client, experiment = opened(address)
        run_id = note.read_text() if note is not None and note.exists() else None
        if run_id is None or not _is_there(client, run_id):
            run_id = client.create_run(experiment, run_name=name).info.run_id
        if note is not None:
            note.write_text(run_id)
        client.update_run(run_id, status="RUNNING")
    except MlflowException as error:
        raise UnidocError(f"MLflow at {address or FOLDER / 'mlflow.db'}: {error.message}") from error
    status = "FAILED"
    try:
        yield Run(client, run_id)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status)


def _is_there(client: MlflowClient, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


@contextmanager
def found_by_itself(client: MlflowClient) -> Iterator[None]:
    """Where this client is, MLflow looks too when it is told of a model by its id alone."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def opened(address: str | None) -> tuple[MlflowClient, str]:
    """A client, and the experiment that holds our runs."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    if address is not None:
        client = MlflowClient(address, address)
        return client, _experiment_of(client, None)
    FOLDER.mkdir(exist_ok=True)
    folder = FOLDER.resolve()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes that create one database break it
        database = f"sqlite:///{folder / 'mlflow.db'}"
        client = MlflowClient(database, database)
        return client, _experiment_of(client, (folder / "artifacts").as_uri())


def _experiment_of(client: MlflowClient, artifacts: str | None) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
