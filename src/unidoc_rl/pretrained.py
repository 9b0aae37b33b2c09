"""Models as save_pretrained writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def whole_model(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A model of this class with all its weights; transformers draws those that are missing, and goes on.

    Only from this folder, and only from safetensors. An OSError, a ValueError or a SafetensorError says what is wrong.
    """
    model, how = kind.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    if how["missing_keys"]:
        raise ValueError(f"it has no weights for {', '.join(sorted(how['missing_keys'])[:3])} …")
    return model
