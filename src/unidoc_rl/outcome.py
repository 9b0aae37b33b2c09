"""How a pipeline's run ended, beside the runs of its stages in MLflow."""

from __future__ import annotations

from unidoc_rl import mlflow_server, provenance
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import Params

STATES = {"SUCCEEDED": "FINISHED", "CANCELED": "KILLED", "CANCELLED": "KILLED"}  # every other one has failed


def report(state: str, error: str, job: str, params: Params) -> str:
    """Writes a run `pipeline`, and returns its id. `job`: what the pipeline's run is called in the cluster."""
    from mlflow.exceptions import MlflowException

    tags = {"pipeline.state": state, "pipeline.job": job, "commit": provenance.commit()}
    try:
        client, experiment = mlflow_server.opened(params.services.mlflow)
        run_id = str(client.create_run(experiment, run_name="pipeline", tags=tags).info.run_id)
        if error:
            client.set_tag(run_id, "pipeline.error", error)
        client.log_text(run_id, params.to_json(), "params.json")
        client.set_terminated(run_id, STATES.get(state, "FAILED"))
    except MlflowException as unwell:
        raise UnidocError(f"MLflow at {params.services.mlflow or mlflow_server.FOLDER}: {unwell.message}") from unwell
    return run_id
