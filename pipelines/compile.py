"""Writes pipelines/<name>.yaml, which Kubeflow reads. Committed, so that a change shows in review."""

from __future__ import annotations

from pathlib import Path

from kfp import compiler

from pipelines.pipeline import pipelines
from unidoc_rl.params import Params

FOLDER = Path(__file__).parent


def write(folder: Path, params: Params, tag: str | None = None) -> dict[str, Path]:
    """A file for each pipeline, by its name. `tag`: of the images."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, pipeline in pipelines(params, tag).items():
        files[name] = folder / f"{name}.yaml"
        compiler.Compiler().compile(pipeline, str(files[name]))
    return files
