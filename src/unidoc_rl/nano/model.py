"""The nano model before it has learned anything: configuration, tokenizer and image processor, as a policy's folder.

It is a Qwen2.5-VL of transformers' own class, some eight million parameters small. What it reads off a page it reads
and writes letter by letter: a token for each byte, in any script. The words of rules and of what all questions say are
one token each, and so are the dialect's tags. What it leaves out: video.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unidoc_rl.agent import scripted
from unidoc_rl.agent.dialect import REMINDER, system_prompt, tags, teach
from unidoc_rl.agent.encoding import END, IMAGE, Encoder
from unidoc_rl.params import AgentParams
from unidoc_rl.sample.asking import WORDINGS
from unidoc_rl.types import Role

PATCH, MERGE = 14, 2
TOKEN = PATCH * MERGE  # pixels on each side of what is one token
# How the pictures are shown that it is taught and measured with: parts of a page are not blown up to 256 tokens.
PROTOCOL = AgentParams(min_pixels=64 * TOKEN**2, max_pixels=512 * TOKEN**2, patch=TOKEN)
SPECIAL = ("<|im_start|>", END, "<|vision_start|>", "<|vision_end|>", IMAGE, "<|video_pad|>")
TEXT = {
    "hidden_size": 192,
    "intermediate_size": 640,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "mrope_section": [1, 2, 13], "rope_theta": 10_000.0},
}
VISION = {
    "depth": 4,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_heads": 8,
    "out_hidden_size": 192,
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "window_size": 8 * PATCH,
    "fullatt_block_indexes": [1, 3],
}


def write(folder: Path, params: AgentParams, seed: int) -> None:
    """A folder that `TransformersPolicy` plays, with weights drawn by the seed."""
    tokenizer = make_tokenizer(params)
    torch.manual_seed(seed)
    save(Qwen2_5_VLForConditionalGeneration(configuration(tokenizer)), tokenizer, folder)


def save(model: Any, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.save_pretrained(folder)
    Encoder(tokenizer, make_processor()).save(folder)


def make_tokenizer(params: AgentParams) -> PreTrainedTokenizerFast:
    cut = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    words = sorted({word for text in _known(params) for word, _ in cut.pre_tokenize_str(text) if len(word) > 1})
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())  # a letter for each of the 256 bytes
    vocabulary = {token: number for number, token in enumerate([*alphabet, *words])}
    pieces = Tokenizer(models.BPE(vocabulary, [], ignore_merges=True))  # whole words of it, or bytes
    pieces.pre_tokenizer = cut
    pieces.decoder = decoders.ByteLevel()
    pieces.add_special_tokens(list(SPECIAL))
    pieces.add_tokens(tags())
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=pieces, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )
    teach(tokenizer, params)
    return tokenizer


def _known(params: AgentParams) -> Iterator[str]:
    """What every conversation is made of."""
    yield from (system_prompt(params), REMINDER, *WORDINGS)
    yield from (f"{role.value}\n" for role in Role)
    yield from (*scripted.STARTS, *scripted.KEEPS, *scripted.ZOOMS, *scripted.ENDS)


def make_processor() -> Qwen2VLImageProcessorPil:
    """White is zero: what is learned is ink, and most of a page is none."""
    return Qwen2VLImageProcessorPil(
        patch_size=PATCH, merge_size=MERGE, image_mean=[1.0, 1.0, 1.0], image_std=[0.5, 0.5, 0.5]
    )


def configuration(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    names = {"vision_start": "vision_start", "vision_end": "vision_end", "image": "image_pad", "video": "video_pad"}
    ids: dict[str, Any] = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()
    }
    text = {**TEXT, "vocab_size": len(tokenizer), "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    return Qwen2_5_VLConfig(text_config=text, vision_config=VISION, tie_word_embeddings=True, **ids)
