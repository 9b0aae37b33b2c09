"""What plays: anything that continues conversations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from unidoc_rl.agent.environment import Episode
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Outcome, Reply


@dataclass(frozen=True, slots=True)
class Failed:
    """No reply: the episode ends so. VOID, where the policy was not there."""

    outcome: Outcome
    reason: str


class Policy(Protocol):
    name: str

    def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
        """The next turn of each episode."""


def written(text: str, episode: Episode, params: AgentParams, seconds: float) -> Reply:
    """The next turn where no model counts its tokens: about as many as one would."""
    tokens = len(text) // 3
    read = sum(
        len(part) // 3 if isinstance(part, str) else part.width * part.height // params.patch**2
        for message in episode.messages
        for part in message.content
    )
    return Reply(text, tokens, read + tokens, seconds)
