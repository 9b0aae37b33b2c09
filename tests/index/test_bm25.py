"""Words to terms, terms to the scores of BM25's formula, and several retrievers' lists to one."""

from __future__ import annotations

import math
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unidoc_rl.index import bm25, fusion
from unidoc_rl.index.terms import terms

words = st.sampled_from("abcdef")


@settings(max_examples=30)
@given(st.lists(st.lists(words, max_size=8), min_size=1, max_size=8), st.lists(words, max_size=4))
def test_a_page_has_the_score_of_the_formula(pages: list[list[str]], query: list[str]) -> None:
    builder = bm25.Builder()
    for page in pages:
        builder.add(page)
    with tempfile.TemporaryDirectory() as folder:
        builder.write(Path(folder) / "bm25")
        scores = bm25.Bm25(Path(folder) / "bm25", len(pages)).scores(query)
    mean = max(1.0, sum(map(len, pages)) / len(pages))
    for page, score in zip(pages, scores, strict=True):
        expected = 0.0
        for term in query:
            held_by = sum(term in other for other in pages)
            rarity = math.log(1 + (len(pages) - held_by + 0.5) / (held_by + 0.5))
            count, norm = page.count(term), bm25.K1 * (1 - bm25.B + bm25.B * len(page) / mean)
            expected += rarity * count * (bm25.K1 + 1) / (count + norm)
        assert score == pytest.approx(expected, rel=1e-5)


def test_an_open_index_holds_no_term_in_memory(tmp_path: Path) -> None:
    """Each process that searches would hold all of them: gigabytes, of a large corpus."""
    builder = bm25.Builder()
    builder.add(map(str, range(50_000)))
    builder.write(tmp_path / "bm25")
    tracemalloc.start()
    try:
        opened = bm25.Bm25(tmp_path / "bm25", 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000
    assert opened.scores(["49999"]) > 0
    assert opened.scores(["50000"]) == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Net sales", ["net", "sale", "net sale"]),
        ("The sales of", ["sale", "the sale", "sale of"]),
        ("What does it do", ["what does", "does it", "it do"]),
        ("1,234.5", ["1,234.5"]),
        ("蜂蜜水", ["蜂蜜", "蜜水", "蜂蜜 蜜水"]),
        ("水 5", ["水", "5", "水 5"]),
        ("हिन्दी किताब।", ["हिन्दी", "किताब", "हिन्दी किताब"]),
        ("snake_case \x00 \u2028!", ["snake", "case", "snake case"]),
    ],
)
def test_terms_are_words_of_any_script_and_pairs_of_them(text: str, found: list[str]) -> None:
    assert terms(text) == found


def test_lists_are_fused_by_ranks_or_by_scores() -> None:
    lists = {"bm25": [(7, 9.0), (3, 5.0), (1, 1.0)], "dense": [(3, 0.5)], "late": []}
    weights = {"bm25": 1.0, "dense": 0.5, "late": 2.0}
    pages, scores = zip(*fusion.by_rank(lists, weights, 3), strict=True)  # type: ignore[arg-type]
    assert pages == (3, 7, 1)
    assert scores == pytest.approx([1 / 62 + 0.5 / 61, 1 / 61, 1 / 63])
    assert fusion.by_weight(lists, weights, 3) == [(3, 1.0), (7, 1.0), (1, 0.0)]  # type: ignore[arg-type]


def test_the_last_page_that_holds_a_word_comes_before_those_that_hold_none() -> None:
    """What other retrievers think of it decides, among those that hold it equally well."""
    lists = {"bm25": [(7, 3.3), (3, 3.0)], "dense": [(1, 0.9), (2, 0.8), (7, 0.2)]}
    weights = {"bm25": 1.0, "dense": 0.5}
    assert [page for page, _ in fusion.by_weight(lists, weights, 100)] == [7, 3, 1, 2]  # type: ignore[arg-type]
