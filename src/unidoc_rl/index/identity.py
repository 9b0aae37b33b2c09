"""Which model made vectors: they cannot be compared with those of another."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SETTINGS = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
)
_SAMPLES, _SAMPLE = 64, 1 << 16


def identity(folder: Path) -> str:
    """A name for what a model's folder computes.

    Weights are sampled all over the files, because a fine-tuned model may begin with the same embeddings as its base.
    """
    digest = hashlib.sha256()
    for name in _SETTINGS:
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            for part in range(_SAMPLES):
                file.seek(part * size // _SAMPLES)
                digest.update(file.read(_SAMPLE))
    return f"{folder.resolve().name}-{digest.hexdigest()[:12]}"
