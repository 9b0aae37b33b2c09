"""A sentence encoder of one's own: a text's vector is made as its folder says, or the folder is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertModel

from tests.index.models import TEXT, letters
from tests.index.test_stage import make_corpus
from unidoc_rl.errors import UnidocError
from unidoc_rl.index.dense import Pieces
from unidoc_rl.index.encoder import SentenceEncoder
from unidoc_rl.index.stage import index
from unidoc_rl.params import IndexParams

TEXTS = ["a", "how much is it?", "a longer one, so that the others are filled up"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Without the weights that pool in BERT's own way, as many encoders are published."""
    tokenizer = letters(["[PAD]"], pad_token="[PAD]")
    tokenizer.save_pretrained(tmp_path / "encoder")
    config = BertConfig.from_dict({**TEXT, "vocab_size": len(tokenizer)})
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def say(file: Path, content: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


@torch.inference_mode()
def states(folder: Path, text: str) -> np.ndarray[Any, Any]:
    """Of the tokens of one text alone."""
    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    return np.asarray(BertModel.from_pretrained(folder)(**inputs).last_hidden_state[0])


@pytest.mark.parametrize(
    ("mode", "pooled"),
    [
        (None, lambda tokens: tokens.mean(axis=0)),
        ("mean_tokens", lambda tokens: tokens.mean(axis=0)),
        ("cls_token", lambda tokens: tokens[0]),
        ("lasttoken", lambda tokens: tokens[-1]),
    ],
)
def test_tokens_become_one_vector_as_the_folder_says(
    folder: Path, mode: str | None, pooled: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
) -> None:
    if mode is not None:
        say(folder / "1_Pooling/config.json", {"pooling_mode_max_tokens": False, f"pooling_mode_{mode}": True})
    vectors = SentenceEncoder(str(folder)).encode(TEXTS)
    for vector, text in zip(vectors, TEXTS, strict=True):
        expected = pooled(states(folder, text))
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-4)


def test_what_the_folder_writes_before_queries_and_pages_is_written(folder: Path) -> None:
    plain = Pieces(str(folder))
    say(folder / "config_sentence_transformers.json", {"prompts": {"query": "find: ", "document": "page: "}})
    told = Pieces(str(folder))
    np.testing.assert_allclose(told.queries(["a b"]), plain.queries(["find: a b"]), atol=1e-5)
    (page,), (expected,) = told.pages(["a b"], folder), plain.pages(["page: a b"], folder)
    np.testing.assert_array_equal(page["row_codes"], expected["row_codes"])
    assert told.name != plain.name  # whose vectors are others


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("modules.json", '[{"type": "sentence_transformers.models.Dense"}]', "asks for Dense"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "by max_tokens; known are mean_tokens"),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}', "one alone"),
        ("1_Pooling/config.json", '{"pooling_mode": "cls"}', "by nothing that is named"),
        ("config_sentence_transformers.json", json.dumps({"prompts": {"document": "x" * 300}}), "fills the 256 tokens"),
        ("1_Pooling/config.json", "{", "cannot be loaded"),
        ("tokenizer.json", "{", "cannot be loaded"),
        ("config.json", "{}", "cannot be loaded"),
    ],
)
def test_what_cannot_be_done_as_the_folder_says_is_refused(folder: Path, file: str, content: str, said: str) -> None:
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(content)
    with pytest.raises(UnidocError, match=rf"index\.encoder: .*{said}"):
        SentenceEncoder(str(folder))


def test_a_folder_of_something_else_is_told_from_an_encoder_s(tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match=r"index\.encoder: .* cannot be loaded \(it holds no config\.json\)"):
        SentenceEncoder(str(tmp_path))


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnidocError, match=r"has no weights for encoder\.layer\.1\.output\.dense\.weight"):
        SentenceEncoder(str(folder))


def test_a_model_whose_vectors_are_no_numbers_makes_no_index(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"][:] = np.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    corpus = make_corpus(tmp_path, {"bees": "Bees make honey"})
    with pytest.raises(UnidocError, match=r"bees_1 to bees_2: encoder-\w+ makes no vectors .*not finite"):
        index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], encoder=str(folder)))
    assert not (tmp_path / "index").exists()
