"""What the nano model is taught, in which order, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    tasks: Mapping[str, float]  # how often, by name
    steps: int
    tokens: int  # of pictures, in a batch
    rate: float  # of learning, at its highest
    families: int  # the first company whose pages it sees


STAGES = (
    Stage("letters", {"spelling": 1}, 700, 700, 2e-3, 0),
    Stage("glyphs", {"spelling": 1, "looking": 3}, 2400, 900, 2e-3, 50_000),
    Stage("reading", {"transcribing": 1}, 2400, 1600, 1.5e-3, 100_000),
    Stage("answering", {"transcribing": 1, "answering": 2, "finding": 1}, 2400, 1600, 1e-3, 200_000),
    Stage(
        "pages",
        {"transcribing": 1, "answering": 2, "finding": 1, "locating": 2, "choosing": 2},
        1600,
        3100,
        8e-4,
        300_000,
    ),
)
