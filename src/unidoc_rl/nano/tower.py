"""The vision tower as a CPU learns with it: what is slow backwards in bfloat16 is computed otherwise, all the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

ATTENTION = "sdpa in float32"


def quicken(tower: Any) -> None:
    """It computes what it did, up to rounding."""
    cut = tower.patch_embed.proj  # a convolution whose places do not overlap: a product, whose gradient is one too
    tower.patch_embed.forward = lambda pixels: linear(pixels, cut.weight.flatten(1))
    if not torch.cuda.is_available():
        AttentionInterface.register(ATTENTION, _attention)
        tower.set_attn_implementation(ATTENTION)


def _attention(module: Any, query: Tensor, key: Tensor, value: Tensor, **others: Any) -> tuple[Tensor, None]:
    with torch.autocast(query.device.type, enabled=False):
        return sdpa_attention_forward(module, query.float(), key.float(), value.float(), **others)
