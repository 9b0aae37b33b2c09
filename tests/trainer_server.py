"""A Kubernetes API with Kubeflow Trainer, as far as a TrainJob needs it; it allows what a Role allows, and no more."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from kubernetes.client import Configuration

from tests import servers

MANIFESTS = Path(__file__).parents[1] / "manifests" / "base"
SPACE = "team"
TRAINER = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{SPACE}/"
CORE = f"/api/v1/namespaces/{SPACE}/"
NOW = "2026-11-25T09:30:00Z"
VERBS = {"POST": "create", "DELETE": "delete"}
Answer = tuple[int, Any]
Right = tuple[str, str]  # a verb and what it is done to, with its group as kubectl has it
TOKEN = "of-the-task's-account"


def manifests(file: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in yaml.safe_load_all((MANIFESTS / file).read_text()) if one["kind"] == kind
    )
    return found


def granted() -> set[Right]:
    """What manifests/ allow to a task of the pipeline."""
    rules = manifests("accounts.yaml", "Role")["rules"]
    return {
        (verb, f"{resource}.{group}".rstrip("."))
        for rule in rules
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule["apiGroups"]
    }


@dataclass
class Cluster:
    """`states`: of the job, one a question: the type of a condition, or none as yet; the last one stays."""

    train: Callable[[list[str]], None] = lambda _: None  # what the nodes do when a job is made
    states: list[str] = field(default_factory=lambda: ["", "Complete"])
    rights: set[Right] = field(default_factory=granted)
    token: str = TOKEN  # that whoever asks is given
    runtime: bool = True
    quotas: list[dict[str, Any]] = field(default_factory=list)  # of the namespace: each its spec, and its status
    others: list[dict[str, Any]] = field(default_factory=list)  # pods of the namespace that are of no job
    fail: list[int] = field(default_factory=list)  # statuses of the next answers to what is read
    jobs: dict[str, Any] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    lingers: int = 2  # questions for which a removed job is still there, while its pods end
    used: set[Right] = field(default_factory=set)
    pods: int = 1  # that the first node has had so far
    log_stops: int = 0  # times that it is told its first line alone, and then nothing more
    log_ends: int = 0  # times that it is told its first line alone, as if that were all
    log_gone: int = 0  # times that its pod is gone when it is asked for
    url: str = ""
    _going: dict[str, int] = field(default_factory=dict)
    _last: str = ""

    def config(self) -> Any:
        from kubeflow.common.types import KubernetesBackendConfig

        configuration = Configuration(host=self.url, api_key={"authorization": f"Bearer {self.token}"})
        return KubernetesBackendConfig(namespace=SPACE, client_configuration=configuration)

    def write_config(self, file: Path) -> None:
        """For kubectl, and whoever looks where it does."""
        told = {
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": SPACE}}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "current-context": "test",
        }
        file.write_text(yaml.safe_dump(told))

    @contextlib.contextmanager
    def running(self) -> Iterator[Cluster]:
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._do()

            def do_POST(self) -> None:
                self._do()

            def do_DELETE(self) -> None:
                self._do()

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                known = self.headers["Authorization"] == f"Bearer {TOKEN}"
                status, content = cluster._answer(self.command, self.path, body) if known else cluster._refusal(401)
                if isinstance(content, str) and cluster.log_stops:
                    cluster.log_stops -= 1
                    self._begin(content)
                    return
                text = content if isinstance(content, str) else json.dumps(content)
                kind = "text/plain" if isinstance(content, str) else "application/json"
                servers.give(self, (status, {"Content-Type": kind}, text))

            def _begin(self, text: str) -> None:
                """A line of it; then the connection stays, and nothing comes."""
                self.protocol_version, self.close_connection = "HTTP/1.1", False
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                line = text.splitlines(keepends=True)[0]
                self.wfile.write(f"{len(line):x}\r\n{line}\r\n".encode())

            def log_message(self, *_: object) -> None:
                pass

        with servers.serving(Handler) as url:
            self.url = url
            yield self

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        parts = urlsplit(path)
        resource, _, rest = parts.path.removeprefix(TRAINER).removeprefix(CORE).partition("/")
        name, _, inner = rest.partition("/")
        verb = VERBS.get(method, "get" if name else "list")
        resource += ".trainer.kubeflow.org" if parts.path.startswith(TRAINER) else ""
        right = (verb, f"{resource}/{inner}" if inner else resource)
        if right not in self.rights:
            return self._refusal(403)
        self.used.add(right)
        if method == "GET" and self.fail:
            return self._refusal(self.fail.pop(0))
        match right:
            case ("get", "trainingruntimes.trainer.kubeflow.org") if name == "unidoc-rl" and self.runtime:
                return 200, manifests("training.yaml", "TrainingRuntime")
            case ("create", "trainjobs.trainer.kubeflow.org"):
                return self._create(json.loads(body))
            case ("get", "trainjobs.trainer.kubeflow.org") if name in self.jobs:
                if name in self._going:
                    self._going[name] -= 1
                    if self._going[name] < 0:
                        del self._going[name], self.jobs[name]
                        return self._refusal(404)
                    return 200, self._as(self.jobs[name], self._last)
                return 200, self._now(self.jobs[name])
            case ("delete", "trainjobs.trainer.kubeflow.org") if name in self.jobs:
                assert parse_qs(parts.query) == {"propagationPolicy": ["Foreground"]}  # else its pods outlive its name
                self.removed.append(name)
                self._going[name] = self.lingers
                return 200, {"kind": "Status", "status": "Success"}
            case ("list", "resourcequotas"):
                return 200, {"kind": "ResourceQuotaList", "items": self.quotas}
            case ("list", "pods"):
                asked = parse_qs(parts.query)
                if "fieldSelector" in asked:
                    found = [pod for pod in self.others if _selected(pod, *asked["fieldSelector"])]
                    return 200, {"kind": "PodList", "apiVersion": "v1", "items": found}
                (selector,) = asked["labelSelector"]
                wanted = selector.split(",")[0].removeprefix("jobset.sigs.k8s.io/jobset-name=")
                return 200, {"kind": "PodList", "apiVersion": "v1", "items": [self._pod(wanted)]}
            case ("get", "pods/log"):
                assert parse_qs(parts.query) == {"container": ["node"], "follow": ["True"]}
                return self._log(name)
        return self._refusal(404)

    def _log(self, pod: str) -> Answer:
        if self.log_gone:
            self.log_gone -= 1
            return self._refusal(404)
        if self.log_ends:
            self.log_ends -= 1
            return 200, f"step 1 of {pod}\n"
        return 200, f"step 1 of {pod}\nstep 2 of {pod}\n"

    def _refusal(self, status: int) -> Answer:
        return status, {"kind": "Status", "status": "Failure", "code": status, "message": f"told to answer {status}"}

    def _create(self, job: dict[str, Any]) -> Answer:
        name = job["metadata"]["name"]
        read = TrainerV1alpha1TrainJob.from_dict(job)
        assert read is not None
        assert read.to_dict() == job  # a field that is none of its own would be lost
        if name in self.jobs:
            return self._refusal(409)
        self.made.append(job)
        self.jobs[name] = {**job, "metadata": {**job["metadata"], "namespace": SPACE, "creationTimestamp": NOW}}
        self.train(job["spec"]["trainer"]["command"])
        return 201, self.jobs[name]

    def _now(self, job: dict[str, Any]) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state == "lost":
            self.pods += 1
            state = ""
        self._last = state
        return self._as(job, state)

    def _as(self, job: dict[str, Any], state: str) -> dict[str, Any]:
        condition = {"type": state, "status": "True", "lastTransitionTime": NOW, "reason": "Told", "message": ""}
        return {**job, "status": {"conditions": [condition] if state else []}}

    def _pod(self, job: str) -> dict[str, Any]:
        labels = {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "0"}
        return {
            "metadata": {"name": f"{job}-node-0-{self.pods}", "labels": labels, "creationTimestamp": NOW},
            "spec": {"containers": [{"name": "node", "image": "unidoc-rl-gpu"}]},
            "status": {"phase": "Running"},
        }


def _selected(pod: dict[str, Any], selector: str) -> bool:
    """By conditions such as status.phase!=Failed."""
    for condition in selector.split(","):
        path, other, value = re.fullmatch(r"([\w.]+?)(!?)=(\w+)", condition).groups()  # type: ignore[union-attr]
        section, key = path.split(".")
        if (pod[section][key] == value) == bool(other):
            return False
    return True
