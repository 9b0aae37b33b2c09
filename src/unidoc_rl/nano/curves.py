"""How a pretraining went, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unidoc_rl.nano.recipe import Stage

SMOOTHED = 40  # marks of one kind
_TOLD = (
    ("strokes", "letters known by the vision tower's patches"),
    ("letters", "letters known by its tokens"),
    ("words", "tokens of words known where they begin"),
    ("recognised", "words in pictures looked for where they were told"),
    ("found", "evidence that stands out in its picture"),
    ("pointed", "copied tokens looked for in their place"),
    ("said", "tokens said right, the true ones before them"),
)


def draw(marks: Sequence[Mapping[str, Any]], stages: Sequence[Stage], path: Path) -> None:
    """Each share over the steps, a line a task."""
    ends = np.cumsum([stage.steps for stage in stages])
    starts = {stage.name: end - stage.steps for stage, end in zip(stages, ends, strict=True)}
    colours = {task: f"C{n}" for n, task in enumerate(dict.fromkeys(mark["task"] for mark in marks))}
    figure = Figure(figsize=(9, 19.2), layout="constrained")
    for axes, (key, told) in zip(figure.subplots(len(_TOLD), 1, sharex=True), _TOLD, strict=True):
        for task, colour in colours.items():
            line = [(starts[m["stage"]] + m["step"], m[key]) for m in marks if m["task"] == task and m[key] is not None]
            if line:
                steps, shares = np.array(line).T
                axes.plot(steps, _smooth(shares), label=task, color=colour, linewidth=1.4)
        for name, start in starts.items():
            axes.axvline(start, color="#bbbbbb", linewidth=0.8)
            axes.text(start, 1.02, f" {name}", fontsize=8, color="#666666")
        axes.set(ylim=(0, 1), ylabel=told)
        axes.grid(alpha=0.25)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="lower right")
    axes.set_xlabel("step")
    figure.savefig(path, dpi=120)


def _smooth(shares: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean of the last few, of fewer at the start."""
    total = np.cumsum(shares)
    total[SMOOTHED:] -= total[:-SMOOTHED].copy()
    return total / np.minimum(np.arange(1, len(shares) + 1), SMOOTHED)
