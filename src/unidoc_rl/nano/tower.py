"""The vision tower as a CPU learns with it: what is slow backwards in bfloat16 is computed otherwise, all the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from unidoc_rl.agent.eyes import multiply

ATTENTION = "sdpa in float32"


def quicken(tower: Any) -> None:
    """It computes what it did, up to rounding."""
    multiply(tower)
    if not torch.cuda.is_available():
        AttentionInterface.register(ATTENTION, _attention)
        tower.set_attn_implementation(ATTENTION)


def _attention(module: Any, query: Tensor, key: Tensor, value: Tensor, **others: Any) -> tuple[Tensor, None]:
    with torch.autocast(query.device.type, enabled=False):
        return sdpa_attention_forward(module, query.float(), key.float(), value.float(), **others)
