"""The service answers many clients at once, each with its own; the client gets through whatever comes between."""

from __future__ import annotations

import contextlib
import json
import math
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import urllib3
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from tests import servers
from unidoc_rl.errors import UnidocError
from unidoc_rl.index import service
from unidoc_rl.index.client import SearchAway, SearchClient
from unidoc_rl.types import Hit, Query, Searcher

PAGES = [(f"report{d}_{n}", f"report{d}") for d in range(8) for n in range(1, 9)]
FIRST = "images/report0_1.jpg"
JSON = {"Content-Type": "application/json"}
WAIT = 10.0  # seconds, for what comes at once


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@dataclass
class FakeSearch:
    """The page that a query names, then the others in their order; notes its calls, and waits while it is shut."""

    seconds: float = 0.0
    calls: list[list[str]] = field(default_factory=list)
    ks: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    threads: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gate.set()

    def __call__(self, queries: Sequence[Query], k: int) -> list[list[Hit]]:
        self.calls.append([query.text for query in queries])
        self.ks.append(k)
        self.threads.add(threading.get_ident())
        assert self.gate.wait(WAIT)
        time.sleep(self.seconds)
        for query in queries:
            if not query.text:
                raise UnidocError("a query is empty; say what to look for")
            if query.text == "break":
                raise KeyError("a bug")
        if queries[0].text == "forget":
            return []
        return [self._hits(query, k) for query in queries]

    def _hits(self, query: Query, k: int) -> list[Hit]:
        allowed = [
            Hit(page, document, f"images/{page}.jpg", score, {"fake": score})
            for page, document in PAGES
            if page not in query.excluded and (query.documents is None or document in query.documents)
            for score in [float(page == query.text)]
        ]
        return sorted(allowed, key=lambda hit: -hit.score)[:k]


@contextlib.contextmanager
def running(application: FastAPI) -> Iterator[str]:
    """The address of the service, which runs in a thread until the end."""
    server = service.Server(application)
    with service.listening("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def served(search: Searcher, **options: Any) -> Iterator[str]:
    with running(service.app(lambda: search, **options)) as url:
        yield url


@contextlib.contextmanager
def client(url: str, **options: Any) -> Iterator[SearchClient]:
    with contextlib.closing(SearchClient(url, **{"sleep": lambda _: None, **options})) as made:
        yield made


def post(url: str, body: object) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", f"{url}/search", json=body, retries=False, timeout=WAIT)


def get(url: str, path: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", url + path, retries=False, timeout=WAIT)


def ask(text: str, k: int = 1) -> dict[str, object]:
    return {"queries": [{"text": text}], "k": k}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def waiting(url: str) -> int:
    count: int = get(url, "/health").json()["waiting"]
    return count


# --- what is said ---------------------------------------------------------------------------------------------------


def test_the_reference_asks_in_its_own_form() -> None:
    with served(FakeSearch(), images=Path("/corpus")) as url:
        answer = get(url, "/search?queries=report1_2&queries=report3_1&k=2")
        assert answer.json() == [
            [{"idx": 0, "image_file": "/corpus/images/report1_2.jpg"}, {"idx": 1, "image_file": f"/corpus/{FIRST}"}],
            [{"idx": 0, "image_file": "/corpus/images/report3_1.jpg"}, {"idx": 1, "image_file": f"/corpus/{FIRST}"}],
        ]
        assert [len(hits) for hits in get(url, "/search?queries=a").json()] == [10]
    with served(FakeSearch()) as url:
        assert get(url, "/search?queries=a&k=1").json() == [[{"idx": 0, "image_file": FIRST}]]


def test_a_search_says_where_and_gets_scores() -> None:
    query = {"text": "report2_3", "documents": ["report2"], "excluded": ["report2_1"]}
    with served(FakeSearch()) as url:
        answer = post(url, {"queries": [query], "k": 2})
        first, second = answer.json()["hits"][0]
        assert first == {
            "page": "report2_3",
            "document": "report2",
            "image": "images/report2_3.jpg",
            "score": 1.0,
            "scores": {"fake": 1.0},
        }
        assert second["page"] == "report2_2"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"queries": []}, "queries: .*at least 1"),
        ({"queries": [{"text": "a"}] * 1025}, "queries: .*at most 1024"),
        ({"queries": [{"text": "a"}], "k": 0}, "k: .*greater than or equal to 1"),
        ({"queries": [{"text": "a"}], "k": 1001}, "k: .*less than or equal to 1000"),
        ({"queries": [{"text": "a"}], "k": True}, "k: "),
        ({"queries": [{"text": "a"}], "k": math.nan}, "k: "),
        ({"queries": [{"text": "a"}], "K": 3}, "K: "),
        ({"queries": [{"text": "a", "excludes": []}]}, r"queries\.0\.excludes: "),
        ({"queries": [{"documents": []}]}, r"queries\.0\.text: .*required"),
        ({"queries": [{"text": "half \ud800"}]}, "queries: .*surrogates"),
        ({"queries": [{"text": "a", "\ud800": 1}]}, "unicode"),
        ("a", "body: "),
    ],
)
def test_a_malformed_request_is_refused_with_the_place(body: object, said: str) -> None:
    search = FakeSearch()
    with served(search) as url:
        answer = urllib3.request("POST", f"{url}/search", body=json.dumps(body), headers=JSON, retries=False)
        assert answer.status == 422
        assert re.search(said, answer.json()["detail"])
    assert not search.calls


@pytest.mark.parametrize("address", ["/search", "/search?queries=a&k=0", "/search?queries=a&n=3"])
def test_a_malformed_address_is_refused(address: str) -> None:
    with served(FakeSearch()) as url:
        assert get(url, address).status == 422


# --- many at once ---------------------------------------------------------------------------------------------------


def test_64_clients_at_once_each_get_their_own_from_few_calls() -> None:
    search = FakeSearch(seconds=0.05)
    pages = [page for page, _ in PAGES]
    with served(search) as url, client(url) as shared, ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(lambda page: shared([Query(page)], 3), pages))
    assert [hits[0].page for [hits] in answers] == pages
    assert sorted(text for call in search.calls for text in call) == sorted(pages)
    assert len(search.calls) < 32
    assert len(search.threads) == 1


def test_an_answer_does_not_wait_for_a_packet_to_fill() -> None:
    seconds = []
    with served(FakeSearch()) as url, client(url) as asking:
        for _ in range(15):
            start = time.monotonic()
            asking([Query("a")], 10)
            seconds.append(time.monotonic() - start)
    assert min(seconds) < 0.035  # 0.04 and more, every time, where TCP waits; else 0.002


def test_what_waits_goes_into_one_call_up_to_a_batch_and_with_the_same_k() -> None:
    search = FakeSearch()
    search.gate.clear()
    application = service.app(lambda: search, batch=4)
    with running(application) as url, ThreadPoolExecutor(8) as threads:
        answers = []
        for n, (text, k) in enumerate([("z", 1), ("a", 1), ("b", 5), ("c", 1), ("d", 1), ("e", 1), ("f", 1)]):
            answers.append(threads.submit(post, url, ask(text, k)))
            until(lambda n=n: len(search.calls) == 1 and waiting(url) == n)  # type: ignore[misc]
        search.gate.set()
        assert [len(answer.result().json()["hits"][0]) for answer in answers] == [1, 1, 5, 1, 1, 1, 1]
    assert search.calls == [["z"], ["a", "c", "d", "e"], ["b"], ["f"]]


def test_a_request_larger_than_queue_and_batch_is_answered_in_pieces() -> None:
    search = FakeSearch()
    texts = [page for page, _ in PAGES[:10]]
    with served(search, queue=2, batch=4) as url:
        answer = post(url, {"queries": [{"text": text} for text in texts], "k": 1})
    assert [hits[0]["page"] for hits in answer.json()["hits"]] == texts
    assert [len(call) for call in search.calls] == [4, 4, 2]


def test_a_full_queue_says_when_to_come_again_and_the_client_does() -> None:
    search = FakeSearch()
    search.gate.clear()
    application = service.app(lambda: search, queue=2, batch=1)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        search.gate.set()
        time.sleep(0.05)

    with running(application) as url, ThreadPoolExecutor(3) as threads, client(url, sleep=sleep) as patient:
        held = []
        for n in range(3):
            held.append(threads.submit(post, url, ask(f"report{n}_1")))
            until(lambda n=n: len(search.calls) == 1 and waiting(url) == n)  # type: ignore[misc]
        answer = post(url, ask("report3_1"))
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert "2 queries are waiting already; try again in 1 s" in answer.json()["detail"]
        assert patient([Query("report4_1")], 1)[0][0].page == "report4_1"
        assert [h.result().json()["hits"][0][0]["page"] for h in held] == ["report0_1", "report1_1", "report2_1"]
    assert slept[0] >= 1


def test_the_time_to_wait_follows_from_how_fast_it_goes() -> None:
    search = FakeSearch(seconds=0.3)
    application = service.app(lambda: search, queue=8, batch=1)
    with running(application) as url, ThreadPoolExecutor(2) as threads:
        post(url, ask("a"))
        search.gate.clear()
        held = [threads.submit(post, url, ask("a"))]
        until(lambda: len(search.calls) == 2)
        held.append(threads.submit(post, url, {"queries": [{"text": "a"}] * 8}))
        until(lambda: waiting(url) == 1)
        answer = post(url, ask("b"))
        search.seconds = 0
        search.gate.set()
        assert [h.result().status for h in held] == [200, 200]
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) == 3  # 8 queries of 0.3 s


def test_a_bad_query_is_refused_alone() -> None:
    search = FakeSearch()
    search.gate.clear()
    application = service.app(lambda: search)
    with running(application) as url, ThreadPoolExecutor(4) as threads:
        first = threads.submit(post, url, ask("z"))
        until(lambda: len(search.calls) == 1)
        texts = ["report1_1", "", "report2_1"]
        together = [threads.submit(post, url, ask(text)) for text in texts]
        until(lambda: waiting(url) == 3)
        search.gate.set()
        assert [answer.result().status for answer in (first, *together)].count(200) == 3
        assert together[0].result().json()["hits"][0][0]["page"] == "report1_1"
        assert together[2].result().json()["hits"][0][0]["page"] == "report2_1"
        assert together[1].result().status == 400
        assert together[1].result().json() == {"detail": "a query is empty; say what to look for"}
    assert len(search.calls[1]) == 3


@pytest.mark.parametrize(("text", "said"), [("break", "KeyError: 'a bug'"), ("forget", "answered 0 of 1 queries")])
def test_a_search_that_fails_is_logged_and_the_service_goes_on(
    text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with served(FakeSearch()) as url, client(url) as asking:
        assert post(url, ask(text)).status == 500
        assert said in caplog.text
        assert "Traceback" in caplog.text
        with pytest.raises(SearchAway, match=r"500: .*see the service's log"):
            asking([Query(text)], 1)
        assert asking([Query("report1_1")], 1)[0][0].page == "report1_1"


def test_a_client_that_goes_away_leaves_the_queue() -> None:
    search = FakeSearch()
    search.gate.clear()
    application = service.app(lambda: search, queue=1, batch=1)
    with running(application) as url, ThreadPoolExecutor(2) as threads:
        first = threads.submit(post, url, ask("a"))
        until(lambda: len(search.calls) == 1)
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            urllib3.request("POST", f"{url}/search", json=ask("gone"), retries=False, timeout=0.2)
        worker = application.state.worker
        until(lambda: all(asked.answer.cancelled() for asked in worker._waiting))
        last = threads.submit(post, url, ask("b"))  # for which there is room again
        until(lambda: [asked.queries[0].text for asked in worker._waiting] == ["b"])
        search.gate.set()
        assert (first.result().status, last.result().status) == (200, 200)
    assert search.calls == [["a"], ["b"]]


# --- beginning and end ----------------------------------------------------------------------------------------------


def test_it_is_up_at_once_and_ready_once_the_index_is_open() -> None:
    gate = threading.Event()

    def open_search() -> Searcher:
        assert gate.wait(WAIT)
        return FakeSearch()

    with running(service.app(open_search)) as url, ThreadPoolExecutor(1) as threads:
        assert get(url, "/health").status == 200
        assert get(url, "/ready").status == 503
        early = threads.submit(post, url, ask("report1_1"))
        gate.set()
        assert early.result().json()["hits"][0][0]["page"] == "report1_1"
        assert get(url, "/ready").status == 200


def test_an_index_that_cannot_be_opened_ends_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    def open_search() -> Searcher:
        raise UnidocError("index: not an index; make one with `unidoc index`")

    with pytest.raises(UnidocError, match="not an index"):
        service.serve(open_search, "index")
    assert capsys.readouterr().out.startswith("serving index at http://127.0.0.1:")


def test_a_port_that_is_taken_is_named() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UnidocError, match=r"cannot listen at 127\.0\.0\.1:\d+ .*choose another"),
    ):
        service.serve(FakeSearch, "index", port=taken.getsockname()[1])


SLOW = """
import time
from unidoc_rl.index import service

def search(queries, k):
    print("searching", flush=True)
    time.sleep(1)
    return [[] for _ in queries]

service.serve(lambda: search, "my/index", batch=1)
"""


def test_interrupted_it_finishes_what_it_does_and_sends_the_others_away() -> None:
    process = subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True)
    with process, ThreadPoolExecutor(2) as threads:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving my/index at http://127.0.0.1:")
        url = line.split()[-1]
        first = threads.submit(post, url, ask("a"))
        assert process.stdout.readline() == "searching\n"
        second = threads.submit(post, url, ask("b"))
        until(lambda: waiting(url) == 1)
        process.send_signal(signal.SIGINT)
        assert first.result().json() == {"hits": [[]]}
        assert second.result().status == 503
        assert "the service is ending" in second.result().json()["detail"]
        assert process.wait(WAIT) == 0
        assert process.stdout.read() == ""


# --- the client -----------------------------------------------------------------------------------------------------


@dataclass
class Scripted:
    """A server that gives these answers one after the other, then hits; `None` hangs up without a word."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextlib.contextmanager
def scripted(*answers: tuple[int, dict[str, str], str] | None) -> Iterator[Scripted]:
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append(body)
            hits = json.dumps({"hits": [[] for _ in body["queries"]]})
            servers.give(self, left.pop(0) if left else (200, {}, hits))

        def log_message(self, *_: object) -> None:
            pass

    with servers.serving(Handler) as url:
        server = Scripted(url)
        yield server


def test_the_client_asks_again_and_waits_longer_each_time() -> None:
    slept: list[float] = []
    answers = [None, (502, {}, ""), (503, {"Retry-After": "7"}, "full"), (504, {"Retry-After": "9999"}, ""), None]
    with scripted(*answers) as server, client(server.url, sleep=slept.append, chance=lambda: 1.0) as asking:
        assert asking([Query("a")], 1) == [[]]
    assert slept == [0.5, 1, 7 + 2, 30 + 4, 8]
    assert len(server.asked) == 6


def test_the_client_survives_connections_that_break() -> None:
    with served(FakeSearch()) as url:
        proxy = servers.BreakingProxy(int(url.rsplit(":", 1)[1]), cuts=3, after=1)
        with proxy.running() as port, client(f"http://127.0.0.1:{port}") as asking:
            assert asking([Query("report1_1")], 64)[0][0].page == "report1_1"
    assert proxy.broken == 3


def test_a_service_that_stays_away_is_its_own_error() -> None:
    with servers.closed_port() as port, client(f"http://127.0.0.1:{port}", tries=3) as asking:
        expected = rf"127\.0\.0\.1:{port}: away; 3 tries in 0 s, the last: .*refused.*; see whether"
        with pytest.raises(SearchAway, match=expected):
            asking([Query("a")], 1)


def test_a_service_that_says_nothing_is_not_waited_for() -> None:
    with (
        servers.silent_server() as port,
        client(f"http://127.0.0.1:{port}", tries=2, seconds=0.05) as asking,
        pytest.raises(SearchAway, match=r"no answer within 0\.05 s"),
    ):
        asking([Query("a")], 1)


def test_what_is_not_http_is_not_a_service() -> None:
    with (
        servers.garbage_server() as port,
        client(f"http://127.0.0.1:{port}", tries=1) as asking,
        pytest.raises(SearchAway, match="RemoteProtocolError"),
    ):
        asking([Query("a")], 1)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (200, "<html>welcome</html>"),
        (200, '{"hits": []}'),
        (200, '{"hits": [[{"page": "a_1"}]]}'),
        (400, "<html>nginx</html>"),
        (302, ""),
        (404, '{"detail": "Not Found"}'),
        (500, "oops"),
    ],
)
def test_an_answer_that_is_none_is_told_and_not_asked_for_again(status: int, text: str) -> None:
    expected = rf"an unexpected answer \({status}: .*check the address"
    with scripted((status, {}, text)) as server, client(server.url) as asking:
        with pytest.raises(SearchAway, match=expected) as caught:
            asking([Query("a")], 1)
        assert server.url in str(caught.value)
    assert len(server.asked) == 1


def test_a_refusal_is_in_the_services_words_and_not_asked_again() -> None:
    search = FakeSearch()
    with served(search) as url, client(url) as asking:
        for query, k, said in [
            (Query(""), 1, "a query is empty"),
            (Query("a"), 0, "k: "),
            (Query("\ud800"), 1, "surr"),
        ]:
            with pytest.raises(UnidocError, match=said) as caught:
                asking([query], k)
            assert not isinstance(caught.value, SearchAway)
    assert len(search.calls) == 1


def test_many_queries_go_in_several_requests_and_none_in_none() -> None:
    with scripted() as server, client(server.url) as asking:
        assert asking([], 1) == []
        assert len(asking([Query(str(n)) for n in range(130)], 1)) == 130
    assert [len(body["queries"]) for body in server.asked] == [64, 64, 2]


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://host", "http://", "http://host:99999"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(UnidocError, match="http://host:port"):
        SearchClient(address)


ids = st.text(min_size=1, max_size=8)
queries = st.builds(Query, st.text(), st.none() | st.frozensets(ids), st.frozensets(ids))
finite = st.floats(allow_nan=False, allow_infinity=False)
found = st.builds(Hit, ids, ids, ids, finite, st.dictionaries(ids, finite))


def test_queries_and_hits_arrive_as_they_were() -> None:
    arrived: list[tuple[list[Query], int]] = []
    answer: list[list[Hit]] = []

    def search(queries: Sequence[Query], k: int) -> list[list[Hit]]:
        arrived.append((list(queries), k))
        return answer

    with served(search) as url, client(url) as asking:

        @given(st.lists(st.tuples(queries, st.lists(found, max_size=3)), min_size=1, max_size=3), st.integers(1, 1000))
        def travels(pairs: list[tuple[Query, list[Hit]]], k: int) -> None:
            nonlocal answer
            asked, answer = [query for query, _ in pairs], [hits for _, hits in pairs]
            assert asking(asked, k) == answer
            assert arrived[-1] == (asked, k)

        travels()
