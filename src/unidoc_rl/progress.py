"""Progress on long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys

from tqdm import tqdm


def bar(total: int, what: str, unit: str, done: int = 0) -> tqdm[None]:
    """A bar of `total` steps, `done` of which were finished by an earlier run."""
    seconds_between = 0.1 if sys.stderr.isatty() else 30
    return tqdm(total=total, initial=done, desc=what, unit=unit, mininterval=seconds_between, dynamic_ncols=True)
