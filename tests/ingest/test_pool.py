"""Workers that crash, hang or leave take nothing else with them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from unidoc_rl.errors import UnidocError
from unidoc_rl.ingest.pool import Died, Pool, Step, TimedOut

WORKER = "tests.ingest.odd_worker"


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_is_answered_whatever_happens_to_the_others(workers: int) -> None:
    tasks = ["a", "die", "b", "hang", "c", "leave", "d", "step and die"]
    with Pool(WORKER, [], workers, seconds=1) as pool:
        heard = [(task, answer) for task, answer in pool.run(tasks) if not isinstance(answer, Step)]
    assert sorted(heard, key=lambda pair: tasks.index(pair[0])) == [
        ("a", "A"),
        ("die", Died("SIGSEGV", 0)),
        ("b", "B"),
        ("hang", TimedOut()),
        ("c", "C"),
        ("leave", Died("exit status 7", 0)),
        ("d", "D"),
        ("step and die", Died("SIGSEGV", 2)),
    ]


def test_a_task_is_taken_only_when_a_worker_is_free() -> None:
    """So that what was heard of one document can keep its other pages from being tried."""
    taken = []

    def tasks() -> Iterator[str]:
        for task in ("a", "b", "c", "d"):
            taken.append(task)
            yield task

    with Pool(WORKER, [], 1, seconds=5) as pool:
        for task, _ in pool.run(tasks()):
            assert len(taken) <= ["a", "b", "c", "d"].index(task) + 2


def test_control_c_at_the_screen_reaches_no_worker() -> None:
    """It goes to the group of processes at the screen; a worker would die of it with a traceback."""
    with Pool(WORKER, [], 1, seconds=5) as pool:
        ((_, group),) = pool.run(["group"])
    assert group != os.getpgrp()


def test_a_worker_that_does_not_start_is_an_error_at_once() -> None:
    with Pool("tests.ingest.no_such_module", [], 1, seconds=5) as pool, pytest.raises(UnidocError, match="not start"):
        list(pool.run(["a"]))
