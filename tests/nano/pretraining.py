"""A pretraining that takes seconds, as a process that can be killed: `python pretraining.py OUT`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from unidoc_rl.nano.pretrain import pretrain
from unidoc_rl.nano.recipe import Stage

SEED = 3
STAGES = (
    Stage("letters", {"spelling": 1}, 4, 30, 2e-3, 0),
    Stage("reading", {"transcribing": 1, "rows": 1}, 6, 30, 1e-3, 1),
    Stage("pages", {"locating": 1}, 2, 30, 1e-3, 2, frozen=True),
)

if __name__ == "__main__":
    os.nice(15)  # a learner on every core is not to hold up the servers of other tests
    pretrain(Path(sys.argv[1]), SEED, None, STAGES, saved_every=2)
