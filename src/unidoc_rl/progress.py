"""Progress on long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

SECONDS_A_LINE = 30


class _Log:
    """The figures as lines, where a line cannot be written over."""

    def __init__(self, total: int, what: str, unit: str, done: int) -> None:
        self._total, self._what, self._unit, self._done = total, what, unit, done
        self._start = self._last = time.monotonic()

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def update(self, steps: int = 1) -> None:
        self._done += steps
        if time.monotonic() - self._last >= SECONDS_A_LINE:
            self._write()

    def _write(self) -> None:
        if self._total == 0:
            return
        self._last = time.monotonic()
        seconds = self._last - self._start
        print(
            f"{self._what}: {self._done} of {self._total} {self._unit}s, {seconds:.0f} s", file=sys.stderr, flush=True
        )


def bar(total: int, what: str, unit: str, done: int = 0) -> tqdm[Any] | _Log:
    """Progress over `total` steps, `done` of which were finished by an earlier run."""
    if sys.stderr.isatty():
        return tqdm(total=total, initial=done, desc=what, unit=f" {unit}", disable=total == 0, dynamic_ncols=True)
    return _Log(total, what, unit, done)


def tell(line: str) -> None:
    """A line for the person at the screen, above a bar that may be there."""
    tqdm.write(line, file=sys.stderr)
