"""The transformers policy on the real classes at a tiny size: what it writes with its cache is what the model says."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.agent.models import Told, write_policy
from tests.agent.world import QUESTION, World
from unidoc_rl import trained
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.loading import load
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams, Params
from unidoc_rl.types import Box, Content, Message, Picture, Reply, Role

PARAMS = AgentParams(turn_tokens=16, min_pixels=4 * 28 * 28, max_pixels=12 * 28 * 28)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("policies") / request.param, PARAMS, request.param)


def talk(policy: TransformersPolicy, episodes: list[Episode], observations: list[Content] | None) -> list[Reply]:
    """A turn of each, after which it is shown something."""
    replies = [reply for reply in policy.reply(episodes) if isinstance(reply, Reply)]
    for at, (episode, reply) in enumerate(zip(episodes, replies, strict=True)):
        episode.messages.append(Message(Role.ASSISTANT, (reply.text,)))
        if observations is not None:
            episode.messages.append(Message(Role.USER, observations[at]))
    return replies


def observed(pictures: Pictures) -> list[Content]:
    """Different lengths, with two pictures, one, and none."""
    one, other = pictures.whole("bees_1"), pictures.whole("ships_2")
    region = pictures.cut("bees_1", [Box(0, 0, 900, 300)])
    return [("Pages found:", "0: ", one, "1: ", other), ("The region: ", region), ("Nothing.",)]


def said(episode: Episode) -> list[str]:
    return [str(message.content[0]) for message in episode.messages if message.role is Role.ASSISTANT]


def most_likely(folder: Path, pictures: Pictures, episode: Episode) -> list[str]:
    """What the model itself would write at each turn, read from the beginning in one pass, without any cache."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    processor: Any = Qwen2VLImageProcessorPil.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    shown = [part for message in episode.messages for part in message.content if isinstance(part, Picture)]
    seen = processor(images=[pictures.show(one) for one in shown], do_resize=False, return_tensors="pt")
    first, *others = "".join(map(_chatml, episode.messages)).split("<|image_pad|>")
    sizes = [int(grid.prod()) // 4 for grid in seen["image_grid_thw"]]
    text = first + "".join("<|image_pad|>" * size + rest for size, rest in zip(sizes, others, strict=True))
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    with torch.no_grad():
        logits = model(input_ids=ids, mm_token_type_ids=(ids == image).int(), **seen).logits[0]
    logits[:, sorted({*tokenizer.all_special_ids, image} - {tokenizer.eos_token_id})] = -torch.inf
    likely, tokens = (tokenizer.convert_ids_to_tokens(row.tolist()) for row in (logits.argmax(-1), ids[0]))
    starts = [at + len("<assistant\n") for at in range(len(tokens)) if tokens[at : at + 2] == ["<|im_start|>", "a"]]
    return ["".join(likely[start - 1 : tokens.index("<|im_end|>", start) - 1]) for start in starts]


def _chatml(message: Message) -> str:
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    content = "".join(part if isinstance(part, str) else picture for part in message.content)
    return f"<|im_start|>{message.role.value}\n{content}<|im_end|>\n"


@pytest.mark.slow
def test_turn_by_turn_and_together_it_writes_what_the_model_says_alone_and_at_once(folder: Path, world: World) -> None:
    pictures = Pictures(world.corpus, PARAMS)
    policy = TransformersPolicy.of(folder, pictures.show, PARAMS)
    environment = world.environment(PARAMS)
    episodes = [environment.reset(QUESTION, sample) for sample in range(3)]
    shown = observed(pictures)
    talk(policy, episodes, shown)
    talk(policy, episodes[:2], [shown[1], shown[0]])  # the third has ended for now
    talk(policy, [episodes[2], episodes[0]], [shown[0], shown[2]])
    talk(policy, episodes, None)
    for episode in episodes:
        assert most_likely(folder, pictures, episode) == said(episode)


@pytest.mark.slow
def test_who_writes_longer_than_the_others_writes_on_without_them(folder: Path, world: World) -> None:
    params = PARAMS.model_copy(update={"turn_tokens": 40})
    pictures = Pictures(world.corpus, params)
    told = [f"<search>{words}</search>" for words in ("bees", "ships", "bees and bees", "ships", "bees and ships")]
    policy = Told(lambda episode: told[episode.sample :][:1], *load(folder, PARAMS), "told", pictures.show, params)
    environment = world.environment(params)
    episodes = [environment.reset(replace(QUESTION, query="Bees? " * (1 + n)), n) for n in range(5)]
    environment.step(episodes, [reply for reply in policy.reply(episodes) if isinstance(reply, Reply)])
    assert [said(episode) for episode in episodes] == [[one] for one in told]
    talk(policy, episodes, None)
    for episode in episodes:
        assert most_likely(folder, pictures, episode)[1] == said(episode)[1]


@pytest.mark.slow
def test_the_seed_decides_and_not_who_plays_beside(folder: Path, world: World) -> None:
    pictures = Pictures(world.corpus, PARAMS)
    environment = world.environment(PARAMS)

    def texts(seed: int, samples: list[int]) -> list[str]:
        policy = TransformersPolicy.of(folder, pictures.show, PARAMS, temperature=1.0, seed=seed)
        return [one.text for one in talk(policy, [environment.reset(QUESTION, sample) for sample in samples], None)]

    together = texts(1, [0, 1, 2])
    assert texts(1, [2]) == together[2:]
    assert len(set(together)) == 3
    assert texts(2, [0]) != together[:1]


@pytest.mark.slow
def test_tokens_are_counted_and_no_placeholder_is_ever_written(folder: Path, world: World) -> None:
    pictures = Pictures(world.corpus, PARAMS)
    policy = TransformersPolicy.of(folder, pictures.show, PARAMS, temperature=5.0)
    environment = world.environment(PARAMS)
    episodes = [environment.reset(QUESTION, sample) for sample in range(8)]
    first = talk(policy, episodes, [(pictures.whole("bees_1"),)] * 8)
    second = talk(policy, episodes, None)
    whole = pictures.whole("bees_1")
    for one, other in zip(first, second, strict=True):
        assert 1 <= one.tokens <= PARAMS.turn_tokens
        assert "<|" not in one.text + other.text
        assert other.context - one.context > other.tokens + whole.width * whole.height // 28**2


def test_what_is_no_policy_is_told(folder: Path, world: World, tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match="cannot be loaded as a policy"):
        TransformersPolicy.of(tmp_path, Pictures(world.corpus, PARAMS).show, PARAMS)
    shutil.copytree(folder, tmp_path / "half")
    weights = load_file(tmp_path / "half/model.safetensors")
    save_file(dict(list(weights.items())[:-3]), tmp_path / "half/model.safetensors", {"format": "pt"})
    with pytest.raises(UnidocError, match="has no weights for"):
        TransformersPolicy.of(tmp_path / "half", Pictures(world.corpus, PARAMS).show, PARAMS)
    with pytest.raises(UnidocError, match=r"set agent\.patch=28"):
        TransformersPolicy.of(folder, Pictures(world.corpus, PARAMS).show, AgentParams(patch=32))


def test_a_policy_that_is_played_otherwise_than_it_was_trained_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    trained.note(mine, "sft", Params(agent=PARAMS), {}, "another", [])
    load(mine, PARAMS.model_copy(update={"widen": 28}))  # which is the environment's
    assert "agent." not in capsys.readouterr().err
    load(mine, PARAMS.model_copy(update={"turns": 3, "coordinates": "thousandths"}))
    told = capsys.readouterr().err
    assert "mine: was trained with agent.turns=10, and here it is 3" in told
    assert "mine: was trained with agent.coordinates=pixels, and here it is thousandths" in told
