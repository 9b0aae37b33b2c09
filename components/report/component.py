"""How the pipeline ended, told to MLflow."""

from kfp import dsl

from components.base import component


@component
def report(run: str, params: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """The last task, whatever happened before. `run`: its name; `params` is params.yaml as one JSON text."""
    from unidoc_rl.params import from_json
    from unidoc_rl.pipeline_run import end

    end(status.state, status.error_message or "", run, status.pipeline_job_resource_name, from_json(params))
