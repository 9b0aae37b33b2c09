"""How a pretraining went, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unidoc_rl.nano.recipe import Stage

SMOOTHED = 40  # marks of one kind
_TOLD = {
    "strokes": "letters known by the vision tower's patches",
    "letters": "letters known by its tokens, one after the other",
    "words": "tokens of words known where they begin",
    "recognised": "words in pictures looked for where they were told",
    "related": "values in tables that look for their row's name and column's head",
    "found": "evidence that stands out in its picture",
    "pointed": "copied tokens looked for in their place",
    "said": "tokens said right, the true ones before them",
}


def draw(marks: Sequence[Mapping[str, Any]], stages: Sequence[Stage], path: Path) -> None:
    """Each share over the steps, as far as there are marks of it; a line a task."""
    ends = np.cumsum([stage.steps for stage in stages])
    starts = {stage.name: end - stage.steps for stage, end in zip(stages, ends, strict=True)}
    tasks = dict.fromkeys(mark["task"] for mark in marks)
    colours = {task: colormaps["tab20"](n) for n, task in enumerate(tasks)}  # of which there are fewer than twenty
    known = {key: told for key, told in _TOLD.items() if any(mark[key] is not None for mark in marks)}
    figure = Figure(figsize=(9, 2 + 2.5 * len(known)), layout="constrained")
    rows = figure.subplots(len(known), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (key, told) in zip(rows, known.items(), strict=True):
        for task, colour in colours.items():
            line = [(starts[m["stage"]] + m["step"], m[key]) for m in marks if m["task"] == task and m[key] is not None]
            if line:
                steps, shares = np.array(line).T
                axes.plot(steps, _smooth(shares), color=colour, linewidth=1.4)
        for start in starts.values():
            axes.axvline(start, color="#bbbbbb", linewidth=0.8)
        axes.set_title(told, fontsize=9, loc="left")
        axes.set_ylim(0, 1)
        axes.grid(axis="y", alpha=0.25)
    rows[-1].set_xticks([*starts.values()], [f"{name}, {start:,}" for name, start in starts.items()], rotation=90)
    rows[-1].tick_params(axis="x", labelsize=8)
    rows[-1].set_xlabel("stage, and its first step")
    lines = [Line2D([], [], color=colour) for colour in colours.values()]
    figure.legend(lines, [*colours], loc="outside upper center", ncols=6, fontsize=8)
    figure.savefig(path, dpi=120)


def _smooth(shares: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean of the last few, of fewer at the start."""
    total = np.cumsum(shares)
    total[SMOOTHED:] -= total[:-SMOOTHED].copy()
    return total / np.minimum(np.arange(1, len(shares) + 1), SMOOTHED)
