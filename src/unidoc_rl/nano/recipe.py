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
    world: int  # whose pages it sees, by number
    frozen: bool = False  # the vision tower: each page is looked at once


STAGES = (
    Stage("letters", {"spelling": 1}, 700, 700, 2e-3, 0),
    Stage("glyphs", {"spelling": 1, "looking": 3}, 1200, 900, 2e-3, 1),
    Stage("lines", {"sounding": 1}, 600, 500, 1.5e-3, 5),
    Stage("print", {"spelling": 1, "looking": 4}, 4000, 900, 2e-3, 6),
    Stage("rows", {"rows": 3, "valuing": 2, "looking": 1}, 3000, 700, 1.5e-3, 7),
    Stage("tables", {"rows": 3, "valuing": 2, "answering": 2, "locating": 1}, 1600, 700, 1.5e-3, 8),
    Stage("figures", {"rows": 3, "valuing": 3}, 1500, 700, 1.2e-3, 9),
    Stage(
        "pages",
        {"transcribing": 1, "answering": 2, "finding": 1, "locating": 2, "choosing": 2},
        320,
        3100,
        8e-4,
        4,
        frozen=True,
    ),
)
