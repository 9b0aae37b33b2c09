"""How a training uses what there is: GPUs or none, one process or many (by itself, DDP; or DeepSpeed), all of a model's
weights or low-rank changes to them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer

from unidoc_rl.agent import loading
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.checkpoints import a_full_disk_told
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams, GrpoParams, SftParams

ZERO3 = "zero3"  # of which no process has all weights


def check(deepspeed: str) -> None:
    if deepspeed == "none":
        return
    if find_spec("deepspeed") is None:
        raise UnidocError(
            f"deepspeed {deepspeed}: the package is not here; in the checkout, run "
            "`.venv/bin/uv pip install -c constraints.txt -e '.[gpu]'`"
        )
    if "RANK" not in os.environ:
        raise UnidocError(f"deepspeed {deepspeed}: is for processes that share a model; start them by torchrun")


def quick_in_bfloat16() -> bool:
    """Where the processor multiplies matrices of it (AMX). One that only adds up products (AVX-512) takes longer."""
    return torch.cuda.is_available() or bool(torch.cpu.get_capabilities().get("amx_bf16"))


@contextmanager
def nearly_zero_is_zero() -> Iterator[None]:
    """In this thread, and those that it starts: a number below 1e-38. Attention that has learned where to look is full
    of them, and a CPU takes so long for each that a step over a long conversation would take 1.7 times as long."""
    before = float(torch.tensor(1e-30) * 1e-10) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def arguments(deepspeed: str, *, rounded: bool) -> dict[str, Any]:
    """Of a Trainer; `deepspeed`: none, or one of the configurations beside this file.

    `rounded`: in bfloat16 on CPUs too, where that is quicker; not where probabilities are compared with those of play.
    """
    gpu, shared = torch.cuda.is_available(), deepspeed != "none"
    if shared:
        from deepspeed import init_distributed

        init_distributed()  # with the processes that have met; by itself it does so on GPUs alone
    return {
        "use_cpu": not gpu,
        "bf16": gpu or (rounded and not shared and quick_in_bfloat16()),
        "activation_checkpointing": gpu,
        "dataloader_pin_memory": gpu,
        "ddp_find_unused_parameters": False,  # there are none: every batch shows something
        "deepspeed": _configuration(deepspeed) if shared else None,
        "remove_unused_columns": False,
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
    }


def student(folder: Path, agent: AgentParams, learning: SftParams | GrpoParams) -> tuple[Any, Encoder]:
    """A model that learns as these parameters say."""
    return loading.student(
        folder,
        agent,
        frozen=learning.frozen,
        precise=learning.deepspeed == "none" and not learning.lora,  # else the weights that it learns are others
        remembers=learning.deepspeed != ZERO3,
    )


def adapter(network: Any, rank: int, *, frozen: bool) -> Any:
    """LoRA for all linear layers, but for those of the vision tower and projector where they are frozen; None at 0."""
    if not rank:
        return None
    from peft import LoraConfig  # here, since it takes seconds to import

    prefix = "model.language_model." if frozen else "model."
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear) and name.startswith(prefix)]
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=linear)


def save(trainer: Trainer, folder: Path) -> None:
    """What was learned as an ordinary model; all processes are needed, and one of them writes."""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    model: Any = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    if not trainer.args.should_save:
        return
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
        weights = None
    elif not trainer.is_deepspeed_enabled:
        _, played_in = loading.played_on()
        model = model.to(played_in)
        weights = None
    with a_full_disk_told(folder):
        model.save_pretrained(folder, state_dict=weights)


def hand_over(trainer: Trainer, folder: Path) -> None:
    """What is learned so far, for whoever plays with it; all processes are needed, and one of them writes."""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    model: Any = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    if not trainer.args.should_save:
        return
    _, played_in = loading.played_on()
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
        weights = _with_low_rank_changes(model, played_in)
    with a_full_disk_told(folder):
        model.save_pretrained(folder, state_dict={name: one.to("cpu", played_in) for name, one in weights.items()})
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors lets nobody else read it


def _with_low_rank_changes(model: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """All weights, by the names that they have in the model without; merging them into it would round them at every
    step anew. Each goes to the CPU at once: a GPU may not hold them all twice."""
    from peft.tuners.lora import LoraLayer

    weights = {
        name.replace(".base_layer.", "."): one for name, one in model.state_dict().items() if ".lora_" not in name
    }
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, LoraLayer):
                (change,) = layer.active_adapters
                changed = weights[f"{name}.weight"] + layer.get_delta_weight(change)
                weights[f"{name}.weight"] = changed.to("cpu", dtype)
    return weights


def _configuration(name: str) -> dict[str, Any]:
    text = (files("unidoc_rl") / "deepspeed" / f"{name}.json").read_text(encoding="utf-8")
    configuration: dict[str, Any] = json.loads(text)
    return configuration
