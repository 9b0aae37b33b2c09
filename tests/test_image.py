"""The CPU image of what is committed, really built, and a task of the pipeline run in it; only where UNIDOC_TEST_IMAGE
names a builder.

It takes minutes and gigabytes: UNIDOC_TEST_IMAGE=docker (or podman, or buildah), and in UNIDOC_BUILD_OPTIONS what
`make images` is to hand to it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from components.base import image

REPOSITORY = Path(__file__).parents[1]
BUILDER = os.environ.get("UNIDOC_TEST_IMAGE", "")
MOST_BYTES = 2.5e9

pytestmark = pytest.mark.skipif(not BUILDER, reason="UNIDOC_TEST_IMAGE names no builder")


def told(*command: str) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built() -> str:
    told(
        *("make", "images", "IMAGES=cpu", f"BUILDER={BUILDER}", "COMMIT=test"),
        f"BUILD_OPTIONS={os.environ.get('UNIDOC_BUILD_OPTIONS', '')}",
    )
    return image("cpu", "test")


def inside(name: str, folder: Path, *command: str) -> str:
    """What a command says in a container that has this folder."""
    if BUILDER != "buildah":
        closed = ("--read-only", "--tmpfs", "/tmp")
        return told(BUILDER, "run", "--rm", *closed, "--volume", f"{folder}:{folder}", name, *command)
    container = told("buildah", "from", "--pull-never", name).strip()
    try:
        return told("buildah", "run", "--volume", f"{folder}:{folder}", container, "--", *command)
    finally:
        told("buildah", "rm", container)


def test_it_is_small_and_has_no_compiler_and_no_root(built: str, tmp_path: Path) -> None:
    assert inside(built, tmp_path, "id", "-u") == "1000\n"
    assert inside(built, tmp_path, "sh", "-c", "command -v gcc cc uv pip || true").strip() in ("", "/usr/local/bin/pip")
    size = inside(built, tmp_path, "sh", "-c", "du --bytes --summarize --one-file-system / 2>/dev/null | cut -f 1")
    assert 1e9 < int(size) < MOST_BYTES  # all of it, but for a few files that only root may see
    for place, module in (("/opt/unidoc", "unidoc_rl"), ("/usr", "json")):
        assert f"/{module}/" in inside(built, tmp_path, "find", place, "-name", "__init__.cpython-*.pyc")


def test_a_task_of_the_compiled_pipeline_runs_in_it(built: str, tmp_path: Path) -> None:
    text = (REPOSITORY / "pipelines" / "unidoc-rl-demo.yaml").read_text()
    spec = next(yaml.safe_load_all(text))["deploymentSpec"]["executors"]["exec-sample"]["container"]
    tmp_path.chmod(0o777)
    datasets = {
        name: {"artifacts": [{"name": name, "uri": str(tmp_path / name), "type": {"schemaTitle": "system.Dataset"}}]}
        for name in ("documents", "questions")
    }
    told_to = {
        "inputs": {"parameterValues": {"params": json.dumps({"sample": {"documents": 10}})}},
        "outputs": {"artifacts": datasets, "outputFile": str(tmp_path / "output.json")},
    }
    arguments = [re.sub(r"^\{\{\$\}\}$", lambda _: json.dumps(told_to), argument) for argument in spec["args"]]
    inside(built, tmp_path, *spec["command"], *arguments)
    assert len([*(tmp_path / "documents").glob("*.pdf")]) == 10
