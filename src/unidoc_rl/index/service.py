"""The search service: one process owns the index, and any number of others ask it over HTTP.

One thread opens the index and searches it. Requests that arrive while it searches wait in a bounded queue, and go into
its next call together; when the queue is full, or the service ends, a request is told at once when to come again.
What is left out: keys and TLS. The service is for one machine or one cluster; anything else belongs in front of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import fastapi
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator

from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.index.search import HITS_AT_MOST
from unidoc_rl.types import Hit, Query, Searcher

MOST_QUERIES = 1024  # a request
END_SECONDS = 10  # that a search in progress may take when the service is told to end
AWAY_SECONDS = 5  # after which a Milvus server that is away may be asked again
CLIENT_GONE = 499  # nobody reads this answer; the number is nginx's

log = logging.getLogger(__name__)


# --- what is said over HTTP -----------------------------------------------------------------------------------------


class Pictures(BaseModel):
    """A request in the reference's form, in the address."""

    model_config = ConfigDict(extra="forbid")

    queries: list[str] = Field(min_length=1, max_length=MOST_QUERIES)
    k: int = Field(10, ge=1, le=HITS_AT_MOST)


class Picture(BaseModel):
    """A hit in the reference's form."""

    idx: int  # counted from 0
    image_file: str


class Ask(BaseModel):
    """A request: the queries have the fields of `types.Query`."""

    model_config = ConfigDict(extra="forbid")

    queries: list[Query] = Field(min_length=1, max_length=MOST_QUERIES)
    k: int = Field(10, ge=1, le=HITS_AT_MOST, strict=True)

    @field_validator("queries")
    @classmethod
    def _can_be_written(cls, queries: list[Query]) -> list[Query]:
        """JSON can spell half of a character, which no tokenizer takes; `encode` raises the ValueError."""
        for query in queries:
            "".join((query.text, *(query.documents or ()), *query.excluded)).encode()
        return queries


class Answer(BaseModel):
    """The answer: a list of hits for every query, in their order."""

    hits: list[list[Hit]]


# --- the thread that searches ---------------------------------------------------------------------------------------


class NotNow(Exception):
    """The request was not looked at, and may be sent again after so many seconds."""

    def __init__(self, reason: str, seconds: int) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Broken(Exception):
    """The search failed in a way that it does not explain; the log has the traceback."""


@dataclass(eq=False, slots=True)
class _Asked:
    """A request that waits for its answer; the future is cancelled when its client goes away."""

    queries: Sequence[Query]
    k: int
    answer: Future[list[list[Hit]]] = field(default_factory=Future)


class Worker:
    """The one thread that opens the index and searches it, for requests from any thread."""

    def __init__(self, open_search: Callable[[], Searcher], queue: int, batch: int) -> None:
        self.opened: Future[None] = Future()
        self._open_search, self._queue, self._batch = open_search, queue, batch
        self._waiting: list[_Asked] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._pace = 0.0  # seconds a query, lately
        self._thread = threading.Thread(target=self._work, name="search", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Sends away those that wait; the call of search in progress is finished."""
        with self._changed:
            self._stopped = True
            waiting, self._waiting = self._waiting, []
            self._changed.notify()
        for asked in waiting:
            if asked.answer.set_running_or_notify_cancel():
                asked.answer.set_exception(NotNow("the service is ending", 1))

    def join(self) -> None:
        self._thread.join(END_SECONDS)

    def ready(self) -> bool:
        return self.opened.done() and not self._stopped

    def waiting(self) -> int:
        return len(self._waiting)

    def ask(self, queries: Sequence[Query], k: int) -> Future[list[list[Hit]]]:
        """The answer, later; NotNow if there is no room for the request."""
        asked = _Asked(queries, k)
        with self._changed:
            if self._stopped:
                raise NotNow("the service is ending", 1)
            self._waiting = [other for other in self._waiting if not other.answer.cancelled()]
            ahead = sum(len(other.queries) for other in self._waiting)
            if ahead and ahead + len(queries) > self._queue:  # a request larger than the queue has its turn, alone
                raise NotNow(f"{ahead} queries are waiting already", max(1, math.ceil(ahead * self._pace)))
            self._waiting.append(asked)
            self._changed.notify()
        return asked.answer

    def _work(self) -> None:
        try:
            search = self._open_search()
        except Exception as error:  # noqa: BLE001, it is raised again by whoever waits for `opened`
            self.stop()
            self.opened.set_exception(error)
            return
        self.opened.set_result(None)
        while not self._stopped:
            self._answer(search, self._take())

    def _take(self) -> list[_Asked]:
        """What goes into the next call: the oldest request, and those with the same k for which there is room.

        The same k, as an approximate search for 1000 may order its first 10 otherwise than a search for 10.
        """
        taken: list[_Asked] = []
        left: list[_Asked] = []
        room = self._batch
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            for asked in self._waiting:
                if taken and (asked.k != taken[0].k or len(asked.queries) > room):
                    left.append(asked)
                elif asked.answer.set_running_or_notify_cancel():
                    taken.append(asked)
                    room -= len(asked.queries)
            self._waiting = left
        return taken

    def _answer(self, search: Searcher, together: Sequence[_Asked]) -> None:
        try:
            hits = iter(self._search(search, [query for asked in together for query in asked.queries], together))
            for asked in together:
                asked.answer.set_result([next(hits) for _ in asked.queries])
        except Away as error:
            for asked in together:
                asked.answer.set_exception(error)
        except UnidocError as error:
            if len(together) == 1:
                together[0].answer.set_exception(error)
            else:
                for asked in together:  # one of them is at fault, and the others need not know
                    self._answer(search, [asked])
        except Exception as error:
            log.exception("the search failed; the service goes on")
            for asked in together:
                asked.answer.set_exception(Broken(f"the search failed ({type(error).__name__}); see the service's log"))

    def _search(self, search: Searcher, queries: Sequence[Query], together: Sequence[_Asked]) -> list[list[Hit]]:
        """Only a request that is larger than a batch by itself takes several calls."""
        hits: list[list[Hit]] = []
        start = time.monotonic()
        for n in range(0, len(queries), self._batch):
            part = queries[n : n + self._batch]
            found = search(part, together[0].k)
            if len(found) != len(part):
                raise RuntimeError(f"the search answered {len(found)} of {len(part)} queries")
            hits += found
        if queries:
            pace = (time.monotonic() - start) / len(queries)
            self._pace = 0.8 * self._pace + 0.2 * pace if self._pace else pace
        return hits


# --- the service ----------------------------------------------------------------------------------------------------


def app(
    open_search: Callable[[], Searcher], *, images: Path | None = None, queue: int = 256, batch: int = 64
) -> FastAPI:
    """The endpoints; the index is opened once the app starts, while /health answers already.

    `images`: the folder that the pictures' paths begin with in the reference's form. `queue`: queries that may wait.
    `batch`: queries that go into one call of search.
    """
    worker = Worker(open_search, queue, batch)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker.start()
        yield
        worker.stop()
        worker.join()

    application = FastAPI(title="UniDoc-RL search", lifespan=lifespan)
    application.state.worker = worker
    _explain_errors(application)

    @application.get("/search")
    async def pictures(asked: Annotated[Pictures, fastapi.Query()], request: Request) -> list[list[Picture]]:
        """Pictures of pages, in the reference's form."""
        found = await _while_connected(request, worker, [Query(text) for text in asked.queries], asked.k)
        root = images or Path()
        return [[Picture(idx=n, image_file=str(root / hit.image)) for n, hit in enumerate(hits)] for hits in found]

    @application.post("/search")
    async def search(asked: Ask, request: Request) -> Answer:
        """Hits, with where to look and their scores."""
        return Answer(hits=await _while_connected(request, worker, asked.queries, asked.k))

    @application.get("/health")
    async def health() -> dict[str, int]:
        """The process is up: how many requests wait."""
        return {"waiting": worker.waiting()}

    @application.get("/ready")
    async def ready() -> dict[str, str]:
        """The index is open, and searches are answered."""
        if not worker.ready():
            raise HTTPException(503, "the index is not open", {"Retry-After": "1"})
        return {"status": "ready"}

    return application


async def _while_connected(request: Request, worker: Worker, queries: Sequence[Query], k: int) -> list[list[Hit]]:
    """The answer; a request whose client goes away leaves the queue, so that those who still wait are not held up."""
    answer = asyncio.wrap_future(worker.ask(queries, k))
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise HTTPException(CLIENT_GONE, "the client has gone")
    finally:
        answer.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _explain_errors(application: FastAPI) -> None:
    """Every error is {"detail": a text}, so that a client can show it."""

    @application.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = ((".".join(map(str, problem["loc"][1:])), problem["msg"]) for problem in error.errors())
        return JSONResponse({"detail": "; ".join(f"{place or 'body'}: {said}" for place, said in problems)}, 422)

    @application.exception_handler(UnidocError)
    async def bad(_: Request, error: UnidocError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400)

    @application.exception_handler(Away)
    async def away(_: Request, error: Away) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503, {"Retry-After": str(AWAY_SECONDS)})

    @application.exception_handler(NotNow)
    async def not_now(_: Request, error: NotNow) -> JSONResponse:
        again = f"{error}; try again in {error.seconds} s"
        return JSONResponse({"detail": again}, 503, {"Retry-After": str(error.seconds)})

    @application.exception_handler(Broken)
    async def broken(_: Request, error: Broken) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 500)


class Server(uvicorn.Server):
    """Uvicorn, which also ends when the index cannot be opened, and sends those that wait away before it ends."""

    def __init__(self, application: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                log_level="warning",
                access_log=False,
                timeout_keep_alive=60,  # longer than the client's, so that it is not cut off between two requests
                timeout_graceful_shutdown=END_SECONDS,
            )
        )
        self._worker: Worker = application.state.worker
        self._worker.opened.add_done_callback(self._end_unless_open)

    def _end_unless_open(self, opened: Future[None]) -> None:
        self.should_exit = self.should_exit or opened.exception() is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._worker.stop()  # uvicorn waits for every answer before it tells the app to end
        await super().shutdown(sockets)


def serve(
    open_search: Callable[[], Searcher],
    name: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    images: Path | None = None,
    queue: int = 256,
    batch: int = 64,
) -> None:
    """Answers until it is interrupted; `name` is what the index is called in the line that tells the address."""
    application = app(open_search, images=images, queue=queue, batch=batch)
    with listening(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        print(f"serving {name} at http://{shown}:{listener.getsockname()[1]}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
            Server(application).run([listener])
    opened = application.state.worker.opened
    if opened.done():
        opened.result()  # raises what kept the index from being opened


def listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        where = f"{host}:{port}"
        raise UnidocError(f"cannot listen at {where} ({error}); choose another --host or --port") from error
    # For its connections; asyncio sets it on sockets of its own making only, and without it an answer takes 40 ms more.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
