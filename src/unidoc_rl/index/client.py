"""A search that is done by the search service: asks again while the service is busy, restarting or out of reach."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict

import httpx2
from pydantic import BaseModel, ValidationError

from unidoc_rl import retry
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.types import Hit, Query

A_REQUEST = 64  # queries; more go into several requests, as a service takes only so many in one
BUSY = (502, 503, 504)
REFUSED = (400, 422)


class SearchAway(Away):
    """The search service was not there, or not able to answer: nothing is wrong with the queries."""


class _Answer(BaseModel):
    hits: list[list[Hit]]


class _Refusal(BaseModel):
    detail: str


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
        sleep: Callable[[float], object] = retry.pause,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._address = address.rstrip("/")
        self._patience = retry.Patience(tries, sleep, chance)
        try:
            self._http = retry.client(self._address, httpx2.Timeout(seconds))
        except ValueError as error:
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
        try:
            response = self._patience.ask(lambda: self._post(body), BUSY)
        except retry.InVain as error:
            raise SearchAway(
                f"search service {self._address}: away; {error}; see whether `unidoc serve-index` runs there, "
                "and its log"
            ) from error
        return self._hits(response, len(queries))

    def _post(self, body: str) -> httpx2.Response:
        return self._http.post("/search", content=body, headers={"Content-Type": "application/json"})

    def _hits(self, response: httpx2.Response, count: int) -> list[list[Hit]]:
        with contextlib.suppress(ValidationError):  # said below, with all else that a search service does not answer
            if response.status_code in REFUSED:
                raise UnidocError(_Refusal.model_validate_json(response.content).detail)
            if response.status_code == httpx2.codes.OK:
                hits = _Answer.model_validate_json(response.content).hits
                if len(hits) == count:
                    return hits
        told = f"{response.status_code}: {retry.beginning(response)}"
        raise SearchAway(
            f"search service {self._address}: an unexpected answer ({told}); "
            "check the address, and the service's log and version"
        )
