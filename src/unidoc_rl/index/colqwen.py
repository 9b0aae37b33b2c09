"""Pictures of pages, and questions, to multi-vectors: ColQwen2 or ColPali, by transformers' own classes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from safetensors import SafetensorError
from transformers import AutoConfig, ColPaliForRetrieval, ColPaliProcessor, ColQwen2ForRetrieval, ColQwen2Processor

from unidoc_rl.errors import UnidocError
from unidoc_rl.index.identity import identity
from unidoc_rl.pretrained import folder_of, whole_model

PAGES_AT_ONCE = 4
TEXTS_AT_ONCE = 32
TOKENS = 256  # of a text, as `dense` reads; a longer one is cut off, since each is compared with every page

# By the model_type in config.json. Where there is no torchvision, both processors take Pillow by themselves.
_MODELS: dict[str, tuple[Any, Any]] = {
    "colqwen2": (ColQwen2ForRetrieval, ColQwen2Processor),
    "colpali": (ColPaliForRetrieval, ColPaliProcessor),
}


def encoder_folder(model: str) -> Path:
    """Of what index.late_encoder names."""
    return folder_of(model, "index.late_encoder", "a ColQwen2 or ColPali model")


def dimension_of(folder: Path) -> int:
    """Of the vectors that the model in this folder makes; its weights are not looked at."""
    _classes(folder)
    return int(AutoConfig.from_pretrained(folder, local_files_only=True).embedding_dim)


class PageEncoder:
    def __init__(self, model: str) -> None:
        folder = encoder_folder(model)
        model_class, processor_class = _classes(folder)
        self.name = identity(folder)
        device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
        try:
            self._processor = processor_class.from_pretrained(folder, local_files_only=True)
            loaded = whole_model(model_class, folder, dtype)
        except (OSError, ValueError, SafetensorError) as error:
            raise UnidocError(
                f"index.late_encoder: {folder} cannot be loaded ({error}); "
                "expected a model's folder as save_pretrained writes it: weights in safetensors, and its processor"
            ) from error
        self._model = loaded.eval().to(device)
        self.dimension = int(self._model.config.embedding_dim)

    def pages(self, images: Iterable[Image]) -> list[NDArray[np.float32]]:
        """The vectors of each picture, (vectors, dimension); only a few pictures are held at a time."""
        made: list[NDArray[np.float32]] = []
        coming = iter(images)
        while batch := list(islice(coming, PAGES_AT_ONCE)):
            made += self._encode(self._processor(images=batch))
        return made

    def queries(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """The vectors of each text, (tokens, dimension), with the tokens that the model adds to a query."""
        plain = [self._plain(text) for text in texts]
        batches = [plain[start : start + TEXTS_AT_ONCE] for start in range(0, len(plain), TEXTS_AT_ONCE)]
        return [vectors for batch in batches for vectors in self._encode(self._processor(text=batch))]

    def _plain(self, text: str) -> str:
        """Cut off, and without the signs that are the processor's own: for that of a picture, it wants a picture."""
        tokenizer = self._processor.tokenizer
        for sign in tokenizer.all_special_tokens:
            text = text.replace(sign, " ")
        tokens = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return text if len(tokens) <= TOKENS else text[: tokens[TOKENS - 1][1]]

    @torch.inference_mode()
    def _encode(self, inputs: Any) -> list[NDArray[np.float32]]:
        inputs.pop("labels", None)  # that ColPali's processor makes for training
        inputs = inputs.to(self._model.device)
        embeddings = self._model(**inputs).embeddings.float().cpu().numpy()
        real = inputs["attention_mask"].bool().cpu().numpy()  # the rest fills up shorter rows of the batch
        return [vectors[kept] for vectors, kept in zip(embeddings, real, strict=True)]


def _classes(folder: Path) -> tuple[Any, Any]:
    try:
        kind = json.loads((folder / "config.json").read_text())["model_type"]
        return _MODELS[kind]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnidocError(
            f"index.late_encoder: {folder}/config.json does not name a known model ({error!r}); expected the "
            f"model_type {' or '.join(_MODELS)}, as in vidore/colqwen2-v1.0-hf; merge an adapter into its model first"
        ) from error
