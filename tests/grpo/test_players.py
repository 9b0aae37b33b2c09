"""A vLLM server that plays for a training: with the weights of the step, and what it drew is what is learned from."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from tests.agent.models import RIGHT, write_policy
from tests.agent.world import QUESTION, World
from tests.grpo.vllm_server import BORN_WITH, NEVER_DRAWN, Served, gaps
from tests.trainings import Learnable, learn
from unidoc_rl import questions
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.vllm import Vllm
from unidoc_rl.agent.vllm_policy import VllmPolicy
from unidoc_rl.errors import UnidocError
from unidoc_rl.grpo.players import There
from unidoc_rl.grpo.stage import grpo
from unidoc_rl.grpo.trainer import AgentTrainer, Game
from unidoc_rl.params import AgentParams, GrpoParams, Params, RewardParams
from unidoc_rl.types import Outcome, Question, Scores, Trajectory

AGENT = AgentParams(turns=3, turn_tokens=16, max_pixels=60 * 28 * 28, min_pixels=28 * 28)
PARAMS = GrpoParams(steps=2, questions=1, group=4, together=2, rate=1e-2, save_steps=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("model"), AGENT, "qwen2_5_vl", RIGHT)


@pytest.fixture
def served(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Served(model).running() as served:
        yield served


def each_its_worth(played: Sequence[Trajectory]) -> list[Trajectory]:
    """But for those that are void."""
    return [
        one if one.outcome is Outcome.VOID else replace(one, scores=Scores(n / 4, {"answer": n / 4, "format": 0.0}, ""))
        for n, one in enumerate(played)
    ]


def trainer(
    world: World, model: Path, served: Served, out: Path, turn_tokens: int = 16, validation: Sequence[Question] = ()
) -> AgentTrainer:
    encoder, pictures = Encoder.of(model), Pictures(world.corpus, AGENT)
    server = Vllm(served.url, tries=1)

    def policy(seed: int, temperature: float) -> VllmPolicy:
        return VllmPolicy(server, encoder, pictures.show, temperature=temperature, turn_tokens=turn_tokens, seed=seed)

    game = Game(
        [QUESTION],
        validation,
        world.environment(AGENT),
        encoder,
        There(server, policy, out / "handed-over", AGENT.longest()),
        each_its_worth,
        RewardParams(of="outcome"),
    )
    return AgentTrainer.of(AutoModelForImageTextToText.from_pretrained(model), PARAMS, game, out)


def a_step(trainer: AgentTrainer) -> dict[str, Any]:
    return trainer._generate_and_score_completions([{"number": 0}] * 4)


@pytest.mark.slow
def test_it_sees_what_what_learns_sees(world: World, model: Path, served: Served, tmp_path: Path) -> None:
    """Pages, and a region; and of episodes that broke off, no more than was read."""
    served.script = ("<search>bees</search>", "<select>0</select>", "<bbox>[[0, 0, 99, 99]]</bbox>")
    served.breaks = {1, 7}  # one before its first turn; one with the pages before it
    learner = trainer(world, model, served, tmp_path, turn_tokens=32)
    made = a_step(learner)
    assert sorted(made["num_images"]) == [0, 0, 3, 3]
    said = made["tool_mask"].bool()
    assert sorted(said.any(dim=1).tolist()) == [False, False, True, True]
    assert learner._metrics["train"]["server/gap"][-1] < NEVER_DRAWN
    assert learner._metrics["train"]["server/read_otherwise"][-1] == 0
    learner.state.global_step = 1  # what was seen with other weights is seen anew
    served.breaks = ()
    assert a_step(learner)["num_images"] == [3, 3, 3, 3]


@pytest.mark.slow
def test_it_draws_with_what_was_learned_so_far(world: World, model: Path, served: Served, tmp_path: Path) -> None:
    learner = trainer(world, model, served, tmp_path)
    left = tmp_path / "handed-over" / "by one that was killed"
    left.mkdir(parents=True)
    for step in range(2):
        learner.state.global_step = step
        made = a_step(learner)
        said = made["tool_mask"].bool()
        assert said.any(dim=1).all()
        its = served.model.state_dict()
        assert not [name for name, one in learner.model.state_dict().items() if not torch.equal(one, its[name])]
        assert learner._metrics["train"]["server/gap"][-1] < NEVER_DRAWN
        assert learner._metrics["train"]["server/read_otherwise"][-1] == 0
        with torch.no_grad():
            learner.model.lm_head.weight.mul_(-1)
    assert len(served.versions) == 3
    assert not list((tmp_path / "handed-over").iterdir())
    served.versions.append(BORN_WITH)  # after the last look: other processes may have played on
    learner.state.global_step = 2
    with pytest.raises(UnidocError, match="plays with the weights 'default'"):
        a_step(learner)


@pytest.mark.slow
def test_what_it_drew_otherwise_counts_as_much_as_it_would_have_been_drawn(
    world: World, model: Path, served: Served, tmp_path: Path
) -> None:
    learner = trainer(world, model, served, tmp_path)
    made = a_step(learner)
    worth = torch.tensor([-1.1619, -0.3873, 0.3873, 1.1619])[:, None] * made["tool_mask"]  # of 0, 1/4, 1/2 and 3/4
    assert torch.allclose(made["advantages"], worth, rtol=NEVER_DRAWN)
    served.redrawn = lambda ids, chances: (ids, [chance - 0.5 for chance in chances])
    assert torch.allclose(a_step(learner)["advantages"], made["advantages"] * math.exp(0.5), atol=1e-5)
    served.redrawn = lambda ids, chances: (ids, [chance - 5 for chance in chances])
    assert torch.allclose(a_step(learner)["advantages"], worth * 2, atol=1e-3)  # and no more


@pytest.mark.slow
def test_a_turn_that_is_read_again_as_other_tokens_is_not_learned_from(
    world: World, model: Path, served: Served, tmp_path: Path
) -> None:
    """What looks like the beginning of a token of its own is taken apart, before anybody reads it."""
    written = [*served.encoder.ids("a<|b", []), served.encoder.end]
    served.redrawn = lambda *_: (written, [-1.0] * len(written))
    learner = trainer(world, model, served, tmp_path)
    made = a_step(learner)
    again = len(served.encoder.ids("a< |b", [])) + 1
    for learned, worth, ids in zip(made["tool_mask"].bool(), made["advantages"], made["completion_ids"], strict=True):
        assert ids[learned].tolist() == written  # the last turn, which nobody reads
        assert worth[learned].all()
        assert not worth[~learned].any()
    assert made["num_items_in_batch"] == 4 * len(written)
    share = 2 * again / (2 * again + len(written))
    assert learner._metrics["train"]["server/read_otherwise"][-1] == pytest.approx(share)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 4])
def test_a_whole_training_is_played_by_the_server(
    world: World, model: Path, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: int
) -> None:
    monkeypatch.chdir(tmp_path)
    questions.write(tmp_path / "rl.jsonl", [QUESTION])
    questions.write(tmp_path / "validation.json", [replace(QUESTION, uid="q2", query="What do bees eat?")])
    told = PARAMS.model_copy(update={"lora": lora, "server": served.url})
    params = Params(agent=AGENT, grpo=told, rewards=RewardParams(of="outcome"))
    files = tmp_path / "rl.jsonl", tmp_path / "validation.json"
    grpo(*files, world.corpus, str(world.folder), model, tmp_path / "out", params)
    assert [version.split("-")[0] for version in served.versions[1:]] == ["0", "1", "2"]
    assert len(gaps(tmp_path / "out")) == 2
    assert max(gaps(tmp_path / "out")) < NEVER_DRAWN
    history = json.loads((tmp_path / "out" / "grpo.json").read_text())["history"]
    assert sum("eval_turns" in row for row in history if "eval_accuracy" in row) == 2  # told as those of who plays here
    begun, learned = (AutoModelForImageTextToText.from_pretrained(at).state_dict() for at in (model, tmp_path / "out"))
    assert any(not torch.allclose(one, learned[name], atol=1e-6) for name, one in begun.items())
    for name, one in served.model.state_dict().items():
        assert torch.allclose(one, learned[name], atol=1e-6), name


@pytest.mark.slow
def test_killed_it_goes_on_with_a_server_under_another_address(
    learnable: Learnable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    grpo = {"steps": 3, "questions": 1, "group": 4, "together": 2, "rate": 1e-2, "save_steps": 1}
    handed = []
    for dies in (("between steps", 2), None):
        with Served(learnable.model).running() as served:
            params = learnable.params(grpo={**grpo, "server": served.url})
            status = learn(learnable, "grpo", tmp_path / "whole" / "grpo", params, dies)
        assert status == (-signal.SIGKILL if dies else 0)
        handed.append([version.split("-")[0] for version in served.versions[1:]])
    assert handed == [["0", "1"], ["1", "2", "3"]]


@pytest.mark.slow
def test_a_validation_that_is_void_is_not_taken_for_the_last_one(
    world: World, model: Path, served: Served, tmp_path: Path
) -> None:
    learner = trainer(world, model, served, tmp_path, validation=[QUESTION])
    assert learner.evaluate()["eval_reward"] == 0
    learner.state.global_step = 1
    served.breaks = range(1_000_000)
    with pytest.raises(UnidocError, match="grpo: validation: every episode is void"):
        learner.evaluate()


def test_another_training_s_weights_are_found_out_however_far_it_got(
    world: World, model: Path, served: Served, tmp_path: Path
) -> None:
    learner = trainer(world, model, served, tmp_path)
    a_step(learner)
    served.idle = False
    with pytest.raises(UnidocError, match="at work for somebody else"):
        Vllm(served.url, tries=1).take(model, "0-another")
    learner.state.global_step = 1
    with pytest.raises(UnidocError, match="plays with the weights '0-another', not with those that it was handed"):
        a_step(learner)


@pytest.mark.parametrize("told", [([], []), ([5, 6], [-1.0])], ids=["of no tokens", "of other lengths"])
def test_a_turn_that_is_none_is_void(
    world: World, model: Path, served: Served, tmp_path: Path, told: tuple[list[int], list[float]]
) -> None:
    served.redrawn = lambda *_: told
    with pytest.raises(UnidocError, match=r"step 1: every episode is void: .* an unexpected answer \(200"):
        a_step(trainer(world, model, served, tmp_path))


def test_a_server_that_was_started_anew_is_found_out(world: World, model: Path, served: Served, tmp_path: Path) -> None:
    def restarted(ids: list[int], chances: list[float]) -> tuple[list[int], list[float]]:
        served.versions.append(BORN_WITH)
        return ids, chances

    served.redrawn = restarted
    with pytest.raises(UnidocError, match=r"plays with the weights 'default', not with .* handed \('0-\w+'\)"):
        a_step(trainer(world, model, served, tmp_path))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("developing", r"no /update_weight_version, which VLLM_SERVER_DEV_MODE=1 opens"),
        ("sees", r"500: .*It was to take the weights in .*handed-over/0-\w+, which it must see there"),
        ("idle", r"is at work for somebody else"),
        ("longest", r"reads 0 tokens at most, and an episode may have 40016: .* a larger --max-model-len"),
        ("processed", r"tells other chances than it draws with; start it with --logprobs-mode=processed_logprobs"),
        ("trusting", r"step 1: every episode is void: .*--trust-request-chat-template is not set.*once that is mended"),
    ],
)
def test_what_a_server_lacks_is_told(
    world: World, model: Path, served: Served, tmp_path: Path, what: str, said: str
) -> None:
    setattr(served, what, 0)
    with pytest.raises(UnidocError, match=said):
        a_step(trainer(world, model, served, tmp_path))


def test_a_server_that_reads_otherwise_is_refused(
    world: World, model: Path, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = served.encoder.write
    monkeypatch.setattr(served.encoder, "write", lambda *told, **how: real(*told, **how) + " ")
    with pytest.raises(UnidocError, match=r"grpo\.server: policy reads a conversation as (\d+) tokens, .* at its end"):
        a_step(trainer(world, model, served, tmp_path))
