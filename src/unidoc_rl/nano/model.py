"""The nano model before it has learned anything: configuration, tokenizer and image processor, as a policy's folder.

It is a Qwen2.5-VL of transformers' own class, some eight million parameters small. Its tokens are bytes, so it can read
and write any script; pieces of the words of rules, questions and documents, so that these are soon read; and the
dialect's tags, one token each. Digits stay apart, since numbers are read digit by digit. What it leaves out: video.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unidoc_rl.agent.dialect import REMINDER, system_prompt, tags, teach
from unidoc_rl.agent.encoding import END, IMAGE, Encoder
from unidoc_rl.params import AgentParams
from unidoc_rl.sample.asking import WORDINGS
from unidoc_rl.sample.vocabulary import phrases
from unidoc_rl.types import Role

PATCH, MERGE = 14, 2
TOKEN = PATCH * MERGE  # pixels on each side of what is one token
WORDS = 5000  # tokens of the vocabulary, tags left out
OFTEN = 20  # times as often as the rest are rules and questions read
# How the pictures are shown that it is taught and measured with: parts of a page are not blown up to 256 tokens.
PROTOCOL = AgentParams(min_pixels=16 * TOKEN**2, max_pixels=512 * TOKEN**2, patch=TOKEN)
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
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()  # a letter for each of the 256 bytes
    trainer = trainers.BpeTrainer(vocab_size=WORDS, initial_alphabet=alphabet, show_progress=False)
    roles = [f"{role.value}\n" for role in Role]
    often = [system_prompt(params), REMINDER, *roles, *WORDINGS]
    cases = [cased for phrase in phrases() for cased in (phrase, f" {phrase.title()}", f" {phrase.lower()}")]
    pieces.train_from_iterator([*often * OFTEN, *cases], trainer)
    pieces.add_special_tokens(list(SPECIAL))
    pieces.add_tokens(tags())
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=pieces, eos_token=END, pad_token=END, clean_up_tokenization_spaces=False
    )
    teach(tokenizer, params)
    return tokenizer


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
