"""The nano model before it has learned anything: configuration, tokenizer and image processor, as a policy's folder.

It is a Qwen2.5-VL of transformers' own class, some six million parameters small. Its tokens are bytes, so it can read
and write any script, and the dialect's tags, one token each. What it leaves out: video.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unidoc_rl.agent.dialect import tags, teach
from unidoc_rl.params import AgentParams

PATCH, MERGE = 14, 2  # a token is a square of 28 pixels
END = "<|im_end|>"
SPECIAL = ("<|im_start|>", END, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TEXT = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10_000.0},
}
VISION = {
    "depth": 6,
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_heads": 6,
    "out_hidden_size": 192,
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "window_size": 8 * PATCH,
    "fullatt_block_indexes": [2, 5],
}


def write(folder: Path, params: AgentParams, seed: int) -> None:
    """A folder that `TransformersPolicy` plays, with weights drawn by the seed."""
    tokenizer = make_tokenizer(params)
    torch.manual_seed(seed)
    Qwen2_5_VLForConditionalGeneration(configuration(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=PATCH, merge_size=MERGE).save_pretrained(folder)


def make_tokenizer(params: AgentParams) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())  # a letter for each of the 256 bytes
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    bytes_alone = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bytes_alone.decoder = decoders.ByteLevel()
    bytes_alone.add_special_tokens(list(SPECIAL))
    bytes_alone.add_tokens(tags())
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bytes_alone, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )
    teach(tokenizer, params)
    return tokenizer


def configuration(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    names = {"vision_start": "vision_start", "vision_end": "vision_end", "image": "image_pad", "video": "video_pad"}
    ids: dict[str, Any] = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()
    }
    text = {**TEXT, "vocab_size": len(tokenizer), "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    return Qwen2_5_VLConfig(text_config=text, vision_config=VISION, tie_word_embeddings=True, **ids)
