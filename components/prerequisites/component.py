"""What would fail after hours, failing in seconds."""

from typing import Optional

from kfp import dsl

from components.base import component


@component
def prerequisites(
    run: str,
    params: str,
    questions: Optional[dsl.Input[dsl.Dataset]] = None,  # noqa: UP045  # kfp's
) -> None:
    """`run`: its name, under which it begins in MLflow; `params` is params.yaml as one JSON text."""
    from pathlib import Path

    from unidoc_rl.params import from_json
    from unidoc_rl.pipeline_run import begin
    from unidoc_rl.prerequisites import check

    settings = from_json(params)
    check(settings, Path(questions.path) if questions else None)
    begin(run, settings)
