"""The same work on many things, so many of them at the same time, in threads: for work that waits for servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Made = TypeVar("_Made")


class _Here(threading.local):
    """What a thread knows of the work that it has a part in."""

    over = threading.Event()  # never set, in a thread that has none


_here = _Here()


def as_made(work: Callable[[_Thing], _Made], things: Iterable[_Thing], at_once: int) -> Iterator[_Made]:
    """What the work makes of each, as it comes; one that is done makes room for the next, and no more are held.

    An error ends it at once: what is still being worked at is not waited for, and `is_over` tells it so.
    """
    waiting, over = iter(things), threading.Event()
    pool = _pool(at_once, over)
    try:
        going = {pool.submit(work, thing) for thing in islice(waiting, at_once)}
        while going:
            done, going = wait(going, return_when=FIRST_COMPLETED)
            going |= {pool.submit(work, thing) for thing in islice(waiting, len(done))}
            yield from (future.result() for future in done)
    finally:
        over.set()
        pool.shutdown(wait=False, cancel_futures=True)


def helpers(at_once: int) -> ThreadPoolExecutor:
    """Threads that have a part in the same work as this one."""
    return _pool(at_once, _here.over)


def is_over(seconds: float = 0) -> bool:
    """Whether nobody waits any longer for what this thread makes: now, or before so many seconds have passed."""
    return _here.over.wait(seconds)


def _pool(at_once: int, over: threading.Event) -> ThreadPoolExecutor:
    def take_part() -> None:
        _here.over = over

    return ThreadPoolExecutor(at_once, initializer=take_part)
