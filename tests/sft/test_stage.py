"""Imitation: what is learned from is what was played, only the agent's own words, and a killed run ends the same."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from tests.agent.models import write_policy
from tests.agent.world import World, played
from tests.conftest import Bucket
from unidoc_rl import s3, spread, waited, watching
from unidoc_rl.agent import loading, trajectories
from unidoc_rl.agent.dialect import system_prompt
from unidoc_rl.agent.encoding import UNSAID, Encoder, batch, with_a_picture
from unidoc_rl.agent.environment import conversation
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.errors import UnidocError
from unidoc_rl.mlflow_server import opened
from unidoc_rl.params import AgentParams, Params, SftParams
from unidoc_rl.sft.stage import Examples, Imitation, follows_from, sft
from unidoc_rl.types import Picture, Reply, Trajectory

AGENT = AgentParams(turn_tokens=16, max_pixels=60 * 28 * 28, min_pixels=28 * 28)
PARAMS = SftParams(epochs=20, batch=2, together=1, rate=5e-3, save_steps=5)


def params(model: Path | str) -> Params:
    return Params(agent=AGENT, sft=PARAMS.model_copy(update={"model": str(model)}))


TURNS = (
    "<think>a</think><search>bees</search>",
    "<select>0</select>",
    "<bbox>[[10, 10, 90, 60]]</bbox>",
    "<information>honey</information><answer>honey</answer>",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("model"), AGENT, "qwen2_5_vl")


@pytest.fixture(scope="module")
def episodes(world: World) -> list[Trajectory]:
    environment = world.environment(AGENT)
    whole = played(environment, *TURNS).trajectory("scripted")
    short = played(environment, TURNS[0], TURNS[3]).trajectory("scripted")
    return [whole, replace(short, sample=1)]


def test_a_conversation_made_again_is_the_one_that_was_played(world: World, episodes: list[Trajectory]) -> None:
    episode = played(world.environment(AGENT), *TURNS)
    assert conversation(episodes[0], system_prompt(AGENT)) == episode.messages


def test_only_what_the_agent_said_is_learned(world: World, model: Path, episodes: list[Trajectory]) -> None:
    encoder = Encoder.of(model)
    examples = Examples(episodes, encoder, Pictures(world.corpus, AGENT), AGENT)
    made = examples([{"number": 0}, {"number": 1}])
    learned = made["labels"][0][made["labels"][0] != UNSAID]
    text = encoder.tokenizer.decode(learned, skip_special_tokens=False)
    assert text == "".join(f"{turn}<|im_end|>" for turn in TURNS)
    pictures = int((made["input_ids"] == encoder.image).sum())
    assert int(made["image_grid_thw"].prod(-1).sum()) == 4 * pictures == len(made["pixel_values"])
    assert (made["mm_token_type_ids"] == (made["input_ids"] == encoder.image)).all()


def test_learned_from_is_token_by_token_what_a_policy_reads_and_writes(
    world: World, model: Path, episodes: list[Trajectory]
) -> None:
    policy = TransformersPolicy.of(model, Pictures(world.corpus, AGENT).show, AGENT)
    environment = world.environment(AGENT)
    episode = environment.reset(episodes[0].question)
    while episode.outcome is None and len(episode.turns) < 3:
        (said,) = policy.reply([episode])
        assert isinstance(said, Reply)
        environment.step([episode], [said])
    squares = [
        part.width * part.height // 28**2
        for message in episode.messages
        for part in message.content
        if isinstance(part, Picture)
    ]
    told = [(message.role.value, message.content) for message in episode.messages]
    ids, said_ids = Encoder.of(model).conversation(told, squares)
    assert len(ids) == episode.turns[-1].reply.context
    assert sum(said_ids) >= sum(turn.reply.tokens for turn in episode.turns)


def test_what_fills_a_batch_up_changes_nothing(world: World, model: Path, episodes: list[Trajectory]) -> None:
    network: Any = AutoModelForImageTextToText.from_pretrained(model)
    encoder = Encoder.of(model)
    examples = Examples(episodes, encoder, Pictures(world.corpus, AGENT), AGENT)
    with torch.inference_mode():
        both = network(**examples([{"number": 0}, {"number": 1}])).logits
        alone = network(**batch([examples.encoded(1)], encoder)).logits
    assert torch.allclose(both[1, : alone.shape[1]], alone[0], atol=1e-4)


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_a_batch_without_pictures_is_given_one_that_changes_nothing_and_passes_the_eyes(
    kind: str, world: World, tmp_path: Path
) -> None:
    folder = write_policy(tmp_path, AGENT, kind)
    network: Any = AutoModelForImageTextToText.from_pretrained(folder)
    encoder = Encoder.of(folder)
    nothing_seen = [played(world.environment(AGENT), *said).trajectory("p") for said in (["a"] * 10, ["bc"] * 10)]
    examples = Examples(nothing_seen, encoder, Pictures(world.corpus, AGENT), AGENT)
    plain = batch([examples.encoded(number) for number in range(2)], encoder)
    shown = with_a_picture(plain, encoder)
    assert len(shown["pixel_values"]) == encoder.processor.merge_size**2
    expected, logits = network(**plain).logits, network(**shown).logits
    real = plain["attention_mask"].bool()
    assert torch.allclose(logits[:, 1:][real], expected[real], atol=1e-5)
    network(**shown).loss.backward()
    assert all((weight.grad == 0).all() for weight in network.model.visual.parameters())


@pytest.mark.slow
def test_low_rank_changes_are_learned_and_merged(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    low = Params(agent=AGENT, sft=PARAMS.model_copy(update={"model": str(model), "lora": 4, "rate": 3e-2}))
    marks = sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", low)
    assert marks["loss"] < 4.6
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "out"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("proj" in name and "visual" not in name for name in changed)
    for name in changed:
        assert torch.linalg.matrix_rank(after[name] - before[name], atol=1e-5) <= 4
    assert not list((tmp_path / "out").glob("*adapter*"))


@pytest.mark.slow
def test_it_learns_leaves_the_eyes_alone_and_plays(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    marks = sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", params(model))
    assert marks["loss"] < 3.4  # from 4.6, the logarithm of the vocabulary
    before, after = (load_file(folder / "model.safetensors") for folder in (model, tmp_path / "out"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not [name for name in changed if "visual" in name]
    policy = TransformersPolicy.of(tmp_path / "out", Pictures(world.corpus, AGENT).show, AGENT)
    assert isinstance(policy.reply([world.environment(AGENT).reset(episodes[0].question)])[0], Reply)
    assert json.loads((tmp_path / "out" / "sft.json").read_text())["params"]["sft"]["rate"] == 5e-3


def test_a_policy_is_told_from_others_by_what_was_done_and_not_by_how_long_it_took(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path
) -> None:
    def slower(one: Trajectory) -> Trajectory:
        turns = [replace(turn, seconds=turn.seconds + 1, reply=replace(turn.reply, seconds=9.0)) for turn in one.turns]
        return replace(one, turns=tuple(turns))

    def known(learned: list[Trajectory], params: Params) -> str:
        trajectories.write(tmp_path / "sft.jsonl", learned)
        return follows_from(tmp_path / "sft.jsonl", world.corpus, params)

    first = known(episodes, params(model))
    assert known([slower(one) for one in episodes], params(model)) == first
    assert known(episodes[1:], params(model)) != first
    faster = params(model).model_copy(update={"sft": PARAMS.model_copy(update={"rate": 1e-2})})
    assert known(episodes, faster) != first


def test_a_policy_is_told_from_that_of_another_model_at_the_same_place(
    world: World, episodes: list[Trajectory], bucket: Bucket, tmp_path: Path
) -> None:
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    model, sent = tmp_path / "model", f"{bucket.uri}/model"
    model.mkdir()
    known: dict[Path | str, list[str]] = {model: [], sent: [], "hub/model": []}
    for weights in ("first", "first", "second"):
        (model / "model.safetensors").write_text(weights)
        s3.push(model, sent)
        for name, told in known.items():
            told.append(follows_from(tmp_path / "sft.jsonl", world.corpus, params(name)))
    for name, (first, again, second) in known.items():
        assert first == again
        assert (first == second) == (name == "hub/model")  # which is asked for nothing


def test_no_trajectories_are_an_error(world: World, model: Path, tmp_path: Path) -> None:
    (tmp_path / "sft.jsonl").touch()
    with pytest.raises(UnidocError, match="holds no trajectory"):
        sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", params(model))


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_it_and_names_the_questions_of_its_batch(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = [replace(one, question=replace(one.question, uid=f"q{n}")) for n, one in enumerate(episodes)]
    trajectories.write(tmp_path / "sft.jsonl", named)

    def of_whole_episodes(*given: Any, **_: Any) -> torch.Tensor:
        pictures = len(given[2]["image_grid_thw"])
        return torch.tensor(float("nan") if pictures > AGENT.candidates else 0.0, requires_grad=True)

    monkeypatch.setattr(Imitation, "compute_loss", of_whole_episodes)
    with pytest.raises(UnidocError, match=r"sft: step 1: the loss is nan, of the questions q0; .*lower sft.rate"):
        sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", params(model))


@pytest.mark.slow
def test_a_gradient_that_is_no_number_stops_it_and_the_last_checkpoint_is_kept(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    real = Imitation.compute_loss

    def soon_steep(trainer: Imitation, *given: Any, **how: Any) -> torch.Tensor:
        loss: torch.Tensor = real(trainer, *given, **how)
        return (loss * 0).sqrt() if trainer.state.global_step == 1 else loss  # 0, and its slope is none

    monkeypatch.setattr(Imitation, "compute_loss", soon_steep)
    often = params(model).model_copy(update={"sft": PARAMS.model_copy(update={"model": str(model), "save_steps": 1})})
    with pytest.raises(UnidocError, match=r"sft: step 2: the gradient is nan, of the questions .*lower sft.rate"):
        sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", often)
    (kept,) = (tmp_path / ".out.work" / "checkpoints").glob("checkpoint-*")
    weights = load_file(kept / "model.safetensors")
    assert kept.name == "checkpoint-1"
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.slow
def test_small_changes_are_learned_where_bfloat16_would_round_them_away(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "played_on", lambda: ("cpu", torch.bfloat16))  # as on a GPU
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    learned: dict[str, torch.Tensor] = {}
    real = spread.save

    def save(trainer: Imitation, folder: Path) -> None:
        learned.update({name: weight.clone() for name, weight in trainer.model.state_dict().items()})
        real(trainer, folder)

    monkeypatch.setattr(spread, "save", save)
    slow = PARAMS.model_copy(update={"model": str(model), "rate": 1e-6, "epochs": 3.0})
    sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", Params(agent=AGENT, sft=slow))
    network, _ = loading.student(model, AGENT, frozen=True)
    begun = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    moved = [learned[name] != weight.to(learned[name].dtype) for name, weight in begun.items()]
    assert torch.cat([one.flatten() for one in moved]).float().mean() > 0.5
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in written.values()} == {torch.bfloat16}  # as it is played


def test_a_policy_is_taught_the_protocol_that_it_has_learned(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    agent = AGENT.model_copy(update={"turns": 4})
    once = PARAMS.model_copy(update={"model": str(model), "epochs": 1.0})
    sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", Params(agent=agent, sft=once))
    assert system_prompt(agent) in Encoder.of(tmp_path / "out").write([("user", ["What?"])], begin_turn=True)


@pytest.mark.parametrize(("rate", "lora", "told"), [(5e-3, 0, True), (1e-5, 0, False), (5e-3, 4, False)])
def test_a_rate_that_is_for_small_models_is_told(
    world: World,
    model: Path,
    episodes: list[Trajectory],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rate: float,
    lora: int,
    told: bool,
) -> None:
    """Low-rank changes want a high one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "LARGE", 50_000)
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    once = PARAMS.model_copy(update={"model": str(model), "epochs": 1.0, "rate": rate, "lora": lora})
    sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", Params(agent=AGENT, sft=once))
    assert ("imitating: a rate of 0.005 may ruin a model of 0.0 B weights" in capsys.readouterr().err) == told


@pytest.mark.slow
def test_a_training_for_which_nobody_waits_any_more_ends_and_can_be_taken_up(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    task = tmp_path / "waited-for"
    monkeypatch.setenv(waited.FILE, str(task))
    learned = []
    step = Imitation.training_step

    def training_step(*args: Any, **kwargs: Any) -> Any:
        learned.append(1)
        if len(learned) == 2 * 7:  # two to a step; the task dies
            os.utime(task, (0, 0))
        return step(*args, **kwargs)

    monkeypatch.setattr(Imitation, "training_step", training_step)
    told = Params(agent=AGENT, sft=PARAMS.model_copy(update={"model": str(model), "epochs": 8.0}))
    with waited.waiting(task), pytest.raises(UnidocError, match="nobody has waited for this training"):
        sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", told)
    client, experiment = opened(None)
    (run,) = client.search_runs([experiment])
    assert run.info.status == "KILLED"
    assert len(learned) == 2 * 7
    assert not (tmp_path / "out").exists()
    with waited.waiting(task):
        sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", told)
    assert len(learned) == 2 * (7 + 8 - 5)  # from the checkpoint on


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (28, r"^agent\.patch: a token of \S+ is 32 pixels wide; set agent\.patch=32"),
        (32, r"sft\.jsonl: \w+: a picture is \d+ x \d+ pixels, .* 32 wide; curate again with agent\.patch=32"),
    ],
)
def test_pictures_for_another_model_are_an_error_before_any_step(
    world: World, episodes: list[Trajectory], tmp_path: Path, patch: int, expected: str
) -> None:
    agent = AGENT.model_copy(update={"patch": 32})
    wide = write_policy(tmp_path / "wide", agent, "qwen3_vl")
    trajectories.write(tmp_path / "sft.jsonl", episodes)
    told = Params(agent=AGENT.model_copy(update={"patch": patch}), sft=PARAMS.model_copy(update={"model": str(wide)}))
    with pytest.raises(UnidocError, match=expected):
        sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", told)


def test_what_cannot_be_shown_is_an_error_before_any_step(
    world: World, model: Path, episodes: list[Trajectory], tmp_path: Path
) -> None:
    shown = next(part for part in episodes[0].turns[0].observation if isinstance(part, Picture))
    strange = replace(episodes[0].turns[0], observation=(replace(shown, page="elsewhere_1"),))
    for one, told in (
        (replace(episodes[0], turns=(strange, *episodes[0].turns[1:])), "has no page elsewhere_1"),
        (replace(episodes[0], turns=()), "has no turn; nothing can be learned from it"),
    ):
        trajectories.write(tmp_path / "sft.jsonl", [*episodes[1:], one])
        with pytest.raises(UnidocError, match=rf"sft\.jsonl: {one.question.uid}: .*{told}"):
            sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", params(model))


def test_deepspeed_without_torchrun_is_an_error_before_any_work(world: World, model: Path, tmp_path: Path) -> None:
    shared = Params(agent=AGENT, sft=SftParams(deepspeed="zero2"))
    with pytest.raises(UnidocError, match=r"^deepspeed zero2: .*(by torchrun|pip install .* -e '.\[gpu\]'`)$"):
        sft(tmp_path / "sft.jsonl", world.corpus, tmp_path / "out", shared)
