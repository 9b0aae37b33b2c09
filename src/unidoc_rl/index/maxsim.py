"""Late interaction in numbers: a page is some hundred vectors, a query some twenty, and each vector of the query counts
its best vector of the page (MaxSim).

A few directions stand for a page (`centroids`); a search among them chooses candidates, in Milvus with the query's
tokens pooled (`pool`). All vectors of these, kept in a byte a number (`quantise`), are compared exactly
(`maxsim_together`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

ROUNDS = 8  # of k-means: with sixteen the error is a hundredth smaller, and the time twice as long


_LIBRARIES = ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """Keeps numpy's products in the thread that asks for them.

    They are small: more threads gain little, and where another program has one of the processors, they wait for each
    other in loops, and everything takes twenty times as long.
    """
    limited: AbstractContextManager[object] = _LIBRARIES.limit(limits=1, user_api="blas")
    return limited


class Quantised(NamedTuple):
    """A page's vectors: code times scale is the number."""

    codes: NDArray[np.int8]  # (vectors, dimension)
    scales: Floats  # (vectors,)


def checked(vectors: NDArray[Any], dimension: int | None = None) -> Floats:
    """The vectors as float32; a ValueError says why they cannot be a page's."""
    if vectors.dtype not in (np.float16, np.float32):
        raise ValueError(f"numbers of type {vectors.dtype}; expected float16 or float32")
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"an array of shape {vectors.shape}; expected (vectors, dimension), at least one of each")
    if dimension not in (None, vectors.shape[1]):
        raise ValueError(f"vectors of dimension {vectors.shape[1]}; expected {dimension}")
    floats = np.ascontiguousarray(vectors, np.float32)
    if not np.isfinite(floats).all():
        row = int(np.flatnonzero(~np.isfinite(floats).all(axis=1))[0])
        raise ValueError(f"vector {row} has numbers that are not finite (NaN or infinity)")
    return floats


def quantise(vectors: NDArray[Any], dimension: int | None = None) -> Quantised:
    """One scale a vector: the largest number becomes 127 or -127, and no number is off by more than half a scale."""
    floats = checked(vectors, dimension)
    scales = np.abs(floats).max(axis=1) / np.float32(127)
    scales[scales < np.finfo(np.float32).tiny] = 0  # what is too small to divide by is zero
    codes = np.divide(floats, scales[:, None], out=np.zeros_like(floats), where=scales[:, None] > 0)
    return Quantised(np.rint(codes, out=codes).astype(np.int8), scales)


def centroids(vectors: NDArray[Any], count: int = 16, seed: int = 0) -> Floats:
    """At most `count` directions that stand for a page's vectors: spherical k-means, the same for the same vectors.

    Of length 1: plain means, shorter the more their vectors differ, find fewer of the right pages.
    """
    floats = checked(vectors)
    rng = np.random.default_rng(seed)
    centres = floats[rng.choice(len(floats), min(count, len(floats)), replace=False)]
    member = np.zeros((len(centres), len(floats)), np.float32)
    everyone = np.arange(len(floats))
    for _ in range(ROUNDS):
        member[:] = 0
        member[(floats @ _unit(centres).T).argmax(axis=1), everyone] = 1
        used = member.any(axis=1)
        centres[used] = member[used] @ floats
    return _unit(centres[used])


def pool(tokens: Floats, at_most: int) -> Floats:
    """Sums of the tokens that are most alike (Ward's clustering), so that a search asks for fewer vectors.

    Sums, and not means, because a vector for two tokens has to count twice.
    """
    sums = [token.astype(np.float64) for token in tokens]
    sizes = [1] * len(sums)
    while len(sums) > at_most:
        size = np.array(sizes)
        means = np.stack(sums) / size[:, None]
        squares = (means**2).sum(axis=1)
        apart = squares[:, None] + squares - 2 * means @ means.T
        cost = apart * (size[:, None] * size) / (size[:, None] + size)
        cost[np.tril_indices(len(cost))] = np.inf
        first, second = np.unravel_index(cost.argmin(), cost.shape)
        sums[first] += sums.pop(second)
        sizes[first] += sizes.pop(second)
    return np.stack(sums).astype(np.float32)


def maxsim(query: Floats, pages: Iterable[Quantised]) -> Floats:
    """The score of each page for a query."""
    return np.array([_best(query.T, page).sum() for page in pages], np.float32)


def maxsim_together(
    queries: Sequence[Floats], wanted: Sequence[Integers], page: Callable[[int], Quantised]
) -> list[Floats]:
    """As `maxsim`, for each query over the pages that it wants; a page is read once, whoever wants it."""
    scores = [np.empty(len(numbers), np.float32) for numbers in wanted]
    whose = np.repeat(np.arange(len(wanted)), [len(numbers) for numbers in wanted])
    where = np.concatenate([np.arange(len(numbers)) for numbers in wanted])
    everything = np.concatenate(wanted)
    numbers, counts = np.unique(everything, return_counts=True)
    order = np.argsort(everything, kind="stable")
    for number, end, count in zip(numbers, np.cumsum(counts), counts, strict=True):
        together = order[end - count : end]
        asking = [queries[one] for one in whose[together]]
        best = _best(np.concatenate(asking).T, page(int(number)))
        firsts = np.cumsum([0, *(len(query) for query in asking[:-1])])
        for one, at, score in zip(whose[together], where[together], np.add.reduceat(best, firsts), strict=True):
            scores[one][at] = score
    return scores


def _best(tokens: Floats, page: Quantised) -> Floats:
    """The best score of each token, given as columns. A page at a time is what the processor's cache holds."""
    products = page.codes.astype(np.float32) @ tokens
    products *= page.scales[:, None]
    return np.asarray(products.max(axis=0), np.float32)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)
