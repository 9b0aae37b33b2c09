"""The nano model is a policy like any other: it speaks the dialect, reads pictures, and fits into a package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText

from tests.agent.world import QUESTION, World
from unidoc_rl.agent.dialect import tags
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.nano import model
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Message, Reply, Role

PARAMS = AgentParams(turn_tokens=16, max_pixels=60 * 28 * 28, min_pixels=28 * 28)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return model.make_tokenizer(PARAMS)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_and_written_without_loss(tokenizer: Any, text: str) -> None:
    text = text.replace("<|", "")
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_each_tag_is_one_token_and_is_not_lost_with_the_special_ones(tokenizer: Any) -> None:
    ids = tokenizer("".join(tags()))["input_ids"]
    assert len(ids) == len(tags())
    assert tokenizer.decode(ids, skip_special_tokens=True) == "".join(tags())


@pytest.mark.slow
def test_a_folder_is_small_is_the_same_for_the_same_seed_and_plays(tmp_path: Path) -> None:
    for name, seed in [("one", 1), ("same", 1), ("other", 2)]:
        model.write(tmp_path / name, PARAMS, seed)
    one, same, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "same", "other"))
    assert one == same != other
    loaded: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / "one")
    assert type(loaded).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert 2e6 <= sum(weight.numel() for weight in loaded.parameters()) <= 10e6
    world = World(tmp_path / "world")
    pictures = Pictures(world.corpus, PARAMS)
    policy = TransformersPolicy.of(tmp_path / "one", pictures.show, PARAMS)
    episode = world.environment(PARAMS).reset(QUESTION)
    (first,) = policy.reply([episode])
    assert isinstance(first, Reply)
    page = pictures.whole("bees_1")
    episode.messages += [Message(Role.ASSISTANT, (first.text,)), Message(Role.USER, ("0: ", page))]
    (second,) = policy.reply([episode])
    assert isinstance(second, Reply)
    assert second.context - first.context > page.width * page.height // 28**2
