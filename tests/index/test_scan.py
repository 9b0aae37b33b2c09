"""Scanning gives each page the score of its rows, whatever their number, asked together or alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unidoc_rl.index import maxsim, scan
from unidoc_rl.types import Query


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    pages=st.integers(1, 1200),
    rows=st.sampled_from([(0, 4), (3, 3)]),
    asked=st.integers(1, 4),
    depth=st.integers(1, 40),
)
def test_pages_are_found_by_the_maxsim_of_their_rows(
    tmp_path_factory: pytest.TempPathFactory, seed: int, pages: int, rows: tuple[int, int], asked: int, depth: int
) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(*rows, pages, endpoint=True)
    made = [_page(rng, int(count)) for count in counts]
    tokens = [rng.standard_normal((rng.integers(1, 6), 8)).astype(np.float32) for _ in range(asked)]
    among = [rng.random(pages) < 0.8 for _ in range(asked)]
    folder = tmp_path_factory.mktemp("index") / "dense"
    scan.write(folder, made, counts.tolist(), 8)
    found = scan.Scan(folder).find(tokens, [Query("")] * asked, among, depth)
    for query, allowed, hits in zip(tokens, among, found, strict=True):
        numbers = [number for number in range(pages) if allowed[number] and counts[number]]
        exact = dict(zip(numbers, maxsim.maxsim(query, [made[number] for number in numbers]), strict=True))
        assert len(hits) == min(depth, len(exact))
        np.testing.assert_allclose(
            [score for _, score in hits], [exact[page] for page, _ in hits], rtol=1e-4, atol=1e-4
        )
        best = sorted(exact.values(), reverse=True)[:depth]
        np.testing.assert_allclose([score for _, score in hits], best, rtol=1e-4, atol=1e-4)


def _page(rng: np.random.Generator, rows: int) -> maxsim.Quantised:
    if rows == 0:
        return maxsim.Quantised(np.zeros((0, 8), np.int8), np.zeros(0, np.float32))
    return maxsim.quantise(rng.standard_normal((rows, 8)).astype(np.float32))
