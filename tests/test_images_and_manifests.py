"""What can be seen of the images and manifests without a cluster."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from components.base import image

REPOSITORY = Path(__file__).parents[1]
DOCKERFILES = sorted(REPOSITORY.glob("images/*/Dockerfile"))
KUSTOMIZATIONS = sorted(REPOSITORY.glob("manifests/**/kustomization.yaml"))


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_can_run_kubeflow_s_command_and_is_not_root(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    names = [name for name, _ in steps]
    assert "ENTRYPOINT" not in names
    users = [value for name, value in steps[len(names) - names[::-1].index("FROM") :] if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1])  # a number: Kubernetes cannot look up a name


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_an_image_copies_is_there(dockerfile: Path) -> None:
    copied = [
        value.split()[:-1] for name, value in instructions(dockerfile) if name == "COPY" and "--from" not in value
    ]
    assert copied
    assert [path for paths in copied for path in paths if not (REPOSITORY / path).exists()] == []


def test_the_cpu_image_holds_the_kfp_that_compiles_the_pipelines() -> None:
    pinned = re.findall(r"kfp==([\d.]+)", (REPOSITORY / "pyproject.toml").read_text())
    dockerfile = (REPOSITORY / "images" / "cpu" / "Dockerfile").read_text()
    assert re.findall(r"kfp==([\d.]+)", dockerfile) == pinned
    assert f"-t {IMAGE} " in dockerfile  # the name that its build command gives is the one that the components ask for


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_a_kustomization_lists_every_file_beside_it_in_its_namespace(file: Path) -> None:
    kustomization = yaml.safe_load(file.read_text())
    resources = kustomization["resources"]
    assert sorted(resources) == sorted(path.name for path in file.parent.iterdir() if path != file)
    objects = [item for name in resources for item in yaml.safe_load_all((file.parent / name).read_text())]
    assert all(item["apiVersion"] and item["kind"] and item["metadata"]["name"] for item in objects)
    spaces = {item["metadata"].get("namespace", item["metadata"]["name"]) for item in objects}
    assert spaces == {kustomization["namespace"]}
