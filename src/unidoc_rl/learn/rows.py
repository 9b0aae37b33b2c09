"""What the ladder's rows are: what each may do, and what it has learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from unidoc_rl.evaluate.baselines import BASELINES
from unidoc_rl.params import AgentParams, Params, Section

Protocol = Literal["react", "vrag", "unidoc"]
PROTOCOLS: Mapping[Protocol, Mapping[str, Any]] = {  # what each changes in AgentParams
    "react": BASELINES["react"].protocol,
    "vrag": BASELINES["vrag"].protocol,
    "unidoc": {"actions": AgentParams().actions},
}


@dataclass(frozen=True, slots=True)
class Rewarded:
    """How a policy learns from rewards."""

    rewards: Literal["outcome", "vrag", "unidoc"]
    credit: Literal["episode", "turn"] = "episode"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    meaning: str
    protocol: Protocol
    rewarded: Rewarded | None = None  # None: it imitates
    baseline: Literal["rag"] | None = None  # the policy that imitates, with less to do

    @property
    def policy(self) -> str:
        """The folder of what plays."""
        return self.name if self.rewarded else imitator(self.protocol)


ROWS = (
    Row("rag", f"vanilla RAG: {BASELINES['rag'].meaning}", "react", baseline="rag"),
    Row("react", "ReAct: imitates search and answer", "react"),
    Row("sft", "imitates search, select, zoom and answer", "unidoc"),
    Row("search-r1", "react, then GRPO: rewarded for the answer alone", "react", Rewarded("outcome")),
    Row("vrag", "imitates search, zoom and answer, then GRPO: VRAG-RL's rewards", "vrag", Rewarded("vrag")),
    Row("unidoc", "sft, then GRPO: a reward for every decision", "unidoc", Rewarded("unidoc")),
    Row("unidoc-turn", "likewise, each turn by what it could influence", "unidoc", Rewarded("unidoc", "turn")),
)


# What a row has of its own, whatever params.yaml says.
OVERRULED = (("grpo", "credit"), ("agent", "actions"), ("rewards", "of"), ("evaluate", "baselines"))


def imitator(protocol: Protocol) -> str:
    """The policy that has imitated all that a protocol allows, and no more."""
    return f"sft-{protocol}"


def playing(params: Params, protocol: Protocol) -> Params:
    """With what this protocol allows."""
    return params.model_copy(update={"agent": params.agent.model_copy(update=dict(PROTOCOLS[protocol]))})


def learning(params: Params, row: Row, seed: int) -> Params:
    """What a row learns by, for so manieth a seed (from 0)."""
    changed: dict[str, Section] = {"sft": params.sft.model_copy(update={"seed": params.sft.seed + seed})}
    if row.rewarded:
        grpo = {"seed": params.grpo.seed + seed, "credit": row.rewarded.credit}
        changed["grpo"] = params.grpo.model_copy(update=grpo)
        changed["rewards"] = params.rewards.model_copy(update={"of": row.rewarded.rewards})
    return playing(params, row.protocol).model_copy(update=changed)
