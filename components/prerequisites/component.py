"""What would fail after hours, failing in seconds."""

from typing import Optional

from kfp import dsl

from components.base import component


@component
def prerequisites(
    run: str,
    model: str,
    profile: str,
    params: str,
    questions: Optional[dsl.Input[dsl.Dataset]] = None,  # noqa: UP045  # kfp's
) -> str:
    """What all stages are given: `params`, which is params.yaml as one JSON text, with `model` and over `profile`.

    `run`: its name, under which it begins in MLflow.
    """
    from pathlib import Path

    from unidoc_rl.params import of_a_run
    from unidoc_rl.pipeline_run import begin
    from unidoc_rl.prerequisites import check

    settings = of_a_run(params, model, profile)
    check(settings, Path(questions.path) if questions else None)
    begin(run, settings)
    return settings.to_json()
