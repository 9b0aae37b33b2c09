"""What a policy is held against: itself with less to do, on the same questions, by the same index and judge.

A baseline narrows the protocol that the policy plays by; with its pages shown from the start, the policy's first turn
is written for it, a search in the question's own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unidoc_rl.agent.dialect import harmless, write
from unidoc_rl.agent.environment import Environment, Episode
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policy import Failed, Policy
from unidoc_rl.names import split_page_id
from unidoc_rl.params import AgentParams, BaselineName
from unidoc_rl.questions import gold_pages
from unidoc_rl.types import Hit, Query, Question, Reply, Said, Search, Searcher

_RULES = """You answer a question about document pages, which you are shown.

Think first, then answer:
<think>what the pages say about it</think>
<answer>the answer, in a few words</answer>

If the pages do not hold the answer, answer that the question is not answerable."""


@dataclass(frozen=True, slots=True)
class Baseline:
    meaning: str
    protocol: Mapping[str, Any] = field(default_factory=dict)  # what it changes in AgentParams
    shown: bool = False  # whether pages are shown from the start
    gold: bool = False  # and whether these are the gold ones


_READING = {"actions": ["search", "answer"], "turns": 2}
BASELINES: dict[BaselineName, Baseline] = {
    "rag": Baseline("one search, in the question's own words, and an answer", _READING, shown=True),
    "react": Baseline("ReAct's and Search-R1's actions: search and answer", {"actions": ["search", "answer"]}),
    "vrag": Baseline(
        "VRAG-RL's actions: search, by which one more page is seen, zoom and answer",
        {"actions": ["search", "zoom", "answer"], "candidates": 1},
    ),
    "oracle": Baseline("the gold pages, and an answer", _READING, shown=True, gold=True),
}


class Retrieving:
    """A policy whose first turn is a search in the question's own words."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = policy.name

    def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
        begun = [episode for episode in episodes if episode.turns]
        replies = iter(self._policy.reply(begun) if begun else [])
        return [next(replies) if episode.turns else _asking(episode.question) for episode in episodes]


def play_as(
    baseline: Baseline,
    policy: Policy,
    questions: Sequence[Question],
    search: Searcher,
    pictures: Pictures,
    params: AgentParams,
) -> tuple[Environment, Policy]:
    """What `rollouts` needs to play these questions so."""
    protocol = params.model_copy(update=dict(baseline.protocol))
    if not baseline.shown:
        return Environment(search, pictures, protocol), policy
    searcher = gold_first(questions, search, params.pictures) if baseline.gold else search
    return Environment(searcher, pictures, protocol, _RULES), Retrieving(policy)


def gold_first(questions: Sequence[Question], search: Searcher, most: int) -> Searcher:
    """Finds the gold pages of the question that is searched for, or of all that are worded so: `most` of them.

    A question that nothing answers has none, and is not to be known by that: of these, the usual pages are found.
    """
    gold: dict[str, list[str]] = {}
    for question in questions:
        gold.setdefault(harmless(question.query).strip(), []).extend(gold_pages(question))

    def found(queries: Sequence[Query], k: int) -> list[list[Hit]]:
        return [
            [_hit(page) for page in dict.fromkeys(pages)][:most] if (pages := gold.get(query.text)) else hits
            for query, hits in zip(queries, search(queries, k), strict=True)
        ]

    return found


def _asking(question: Question) -> Reply:
    return Reply(write(Said("", "", Search(harmless(question.query)))), tokens=0, context=0, seconds=0)


def _hit(page: str) -> Hit:
    return Hit(page, split_page_id(page)[0], "", 1.0, {})
