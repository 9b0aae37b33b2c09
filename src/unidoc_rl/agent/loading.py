"""Policies' folders, as save_pretrained writes them, in memory: to play with, or to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText

from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.agent.eyes import remember
from unidoc_rl.errors import UnidocError
from unidoc_rl.pretrained import whole_model


def load(folder: Path, *, remembers: bool = True) -> tuple[Any, Encoder]:
    """A model that plays and learns nothing, on the GPU where there is one.

    `remembers`: its vision tower looks at each picture once.
    """
    if not folder.is_dir():
        raise UnidocError(f"{folder}: no such folder; expected one with a model of the Qwen-VL family")
    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    try:
        encoder = Encoder.of(folder)
        model = whole_model(AutoModelForImageTextToText, folder, dtype)
    except (OSError, ValueError, SafetensorError) as error:
        raise UnidocError(
            f"{folder}: cannot be loaded as a policy ({error}); expected a model of the Qwen-VL family, as "
            "save_pretrained writes it: weights in safetensors, tokenizer and image processor"
        ) from error
    model = model.eval().requires_grad_(False).to(device)
    if remembers:
        remember(model.model.visual)
    return model, encoder


def student(folder: Path, *, frozen: bool, remembers: bool = True) -> tuple[Any, Encoder]:
    """A model that learns, but for its vision tower and projector where they are frozen."""
    model, encoder = load(folder, remembers=remembers)
    model.train().requires_grad_(True)
    model.model.visual.requires_grad_(not frozen)
    return model, encoder
