"""Several retrievers' lists made one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from unidoc_rl.index.ranking import Found
from unidoc_rl.params import Retriever

_SOFTNESS = 60  # of reciprocal ranks: how little the first places tower over the next


def by_rank(
    found: Mapping[Retriever, Found], weights: Mapping[Retriever, float], _depth: int
) -> list[tuple[int, float]]:
    """A page gets weight / (60 + rank) from each retriever that found it."""
    fused: defaultdict[int, float] = defaultdict(float)
    for retriever, pages in found.items():
        for rank, (page, _) in enumerate(pages, start=1):
            fused[page] += weights[retriever] / (_SOFTNESS + rank)
    return _best_first(fused)


def by_weight(
    found: Mapping[Retriever, Found], weights: Mapping[Retriever, float], depth: int
) -> list[tuple[int, float]]:
    """A page gets weight x score from each, where a retriever's best page has 1 and its last, and all beyond, 0.

    `depth`: how many pages each was asked for. Where bm25 gives fewer, its last holds a word of the query, and all
    beyond hold none.
    """
    fused: defaultdict[int, float] = defaultdict(float)
    for retriever, pages in found.items():
        if not pages:
            continue
        high = pages[0][1]
        low = 0.0 if retriever == "bm25" and len(pages) < depth else pages[-1][1]
        for page, score in pages:
            fused[page] += weights[retriever] * ((score - low) / (high - low) if high > low else 1.0)
    return _best_first(fused)


def _best_first(fused: Mapping[int, float]) -> list[tuple[int, float]]:
    return sorted(fused.items(), key=lambda item: (-item[1], item[0]))


FUSIONS = {"rank": by_rank, "weight": by_weight}
