"""The stage `promote`: registers an evaluated policy, and makes it champion where it passes every gate.

promotion/promotion.json   the version, every gate and what it said
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unidoc_rl import storage, tracking
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate import EVALUATION
from unidoc_rl.names import document_name
from unidoc_rl.params import Params
from unidoc_rl.promote import PROMOTION
from unidoc_rl.promote.gates import Gate, gates
from unidoc_rl.promote.registry import CHAMPION, Registry
from unidoc_rl.provenance import commit, data_version, digest


@dataclass(frozen=True, slots=True)
class Promotion:
    name: str
    version: str
    promoted: bool
    gates: list[Gate]
    champion: str  # the version that is champion now


def promote(policy: str | Path, evaluation: str | Path, out: str | Path, params: Params) -> Promotion:
    """The same promotion again changes nothing."""
    folder, measured = storage.local_folder(policy), storage.local_folder(evaluation) / EVALUATION
    own = _own(measured, document_name(str(policy).rstrip("/").rpartition("/")[2]))
    tags = {"policy": digest(folder), "evaluation": digest(measured)}
    more = {"commit": commit(), "data": data_version()}
    registry = Registry(params.promote.name, params.services.mlflow)
    with (
        storage.writing(out, marker=PROMOTION) as output,
        registry.held(),
        tracking.run("promote", params.services.mlflow, output.work / "run") as run,
    ):
        run.params(params.promote.model_dump())
        run.inputs({"policy": folder, "evaluation": measured})
        champion = registry.alias(CHAMPION)
        version = registry.known(tags)
        if version is None:
            metrics = {"accuracy": own["accuracy"]["value"]}
            version = registry.register(folder, measured, metrics, {**tags, **more})
        is_champion = champion is not None and champion.version == version.version
        before = None if champion is None or is_champion else _first(registry.evaluation(champion))
        passed = gates(own, before, params.promote)
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
    registry = Registry(params.promote.name, params.services.mlflow)
    with registry.held():
        return registry.roll_back()


def _own(measured: Path, name: str) -> Mapping[str, Any]:
    try:
        table = json.loads(measured.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnidocError(f"{measured}: is no evaluation ({error}); make one with `unidoc evaluate`") from error
    if name not in table:
        raise UnidocError(f"{measured}: is about {', '.join(table)}, not about {name}; evaluate that policy first")
    own: Mapping[str, Any] = table[name]
    return own


def _first(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The policy that an evaluation is of; the others stand beside it."""
    own: Mapping[str, Any] = next(iter(table.values()))
    return own
