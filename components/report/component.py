"""How the pipeline ended, told to MLflow."""

from kfp import dsl

from components.base import component


@component
def report(params: str, status: dsl.PipelineTaskFinalStatus) -> None:
    """The last task, whatever happened before. `params` is params.yaml as one JSON text."""
    from unidoc_rl.outcome import report
    from unidoc_rl.params import from_json

    report(status.state, status.error_message or "", status.pipeline_job_resource_name, from_json(params))
