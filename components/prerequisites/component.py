"""What would fail after hours, failing in seconds."""

from typing import Optional

from kfp import dsl

from components.base import component


@component
def prerequisites(params: str, questions: Optional[dsl.Input[dsl.Dataset]] = None) -> None:  # noqa: UP045  # kfp's
    """`params` is params.yaml as one JSON text."""
    from pathlib import Path

    from unidoc_rl.params import from_json
    from unidoc_rl.prerequisites import check

    check(from_json(params), Path(questions.path) if questions else None)
