"""A vision tower that looks quickly, and at each picture once.

A page is shown when it is found and again when it is selected, to many episodes, and once more when they are learned
from; as long as the tower is frozen it sees the same every time. What it saw is kept, for as many pictures as there is
room, by their pixels.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

ROOM = 1 << 30  # bytes


class _Memory:
    """What was seen, the latest last; each as the tensors that the tower gives for one picture."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._size = 0
        self._kept: OrderedDict[bytes, list[Tensor]] = OrderedDict()

    def get(self, key: bytes) -> list[Tensor] | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def forget(self) -> None:
        self._kept.clear()
        self._size = 0

    def add(self, key: bytes, seen: list[Tensor]) -> None:
        self._kept[key] = seen
        self._size += _bytes(seen)
        while self._size > self._room:
            self._size -= _bytes(self._kept.popitem(last=False)[1])


def multiply(tower: Any) -> None:
    """From now on it takes pictures in by a product of matrices, in place of a convolution whose places do not overlap:
    the same up to rounding, and on a CPU in a seventh of the time."""
    cut = tower.patch_embed.proj
    cut.forward = lambda patches: linear(patches.flatten(1), cut.weight.flatten(1), cut.bias)


def remember(tower: Any, room: int = ROOM) -> None:
    """From now on the tower looks at no picture twice, unless it learns: it has to be frozen for that."""
    look = tower.forward
    memory = _Memory(room)
    squares = tower.spatial_merge_size**2  # patches to a token

    def forward(hidden_states: Tensor, grid_thw: Tensor, **others: Any) -> Any:
        if any(weight.requires_grad for weight in tower.parameters()):
            memory.forget()  # it is about to see otherwise
            return look(hidden_states, grid_thw=grid_thw, **others)
        patches = torch.split(hidden_states, grid_thw.prod(-1).tolist())
        keys = [_key(*picture) for picture in zip(patches, grid_thw, strict=True)]
        known = {key: seen for key in keys if (seen := memory.get(key)) is not None}
        new = {key: n for n, key in enumerate(keys) if key not in known}
        if new:
            rows = list(new.values())
            grids = grid_thw[rows]
            seen = look(torch.cat([patches[n] for n in rows]), grid_thw=grids, **others)
            for key, tensors in zip(new, _apart(seen, (grids.prod(-1) // squares).tolist()), strict=True):
                known[key] = tensors
                memory.add(key, tensors)
        return _together([known[key] for key in keys])

    tower.forward = forward


def _key(pixels: Tensor, grid: Tensor) -> bytes:
    content = pixels.detach().float().cpu().numpy()
    return hashlib.sha256(content.tobytes() + str(grid.tolist()).encode()).digest()  # processors have a circuit for it


def _apart(seen: Any, tokens: Sequence[int]) -> list[list[Tensor]]:
    """The tensors of each picture: of its tokens, and those of inner layers where the tower gives them (Qwen3-VL)."""
    layers = [seen.pooler_output, *(getattr(seen, "deepstack_features", None) or [])]
    split = [torch.split(layer.detach(), list(tokens)) for layer in layers]
    return [[part.clone() for part in parts] for parts in zip(*split, strict=True)]


def _together(pictures: Sequence[list[Tensor]]) -> BaseModelOutputWithDeepstackFeatures:
    first, *inner = (torch.cat(layer) for layer in zip(*pictures, strict=True))
    return BaseModelOutputWithDeepstackFeatures(pooler_output=first, deepstack_features=inner or None)


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
