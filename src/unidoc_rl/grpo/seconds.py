"""How long each part of a step takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Seconds:
    """Of parts that may hold others: each counts without those."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._inside = [0.0]  # seconds of what each of the parts that are going on has held so far

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        start = self._clock()
        self._inside.append(0.0)
        try:
            yield
        finally:
            whole = self._clock() - start
            self._spent[part] += whole - self._inside.pop()
            self._inside[-1] += whole

    def take(self) -> Mapping[str, float]:
        """Since they were last taken."""
        spent, self._spent = self._spent, defaultdict(float)
        return spent
