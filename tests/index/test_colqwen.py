"""The real classes of transformers, at a tiny size and with random weights: what goes in and what comes out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from tests.index.models import write_colpali, write_colqwen
from unidoc_rl.errors import UnidocError
from unidoc_rl.index.colqwen import TOKENS, PageEncoder
from unidoc_rl.index.identity import identity


@pytest.fixture(scope="module")
def colqwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colqwen(tmp_path_factory.mktemp("models") / "colqwen")


@pytest.fixture(scope="module")
def colpali(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colpali(tmp_path_factory.mktemp("models") / "colpali")


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("kind", ["colqwen", "colpali"])
def test_a_batch_gives_each_page_and_text_what_it_has_alone(kind: str, request: pytest.FixtureRequest) -> None:
    encoder = PageEncoder(str(request.getfixturevalue(kind)))
    assert encoder.dimension == 128
    pictures = [picture(60, 100), picture(140, 40, "L"), picture(30, 30), picture(28, 84), picture(90, 90, "RGBA")]
    texts = ["How much is it?", "a", "Which colour has the bar of 2024?"]
    alone = [encoder.pages([one])[0] for one in pictures] + [encoder.queries([text])[0] for text in texts]
    for vectors, expected in zip([*encoder.pages(pictures), *encoder.queries(texts)], alone, strict=True):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_larger_page_has_more_vectors_and_a_longer_text_too(colqwen: Path) -> None:
    encoder = PageEncoder(str(colqwen))
    small, large = encoder.pages([picture(28, 56), picture(84, 112)])
    assert len(large) - len(small) == 3 * 4 - 1 * 2
    short, long = encoder.queries(["abc", "abcdefgh"])
    assert len(long) - len(short) == 5


@pytest.mark.parametrize(("kind", "sign"), [("colqwen", "<|image_pad|>"), ("colpali", "<image>")])
def test_a_text_with_the_sign_of_a_picture_is_a_text(kind: str, sign: str, request: pytest.FixtureRequest) -> None:
    encoder = PageEncoder(str(request.getfixturevalue(kind)))
    (vectors,) = encoder.queries([f"what {sign} is"])
    np.testing.assert_array_equal(vectors, encoder.queries(["what   is"])[0])


def test_a_long_text_is_read_so_far(colqwen: Path) -> None:
    encoder = PageEncoder(str(colqwen))
    whole, long = encoder.queries(["ab" * (TOKENS // 2), "ab" * 2000])
    np.testing.assert_allclose(whole, long, atol=1e-5)


def test_nothing_gives_nothing(colqwen: Path) -> None:
    encoder = PageEncoder(str(colqwen))
    assert encoder.pages([]) == []
    assert encoder.queries([]) == []


def test_other_weights_or_settings_have_another_name(colqwen: Path, tmp_path: Path) -> None:
    copy = tmp_path / "colqwen"
    shutil.copytree(colqwen, copy)
    name = identity(colqwen)
    assert identity(copy) == name == PageEncoder(str(copy)).name
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert identity(copy) != name
    shutil.copy(colqwen / "model.safetensors", copy)
    settings = json.loads((copy / "processor_config.json").read_text())
    settings["image_processor"]["max_pixels"] = 4704
    (copy / "processor_config.json").write_text(json.dumps(settings))
    assert identity(copy) != name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config.json": None}, r"config\.json does not name a known model .*colqwen2 or colpali"),
        ({"config.json": b'{"model_type": "qwen2_vl"}'}, "does not name a known model .*qwen2_vl"),
        ({"config.json": b"[]"}, "does not name a known model"),
        ({"model.safetensors": None}, "cannot be loaded"),
        ({"model.safetensors": b"\0" * 100}, "cannot be loaded"),
        ({"processor_config.json": None}, "cannot be loaded"),
    ],
)
def test_a_folder_that_is_no_such_model_is_named(
    colqwen: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    copy = tmp_path / "broken"
    shutil.copytree(colqwen, copy)
    for name, content in change.items():
        (copy / name).unlink()
        if content is not None:
            (copy / name).write_bytes(content)
    with pytest.raises(UnidocError, match=rf"index\.late_encoder: .*broken.*{message}"):
        PageEncoder(str(copy))


def test_a_folder_without_some_of_the_weights_is_refused(colqwen: Path, tmp_path: Path) -> None:
    """transformers would make them up."""
    copy = tmp_path / "broken"
    shutil.copytree(colqwen, copy)
    weights = load_file(copy / "model.safetensors")
    del weights["embedding_proj_layer.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        UnidocError, match=r"broken cannot be loaded \(it has no weights for embedding_proj_layer\.weight"
    ):
        PageEncoder(str(copy))


def test_neither_a_folder_nor_a_name_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match=r"gone is no folder, and cannot be fetched .*; name the folder"):
        PageEncoder(str(tmp_path / "gone"))
