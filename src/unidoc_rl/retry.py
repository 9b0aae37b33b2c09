"""Asking a server over HTTP: again while it is busy, restarting or out of reach, and no more often than it allows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from unidoc_rl.many import is_over

FIRST_WAIT = 0.5  # seconds; doubled with every try
LONGEST_WAIT = 30.0


class InVain(Exception):
    """How often a server was asked, for how long, and what the last try met; or why it is not asked."""


def pause(seconds: float) -> None:
    """Sleeps. In vain, as soon as nobody waits any longer for what this thread makes: then no server is asked."""
    if is_over(seconds):
        raise InVain("nobody waits for its answer any longer")


class _Busy(Exception):
    """Why a try was in vain, and for how many seconds the server asked to be left alone."""

    def __init__(self, reason: str, seconds: float = 0) -> None:
        super().__init__(reason)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Patience:
    """`tries`: how often a server is asked before it counts as away."""

    tries: int
    sleep: Callable[[float], object] = pause
    chance: Callable[[], float] = random.random

    def ask(
        self,
        send: Callable[[], httpx2.Response],
        busy: Container[int],
        said: Callable[[httpx2.Response], str] | None = None,
    ) -> httpx2.Response:
        """The first answer whose status is not one of a busy server; `said` puts those that are into words."""
        start = time.monotonic()
        longest = FIRST_WAIT
        for left in reversed(range(self.tries)):
            try:
                return _once(send, busy, said or beginning)
            except _Busy as error:
                last = error
            if left:  # beyond what the server asks for, a random time, so that its clients do not all come at once
                self.sleep(min(last.seconds, LONGEST_WAIT) + self.chance() * longest)
                longest = min(2 * longest, LONGEST_WAIT)
        raise InVain(f"{self.tries} tries in {time.monotonic() - start:.0f} s, the last: {last}") from last


class Pace:
    """Lets through no more than so many a minute, evenly, for any number of threads; `pause` says whom it does not."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._one = threading.Lock()

    def wait(self) -> None:
        with self._one:
            now = time.monotonic()
            at = max(self._next, now)
            self._next = at + self._seconds
        pause(at - now)


def client(address: str, timeout: httpx2.Timeout, headers: Mapping[str, str] | None = None) -> httpx2.Client:
    """Keeps its connections, as many as there are threads; ValueError where this is no server's address."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:  # .port raises past 65535
        raise ValueError("not an address of a server")
    limits = httpx2.Limits(keepalive_expiry=30)
    try:
        return httpx2.Client(base_url=address, timeout=timeout, limits=limits, headers=headers)
    except httpx2.InvalidURL as error:
        raise ValueError(str(error)) from error


def beginning(response: httpx2.Response) -> str:
    """Of an answer, in one line."""
    return " ".join(response.text.split())[:200]


def _once(
    send: Callable[[], httpx2.Response], busy: Container[int], said: Callable[[httpx2.Response], str]
) -> httpx2.Response:
    try:
        response = send()
    except httpx2.TimeoutException as error:
        what, limit = ("connection", "connect") if isinstance(error, httpx2.ConnectTimeout) else ("answer", "read")
        raise _Busy(f"no {what} within {error.request.extensions['timeout'][limit]:g} s") from error
    except httpx2.RequestError as error:
        raise _Busy(f"{type(error).__name__}: {error}") from error
    if response.status_code in busy:
        reason = f"it answered {response.status_code}: {said(response)}"
        raise _Busy(reason, _retry_after(response.headers.get("Retry-After", "")))
    return response


def _retry_after(header: str) -> float:
    """Seconds; in the other form, a date, it counts as none."""
    return float(header) if header.isdecimal() else 0
