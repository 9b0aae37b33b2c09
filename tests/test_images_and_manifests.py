"""What can be seen of the images and manifests without a cluster."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainingRuntime
from mlflow.server.security_utils import is_allowed_host_header

from components.base import image
from pipelines.pipeline import KEYS, SHARED_VOLUME
from pipelines.version import CODE
from tests.pipelines import checkout
from unidoc_rl.cli import cli
from unidoc_rl.cluster import GPU
from unidoc_rl.provenance import COMMIT, UNKNOWN
from unidoc_rl.trainjob import RUNTIME, SHARED

REPOSITORY = Path(__file__).parents[1]
DOCKERFILES = sorted(REPOSITORY.glob("images/*/Dockerfile"))
ROLLOUTS = "gpu with rollouts"
OVERLAYS = ("base", "gpu", "kind", ROLLOUTS)
KUBERNETES = kubernetes_validate.latest_version()
OURS = "app.kubernetes.io/part-of"
NAME = "app.kubernetes.io/name"
Object = dict[str, Any]


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name(name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# --- images ---------------------------------------------------------------------------------------------------------


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_can_run_kubeflow_s_command_and_is_not_root(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    names = [name for name, _ in steps]
    assert "ENTRYPOINT" not in names
    last = steps[len(names) - names[::-1].index("FROM") :]
    users = [value for name, value in last if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1])  # a number: Kubernetes cannot look up a name
    assert any(name == "LABEL" and 'image.revision="${REVISION}"' in value for name, value in last)
    assert [value for name, value in last if name == "ARG"] == [
        "REVISION=unknown"
    ]  # others may be secrets, and stay in it


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_runs_in_an_image_knows_the_commit(dockerfile: Path) -> None:
    steps = instructions(dockerfile)
    _, last = "".join(f"{name} {value}\n" for name, value in steps).rsplit("\nFROM ", 1)
    ours = "COPY --from=build /opt/unidoc " in last
    assert ours == (dockerfile.parent.name != "vllm")
    assert (f" {COMMIT}=${{REVISION}}" in last) == ours
    assert f"ARG REVISION={UNKNOWN}\n" in last


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_is_of_named_releases(dockerfile: Path) -> None:
    first, *steps = instructions(dockerfile)
    assert re.fullmatch(r"PYTHON=python:3\.11\.\d+-slim-\w+", first[1])
    assert {value.split()[0] for name, value in steps if name == "FROM"} == {"${PYTHON}"}
    for installed in (value for name, value in steps if name == "RUN" and "pip install" in value):
        assert "--constraint constraints.txt" in installed or "==" in installed


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_an_image_holds_is_compiled_before_it_is_first_imported(dockerfile: Path) -> None:
    ran = {name: [value for step, value in instructions(dockerfile) if step == name] for name in ("ENV", "RUN")}
    assert "UV_COMPILE_BYTECODE=1" in ran["ENV"] or any("python -I imported.py" in value for value in ran["RUN"])
    assert any("python -m compileall" in value for value in ran["RUN"])


def test_vllm_starts_without_a_compiler_for_gpus() -> None:
    assert ("ENV", "VLLM_USE_FLASHINFER_SAMPLER=0") in instructions(REPOSITORY / "images" / "vllm" / "Dockerfile")


def test_hadolint_finds_nothing() -> None:
    done = tool("hadolint", *DOCKERFILES)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_an_image_copies_is_there_and_sent_to_the_builder(dockerfile: Path) -> None:
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        value.split()[:-1] for name, value in instructions(dockerfile) if name == "COPY" and "--from" not in value
    ]
    for path in (path for paths in copied for path in paths):
        assert (REPOSITORY / path).exists()
        assert path in sent


@pytest.mark.parametrize("package", ["kfp", "kubeflow"])
def test_the_images_hold_the_versions_that_compile_and_start(package: str) -> None:
    pinned = set(re.findall(rf"\b{package}==([\d.]+)", (REPOSITORY / "pyproject.toml").read_text()))
    held = [re.findall(rf"\b{package}==([\d.]+)", dockerfile.read_text()) for dockerfile in DOCKERFILES]
    assert {version for versions in held for version in versions} == pinned


def test_make_builds_the_images_under_the_names_that_the_tasks_ask_for() -> None:
    command = ["make", "--dry-run", "images", "BUILDER=true", "COMMIT=abc", "REGISTRY=registry/team"]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert "for kind in cpu gpu vllm" in said
    for tag in ("abc", None):
        assert f"$name:{image('cpu', tag).rpartition(':')[2]}" in said
    assert "name=registry/team/unidoc-rl-$kind" in said


def test_make_builds_of_nothing_that_is_not_committed(tmp_path: Path) -> None:
    """Nor are versions named of it. All that the builder is sent is asked for, but for what only tells of it."""
    sent = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert {path.split("/")[0] for path in sent} - {*CODE} == {"README.md", "LICENSE"}
    folder = checkout.make(tmp_path / "checkout")
    shutil.copy(REPOSITORY / "Makefile", folder)

    def build() -> subprocess.CompletedProcess[str]:
        command = ["make", "images", "BUILDER=true", "IMAGES=cpu"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert build().returncode == 0
    for name in CODE:
        file = folder / name if "." in name else folder / name / "new"
        file.parent.mkdir(exist_ok=True)
        file.write_text("new")
        done = build()
        assert done.returncode != 0
        assert f"?? {name}" in done.stdout
        assert "commit first" in done.stdout
        file.unlink()


# --- manifests ------------------------------------------------------------------------------------------------------


def built(folder: Path) -> list[Object]:
    done = tool("kubectl", "kustomize", folder)
    assert done.returncode == 0, done.stderr
    return [*yaml.safe_load_all(done.stdout)]


@functools.cache
def objects(overlay: str) -> list[Object]:
    if overlay != ROLLOUTS:
        return built(REPOSITORY / "manifests" / overlay)
    with TemporaryDirectory() as folder:
        manifests = shutil.copytree(REPOSITORY / "manifests", Path(folder) / "manifests")
        file = manifests / "gpu" / "kustomization.yaml"
        file.write_text(file.read_text().replace("\n# components: ", "\ncomponents: "))
        return built(manifests / "gpu")


def of_kind(overlay: str, kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects(overlay) if one["kind"] == kind}


def pods(overlay: str) -> dict[str, Object]:
    """The templates of all pods, by the names of what makes them."""
    found = {
        name: one["spec"]["template"]
        for kind in ("Deployment", "StatefulSet")
        for name, one in of_kind(overlay, kind).items()
    }
    for one in of_kind(overlay, "TrainingRuntime").values():
        for job in one["spec"]["template"]["spec"]["replicatedJobs"]:
            found[job["name"]] = job["template"]["spec"]["template"]
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_as_its_schema_has_it(overlay: str) -> None:
    for one in objects(overlay):
        if one["kind"] == "TrainingRuntime":
            assert one["apiVersion"] == "trainer.kubeflow.org/v1alpha1"
            read = TrainerV1alpha1TrainingRuntime.from_dict(one)
            assert read is not None
            assert read.to_dict() == one  # a field that is none of its own would be lost
        else:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)


def test_an_unknown_field_would_be_found() -> None:
    (runtime,) = of_kind("base", "TrainingRuntime").values()
    read = TrainerV1alpha1TrainingRuntime.from_dict({**runtime, "spec": {**runtime["spec"], "mlpolicy": {}}})
    assert read is not None
    assert "mlpolicy" not in read.to_dict()["spec"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_ours_and_in_one_namespace(overlay: str) -> None:
    spaces = {one["metadata"].get("namespace", one["metadata"]["name"]) for one in objects(overlay)}
    assert len(spaces) == 1
    owned = {one["kind"]: one["metadata"]["labels"].get(OURS) for one in objects(overlay)}
    assert owned.pop("Namespace", None) is None  # a profile's has Kubeflow's own word there
    assert {*owned.values()} == {"unidoc-rl"}
    for binding in of_kind(overlay, "RoleBinding").values():
        assert {subject["namespace"] for subject in binding["subjects"]} == spaces


def test_an_overlay_s_own_index_replaces_the_pods(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "manifests", tmp_path, dirs_exist_ok=True)
    with (tmp_path / "gpu" / "kustomization.yaml").open("a") as file:
        own = "{name: unidoc-rl-search, behavior: merge, literals: [INDEX=s3://team/index]}"
        file.write(f"configMapGenerator:\n  - {own}\n")
    ours = built(tmp_path / "gpu")
    held = {one["metadata"]["name"]: one["data"] for one in ours if one["kind"] == "ConfigMap"}
    (search,) = (one for one in ours if one["kind"] == "Deployment" and one["metadata"]["name"] == "search")
    name = search["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
    assert held[name] == {"INDEX": "s3://team/index"}
    assert name not in of_kind("gpu", "ConfigMap")  # so the template is another one


def test_another_profile_s_namespace_is_named_once(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "manifests", tmp_path, dirs_exist_ok=True)
    file = tmp_path / "gpu" / "kustomization.yaml"
    file.write_text(file.read_text().replace("\nnamespace: unidoc-rl\n", "\nnamespace: team\n"))
    ours = built(tmp_path / "gpu")
    assert {one["metadata"].get("namespace", one["metadata"]["name"]) for one in ours} == {"team"}
    assert [one["subjects"][0]["namespace"] for one in ours if one["kind"] == "RoleBinding"] == ["team"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_named_is_there(overlay: str) -> None:
    for name, template in pods(overlay).items():
        spec = template["spec"]
        assert spec["serviceAccountName"] in of_kind(overlay, "ServiceAccount")
        for container in spec["containers"]:
            mounted = {volume["name"] for volume in spec.get("volumes", [])} | {"data"}  # a StatefulSet's own
            assert {mount["name"] for mount in container["volumeMounts"]} <= mounted
            for source in container.get("envFrom", []):
                assert source.get("configMapRef", {}).get("name") in {None, *of_kind(overlay, "ConfigMap")}
                assert source.get("secretRef", {}).get("name") in {None, KEYS}
        for volume in spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim in {None, *of_kind(overlay, "PersistentVolumeClaim")}, name
    templates = pods(overlay)
    for service in of_kind(overlay, "Service").values():
        (chosen,) = (
            one
            for one in templates.values()
            if service["spec"]["selector"].items() <= one["metadata"]["labels"].items()
        )
        named = {port["name"] for container in chosen["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_the_servers_that_the_docs_name_are_there() -> None:
    told = {*re.findall(r"`http://(\w+):(\d+)", (REPOSITORY / "docs" / "kubeflow.md").read_text())}
    services = of_kind(ROLLOUTS, "Service")
    assert {(name, str(port["port"])) for name, one in services.items() for port in one["spec"]["ports"]} == told


@pytest.mark.parametrize(
    ("host", "answered"),
    [("mlflow:5000", True), ("localhost:5000", True), ("127.0.0.1:5001", True), ("elsewhere.example:5000", False)],
)
def test_mlflow_answers_those_who_come_by_a_name_of_its_own_or_through_kubectl(host: str, answered: bool) -> None:
    (container,) = pods("base")["mlflow"]["spec"]["containers"]
    (hosts,) = re.findall(r"--allowed-hosts=(\S+)", " ".join(container["command"]))
    assert is_allowed_host_header(hosts.split(","), host) == answered


def test_the_search_service_is_a_command_of_ours_and_not_taken_away_whole() -> None:
    (container,) = pods("gpu")["search"]["spec"]["containers"]
    program, command, *arguments = container["command"]
    given = cli.commands[command].make_context(command, arguments).params
    assert (program, given["port"]) == ("unidoc", container["ports"][0]["containerPort"])
    (budget,) = of_kind("gpu", "PodDisruptionBudget").values()
    search = of_kind("gpu", "Deployment")["search"]["spec"]
    assert budget["spec"]["selector"] == search["selector"]
    assert budget["spec"]["maxUnavailable"] < search["replicas"]
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_search_waits_for_the_index_that_the_docs_tell_to_make() -> None:
    told = re.findall(r"`unidoc index .*--out (\S+)`", (REPOSITORY / "docs" / "kubeflow.md").read_text())
    served = [one["data"]["INDEX"] for one in of_kind("base", "ConfigMap").values() if "INDEX" in one["data"]]
    assert told == served
    assert of_kind("kind", "Deployment")["search"]["spec"]["replicas"] == 0


def test_what_the_pipeline_mounts_and_starts_is_what_the_manifests_have() -> None:
    assert SHARED_VOLUME in of_kind("base", "PersistentVolumeClaim")
    assert [*of_kind("base", "TrainingRuntime")] == [RUNTIME]
    (node,) = pods("base")["node"]["spec"]["containers"]
    assert str(SHARED) in [mount["mountPath"] for mount in node["volumeMounts"]]
    assert GPU in [toleration["key"] for toleration in pods("base")["node"]["spec"]["tolerations"]]


def test_a_lost_pod_costs_each_node_one_try_of_its_own() -> None:
    (runtime,) = of_kind("base", "TrainingRuntime").values()
    (job,) = (one["template"]["spec"] for one in runtime["spec"]["template"]["spec"]["replicatedJobs"])
    assert "backoffLimit" not in job  # it counts all nodes together
    assert job["backoffLimitPerIndex"] > 1
    assert job["maxFailedIndexes"] == 0  # the others would wait for one that comes no more
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # else Kubernetes refuses a limit of each


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_container_can_do_no_more_than_it_needs(overlay: str) -> None:
    for name, template in pods(overlay).items():
        spec = template["spec"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["securityContext"].get("runAsNonRoot") or name == "milvus"  # whose image is root's
        for container in spec["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            if name in ("mlflow", "search", "vllm", "rollouts"):
                assert container["securityContext"]["readOnlyRootFilesystem"]
                assert container["readinessProbe"]
                assert container["livenessProbe"]
                assert container["resources"]["limits"]["memory"]
    assert not of_kind(overlay, "ClusterRole")
    assert not of_kind(overlay, "Secret")
    for role in of_kind(overlay, "Role").values():
        assert "*" not in str(role["rules"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_reaches_our_pods_but_what_is_allowed(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    closed = policies["unidoc-rl-deny"]["spec"]
    assert closed == {"podSelector": {"matchLabels": {OURS: "unidoc-rl"}}, "policyTypes": ["Ingress", "Egress"]}
    ports = {port["port"] for port in policies["unidoc-rl-servers"]["spec"]["ingress"][0]["ports"]}
    (chosen,) = policies["unidoc-rl-servers"]["spec"]["podSelector"]["matchExpressions"]
    for name, template in pods(overlay).items():
        assert template["metadata"]["labels"][OURS] == "unidoc-rl"
        assert template["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        if name != "node":
            assert template["metadata"]["labels"][NAME] in chosen["values"]
    for service in of_kind(overlay, "Service").values():
        assert {port["port"] for port in service["spec"]["ports"]} <= ports


def test_names_are_asked_of_the_cluster_or_of_the_node_s_own_cache_and_nothing_else_is() -> None:
    """The cache has an address that no selector of pods can choose."""
    (rule,) = of_kind("base", "NetworkPolicy")["unidoc-rl-names"]["spec"]["egress"]
    assert {port["port"] for port in rule["ports"]} == {53}
    blocks = [one["ipBlock"]["cidr"] for one in rule["to"] if "ipBlock" in one]
    assert blocks == ["169.254.0.0/16"]
    assert ip_address("169.254.20.10") in ip_network(blocks[0])  # where Kubernetes' own manifests have it


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_is_told_of_the_services_beside_it(overlay: str) -> None:
    """By variables made of their names: vLLM takes VLLM_PORT for its own, and does not start."""
    assert {template["spec"].get("enableServiceLinks") for template in pods(overlay).values()} == {False}


def test_what_plays_for_a_training_takes_weights_where_the_nodes_leave_them() -> None:
    assert "rollouts" not in pods("gpu")
    spec = pods(ROLLOUTS)["rollouts"]["spec"]
    (container,) = spec["containers"]
    assert {"name": "VLLM_SERVER_DEV_MODE", "value": "1"} in container["env"]
    assert {"--trust-request-chat-template", "--logprobs-mode=processed_logprobs"} <= {*container["command"]}
    assert {"name": "shared", "mountPath": str(SHARED), "readOnly": True} in container["volumeMounts"]
    (shared,) = (one for one in spec["volumes"] if one["name"] == "shared")
    assert shared["persistentVolumeClaim"]["claimName"] == SHARED_VOLUME


def test_a_laptop_needs_no_gpu() -> None:
    assert GPU not in str([template["spec"]["containers"] for template in pods("kind").values()])
    assert GPU in str(pods("gpu")["vllm"]["spec"]["containers"])
