"""The same work on many things, so many of them at the same time, in threads: for work that waits for servers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
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
    with _helping(at_once, over) as pool:
        going = {pool.submit(work, thing) for thing in islice(waiting, at_once)}
        while going:
            done, going = wait(going, return_when=FIRST_COMPLETED)
            going |= {pool.submit(work, thing) for thing in islice(waiting, len(done))}
            yield from (future.result() for future in done)


@contextmanager
def helpers(at_once: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that have a part in the same work as this one. An error ends it at once, as above."""
    over = threading.Event() if _here.over is _Here.over else _here.over
    with _helping(at_once, over) as pool:
        yield pool


def is_over(seconds: float = 0) -> bool:
    """Whether nobody waits any longer for what this thread makes: now, or before so many seconds have passed."""
    return _here.over.wait(seconds)


@contextmanager
def _helping(at_once: int, over: threading.Event) -> Iterator[ThreadPoolExecutor]:
    def take_part() -> None:
        _here.over = over

    pool = ThreadPoolExecutor(at_once, initializer=take_part)
    try:
        yield pool
    except BaseException:  # KeyboardInterrupt, and GeneratorExit where nobody asks for more
        over.set()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
