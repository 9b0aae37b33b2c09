"""Worker processes that may crash, hang or run out of memory without taking anything else with them.

A library that reads other people's files meets one, some day, that kills it. Each worker is a Python process of its
own, spoken to over a socket: it says `Step` when it is ready and whenever it has come further, and answers a task
with anything else.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from unidoc_rl.errors import UnidocError

START_SECONDS = 120  # for imports, on a busy machine
DYING_SECONDS = 10  # between closing its socket and the end of a process


@dataclass(frozen=True, slots=True)
class Step:
    """A worker's sign that it has come further; its time starts anew."""


@dataclass(frozen=True, slots=True)
class Died:
    """A worker ended in the midst of a task, after so many `Step`."""

    cause: str
    steps: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A worker gave no sign for too long, and was ended."""


class _Worker:
    def __init__(self, module: str, arguments: list[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # Not multiprocessing's own start: that would import the caller's main module again in every worker.
            command = [sys.executable, "-m", module, str(theirs.fileno()), *arguments]
            self.process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.__stderr__,
                process_group=0,  # Ctrl-C is for the caller, which ends its workers: none tells of it by itself
            )
        self.connection = Connection(ours.detach())
        self.ready = False
        self.task: Any = None
        self.steps = 0  # of its task
        self.deadline = time.monotonic() + START_SECONDS

    def end(self, patience: float = 0) -> str:
        """Ends the process, unless it does so by itself within `patience` seconds; tells how it ended."""
        self.connection.close()
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


class Pool:
    def __init__(self, module: str, arguments: list[str], workers: int, seconds: float) -> None:
        """`seconds` is how long a worker may go on without a sign."""
        self._module = module
        self._arguments = arguments
        self._count = workers
        self._seconds = seconds
        self._workers: list[_Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()

    def run(self, tasks: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Pairs of a task and what was heard of it: any number of `Step`, then its answer, `Died` or `TimedOut`.

        A task is taken from `tasks` when a worker is free for it, so what was heard may decide what comes next.
        """
        waiting = iter(tasks)
        following = next(waiting, None)
        while following is not None or any(worker.task is not None for worker in self._workers):
            while following is not None and len(self._workers) < self._count:
                self._workers.append(_Worker(self._module, self._arguments))
            for worker in [worker for worker in self._workers if worker.ready and worker.task is None]:
                if following is not None and self._give(worker, following):
                    following = next(waiting, None)
            busy = [worker for worker in self._workers if worker.task is not None or not worker.ready]
            if busy:  # else all had ended while they had nothing to do: the next round starts others
                yield from self._hear(busy)

    def _give(self, worker: _Worker, task: Any) -> bool:
        try:
            worker.connection.send(task)
        except ConnectionError:  # it ended while it had nothing to do; another takes its place
            self._replace(worker)
            return False
        worker.task = task
        worker.steps = 0
        worker.deadline = time.monotonic() + self._seconds
        return True

    def _hear(self, busy: list[_Worker]) -> Iterator[tuple[Any, Any]]:
        patience = min(worker.deadline for worker in busy) - time.monotonic()
        heard = wait([worker.connection for worker in busy], max(0.0, patience))
        for worker in busy:
            if worker.connection in heard:
                yield from self._listen(worker)
            elif time.monotonic() > worker.deadline:
                task = worker.task
                self._replace(worker)
                yield task, TimedOut()

    def _listen(self, worker: _Worker) -> Iterator[tuple[Any, Any]]:
        task = worker.task
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):  # closed, or broken off in the midst of a message
            yield task, Died(self._replace(worker, DYING_SECONDS), worker.steps)
            return
        worker.deadline = time.monotonic() + self._seconds
        if not worker.ready:
            worker.ready = True
            return
        if isinstance(message, Step):
            worker.steps += 1
        else:
            worker.task = None
        yield task, message

    def _replace(self, worker: _Worker, patience: float = 0) -> str:
        self._workers.remove(worker)
        cause = worker.end(patience)
        if not worker.ready:
            raise UnidocError(f"a worker process does not start ({cause}); its own message stands above")
        return cause
