"""Keys and values that grow in place are those of transformers' own cache."""

from __future__ import annotations

from unittest.mock import patch

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache

from unidoc_rl.agent import growing

LAYERS, HEADS, DIMENSION = 2, 2, 3


@given(
    rows=st.integers(1, 4),
    steps=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), min_size=1, max_size=8),
    room=st.integers(0, 8),
)
def test_whatever_is_added_and_left_out_it_has_what_transformers_has(
    rows: int, steps: list[tuple[int, int]], room: int
) -> None:
    dice = torch.Generator().manual_seed(1)
    ours, theirs = growing.growing(), DynamicCache()
    with patch.object(growing, "ROOM", room):
        for tokens, left in steps:
            for layer in range(LAYERS):
                keys, values = (torch.rand(rows, HEADS, tokens, DIMENSION, generator=dice) for _ in range(2))
                have = ours.update(keys, values, layer)
                assert all(map(torch.equal, have, theirs.update(keys, values, layer)))
            assert ours.get_seq_length() == theirs.get_seq_length()
            if left < rows:
                rows = left
                for cache in (ours, theirs):
                    cache.batch_select_indices(torch.arange(rows).flip(0))
