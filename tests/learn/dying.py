"""A small ladder, climbed in a process that kills itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from unidoc_rl.learn import ladder
from unidoc_rl.params import AgentParams, Params

# A teacher must be able to say its turns.
AGENT = AgentParams(turns=3, turn_tokens=96, max_pixels=6 * 28 * 28, min_pixels=28 * 28)


def small(model: Path) -> Params:
    return Params.model_validate(
        {
            "sample": {"documents": 10, "readable": 7},
            "ingest": {"dpi": 60, "ocr": False, "layout": False},
            "index": {"retrievers": ["bm25"]},
            "sft": {"model": str(model), "epochs": 0.05},
            "grpo": {"steps": 1, "questions": 1, "group": 2},
            "agent": AGENT,
        }
    )


def learn_until_killed(folder: Path, params: Params, time: int) -> None:
    """Dies when it is to learn from rewards for so manieth a time."""
    name, left = "grpo", time
    real = getattr(ladder, name)

    def dying(*args: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    setattr(ladder, name, dying)
    os.chdir(folder)
    ladder.learn(folder / "out", 1, params)
