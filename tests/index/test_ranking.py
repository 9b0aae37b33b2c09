"""The best pages come first, and of equal ones those with the lower numbers: the same in every search."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl.index import ranking


@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), st.booleans())), st.integers(1, 12))
def test_as_many_as_asked_for_are_found_though_scores_are_equal(pages: list[tuple[float, bool]], depth: int) -> None:
    scores, possible = np.array([score for score, _ in pages]), np.array([one for _, one in pages], np.bool_)
    best = sorted((-score, page) for page, (score, may_be) in enumerate(pages) if may_be)[:depth]
    assert ranking.found(scores, possible, depth) == [(page, -score) for score, page in best]
