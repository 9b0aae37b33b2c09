"""The same work on many things, so many of them at the same time, in threads: for work that waits for servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

_Thing = TypeVar("_Thing")
_Made = TypeVar("_Made")


def as_made(work: Callable[[_Thing], _Made], things: Iterable[_Thing], at_once: int) -> Iterator[_Made]:
    """What the work makes of each, as it comes; one that is done makes room for the next, and no more are held.

    An error ends it at once: what is still being worked at is not waited for.
    """
    waiting = iter(things)
    pool = ThreadPoolExecutor(at_once)
    try:
        going = {pool.submit(work, thing) for thing in islice(waiting, at_once)}
        while going:
            done, going = wait(going, return_when=FIRST_COMPLETED)
            going |= {pool.submit(work, thing) for thing in islice(waiting, len(done))}
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
