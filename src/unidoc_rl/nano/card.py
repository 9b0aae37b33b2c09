"""The model card: how a nano model was made, and what it can read, in the words of the command that measured it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from unidoc_rl import storage
from unidoc_rl.cores import cores
from unidoc_rl.errors import UnidocError
from unidoc_rl.intervals import Measured
from unidoc_rl.nano.evaluate import MEASURES
from unidoc_rl.nano.recipe import Stage
from unidoc_rl.provenance import commit

CARD, MADE, MEASURED = "README.md", "made.json", "measured.json"


def note_making(folder: Path, seed: int, seconds: float, stages: Sequence[Stage], model: Any) -> None:
    """Writes down how the model in this folder was made."""
    made = {
        "seed": seed,
        "commit": commit(),
        "machine": _machine(),
        "hours": round(seconds / 3600, 1),
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "stages": [[stage.name, sorted(stage.tasks), stage.steps, stage.tokens] for stage in stages],
    }
    (folder / MADE).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    write(folder)


def check(folder: Path) -> None:
    """What no card can be written of, before minutes of measuring."""
    if not (folder / MADE).is_file():
        raise UnidocError(
            f"{folder / MADE}: is not there, and the card tells how the model was made; measure it without --card, or "
            "name a folder that `unidoc nano pretrain` made"
        )


def note_measures(folder: Path, measured: Mapping[str, Measured]) -> None:
    """Writes down what it can read."""
    table = {name: [one.value, one.low, one.high, one.count] for name, one in measured.items()}
    with storage.replacing(folder / MEASURED) as new:
        new.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    write(folder)


def write(folder: Path) -> None:
    made = json.loads((folder / MADE).read_text(encoding="utf-8"))
    text = _TEXT.format(**made, millions=made["parameters"] / 1e6, taught=_taught(made), can=_can(folder))
    with storage.replacing(folder / CARD) as new:
        new.write_text(text, encoding="utf-8")


def _taught(made: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {', '.join(tasks)} | {steps} | {tokens} |" for name, tasks, steps, tokens in made["stages"]]
    return "\n".join(["| stage | lessons | steps | tokens a step |", "| --- | --- | --- | --- |", *rows])


def _can(folder: Path) -> str:
    if not (folder / MEASURED).exists():
        return "Not measured yet."
    table = json.loads((folder / MEASURED).read_text(encoding="utf-8"))
    rows = [
        f"| {measure.what} | {measure.asked} | {value:.1%} | {low:.1%} to {high:.1%} | {count} |"
        for measure in MEASURES
        for value, low, high, count in [table[measure.what]]
    ]
    return "\n".join(["| | asked for | measured | 95 % interval | lessons |", "| --- | --- | --- | --- | --- |", *rows])


def _machine() -> str:
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"{cores()} cores of {platform.machine()}, no GPU"


_TEXT = """# nano

A Qwen2.5-VL of {millions:.1f} million parameters that reads document pages: for demonstration, tests and experiments.

- made by `unidoc nano pretrain --seed {seed}` at {commit}, in {hours} hours of learning on {machine}
- from nothing: every picture was drawn while it learned, from worlds whose seeds `unidoc sample` does not take
- how the learning went: `curves.png`

## What it was taught

{taught}

## What it can read

`unidoc nano evaluate --model FOLDER`, with this folder, prints these numbers again, on pages that it has never seen:

{can}

## What it cannot

It knows printed Latin letters, digits and punctuation in the typefaces of the sample world, and documents that look
like those of that world. It reads no handwriting and no photographs, speaks nothing but the dialect of the agent, and
knows nothing about the world.
"""
