"""The retriever `late`, from page pictures to hits: the real model classes at a tiny size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.index.models import write_colqwen
from tests.index.test_stage import make_corpus
from unidoc_rl.corpus import Corpus
from unidoc_rl.index.colqwen import PageEncoder
from unidoc_rl.index.search import Index
from unidoc_rl.index.stage import index
from unidoc_rl.params import IndexParams
from unidoc_rl.types import Query

QUESTION = "grain on ships"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colqwen(tmp_path_factory.mktemp("models") / "colqwen")


@pytest.fixture(scope="module")
def params(model: Path) -> IndexParams:
    return IndexParams(retrievers=["late"], late_encoder=str(model))


@pytest.fixture(scope="module")
def vectors(corpus: Path, model: Path) -> dict[str, np.ndarray]:
    """Of each page, made without the index."""
    encoder = PageEncoder(str(model))
    made = {}
    for page in Corpus(corpus):
        with Image.open(corpus / page.image) as picture:
            (made[page.id],) = encoder.pages([picture.convert("RGB")])
    return made


def exact(vectors: dict[str, np.ndarray], model: Path) -> dict[str, float]:
    (tokens,) = PageEncoder(str(model)).queries([QUESTION])
    return {page: float((tokens @ rows.T).max(axis=1).sum()) for page, rows in vectors.items()}


def answers(made: Path) -> dict[str, float]:
    with Index(made) as opened:
        (hits,) = opened([Query(QUESTION)])
    return {hit.page: hit.score for hit in hits}


@pytest.mark.slow
def test_pages_have_their_exact_score(
    corpus: Path, params: IndexParams, model: Path, vectors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    assert index(corpus, tmp_path / "index", params)["pages"] == 6
    truth = exact(vectors, model)
    assert answers(tmp_path / "index") == pytest.approx(truth, rel=0.01)


@pytest.mark.slow
def test_vectors_made_elsewhere_give_the_same_answers(
    corpus: Path, params: IndexParams, model: Path, vectors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "vectors.npz", **{f"{page}.jpg": rows for page, rows in vectors.items()})  # type: ignore[arg-type]
    index(corpus, tmp_path / "index", params, vectors=tmp_path / "vectors.npz")
    assert answers(tmp_path / "index") == pytest.approx(exact(vectors, model), rel=0.01)
