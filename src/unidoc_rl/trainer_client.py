"""The client of Kubeflow Trainer, with an end to each of its requests: its own wait for ever where a server accepts and
is silent. Imported where a cluster is asked, since it takes seconds."""

from __future__ import annotations

from typing import Any

from kubeflow.common.types import KubernetesBackendConfig
from kubeflow.trainer import TrainerClient
from kubeflow.trainer.backends.kubernetes.backend import KubernetesBackend
from kubeflow.trainer.constants import constants
from kubernetes.client import ApiClient, Configuration

LOG_SECONDS = 600.0  # that training may have nothing to say; then its log is asked for anew


class Client(TrainerClient):  # type: ignore[misc]  # kubeflow has no types
    """`seconds`: how long the cluster may be silent."""

    def __init__(self, config: KubernetesBackendConfig | None, seconds: float) -> None:
        self.backend = _Backend(config or KubernetesBackendConfig(), seconds)


class _Backend(KubernetesBackend):  # type: ignore[misc]
    def __init__(self, config: KubernetesBackendConfig, seconds: float) -> None:
        super().__init__(config)
        api = _Api(self.core_api.api_client.configuration, seconds)
        self.core_api.api_client = self.custom_api.api_client = api

    def delete_job(self, name: str) -> None:
        """In the foreground: it has its name until its pods are gone, and none of that name takes them for its own."""
        self.custom_api.delete_namespaced_custom_object(
            constants.GROUP,
            constants.VERSION,
            self.namespace,
            constants.TRAINJOB_PLURAL,
            name,
            propagation_policy="Foreground",
        )

    def verify_backend(self) -> None:
        """Not asked which version of Trainer it is: a task's account may not know."""


class _Api(ApiClient):  # type: ignore[misc]
    def __init__(self, configuration: Configuration, seconds: float) -> None:
        configuration.retries = False  # those of urllib3, each of which would wait as long
        super().__init__(configuration)
        self._seconds = seconds

    def request(self, method: str, url: str, *, _preload_content: bool, _request_timeout: object, **more: Any) -> Any:
        silent = self._seconds if _preload_content else LOG_SECONDS  # what is read as it comes is a log
        return super().request(
            method, url, _preload_content=_preload_content, _request_timeout=(self._seconds, silent), **more
        )
