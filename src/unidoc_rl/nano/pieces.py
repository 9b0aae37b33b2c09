"""Pieces of the words in pictures: the tokens as which a text would have them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from unidoc_rl.nano.glyphs import NOWHERE
from unidoc_rl.nano.pages import DrawnPage
from unidoc_rl.nano.parts import OPEN, Seen


class Pieces:
    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._of = lru_cache(OPEN)(self._cut_up)

    def on(self, seen: Seen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each one, the square of the picture in which it begins, and its token."""
        letters, tokens = self._of(seen.page).T
        squares = seen.squares[letters]
        return squares[squares != NOWHERE], tokens[squares != NOWHERE]

    def _cut_up(self, page: DrawnPage) -> NDArray[np.int64]:
        """(pieces, 2): of each piece of a page's words, its first letter and its token, as in the midst of a text."""
        words = page.words.tolist()
        cut = self._tokenizer([" " + page.letters[first:end] for first, end in words], return_offsets_mapping=True)
        pieces = [
            (first + max(start - 1, 0), token)
            for (first, _), tokens, spans in zip(words, cut["input_ids"], cut["offset_mapping"], strict=True)
            for token, (start, end) in zip(tokens, spans, strict=True)
            if end > 1  # a space alone stands nowhere
        ]
        return np.array(pieces, np.int64).reshape(-1, 2)
