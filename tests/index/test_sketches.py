"""Sketches give each page the score of its directions, whatever their number, asked together or alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unidoc_rl.index import maxsim, sketches


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), pages=st.integers(1, 1200), asked=st.integers(1, 4))
def test_scores_are_maxsim_over_the_directions(
    tmp_path_factory: pytest.TempPathFactory, seed: int, pages: int, asked: int
) -> None:
    rng = np.random.default_rng(seed)
    made = [maxsim.quantise(rng.standard_normal((rng.integers(1, 5), 8)).astype(np.float32)) for _ in range(pages)]
    queries = [rng.standard_normal((rng.integers(1, 6), 8)).astype(np.float32) for _ in range(asked)]
    folder = tmp_path_factory.mktemp("index") / sketches.FOLDER
    sketches.write(folder, made, pages, 4, 8)
    scores = sketches.Sketches(folder).scores(queries)
    np.testing.assert_allclose(scores, [maxsim.maxsim(query, made) for query in queries], rtol=1e-4, atol=1e-4)
