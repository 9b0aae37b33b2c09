"""Pieces of pages: an encoder reads every one of them to its end, so that no word of a page is in no vector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.index.test_stage import make_corpus
from unidoc_rl.index.dense import STEP, WORDS, Pieces, parted, pieces
from unidoc_rl.index.encoder import SentenceEncoder
from unidoc_rl.index.stage import index
from unidoc_rl.params import IndexParams

# Pieces of a page each, by their words; in tokens, twice and four times what the encoder reads.
NUMBERS = " ".join(f"{number * 7919:,}.{number:02}" for number in range(101, 101 + WORDS))
CHINESE = "\n".join(["大小山水人一三上中" * 3] * 40)
ENGLISH = "Net sales of the northern region rose by four percent over those of the former year, mainly by price. " * 12
LIMIT = 7
signs = st.characters(codec="utf-8", exclude_categories=["Z", "C"])


@pytest.fixture(scope="module")
def encoder() -> Pieces:
    return Pieces(None)


def codes(encoder: Pieces, *texts: str) -> list[np.ndarray]:
    return [page["row_codes"] for page in encoder.pages(texts, Path())]


@pytest.mark.parametrize(
    ("text", "last", "other"), [(NUMBERS, "60", "75"), (CHINESE, "中", "水")], ids=["numbers", "chinese"]
)
def test_the_last_word_of_a_page_is_in_a_vector(encoder: Pieces, text: str, last: str, other: str) -> None:
    assert len(pieces(text)) == 1
    assert text.endswith(last)
    one, changed = codes(encoder, text, text.removesuffix(last) + other)
    assert len(one) == len(changed) > 1
    assert (one != changed).any()


def test_pages_keep_their_own_vectors_among_others_that_are_cut_further(encoder: Pieces) -> None:
    alone = [rows for text in (ENGLISH, NUMBERS, "", CHINESE) for rows in codes(encoder, text)]
    together = codes(encoder, ENGLISH, NUMBERS, "", CHINESE)
    assert [len(rows) for rows in together] == [len(rows) for rows in alone]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other.astype(float), atol=1)


def test_ordinary_text_is_cut_by_its_words_alone() -> None:
    words = ENGLISH.split()
    expected = [" ".join(words[start : start + WORDS]) for start in range(0, len(words) - WORDS + STEP, STEP)]
    assert pieces(ENGLISH) == expected
    assert parted(expected, SentenceEncoder(None).fit) == [[piece] for piece in expected]


@given(st.lists(st.lists(st.text(signs, min_size=1, max_size=20), min_size=1, max_size=20), max_size=5))
def test_parts_hold_every_word_and_cut_only_those_that_are_too_long_alone(texts: list[list[str]]) -> None:
    def fit(some: Sequence[str]) -> list[bool]:
        return [len(text) <= LIMIT for text in some]

    for words, parts in zip(texts, parted([" ".join(words) for words in texts], fit), strict=True):
        assert all(fit(parts))
        assert "".join(parts).replace(" ", "") == "".join(words)
        assert {word for word in words if len(word) <= LIMIT} <= {word for part in parts for word in part.split(" ")}


def test_a_character_is_not_cut() -> None:
    assert parted(["ab"], lambda texts: [False] * len(texts)) == [["a", "b"]]


def test_vectors_of_pieces_that_were_cut_otherwise_are_not_taken_over(tmp_path: Path) -> None:
    corpus, made = make_corpus(tmp_path, {"bees": "Bees make honey"}), tmp_path / "index"
    index(corpus, made, IndexParams(retrievers=["dense"]))
    described = json.loads((made / "index.json").read_text())
    dense = described["collections"]["dense"]
    (made / "vectors" / dense["store"]).rename(made / "vectors" / dense["encoder"])  # as it was called
    dense["store"] = dense["encoder"]
    (made / "index.json").write_text(json.dumps(described))
    (former,) = (made / "vectors").rglob("*.safetensors")
    (tmp_path / "kept").hardlink_to(former)  # so that its number is not given to another
    index(corpus, made, IndexParams(retrievers=["dense"]))
    (now,) = (made / "vectors").rglob("*.safetensors")
    assert now.stat().st_ino != (tmp_path / "kept").stat().st_ino
