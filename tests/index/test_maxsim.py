"""Late interaction: what the arrays give is what the definition says, whatever the shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from unidoc_rl.index import maxsim
from unidoc_rl.index.maxsim import Floats, Quantised

seeds = st.integers(0, 2**32 - 1)


def directions(rng: np.random.Generator, count: int, dimension: int) -> Floats:
    return unit(rng.standard_normal((count, dimension)))


def unit(vectors: NDArray[np.floating]) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@given(seeds, st.integers(1, 40), st.integers(1, 130), st.sampled_from([np.float16, np.float32]), st.integers(-40, 4))
def test_a_number_is_off_by_half_a_scale_at_most(
    seed: int, count: int, dimension: int, kind: type[np.floating], power: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((count, dimension)) * 2.0**power).astype(kind)
    vectors[rng.integers(count)] = 0
    codes, scales = maxsim.quantise(vectors)
    assert codes.dtype == np.int8
    assert (scales >= 0).all()
    again = codes * scales[:, None].astype(np.float64)
    assert (np.abs(again - vectors) <= 0.5001 * scales[:, None] + np.finfo(np.float32).tiny).all()
    assert (np.abs(codes).max(axis=1)[scales > 0] == 127).all()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros(4, np.float32), r"shape \(4,\); expected"),
        (np.zeros((0, 4), np.float32), "at least one"),
        (np.zeros((1, 4), np.float64), "type float64; expected float16 or float32"),
        (np.zeros((1, 5), np.float32), "dimension 5; expected 4"),
        (np.array([[0, 1, 2, 3], [0, np.nan, 0, 0]], np.float16), "vector 1 has numbers that are not finite"),
        (np.array([[0, 1, np.inf, 3]], np.float32), "vector 0 has numbers that are not finite"),
    ],
)
def test_what_cannot_be_vectors_of_a_page_is_refused_in_words(vectors: NDArray[np.floating], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maxsim.quantise(vectors, 4)


@given(seeds, st.integers(1, 25), st.integers(1, 40), st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_maxsim_is_the_definition_within_what_quantising_may_change(
    seed: int, tokens: int, dimension: int, lengths: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    query = directions(rng, tokens, dimension)
    pages = [directions(rng, length, dimension) for length in lengths]
    quantised = [maxsim.quantise(page) for page in pages]
    exact = [(query.astype(np.float64) @ page.T).max(axis=1).sum() for page in pages]
    # Each of a vector's numbers is off by half a scale at most, so a product is by that times the token's 1-norm.
    bounds = [float(page.scales.max()) / 2 * float(np.abs(query).sum()) + 1e-4 for page in quantised]
    scores = maxsim.maxsim(query, quantised)
    assert scores.dtype == np.float32
    assert (np.abs(scores - exact) <= bounds).all()


@given(seeds, st.data())
def test_queries_together_have_the_scores_that_each_has_alone(seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    pages = [maxsim.quantise(directions(rng, int(rng.integers(1, 50)), 16)) for _ in range(6)]
    queries = [directions(rng, int(rng.integers(1, 25)), 16) for _ in range(data.draw(st.integers(1, 5)))]
    wishes = st.lists(st.integers(0, 5), unique=True).map(lambda numbers: np.array(numbers, np.int64))
    wanted = [data.draw(wishes) for _ in queries]
    read: list[int] = []

    def page(number: int) -> Quantised:
        read.append(number)
        return pages[number]

    together = maxsim.maxsim_together(queries, wanted, page)
    for query, numbers, scores in zip(queries, wanted, together, strict=True):
        np.testing.assert_allclose(
            scores, maxsim.maxsim(query, [pages[number] for number in numbers]), rtol=1e-5, atol=1e-5
        )
    assert read == sorted({int(number) for numbers in wanted for number in numbers})


@given(seeds, st.integers(1, 60), st.integers(1, 20))
def test_centroids_are_directions_no_more_than_asked_for_and_always_the_same(seed: int, rows: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = directions(rng, rows, 8)[rng.integers(rows, size=rows)]  # some twice
    vectors[rng.random(rows) < 0.1] = 0
    found = maxsim.centroids(vectors, count)
    assert 1 <= len(found) <= min(rows, count)
    lengths = np.linalg.norm(found, axis=1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()
    assert np.array_equal(found, maxsim.centroids(vectors.copy(), count))


def test_centroids_of_clusters_are_their_directions() -> None:
    rng = np.random.default_rng(0)
    truth = np.linalg.qr(rng.standard_normal((64, 3)))[0].T
    rows = np.repeat(truth, 100, axis=0) + 0.01 * rng.standard_normal((300, 64))
    found = maxsim.centroids(rows.astype(np.float16), 12)
    assert ((found @ truth.T).max(axis=0) > 0.99).all()


def test_a_page_of_one_vector_repeated_has_one_centroid() -> None:
    vectors = np.tile(directions(np.random.default_rng(0), 1, 8), (50, 1))
    np.testing.assert_allclose(maxsim.centroids(vectors), vectors[:1], rtol=1e-5)


@given(seeds, st.integers(1, 25), st.integers(1, 25))
def test_pooled_tokens_are_sums_of_all_the_tokens(seed: int, tokens: int, at_most: int) -> None:
    query = directions(np.random.default_rng(seed), tokens, 8)
    pooled = maxsim.pool(query, at_most)
    assert pooled.shape == (min(tokens, at_most), 8)
    np.testing.assert_allclose(pooled.sum(axis=0), query.sum(axis=0), atol=1e-4)


def test_tokens_that_are_alike_are_pooled_first() -> None:
    a, b, c = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(maxsim.pool(np.stack([a, b, c, b, a]), 3), np.stack([2 * a, 2 * b, c]))


@settings(max_examples=5)
@given(seeds)
def test_a_page_that_a_query_is_made_of_is_found(seed: int) -> None:
    """The steps together, as the retriever takes them."""
    rng = np.random.default_rng(seed)
    subjects = directions(rng, 40, 32)
    pages = [
        unit(subjects[rng.integers(40, size=6)].repeat(20, axis=0) + 0.1 * directions(rng, 120, 32)) for _ in range(60)
    ]
    rows = np.concatenate([maxsim.centroids(page, 8) for page in pages])
    whose = np.repeat(np.arange(60), [len(maxsim.centroids(page, 8)) for page in pages])
    for number in range(0, 60, 7):
        query = unit(pages[number][rng.integers(120, size=12)] + 0.2 * directions(rng, 12, 32))
        best = np.argsort(-(maxsim.pool(query, 8) @ rows.T), axis=1)[:, :30]
        chosen = np.unique(whose[best])
        ranked = chosen[np.argsort(-maxsim.maxsim(query, [maxsim.quantise(pages[one]) for one in chosen]))]
        assert number in ranked[:3]
