"""Models as save_pretrained writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download

from unidoc_rl import s3, storage
from unidoc_rl.errors import UnidocError


def folder_of(name: str, key: str, what: str) -> Path:
    """A model's folder: here, on S3, or fetched once from the hub. `key` of params.yaml names it, and it is `what`."""
    if s3.is_s3(name) or Path(name).is_dir():
        return storage.local_folder(name)
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]))
    except (OSError, ValueError) as error:
        raise UnidocError(
            f"{key}: {name} is no folder, and cannot be fetched from the hub ({error}); name the folder of {what}"
        ) from error


def whole_model(kind: Any, folder: Path, dtype: torch.dtype, but: str | None = None) -> Any:
    """A model of this class with all its weights; transformers draws those that are missing, and goes on.

    Only from this folder, and only from safetensors. An OSError, a ValueError or a SafetensorError says what is wrong.
    `but`: how the names of those begin that nobody will use.
    """
    model, how = kind.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    missing = [name for name in how["missing_keys"] if but is None or not name.startswith(but)]
    if missing:
        raise ValueError(f"it has no weights for {', '.join(sorted(missing)[:3])} …")
    return model
