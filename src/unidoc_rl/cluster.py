"""The cluster that a pipeline's task runs in, asked as the task's own account may."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unidoc_rl.errors import Away, UnidocError

if TYPE_CHECKING:
    from kubeflow.common.types import KubernetesBackendConfig
    from kubeflow.trainer import TrainerClient

SECONDS = 60  # that it may be silent
GPUS = "requests.nvidia.com/gpu"  # as a quota has them
WHAT_TO_DO = {
    401: "this task's account is not known there: see that it runs in the cluster",
    403: "this task's account may not do this: apply manifests/, whose Role unidoc-rl-task is bound to it",
    404: "it is not there: apply manifests/, and see that Kubeflow Trainer is installed",
    409: "it was started by another task at the same time: run again",
}


class NotThere(UnidocError):
    """The cluster knows no such thing."""


def connected(backend: KubernetesBackendConfig | None) -> TrainerClient:
    """`backend`: the cluster that this process is in, where None."""
    from kubeflow.trainer import TrainerClient
    from kubernetes.config import ConfigException

    logging.getLogger("kubeflow").setLevel(
        logging.ERROR
    )  # it warns that it may not read which version of Trainer it is
    try:
        return TrainerClient(backend)
    except ConfigException as error:
        raise UnidocError(
            f"no cluster can be asked from here ({error}); set pipeline.nodes to 0, or run in one"
        ) from error


def gpus(backend: KubernetesBackendConfig | None = None) -> int | None:
    """That all pods of the namespace together may have by its quotas; None: as many as there are."""
    from kubernetes.utils.quantity import parse_quantity

    asked = connected(backend).backend
    with explained("looking for the quotas of the namespace"):
        found = asked.core_api.list_namespaced_resource_quota(asked.namespace, _request_timeout=SECONDS)
        quotas = [quota.spec for quota in found.items]
    of_all = [quota.hard for quota in quotas if not (quota.scopes or quota.scope_selector)]
    return min((int(parse_quantity(hard[GPUS])) for hard in of_all if GPUS in hard), default=None)


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Around what asks the cluster. `doing`: what an error says was being done."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (ApiException, HTTPError, RuntimeError, TimeoutError) as error:
        cause = error if isinstance(error, ApiException) else error.__cause__  # the SDK wraps what it meets
        if isinstance(error, TimeoutError):
            raise Away(f"{doing}: the cluster has not answered; see that it is well, and run again") from error
        if not isinstance(cause, ApiException):
            raise Away(f"{doing}: the cluster cannot be reached ({cause or error}); run again") from error
        said = f"{doing}: {cause.status} ({cause.reason})"
        if cause.status == 404:
            raise NotThere(f"{said}; {WHAT_TO_DO[404]}") from error
        if cause.status in WHAT_TO_DO:
            raise UnidocError(f"{said}; {WHAT_TO_DO[cause.status]}") from error
        raise Away(f"{said}; see that the cluster is well, and run again") from error
