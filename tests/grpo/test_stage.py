"""GRPO over real episodes: the tokens that were drawn are those that are learned from, and void ones teach nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_hook
from transformers import AutoModelForImageTextToText
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionPatchEmbed
from trl import GRPOTrainer

from tests.agent.models import RIGHT, Told, write_policy
from tests.agent.world import QUESTION, World
from unidoc_rl import questions, spread
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.errors import UnidocError
from unidoc_rl.grpo import stage
from unidoc_rl.grpo.players import Here
from unidoc_rl.grpo.stage import follows_from, grpo
from unidoc_rl.grpo.trainer import AgentTrainer, Game, in_order
from unidoc_rl.params import AgentParams, GrpoParams, Params, RewardParams
from unidoc_rl.types import Outcome, Scores, Trajectory

AGENT = AgentParams(turns=3, turn_tokens=16, max_pixels=60 * 28 * 28, min_pixels=28 * 28)
PARAMS = GrpoParams(steps=2, questions=1, group=4, together=2, rate=1e-2, save_steps=2, credit="turn")
NAN = torch.tensor(float("nan"), requires_grad=True)
QUESTIONS = [QUESTION, replace(QUESTION, uid="q2", query="What is sweet?")]
HELD_OUT = replace(QUESTION, uid="q3", query="What do bees eat?")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("model"), AGENT, "qwen2_5_vl", RIGHT)


def some_are_void(played: Sequence[Trajectory]) -> list[Trajectory]:
    """Scores that differ, and one episode that the infrastructure spoilt."""
    scored = [replace(one, scores=Scores(n / 4, {"answer": n / 4, "format": 0.0}, "")) for n, one in enumerate(played)]
    return [*scored[:-1], replace(scored[-1], outcome=Outcome.VOID, scores=None)]


@pytest.fixture
def trainer(world: World, model: Path, tmp_path: Path) -> AgentTrainer:
    return learner(world, model, tmp_path, PARAMS)


def learner(world: World, model: Path, checkpoints: Path, params: GrpoParams) -> AgentTrainer:
    encoder, pictures = Encoder.of(model), Pictures(world.corpus, AGENT)

    def policy(playing: Any, seed: int, temperature: float) -> TransformersPolicy:
        return TransformersPolicy(
            playing, encoder, "p", pictures.show, AGENT, temperature=temperature, seed=seed, records=True
        )

    game = Game(
        QUESTIONS, [], world.environment(AGENT), encoder, Here(policy), some_are_void, RewardParams(of="outcome")
    )
    return AgentTrainer.of(AutoModelForImageTextToText.from_pretrained(model), params, game, checkpoints)


def test_every_question_is_asked_once_before_any_comes_again() -> None:
    order = in_order(5, 12, seed=3)
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert order[:5] != order[5:10]
    assert in_order(5, 7, seed=3) == order[:7]  # whatever comes later


@pytest.mark.slow
def test_what_is_learned_from_is_what_was_drawn(trainer: AgentTrainer, model: Path) -> None:
    made = trainer._generate_and_score_completions([{"number": 0}] * 4)
    ids = torch.cat([made["prompt_ids"], made["completion_ids"]], dim=1)
    real = torch.cat([made["prompt_mask"], made["completion_mask"]], dim=1)
    names = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
    told: dict[str, Any] = {name: made.get(name) for name in names}
    length = made["completion_ids"].size(1)
    logps, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, real, length, **told)
    alone: Any = AutoModelForImageTextToText.from_pretrained(model)
    picture = 0
    for row in range(4):
        kept = real[row].bool()
        given: dict[str, Any] = {
            "input_ids": ids[row][kept][None],
            "mm_token_type_ids": told["mm_token_type_ids"][row][kept][None],
        }
        if count := told["num_images"][row]:
            grids = told["image_grid_thw"][picture : picture + count]
            before = int(told["image_grid_thw"][:picture].prod(-1).sum())
            given |= {
                "image_grid_thw": grids,
                "pixel_values": told["pixel_values"][before : before + int(grids.prod(-1).sum())],
            }
            picture += count
        with torch.inference_mode():
            expected = torch.log_softmax(alone(**given).logits[0].float(), -1)
        own = expected[:-1].gather(1, given["input_ids"][0, 1:, None])[:, 0]
        said = made["completion_mask"][row].bool()
        assert torch.allclose(logps[row][said], own[-int(said.sum()) :], atol=1e-5)
    assert torch.allclose(made["ref_per_token_logps"] * made["tool_mask"], logps * made["tool_mask"], atol=1e-5)


@pytest.mark.slow
def test_no_picture_is_looked_at_twice_by_eyes_that_learn_nothing(world: World, model: Path, tmp_path: Path) -> None:
    network, encoder = spread.student(model, AGENT, PARAMS)
    show, longer = Pictures(world.corpus, AGENT).show, AGENT.model_copy(update={"turn_tokens": 32})
    turns = ("<search>bees</search>", "<answer>honey</answer>")

    def told(playing: Any, *_: Any) -> Told:
        return Told(lambda _: turns, playing, encoder, "told", show, longer, records=True)

    game = replace(learner(world, model, tmp_path, PARAMS)._game, play=Here(told))
    trainer = AgentTrainer.of(network, PARAMS, game, tmp_path)
    looks: list[int] = []
    hook = register_module_forward_hook(
        lambda part, given, _: looks.append(len(given[0])) if isinstance(part, Qwen2_5_VisionPatchEmbed) else None
    )
    try:
        made = trainer._generate_and_score_completions([{"number": 0}] * 4)
    finally:
        hook.remove()
    assert all(made["num_images"])
    shown = made["pixel_values"].split(made["image_grid_thw"].prod(-1).tolist())
    assert sum(looks) == sum(len(picture) for picture in {one.numpy().tobytes(): one for one in shown}.values())


@pytest.mark.slow
def test_only_the_agent_s_words_count_and_none_of_a_void_episode(trainer: AgentTrainer) -> None:
    made = trainer._generate_and_score_completions([{"number": 0}] * 4)
    counted = made["tool_mask"].bool()
    assert counted[:3].any(dim=1).all()
    assert not counted[3].any()
    assert (made["advantages"][~counted] == 0).all()
    assert (made["completion_ids"][counted] != trainer._game.encoder.image).all()
    # Of 0, 1/4 and 1/2, a standard deviation of 1/4 apart: -1, 0 and 1.
    for row, worth in enumerate((-1.0, 0.0, 1.0)):
        assert made["advantages"][row][counted[row]] == pytest.approx(worth, abs=1e-5)


@pytest.mark.slow
def test_the_loss_is_that_of_the_other_episodes_alone(trainer: AgentTrainer) -> None:
    made = trainer._generate_and_score_completions([{"number": 0}] * 4)
    made["advantages"] = made["tool_mask"].float()  # theirs add up to nothing
    trainer.current_gradient_accumulation_steps = 1
    others = {name: value if name == "num_items_in_batch" else value[:3] for name, value in made.items()}
    with torch.no_grad():
        alone = GRPOTrainer._compute_loss(trainer, trainer.model, others)
        assert float(trainer._compute_loss(trainer.model, made)) == pytest.approx(float(alone), rel=1e-5)
    assert abs(float(alone)) > 0.5


@pytest.mark.slow
def test_nothing_is_told_of_a_void_episode(trainer: AgentTrainer) -> None:
    made = trainer._generate_and_score_completions([{"number": 0}] * 4)
    trainer.current_gradient_accumulation_steps = 1
    told = []
    for rows in (slice(3), slice(3, 4)):
        with torch.no_grad():
            trainer._compute_loss(
                trainer.model, {name: one if name == "num_items_in_batch" else one[rows] for name, one in made.items()}
            )
        told.append({name: [*values] for name, values in trainer._metrics["train"].items()})
    assert told[0] == told[1]
    assert len(told[0]["kl"]) == len(told[0]["entropy"]) == 1


@pytest.mark.slow
def test_a_checkpoint_is_not_best_by_what_nobody_could_judge(trainer: AgentTrainer) -> None:
    trainer._game = replace(trainer._game, validation=[*QUESTIONS, HELD_OUT, replace(HELD_OUT, uid="q4")])
    metrics = trainer.evaluate()
    assert metrics["eval_accuracy"] == pytest.approx((0 + 0.25 + 0.5) / 4)  # of the fourth, nothing is known
    assert metrics["eval_reward"] == metrics["eval_accuracy"]
    assert trainer.state.log_history[-1]["eval_reward/answer"] == 0.25


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["none", "group"])
def test_without_a_scale_a_token_counts_the_same_however_long_its_episode(
    world: World, model: Path, tmp_path: Path, scale: str
) -> None:
    """Dr. GRPO's; else an episode does."""
    one = learner(world, model, tmp_path, PARAMS.model_copy(update={"scale": scale, "together": 4}))
    one.current_gradient_accumulation_steps = 1  # as in an epoch
    made = one._generate_and_score_completions([{"number": 0}] * 4)
    losses, lengths = [], made["tool_mask"].sum(dim=1)[:3]
    for row in range(3):
        alone = torch.zeros_like(made["advantages"])
        alone[row] = 1.0
        with torch.no_grad():
            losses.append(one._compute_loss(one.model, made | {"advantages": alone}))
    assert len(set(lengths.tolist())) > 1
    weights = lengths / lengths[0] if scale == "none" else torch.ones(3)
    assert torch.stack(losses) / losses[0] == pytest.approx(weights.numpy(), rel=1e-4)


def files(folder: Path) -> tuple[Path, Path]:
    """What is learned from, and what it is tried on."""
    learned, validation = folder / "rl.jsonl", folder / "validation.json"
    questions.write(learned, QUESTIONS)
    questions.write(validation, [HELD_OUT])
    return learned, validation


@pytest.mark.slow
def test_it_learns_is_tried_on_the_validation_and_leaves_the_eyes_alone(
    world: World, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    params = Params(agent=AGENT, grpo=PARAMS, rewards=RewardParams(of="outcome"))
    done = grpo(*files(tmp_path), world.corpus, str(world.folder), model, tmp_path / "out", params)
    assert {"reward", "outcome/answered", "kl", "eval_accuracy_first", "eval_accuracy_best"} <= set(done)
    told = capsys.readouterr().err
    assert told.count("trying it on the validation: 1 of 1 episodes") == 2  # before the first step, and at the end
    assert "is the better one" not in told
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "out"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not [name for name in changed if "visual" in name]
    noted = json.loads((tmp_path / "out" / "grpo.json").read_text())
    steps = [row for row in noted["history"] if "step_time" in row]
    parts = ("seconds/play", "seconds/score", "seconds/compare", "seconds/learn")
    assert [sum(row[part] for part in parts) for row in steps] == pytest.approx(
        [row["step_time"] for row in steps], rel=0.1
    )
    assert (noted["params"]["agent"]["turns"], noted["begun_with"]) == (3, str(model))


@pytest.mark.slow
def test_a_policy_that_was_better_before_it_learned_is_told(
    world: World, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worth = iter([1.0])  # the validation before the first step, and nothing after it

    def falling(played: Sequence[Trajectory], *_: Any) -> list[Trajectory]:
        earned = next(worth, 0.0)
        return [replace(one, scores=Scores(earned, {"answer": earned, "format": 0.0}, "")) for one in played]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "score", falling)
    params = Params(agent=AGENT, grpo=PARAMS, rewards=RewardParams(of="outcome"))
    grpo(*files(tmp_path), world.corpus, str(world.folder), model, tmp_path / "out", params)
    told = capsys.readouterr().err
    assert "accuracy on the validation was 1 before the first step, and 0 at the best checkpoint" in told


@pytest.mark.slow
def test_low_rank_changes_begin_as_the_model_does_and_are_merged(
    world: World, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[dict[str, float]] = []
    real = AgentTrainer.log

    def log(trainer: AgentTrainer, logs: dict[str, float], *rest: Any) -> None:
        real(trainer, logs, *rest)
        told.append(logs)

    monkeypatch.setattr(AgentTrainer, "log", log)
    low = PARAMS.model_copy(update={"lora": 4})
    params = Params(agent=AGENT, grpo=low, rewards=RewardParams(of="outcome"))
    grpo(*files(tmp_path), world.corpus, str(world.folder), model, tmp_path / "out", params)
    assert next(row["kl"] for row in told if "kl" in row) == pytest.approx(0, abs=1e-6)
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "out"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not [name for name in changed if "visual" in name]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "loss"), [("loss", lambda _: NAN), ("gradient", lambda one: (one * 0).sqrt())])
def test_what_is_no_number_stops_it_and_names_the_questions(
    world: World,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    loss: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    monkeypatch.chdir(tmp_path)
    real = AgentTrainer.compute_loss
    monkeypatch.setattr(AgentTrainer, "compute_loss", lambda *given, **how: loss(real(*given, **how)))
    params = Params(agent=AGENT, grpo=PARAMS)
    with pytest.raises(UnidocError, match=rf"grpo: step 1: the {what} is nan, of the questions q\d; .*lower grpo.rate"):
        grpo(*files(tmp_path), world.corpus, str(world.folder), model, tmp_path / "out", params)
    assert not (tmp_path / "out").exists()


def test_a_server_that_plays_under_another_address_makes_no_other_policy(
    world: World, model: Path, tmp_path: Path
) -> None:
    questions.write(tmp_path / "rl.json", QUESTIONS)

    def known(**changed: Any) -> str:
        params = Params(agent=AGENT, grpo=PARAMS.model_copy(update=changed))
        asked = tmp_path / "rl.json"
        return follows_from(asked, asked, world.corpus, str(world.folder), model, params)

    assert known(server="http://rollouts:8000/v1") == known(server="http://other:8000/v1") != known(seed=2)


def test_no_question_is_an_error(world: World, model: Path, tmp_path: Path) -> None:
    learned, validation = files(tmp_path)
    questions.write(validation, [])
    with pytest.raises(UnidocError, match=r"validation\.json: holds no question"):
        grpo(learned, validation, world.corpus, str(world.folder), model, tmp_path / "out", Params(agent=AGENT))


def test_what_is_measured_by_is_not_learned_from(world: World, model: Path, tmp_path: Path) -> None:
    learned, validation = files(tmp_path)
    questions.write(validation, [HELD_OUT, replace(QUESTION, uid="another")])
    with pytest.raises(UnidocError, match=r"rl\.jsonl and .*validation\.json: q1 and another ask the same"):
        grpo(learned, validation, world.corpus, str(world.folder), model, tmp_path / "out", Params(agent=AGENT))


@pytest.mark.parametrize("name", ["rl.jsonl", "validation.json"])
def test_a_file_of_which_nothing_can_be_played_is_an_error(
    world: World, model: Path, tmp_path: Path, name: str
) -> None:
    learned, validation = files(tmp_path)
    gone = replace(QUESTION, uid="gone", evidence=(replace(QUESTION.evidence[0], file_name="wasps"),))
    questions.write(tmp_path / name, [gone])
    with pytest.raises(UnidocError, match=rf"{name}: 1 of its 1 questions .*, gone first: page wasps_1 is not in the"):
        grpo(learned, validation, world.corpus, str(world.folder), model, tmp_path / "out", Params(agent=AGENT))
