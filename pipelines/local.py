"""A compiled pipeline on this machine, by Kubeflow's local runner: every task a process."""

from __future__ import annotations

import builtins
import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from kfp import components, local

from pipelines.compile import write
from pipelines.pipeline import FOLDERS
from unidoc_rl import tracking
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import Params, of_a_run


def run(params: Params, pipeline: str, arguments: dict[str, str], out: Path) -> None:
    """Below `out` comes a folder for this run, and in it one for each task."""
    folders = {key: Path(arguments[key]) for key in FOLDERS if key in arguments}
    for key, folder in folders.items():
        if not folder.is_dir():
            raise UnidocError(f"--{key} {folder}: no such folder")
    of_a_run(params.said(), arguments.get("model", ""), arguments.get("profile", ""))  # raises what is impossible
    with tempfile.TemporaryDirectory() as made:
        package = write(Path(made), params)[pipeline]
        whole = components.load_component_from_file(str(package))
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(out.resolve()), raise_on_error=True)
    try:
        with _one_run(), _own_print(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that memory and images are of no effect here
            whole(**arguments | {key: str(folder.resolve()) for key, folder in folders.items()})
    except RuntimeError as error:
        said = click.unstyle(str(error))
        raise UnidocError(f"{said} Its log stands above, what was made lies in {out}") from error


@contextmanager
def _one_run() -> Iterator[None]:
    """In MLflow: its tasks inherit what Kubeflow would give each of them."""
    former = os.environ.get(tracking.PIPELINE)
    os.environ[tracking.PIPELINE] = former or uuid.uuid4().hex
    try:
        yield
    finally:
        if former is None:
            del os.environ[tracking.PIPELINE]


@contextmanager
def _own_print() -> Iterator[None]:
    """The runner indents what tasks print; of those that run at the same time, the last to end leaves that behind."""
    own = builtins.print
    try:
        yield
    finally:
        builtins.print = own
