"""The vision tower as a CPU learns with it: what is slow backwards in bfloat16 is computed otherwise, all the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from unidoc_rl.agent.eyes import multiply
from unidoc_rl.nano.model import MERGE

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


class Unmerged(nn.Module):
    """In the merger's place: of each token, what its patches know, side by side."""

    def forward(self, patches: Tensor) -> Tensor:
        return patches.view(-1, MERGE**2 * patches.shape[-1])
