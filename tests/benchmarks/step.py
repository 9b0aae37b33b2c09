"""What a step of GRPO is spent on: python -m tests.benchmarks.step [--billions 2] [--steps N].

Episodes of the sample world, as tests.benchmarks.grpo has them, played by the nano model, or by a Qwen2.5-VL of so many
billion weights that nobody has trained; on the GPU where there is one. All of it should go into the model: comparing
and learning count as inside it, of playing what its forward passes take.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from tests.benchmarks.grpo import GROUP, QUESTIONS, ours, to_ask
from tests.benchmarks.measure import save, table
from tests.small import make
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.nano import WEIGHTS

PARTS = ("play", "score", "compare", "learn")
# Of Qwen2.5-VL-3B, whose language model has 36 layers of some 75 million weights.
LAYER = 75e6
TEXT = {
    "hidden_size": 2048,
    "intermediate_size": 11_008,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6},
}
VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 2048,
    "fullatt_block_indexes": [7, 15, 23, 31],
}


def untrained(folder: Path, billions: float) -> Path:
    """With the tokenizer and the image processor of nano, which are all that the episodes need."""
    encoder = Encoder.of(WEIGHTS)
    encoder.save(folder)
    token = encoder.tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, "num_hidden_layers": round(billions * 1e9 / LAYER), "vocab_size": len(encoder.tokenizer)},
        vision_config=VISION,
        image_token_id=encoder.image,
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    torch.manual_seed(0)
    model: Any = Qwen2_5_VLForConditionalGeneration(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


class Playing:
    """Seconds that a model computes while it plays."""

    def __init__(self, network: Any) -> None:
        self.seconds = 0.0
        self._start = 0.0
        network.register_forward_pre_hook(lambda *_: self._began())
        network.register_forward_hook(lambda module, *_: self._ended(module))

    def _began(self) -> None:
        self._start = _now()

    def _ended(self, module: Any) -> None:
        if not module.training:
            self.seconds += _now() - self._start


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def report(name: str, model: Path, steps: int, folder: Path) -> dict[str, float]:
    world = make(folder / "world")
    asked, _ = to_ask(world, steps)
    trainer = ours(world, asked, steps, folder / "out", model)
    playing = Playing(trainer.model)
    computed: list[float] = []
    real: Callable[..., None] = trainer.log

    def log(logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            computed.append(playing.seconds)
        playing.seconds = 0.0
        real(logs, *args, **kwargs)

    trainer.log = log  # type: ignore[method-assign]
    trainer.train()
    _, *told = (row for row in trainer.state.log_history if "step_time" in row)  # in the first, what is needed once
    spent = {part: median(row[f"seconds/{part}"] for row in told) for part in PARTS}
    spent["play, in the model"] = median(computed[1:])
    whole = sum(spent[part] for part in PARTS)
    outside = (spent["play"] - spent["play, in the model"] + spent["score"]) / whole
    rows = [(part, f"{seconds:.2f}", f"{seconds / whole:.0%}") for part, seconds in spent.items()]
    rows.append(("outside the model", f"{outside * whole:.2f}", f"{outside:.0%}"))
    title = f"a step of {name}, {QUESTIONS * GROUP} episodes"
    table(title, [("", "seconds", "share"), *rows, ("wanted outside", "", "<= 10%")])
    return {**spent, "outside": outside}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--billions", type=float, default=0.0, help="weights of its language model; nano where 0")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, name = WEIGHTS, "nano"
        if asked.billions:
            name = f"a Qwen2.5-VL of {asked.billions:g} B"
            model = untrained(Path(folder) / "model", asked.billions)
        save("step", {name: report(name, model, asked.steps, Path(folder))})


if __name__ == "__main__":
    main()
