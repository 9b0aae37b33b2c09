"""Policies of the real classes, at a tiny size and with random weights, as their folders on a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.index.models import TEXT, letters
from unidoc_rl.agent.dialect import teach
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.params import AgentParams

RIGHT = ("<answer>honey</answer>", "<answer>Honey</answer>", "<answer>honey.</answer>")  # of world.QUESTION
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


def write_policy(folder: Path, params: AgentParams, kind: str, words: Sequence[str] = ()) -> Path:
    """`kind`: qwen2_5_vl or qwen3_vl. `words`: each a token, so that random weights write them now and then."""
    tokenizer = letters(SPECIAL, eos_token="<|im_end|>", pad_token="<|im_end|>")
    tokenizer.add_tokens(list(words))
    teach(tokenizer, params)
    tokenizer.save_pretrained(folder)
    ids: dict[str, Any] = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in [
            ("vision_start", "vision_start"),
            ("vision_end", "vision_end"),
            ("image", "image_pad"),
            ("video", "video_pad"),
        ]
    }
    text: dict[str, Any] = {**TEXT, "num_key_value_heads": 1, "vocab_size": len(tokenizer), "head_dim": 16}
    text |= {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}}
    torch.manual_seed(0)
    patch = params.patch // 2
    vision: dict[str, Any] = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48}
    vision |= {"out_hidden_size": 32, "patch_size": patch}
    model: Any
    if kind == "qwen2_5_vl":
        vision |= {"window_size": 4 * patch, "fullatt_block_indexes": [1]}
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids))
    else:
        vision |= {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
        model = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **ids))
    model.save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=patch, merge_size=2).save_pretrained(folder)
    return folder


class Told(TransformersPolicy):
    """Draws as ever, and then writes what it is told of an episode, turn by turn; after the last, what it drew."""

    def __init__(self, script: Callable[[Episode], Sequence[str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._script = script
        self._told: dict[torch.Generator, Iterator[int]] = {}

    def _dice(self, episode: Episode) -> torch.Generator:
        """Of a turn; by them `_choose` knows it again."""
        dice = super()._dice(episode)
        for text in self._script(episode)[len(episode.turns) :][:1]:
            self._told[dice] = iter([*self._encoder.ids(text, []), self._end])
        return dice

    def _choose(self, logits: Tensor, dice: Sequence[torch.Generator]) -> Tensor:
        drawn = super()._choose(logits, dice)
        written = [
            self._told[die] if die in self._told else iter([int(one)]) for die, one in zip(dice, drawn, strict=True)
        ]
        return torch.tensor([next(one, self._end) for one in written])
