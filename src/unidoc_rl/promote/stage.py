"""The stage `promote`: registers an evaluated policy, and makes it champion where it passes every gate.

promotion/promotion.json   the version, every gate and what it said
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidoc_rl import mlflow_server, storage, tracking
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate import EVALUATION
from unidoc_rl.names import document_name
from unidoc_rl.params import Params
from unidoc_rl.promote import PROMOTION
from unidoc_rl.promote.gates import JUDGE, Gate, gates
from unidoc_rl.promote.registry import CHAMPION, POLICY, Registry
from unidoc_rl.provenance import commit, data_version, identity

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, slots=True)
class Promotion:
    name: str
    version: str
    promoted: bool
    gates: list[Gate]
    champion: str  # the version that is champion now


def promote(policy: str | Path, evaluation: str | Path, out: str | Path, params: Params) -> Promotion:
    """The same promotion again changes nothing."""
    storage.keep_apart(out, policy, evaluation)
    folder, measured = storage.local_folder(policy), storage.local_folder(evaluation) / EVALUATION
    table = _table(measured)
    tags = {POLICY: identity(folder), "evaluation": identity(measured)}
    own = _own(table, policy, tags[POLICY], measured)
    with _reached(params.services.mlflow):
        registry = Registry(params.promote.name, params.services.mlflow)
        with (
            storage.writing(out, PROMOTION) as output,
            tracking.run("promote", params.services.mlflow, output.work / "run") as run,
        ):
            run.params(params.promote.model_dump())
            run.inputs({"policy": folder, "evaluation": measured})
            version = _known(registry, tags) or registry.register(
                folder, measured, own["accuracy"], tags | _versions(own)
            )
            with registry.held():  # after what may take long
                champion = registry.alias(CHAMPION)
                passed = gates(own, _rival(registry, champion, tags[POLICY], table), params.promote)
                promoted = all(gate.passed for gate in passed)
                if promoted:
                    registry.crown(version.version)
                now = registry.alias(CHAMPION)
            made = Promotion(
                params.promote.name, str(version.version), promoted, passed, str(now.version) if now is not None else ""
            )
            (output.new / PROMOTION).write_text(json.dumps(asdict(made), indent=1) + "\n", encoding="utf-8")
            run.result({"promoted": float(promoted), "version": float(version.version)})
            run.file(output.new / PROMOTION)
    return made


def roll_back(params: Params) -> tuple[str, str]:
    """Returns the version that is champion now, and the one that was."""
    with _reached(params.services.mlflow):
        registry = Registry(params.promote.name, params.services.mlflow)
        with registry.held():
            return registry.roll_back()


@contextmanager
def _reached(address: str | None) -> Iterator[None]:
    """Unlike what a run tells, a version cannot be kept here until MLflow is there."""
    try:
        yield
    except mlflow_server.away() as error:
        raise UnidocError(
            f"services.mlflow: MLflow at {mlflow_server.place(address)} cannot be asked ({error}); "
            "start it, or name its address, and run again"
        ) from error


def _known(registry: Registry, tags: Mapping[str, str]) -> ModelVersion | None:
    """The version of this promotion, or of this very policy, where that is the champion already."""
    champion = registry.alias(CHAMPION)
    return champion if champion is not None and champion.tags[POLICY] == tags[POLICY] else registry.known(tags)


def _versions(own: Mapping[str, Any]) -> dict[str, str]:
    """Of the code, and of all data: by dvc.lock, and of what it was evaluated on."""
    of = {f"data.{name}": known for name, known in own["inputs"].items() if name not in (POLICY, JUDGE)}
    return {"commit": commit(), "data": data_version(), **of}


def _rival(
    registry: Registry, champion: ModelVersion | None, policy: str, table: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """How the champion did: where it stands in this evaluation, on these very questions; None: it is this policy."""
    if champion is None or champion.tags[POLICY] == policy:
        return None
    known_by = champion.tags[POLICY]
    beside = next(_of(table, known_by), None)
    return beside if beside is not None else next(_of(registry.evaluation(champion), known_by))


def _of(table: Mapping[str, Any], known_by: str) -> Iterator[Mapping[str, Any]]:
    """What an evaluation says of a policy: first of itself, then of the baselines that it has played as."""
    return (one for one in table.values() if one["inputs"].get(POLICY) == known_by)


def _table(measured: Path) -> Mapping[str, Any]:
    try:
        table: Mapping[str, Any] = json.loads(measured.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnidocError(f"{measured}: is no evaluation ({error}); make one with `unidoc evaluate`") from error
    return table


def _own(table: Mapping[str, Any], policy: str | Path, known_by: str, measured: Path) -> Mapping[str, Any]:
    """The policy's part of an evaluation."""
    name = document_name(str(policy).rstrip("/").rpartition("/")[2])
    if name not in table:
        raise UnidocError(f"{measured}: is about {', '.join(table)}, not about {name}; evaluate that policy first")
    own: Mapping[str, Any] = table[name]
    if own.get("inputs", {}).get(POLICY) != known_by:
        raise UnidocError(f"{measured}: is about {name} as it was, and {policy} has changed since; evaluate it again")
    return own
