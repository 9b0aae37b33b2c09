"""The registry of models in MLflow: versions of one model, and the aliases `champion` and `previous`.

A policy's folder is registered as it is, without being loaded.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidoc_rl import mlflow_server
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate import EVALUATION
from unidoc_rl.plural import counted
from unidoc_rl.s3 import copies
from unidoc_rl.trained import CARD

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
PREVIOUS = "previous"
POLICY = "policy"  # a version's tag: what its policy is known by
MODEL = "logged_model"  # a version's tag: the id under which its files are kept, which MLflow itself forgets
LONGEST = 5000  # letters of a description that MLflow takes
STALE_SECONDS = 600  # after which a promotion that holds the registry was killed


class Registry:
    def __init__(self, name: str, address: str | None) -> None:
        self._name = name
        self._client, self._experiment = mlflow_server.opened(address)

    def alias(self, alias: str) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_model_version_by_alias(self._name, alias)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise  # a registry that is away is not one without a champion
            return None  # no such model, or no such alias
        if not {POLICY, MODEL} <= found.tags.keys():
            raise UnidocError(
                f"{self._name}: version {found.version}, whose alias is {alias}, was not registered by "
                "`unidoc promote`; name another model in promote.name"
            )
        return found

    def known(self, tags: Mapping[str, str]) -> ModelVersion | None:
        """A version with all these tags."""
        found = self._client.search_model_versions(f"name = '{self._name}'")
        return next((one for one in found if tags.items() <= one.tags.items()), None)

    def register(
        self, policy: Path, evaluation: Path, accuracy: Mapping[str, float], tags: Mapping[str, str]
    ) -> ModelVersion:
        """A new version, with the evaluation beside the policy; it shows how often that is right, and then its card."""
        client = self._client
        made = client.create_logged_model(self._experiment, name=self._name, tags=dict(tags))
        client.log_model_artifacts(made.model_id, str(policy))
        client.log_model_artifact(made.model_id, str(evaluation))
        client.finalize_logged_model(made.model_id, "READY")
        self._make(self._name)
        told = {**tags, MODEL: made.model_id, "accuracy": f"{accuracy['value']:.4f}"}
        asked = counted(int(accuracy["count"]), "question")
        shown = "{value:.1%} right [{low:.1%}, {high:.1%}] of {asked}".format(asked=asked, **accuracy)
        if (card := policy / CARD).exists():
            shown = f"{shown}\n\n{card.read_text(encoding='utf-8')}"[:LONGEST]
        with mlflow_server.found_by_itself(client):
            return client.create_model_version(
                self._name, f"models:/{made.model_id}", tags=told, model_id=made.model_id, description=shown
            )

    def evaluation(self, version: ModelVersion) -> Mapping[str, Any]:
        """What stands beside the policy of a version."""
        from mlflow.artifacts import download_artifacts

        place = self._client.get_logged_model(version.tags[MODEL]).artifact_location
        with tempfile.TemporaryDirectory() as folder:
            path = download_artifacts(
                artifact_uri=f"{place}/{EVALUATION}", dst_path=folder, tracking_uri=self._client.tracking_uri
            )
            read: Mapping[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return read

    def policy(self, version: ModelVersion) -> Path:
        """The folder of a version's policy on this machine, fetched once."""
        from mlflow.artifacts import download_artifacts

        target: Path = copies() / "policies" / version.tags[MODEL]
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            place = self._client.get_logged_model(version.tags[MODEL]).artifact_location
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                fetched = download_artifacts(
                    artifact_uri=place, dst_path=folder, tracking_uri=self._client.tracking_uri
                )
                (Path(fetched) / EVALUATION).unlink()  # which stands beside it, and is no part of it
                try:
                    Path(fetched).rename(target)
                except OSError:
                    if not target.exists():  # else another process was quicker
                        raise
        return target

    def _make(self, name: str, description: str | None = None) -> bool:
        """Whether a model of this name is made; not, where there is one."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name, description=description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return False
        return True

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
        lock = f"{self._name}.promoting"
        if not self._make(lock, str(time.time())):
            since = time.time() - float(self._client.get_registered_model(lock).description)
            if since < STALE_SECONDS:
                raise UnidocError(
                    f"{self._name}: another promotion has been at work for {since:.0f} s; wait for it and run again"
                )
            self._client.update_registered_model(lock, description=str(time.time()))
        try:
            yield
        finally:
            self._client.delete_registered_model(lock)
