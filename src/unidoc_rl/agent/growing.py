"""Keys and values to which a token is added in place; transformers' own cache copies all that it has for each."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

ROOM = 256  # tokens, beyond those that there are


class Growing(DynamicLayer):  # type: ignore[no-untyped-call]
    _rooms: tuple[Tensor, Tensor] | None = None  # of which keys and values are the beginning

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past = self.get_seq_length()
        end = past + key_states.shape[2]
        if self._rooms is None or end > self._rooms[0].shape[2]:
            self._rooms = (_room(key_states, self.keys, past, end), _room(value_states, self.values, past, end))
        for room, new in zip(self._rooms, (key_states, value_states), strict=True):
            room[:, :, past:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self._rooms)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)
        self._rooms = None  # of other rows


def growing() -> Cache:
    """A model's, empty."""
    return Cache(layer_class_to_replicate=Growing)


def _room(like: Tensor, known: Tensor | None, past: int, end: int) -> Tensor:
    room = like.new_empty(*like.shape[:2], end + ROOM, like.shape[3])
    if known is not None and past:
        room[:, :, :past] = known
    return room
