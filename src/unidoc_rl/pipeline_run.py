"""The run of a whole pipeline in MLflow, above those of its stages: begun by its first task, ended by its last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from unidoc_rl import mlflow_server, tracking
from unidoc_rl.errors import UnidocError
from unidoc_rl.mlflow_server import Server
from unidoc_rl.params import Params

STATES = {"SUCCEEDED": "FINISHED", "CANCELED": "KILLED", "CANCELLED": "KILLED"}  # every other one has failed
PARAMS = "params.json"


def begin(name: str, params: Params) -> None:
    """`name`: of the run, as Kubeflow shows it. Begun twice, it is one."""
    with _opened(name, params):
        pass


def end(state: str, error: str, name: str, job: str, params: Params) -> None:
    """`state` and `error`: how it went, in Kubeflow's words. `job`: what the run is called in the cluster."""
    with _opened(name, params) as (server, run_id):
        for tag, value in {"state": state, "job": job, "error": error}.items():
            if value:
                server.client.set_tag(run_id, f"pipeline.{tag}", value)
        server.client.set_terminated(run_id, STATES.get(state, "FAILED"))


@contextmanager
def _opened(name: str, params: Params) -> Iterator[tuple[Server, str]]:
    mine = tracking.pipeline() or {"key": name}
    try:
        server = Server(params.services.mlflow)
        run_id = server.made(mine["key"], name, tracking.tags())
        if PARAMS not in {file.path for file in server.client.list_artifacts(run_id)}:  # the first task knows them best
            server.client.log_text(run_id, params.to_json(), PARAMS)
        yield server, run_id
    except mlflow_server.away() as unwell:
        where = mlflow_server.place(params.services.mlflow)
        raise UnidocError(
            f"MLflow at {where} cannot be told ({unwell}); see that it is well, and run again"
        ) from unwell
