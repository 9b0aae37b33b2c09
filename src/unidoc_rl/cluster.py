"""The cluster that a pipeline's task runs in, asked as the task's own account may."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unidoc_rl.errors import Away, UnidocError

if TYPE_CHECKING:
    from kubeflow.common.types import KubernetesBackendConfig

    from unidoc_rl.trainer_client import Client

SECONDS = 30.0  # that it may be silent
IN_A_POD = "KUBERNETES_SERVICE_HOST"  # the variable that every one has
GPU = "nvidia.com/gpu"  # as a pod asks for one
GPUS = f"requests.{GPU}"  # as a quota has them
STAYING = "spec.restartPolicy=Always,status.phase!=Succeeded,status.phase!=Failed"  # pods: servers, notebooks
WHAT_TO_DO = {
    401: "this task's account is not known there: see that it runs in the cluster",
    403: "this task's account may not do this: apply manifests/, whose Role unidoc-rl-task is bound to it",
    404: "it is not there: apply manifests/, and see that Kubeflow Trainer is installed",
    409: "there is one already: run again",
}


class NotThere(UnidocError):
    """The cluster knows no such thing."""


class There(UnidocError):
    """What was to be made has been made already."""


def connected(backend: KubernetesBackendConfig | None, seconds: float = SECONDS) -> Client:
    """`backend`: the cluster that this process is in, where None. `seconds`: how long it may be silent."""
    from kubernetes.config import ConfigException

    from unidoc_rl.trainer_client import Client

    try:
        return Client(backend, seconds)
    except ConfigException as error:
        raise UnidocError(
            f"no cluster can be asked from here ({error}); set pipeline.nodes to 0, or run in one"
        ) from error


@dataclass(frozen=True, slots=True)
class Gpus:
    """What a quota leaves a namespace of them."""

    allowed: int  # to all of its pods together
    used: int  # now
    kept: dict[str, int]  # of these, by each pod that does not end by itself

    @property
    def lent(self) -> int:
        """What work can be given, once other work has ended."""
        return self.allowed - sum(self.kept.values())


def gpus(backend: KubernetesBackendConfig | None = None, seconds: float = SECONDS) -> Gpus | None:
    """By the quota that allows least; None: as many as there are."""
    asked = connected(backend, seconds).backend
    with explained("looking for the quotas of the namespace"):
        found = asked.core_api.list_namespaced_resource_quota(asked.namespace).items
    of_all = [
        one for one in found if GPUS in (one.spec.hard or {}) and not (one.spec.scopes or one.spec.scope_selector)
    ]
    if not of_all:
        return None
    with explained("looking for the pods of the namespace"):
        pods = asked.core_api.list_namespaced_pod(asked.namespace, field_selector=STAYING).items
    wanted = {pod.metadata.name: [one.resources for one in pod.spec.containers if one.resources] for pod in pods}
    kept = {name: sum(_count(one.requests, GPU) for one in resources) for name, resources in wanted.items()}
    return Gpus(
        allowed=min(_count(one.spec.hard, GPUS) for one in of_all),
        used=max(_count(one.status.used if one.status else None, GPUS) for one in of_all),
        kept={name: count for name, count in kept.items() if count},
    )


def _count(amounts: Mapping[str, str] | None, name: str) -> int:
    from kubernetes.utils.quantity import parse_quantity

    return int(parse_quantity((amounts or {}).get(name, "0")))


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Around what asks the cluster. `doing`: what an error says was being done."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    try:
        yield
    except (ApiException, HTTPError, RuntimeError, TimeoutError) as error:
        cause = (error.__cause__ if isinstance(error, RuntimeError) else None) or error  # the SDK wraps what it meets
        if isinstance(cause, TimeoutError | ReadTimeoutError):
            raise Away(f"{doing}: the cluster has not answered; see that it is well, and run again") from error
        if not isinstance(cause, ApiException):
            raise Away(f"{doing}: the cluster cannot be reached ({cause}); run again") from error
        said = f"{doing}: {cause.status} ({cause.reason})"
        if cause.status == 404:
            raise NotThere(f"{said}; {WHAT_TO_DO[404]}") from error
        if cause.status == 409:
            raise There(f"{said}; {WHAT_TO_DO[409]}") from error
        if cause.status in WHAT_TO_DO:
            raise UnidocError(f"{said}; {WHAT_TO_DO[cause.status]}") from error
        raise Away(f"{said}; see that the cluster is well, and run again") from error
