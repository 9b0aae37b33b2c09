"""What is not the agent's fault: search and judge that go away, and come back."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import servers, trainings
from tests.agent.chat import Body, Chat, Given, completion, error
from tests.agent.models import Told
from tests.trainings import Learnable
from unidoc_rl import questions
from unidoc_rl.agent.endpoint import Endpoint
from unidoc_rl.agent.environment import Environment, Episode
from unidoc_rl.agent.judge import ModelJudge
from unidoc_rl.agent.judging import Judge
from unidoc_rl.agent.kept import Kept
from unidoc_rl.agent.loading import student
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.trajectories import pictures_of
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.grpo.players import Here
from unidoc_rl.grpo.trainer import AgentTrainer, Game
from unidoc_rl.index.client import SearchClient
from unidoc_rl.index.search import Index
from unidoc_rl.params import GrpoParams, RewardParams
from unidoc_rl.types import Hit, Outcome, Query, Searcher

AGENT = trainings.AGENT.model_copy(update={"turn_tokens": 32})
PARAMS = GrpoParams(steps=3, questions=1, group=4, together=2, rate=1e-2, save_steps=1)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def trainer(learnable: Learnable, search: Searcher, judge: Judge, checkpoints: Path, *turns: str) -> AgentTrainer:
    """Of a model that writes these turns; the last of some samples is another."""
    asked = questions.read(learnable.folder / "rl.jsonl")
    network, encoder = student(learnable.model, AGENT, frozen=True)
    pictures = Pictures(learnable.corpus, AGENT)

    def script(episode: Episode) -> Sequence[str]:
        return turns if episode.sample % 2 else [*turns[:-1], "<answer>wax</answer>"]

    def player(model: Any, seed: int, temperature: float) -> Told:
        return Told(script, model, encoder, "told", pictures.show, AGENT, temperature=1.0, seed=seed, records=True)

    environment, rewards = Environment(search, pictures, AGENT), RewardParams(of="outcome")
    game = Game(asked, asked, environment, encoder, Here(player), lambda played: score(played, rewards, judge), rewards)
    return AgentTrainer.of(network, PARAMS, game, checkpoints)


# --- search -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_search_service_that_dies_in_the_middle_and_comes_back_is_waited_for(
    learnable: Learnable, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = SearchClient(f"http://127.0.0.1:{port}", tries=12)
    lives = [trainings.serve(learnable.index, port)]

    def search(queries: Sequence[Query], k: int) -> list[list[Hit]]:
        found = client(queries, k)
        if len(lives) == 1:  # it is away when the next one comes
            lives[0].kill()
            lives[0].join()
            lives.append(trainings.serve(learnable.index, port))
        return found

    try:
        one = trainer(learnable, search, by_rules, tmp_path, "<search>bees</search>", "<search>ships</search>")
        played, _ = one._play([one._game.questions[0]] * 4, 1.0)
    finally:
        lives[-1].kill()
    assert len(lives) == 2
    assert [episode.outcome for episode in played] == [Outcome.ANSWERED, Outcome.OUT_OF_TURNS] * 2
    assert all(list(pictures_of(turn)) for turn in played[1].turns)


def test_nothing_is_learned_where_every_episode_is_void(learnable: Learnable, tmp_path: Path) -> None:
    with servers.closed_port() as port:
        client = SearchClient(f"http://127.0.0.1:{port}", tries=1)
        one = trainer(learnable, client, by_rules, tmp_path, "<search>bees</search>", "<answer>honey</answer>")
        with pytest.raises(UnidocError, match=r"grpo: validation: every episode is void: search service .*: away"):
            one.go_on()


@pytest.mark.slow
def test_of_a_batch_that_search_leaves_in_part_the_rest_is_learned_from(learnable: Learnable, tmp_path: Path) -> None:
    def away(queries: Sequence[Query], k: int) -> list[list[Hit]]:
        raise Away("search service: away")

    one = trainer(learnable, away, by_rules, tmp_path, "<search>bees</search>")  # every other sample answers
    made = one._generate_and_score_completions([{"number": 0}] * 4)
    assert made["tool_mask"].bool().any(dim=1).tolist() == [True, False, True, False]
    assert (made["advantages"][~made["tool_mask"].bool()] == 0).all()


# --- judge ------------------------------------------------------------------------------------------------------------


class Forgotten(Kept):
    """Replies that every step has to ask for."""

    def get(self, asked: object) -> None:
        return None


@pytest.mark.slow
def test_a_judge_that_is_away_stops_it_and_once_it_is_back_it_ends_the_same(
    learnable: Learnable, tmp_path: Path
) -> None:
    def weights(checkpoints: Path, answer: Callable[[Body], Given | None]) -> dict[str, torch.Tensor]:
        with Chat(answer).running() as chat:
            judge = ModelJudge(Endpoint(chat.url, tries=1), Forgotten(checkpoints / "replies"))
            one = trainer(learnable, Index(learnable.index), judge, checkpoints, "<answer>honey</answer>")
            one.go_on()
        return dict(one.model.state_dict())

    asked = []

    def there(body: Body) -> Given:
        return completion("RIGHT" if "honey\n</answer" in str(body["messages"][-1]["content"]) else "WRONG")

    def soon_away(body: Body) -> Given:
        asked.append(body)
        return there(body) if len(asked) < 16 else error(503, "restarting")

    expected = weights(tmp_path / "whole", there)
    with pytest.raises(UnidocError, match=r"every episode is void: the answer could not be judged: .*restarting"):
        weights(tmp_path / "stopped", soon_away)
    assert len(asked) > 16
    found = weights(tmp_path / "stopped", there)
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
