"""A search that is done by the search service: asks again while the service is busy, restarting or out of reach."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, ValidationError

from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.types import Hit, Query

A_REQUEST = 64  # queries; more go into several requests, as a service takes only so many in one
BUSY = (502, 503, 504)
REFUSED = (400, 422)
FIRST_WAIT = 0.5  # seconds; doubled with every try
LONGEST_WAIT = 30.0


class SearchAway(Away):
    """The search service was not there, or not able to answer: nothing is wrong with the queries."""


class _Answer(BaseModel):
    hits: list[list[Hit]]


class _Refusal(BaseModel):
    detail: str


class _Busy(Exception):
    """Why a try was in vain, and for how many seconds the service asked to be left alone."""

    def __init__(self, reason: str, seconds: float = 0) -> None:
        super().__init__(reason)
        self.seconds = seconds


class SearchClient:
    """A `types.Searcher`, for any number of threads; keeps its connections.

    `seconds`: how long the service may be silent. `tries`: how often it is asked before it counts as away.
    """

    def __init__(
        self,
        address: str,
        seconds: float = 30,
        tries: int = 6,
        *,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._address = address.rstrip("/")
        self._seconds, self._tries, self._sleep, self._chance = seconds, tries, sleep, chance
        limits = httpx2.Limits(keepalive_expiry=30)  # as many connections as there are threads
        try:
            self._http = httpx2.Client(base_url=_checked(self._address), timeout=seconds, limits=limits)
        except (httpx2.InvalidURL, ValueError) as error:
            raise UnidocError(f"search service {address}: {error}; give it as http://host:port") from error

    def __call__(self, queries: Sequence[Query], k: int) -> list[list[Hit]]:
        hits: list[list[Hit]] = []
        for n in range(0, len(queries), A_REQUEST):
            hits += self._ask(queries[n : n + A_REQUEST], k)
        return hits

    def close(self) -> None:
        self._http.close()

    def _ask(self, queries: Sequence[Query], k: int) -> list[list[Hit]]:
        sent = {"queries": [asdict(query) for query in queries], "k": k}
        body = json.dumps(sent, default=sorted)  # sets become lists
        start = time.monotonic()
        longest = FIRST_WAIT
        for left in reversed(range(self._tries)):
            try:
                return self._hits(self._post(body), len(queries))
            except _Busy as busy:
                last = busy
            if left:  # beyond what the service asks for, a random time, so that its clients do not all come at once
                self._sleep(min(last.seconds, LONGEST_WAIT) + self._chance() * longest)
                longest = min(2 * longest, LONGEST_WAIT)
        raise SearchAway(
            f"search service {self._address}: away; {self._tries} tries in {time.monotonic() - start:.0f} s, the last: "
            f"{last}; see whether `unidoc serve-index` runs there, and its log"
        ) from last

    def _post(self, body: str) -> httpx2.Response:
        try:
            response = self._http.post("/search", content=body, headers={"Content-Type": "application/json"})
        except httpx2.TimeoutException as error:
            raise _Busy(f"no answer within {self._seconds:g} s") from error
        except httpx2.RequestError as error:
            raise _Busy(f"{type(error).__name__}: {error}") from error
        if response.status_code in BUSY:
            reason = f"it answered {response.status_code}: {_start(response)}"
            raise _Busy(reason, _retry_after(response.headers.get("Retry-After", "")))
        return response

    def _hits(self, response: httpx2.Response, count: int) -> list[list[Hit]]:
        with contextlib.suppress(ValidationError):  # said below, with all else that a search service does not answer
            if response.status_code in REFUSED:
                raise UnidocError(_Refusal.model_validate_json(response.content).detail)
            if response.status_code == httpx2.codes.OK:
                hits = _Answer.model_validate_json(response.content).hits
                if len(hits) == count:
                    return hits
        raise SearchAway(
            f"search service {self._address}: an unexpected answer ({response.status_code}: {_start(response)}); "
            "check the address, and the service's log and version"
        )


def _checked(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:  # .port raises past 65535
        raise ValueError("not an address of a server")
    return address


def _start(response: httpx2.Response) -> str:
    """The beginning of an answer, in one line."""
    return " ".join(response.text.split())[:200]


def _retry_after(header: str) -> float:
    """Seconds; the other form, a date, is not what a search service sends."""
    return float(header) if header.isdecimal() else 0
