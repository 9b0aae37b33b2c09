"""A small corpus, really ingested and indexed, that agents of the tests play in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.index.test_stage import WORDS, make_corpus
from unidoc_rl.agent.environment import Environment, Episode
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.index.search import Index
from unidoc_rl.index.stage import index
from unidoc_rl.params import AgentParams
from unidoc_rl.types import AnswerFormat, Box, Evidence, Hit, Query, Question, Reply

QUESTION = Question(
    uid="q1",
    query="What do bees make?",
    answer="honey",
    answer_format=AnswerFormat.STR,
    kind="lookup",
    source_type="text",
    file_name="bees",
    evidence=(Evidence("bees", 1, (Box(100, 60, 500, 90),), needs_crop=True),),
)


class World:
    """Three documents of two pages each, about bees, ships and steel."""

    def __init__(self, folder: Path) -> None:
        self.corpus = make_corpus(folder)
        self.folder = folder / "index"
        index(self.corpus, self.folder, WORDS)
        self.index = Index(self.folder)
        self.searches: list[list[Query]] = []  # what was asked together

    def search(self, queries: Sequence[Query], k: int) -> list[list[Hit]]:
        self.searches.append(list(queries))
        return self.index(queries, k)

    def environment(self, params: AgentParams) -> Environment:
        return Environment(self.search, Pictures(self.corpus, params), params)


def reply(text: str, context: int = 100) -> Reply:
    return Reply(text, tokens=10, context=context, seconds=0.1)


def played(environment: Environment, *texts: str) -> Episode:
    """An episode in which the agent writes these turns, as far as it gets."""
    episode = environment.reset(QUESTION)
    for text in texts:
        if episode.outcome is None:
            environment.step([episode], [reply(text)])
    return episode
