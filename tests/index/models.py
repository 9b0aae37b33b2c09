"""Models of the real classes, at a tiny size and with random weights, as their folders on a disk."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    ColPaliConfig,
    ColPaliForRetrieval,
    ColPaliProcessor,
    ColQwen2Config,
    ColQwen2ForRetrieval,
    ColQwen2Processor,
    PreTrainedTokenizerFast,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def write_colqwen(folder: Path) -> Path:
    special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = letters([*special, "<|endoftext|>"], pad_token="<|endoftext|>")
    ColQwen2Processor(Qwen2VLImageProcessorPil(min_pixels=1568, max_pixels=9408), tokenizer).save_pretrained(folder)
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in zip(("vision_start", "vision_end", "image", "video"), special[2:], strict=True)
    }
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    text = {**TEXT, "num_key_value_heads": 1, "vocab_size": len(tokenizer), "rope_parameters": rope}
    text |= {"bos_token_id": None, "eos_token_id": None}
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2}
    config = ColQwen2Config(vlm_config={"model_type": "qwen2_vl", "text_config": text, "vision_config": vision, **ids})
    ColQwen2ForRetrieval(config).save_pretrained(folder)
    return folder


def write_colpali(folder: Path) -> Path:
    pictures = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    pictures.image_seq_length = 4  # type: ignore[attr-defined]
    tokenizer = letters(["<pad>", "<bos>", "<eos>", "<image>"], pad_token="<pad>", bos_token="<bos>")
    processor = ColPaliProcessor(pictures, tokenizer)
    processor.save_pretrained(folder)
    text = {**TEXT, "model_type": "gemma", "num_key_value_heads": 1, "head_dim": 16, "vocab_size": len(tokenizer)}
    vision = {**TEXT, "model_type": "siglip_vision_model", "image_size": 28, "patch_size": 14, "projection_dim": 32}
    vlm = {"model_type": "paligemma", "text_config": text, "vision_config": vision, "projection_dim": 32}
    config = ColPaliConfig(vlm_config={**vlm, "hidden_size": 32, "image_token_index": processor.image_token_id})
    ColPaliForRetrieval(config).save_pretrained(folder)
    return folder


def letters(special: list[str], **names: str) -> PreTrainedTokenizerFast:
    """A token a letter."""
    signs = ["<unk>", "\n", *map(chr, range(32, 127)), *special]
    made = Tokenizer(models.WordLevel({sign: number for number, sign in enumerate(signs)}, unk_token="<unk>"))
    made.decoder = decoders.Fuse()
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, unk_token="<unk>", additional_special_tokens=special, **names
    )
    return tokenizer
