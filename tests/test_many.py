"""Many things at the same time: as many as allowed, none before there is room, and an error ends it at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from unidoc_rl.many import as_made


def test_as_many_at_the_same_time_as_allowed() -> None:
    together = threading.Barrier(8)

    def work(thing: int) -> int:
        together.wait(5)  # nothing is done before eight are being worked at
        return -thing

    assert sorted(as_made(work, range(64), 8)) == [-n for n in reversed(range(64))]
    assert list(as_made(work, [], 8)) == []


def test_no_more_is_taken_than_there_is_room_for() -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    coming = as_made(str, things(), 4)
    for done in range(1, 10):
        next(coming)
        assert len(taken) <= 4 + 4 + done
    coming.close()  # type: ignore[attr-defined]
    assert len(taken) < 20


def test_an_error_ends_it_while_others_are_still_at_work() -> None:
    over = threading.Event()

    def work(thing: int) -> None:
        if thing == 3:
            raise ValueError("the third")
        over.wait(20)

    with pytest.raises(ValueError, match="the third"):
        list(as_made(work, range(100), 8))
    assert not over.is_set()
    over.set()
