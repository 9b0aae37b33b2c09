"""Progress on long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys

from tqdm import tqdm


class _Lines(tqdm):  # type: ignore[type-arg]
    """The bar's figures as a line of their own, for logs, where a line cannot be written over."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self.fp.write(f"{msg or self}\n")

    def clear(self, nolock: bool = False) -> None:
        """There is nothing to wipe out."""


def bar(total: int, what: str, unit: str, done: int = 0) -> tqdm[None]:
    """A bar of `total` steps, `done` of which were finished by an earlier run; none where there is nothing to do."""
    if sys.stderr.isatty():
        return tqdm(total=total, initial=done, desc=what, unit=f" {unit}", disable=total == done, dynamic_ncols=True)
    lines = "{desc}: {n_fmt} of {total_fmt}{unit}s [{elapsed}, {rate_fmt}]"
    return _Lines(
        total=total, initial=done, desc=what, unit=f" {unit}", disable=total == done, mininterval=30, bar_format=lines
    )
