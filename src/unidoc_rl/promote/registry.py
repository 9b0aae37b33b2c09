"""The registry of models in MLflow: versions of one model, and the aliases `champion` and `previous`.

A policy's folder is registered as it is, without being loaded.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidoc_rl import tracking
from unidoc_rl.errors import UnidocError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
PREVIOUS = "previous"
EVALUATION = "evaluation.json"  # beside the policy, in a version's files
STALE_SECONDS = 600  # after which a promotion that holds the registry was killed


class Registry:
    def __init__(self, name: str, address: str | None) -> None:
        self._name = name
        self._client, self._experiment = tracking.opened(address)

    def alias(self, alias: str) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version_by_alias(self._name, alias)
        except MlflowException:
            return None  # MLflow has one error for no such model and no such alias

    def known(self, tags: Mapping[str, str]) -> ModelVersion | None:
        """A version with all these tags."""
        found = self._client.search_model_versions(f"name = '{self._name}'")
        return next((one for one in found if tags.items() <= one.tags.items()), None)

    def register(self, policy: Path, evaluation: Path, metrics: Mapping[str, float], tags: Mapping[str, str]) -> Any:
        """A new version, with the evaluation beside the policy."""
        import mlflow

        client = self._client
        with tracking.using(client):
            model = mlflow.initialize_logged_model(name=self._name, experiment_id=self._experiment, tags=dict(tags))
            client.log_model_artifacts(model.model_id, str(policy))
            client.log_model_artifact(model.model_id, str(evaluation))
            mlflow.finalize_logged_model(model.model_id, "READY")
            version = mlflow.register_model(f"models:/{model.model_id}", self._name, tags=dict(tags))
        for name, value in metrics.items():
            client.set_model_version_tag(self._name, version.version, name, f"{value:.4f}")
        return version

    def evaluation(self, version: ModelVersion) -> Mapping[str, Any]:
        import mlflow

        with tracking.using(self._client):
            path = mlflow.artifacts.download_artifacts(f"models:/{self._name}/{version.version}/{EVALUATION}")
        read: Mapping[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return read

    def crown(self, version: str) -> None:
        """The former champion becomes the previous one."""
        former = self.alias(CHAMPION)
        if former is not None and former.version == version:
            return
        if former is not None:
            self._client.set_registered_model_alias(self._name, PREVIOUS, former.version)
        self._client.set_registered_model_alias(self._name, CHAMPION, version)

    def roll_back(self) -> tuple[str, str]:
        """The previous champion is champion again, and the other way round; returns the new and the former version."""
        champion, previous = self.alias(CHAMPION), self.alias(PREVIOUS)
        if champion is None or previous is None:
            raise UnidocError(f"{self._name}: has no previous champion to go back to")
        self.crown(previous.version)
        return str(previous.version), str(champion.version)

    @contextmanager
    def held(self) -> Iterator[None]:
        """One promotion at a time: who makes the model of this name holds the registry; MLflow makes it only once."""
        from mlflow.exceptions import MlflowException

        lock = f"{self._name}.promoting"
        try:
            self._client.create_registered_model(lock, description=str(time.time()))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            since = time.time() - float(self._client.get_registered_model(lock).description)
            if since < STALE_SECONDS:
                raise UnidocError(
                    f"{self._name}: another promotion has been at work for {since:.0f} s; wait for it and run again"
                ) from None
            self._client.update_registered_model(lock, description=str(time.time()))
        try:
            yield
        finally:
            self._client.delete_registered_model(lock)
