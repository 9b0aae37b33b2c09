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
    frozen: bool = False  # the vision tower, less what makes tokens of patches: each page is looked at once


STAGES = (
    Stage("letters", {"spelling": 1}, 700, 700, 2e-3, 0),
    Stage("print", {"printing": 3, "looking": 2}, 8000, 900, 2e-3, 1),
    Stage("lines", {"sounding": 1, "copying": 1}, 600, 500, 1.5e-3, 5),
    Stage("rows", {"rows": 3, "valuing": 2, "transcribing": 1, "copying": 2, "printing": 3}, 4000, 800, 1.5e-3, 7),
    Stage(
        "match",
        {"recognising": 4, "finding": 6, "answering": 2, "locating": 1, "choosing": 1, "playing": 1},
        3000,
        900,
        1.5e-3,
        11,
        frozen=True,
    ),
    Stage(
        "reading",
        {
            "printing": 5,
            "looking": 2,
            "copying": 2,
            "rows": 3,
            "answering": 9,
            "valuing": 2,
            "locating": 2,
            "asking": 1,
            "playing": 2,
            "choosing": 1,
            "recognising": 3,
        },
        9000,
        800,
        1.2e-3,
        13,
    ),
    Stage("small print", {"printing": 1, "looking": 1}, 1600, 1400, 1.2e-3, 15),
    Stage(
        "pages",
        {
            "locating": 3,
            "playing": 4,
            "answering": 3,
            "finding": 3,
            "rows": 1.5,
            "valuing": 0.5,
            "recognising": 1,
            "retrying": 0.5,
            "refusing": 0.8,
            "listening": 0.5,
            "asking": 0.3,
            "choosing": 0.5,
        },
        2000,
        5000,
        1e-3,
        14,
        frozen=True,
    ),
)
