"""What the nano model is taught, in which order, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    tasks: Mapping[str, float]  # how often, by name
    steps: int
    tokens: int  # in a batch, about
    rate: float  # of learning, at its highest
    world: int  # whose pages it sees, by number
    frozen: bool = False  # the vision tower: each page is looked at once


STAGES = (
    Stage("letters", {"spelling": 1}, 700, 700, 2e-3, 0),
    Stage("glyphs", {"spelling": 1, "looking": 3}, 1200, 900, 2e-3, 1),
    Stage("lines", {"sounding": 1}, 600, 500, 1.5e-3, 5),
    Stage("print", {"spelling": 1, "looking": 4}, 4000, 900, 2e-3, 6),
    Stage("rows", {"rows": 3, "valuing": 2, "transcribing": 1, "looking": 1}, 3000, 700, 1.5e-3, 7),
    Stage(
        "zooms",
        {"asking": 3, "rows": 3, "valuing": 2, "answering": 3, "finding": 1, "locating": 1, "looking": 3},
        4000,
        1400,
        1.5e-3,
        13,
    ),
    Stage(
        "pages",
        {"playing": 3, "asking": 1, "answering": 2, "valuing": 1, "locating": 1, "choosing": 1},
        1500,
        3000,
        1e-3,
        14,
        frozen=True,
    ),
)
