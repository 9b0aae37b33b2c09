"""Policies' folders, as save_pretrained writes them, in memory: to play with, or to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText

from unidoc_rl import progress, trained
from unidoc_rl.agent.dialect import teach
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.agent.eyes import multiply, remember
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams
from unidoc_rl.pretrained import whole_model


def played_on() -> tuple[str, torch.dtype]:
    """Where a model plays, and in what numbers."""
    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)


def load(
    folder: Path, params: AgentParams, *, remembers: bool = True, dtype: torch.dtype | None = None
) -> tuple[Any, Encoder]:
    """A model that plays and learns nothing, on the GPU where there is one.

    `remembers`: its vision tower looks at each picture once. `dtype`: of its weights, where not the one it plays in.
    """
    if not folder.is_dir():
        raise UnidocError(f"{folder}: no such folder; expected one with a model of the Qwen-VL family")
    device, played_in = played_on()
    try:
        encoder = Encoder.of(folder)
        model = whole_model(AutoModelForImageTextToText, folder, dtype or played_in)
    except (OSError, ValueError, SafetensorError) as error:
        raise UnidocError(
            f"{folder}: cannot be loaded as a policy ({error}); expected a model of the Qwen-VL family, as "
            "save_pretrained writes it: weights in safetensors, tokenizer and image processor"
        ) from error
    encoder.refuse_other_patches(params.patch, folder.name)
    for what in trained.unlike(folder, params):
        progress.tell(f"{folder}: {what}")
    model = model.eval().requires_grad_(False).to(device)
    multiply(model.model.visual)
    if remembers:
        remember(model.model.visual)
    return model, encoder


def student(
    folder: Path, params: AgentParams, *, frozen: bool, precise: bool = True, remembers: bool = True
) -> tuple[Any, Encoder]:
    """A model that learns, but for its vision tower and projector where they are frozen; it is taught the dialect.

    `precise`: in float32, where bfloat16 would round most of what it learns away.
    """
    model, encoder = load(folder, params, remembers=remembers, dtype=torch.float32 if precise else None)
    teach(encoder.tokenizer, params)
    model.train().requires_grad_(True)
    model.model.visual.requires_grad_(not frozen)
    return model, encoder
