"""The retriever `late`, from page pictures to hits: the real model classes at a tiny size."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.index.models import write_colqwen
from tests.index.test_stage import make_corpus
from unidoc_rl.corpus import Corpus
from unidoc_rl.errors import UnidocError
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


@pytest.mark.slow
def test_vectors_that_were_brought_serve_a_run_that_brings_none_and_others_take_their_place(
    corpus: Path, params: IndexParams, vectors: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "some.npz", **vectors)  # type: ignore[arg-type]
    np.savez(tmp_path / "others.npz", **{page: rows[:5] for page, rows in vectors.items()})  # type: ignore[arg-type]
    index(corpus, tmp_path / "index", params, vectors=tmp_path / "others.npz")
    others = answers(tmp_path / "index")
    with monkeypatch.context() as patched:
        patched.setattr(PageEncoder, "pages", None)
        for _ in range(2):
            index(corpus, tmp_path / "index", params)
            assert answers(tmp_path / "index") == others
    index(corpus, tmp_path / "index", params, vectors=tmp_path / "some.npz")
    index(corpus, tmp_path / "new", params)
    assert answers(tmp_path / "index") == pytest.approx(answers(tmp_path / "new"), rel=0.01)


def test_vectors_of_another_size_than_the_model_makes_are_refused(
    corpus: Path, params: IndexParams, vectors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "vectors.npz", **{page: rows[:, :64] for page, rows in vectors.items()})  # type: ignore[arg-type]
    with pytest.raises(UnidocError, match=r"vectors\.npz: bees_1: vectors of dimension 64; expected 128"):
        index(corpus, tmp_path / "index", params, vectors=tmp_path / "vectors.npz")


@pytest.mark.parametrize("damage", [Path.unlink, lambda picture: os.truncate(picture, 9)])
def test_a_picture_that_cannot_be_read_is_named(
    corpus: Path, params: IndexParams, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    damage(tmp_path / "corpus/images/ships/ships_2.jpg")
    with pytest.raises(UnidocError, match=r"ships_2\.jpg: is missing or damaged .* run `unidoc ingest` again"):
        index(tmp_path / "corpus", tmp_path / "index", params)
