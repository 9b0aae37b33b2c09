"""Work that several machines share: each takes a shard of it, whatever the others do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

_Thing = TypeVar("_Thing")


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `of`-th thing, from the one in this place."""

    place: int  # from 1
    of: int

    def __str__(self) -> str:
        return f"{self.place}/{self.of}"

    def share(self, things: Iterable[_Thing]) -> Iterator[_Thing]:
        return islice(things, self.place - 1, None, self.of)
