"""Many things at the same time: as many as allowed, none before there is room, and an error ends it at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.chat import Body, Chat, Given, completion
from unidoc_rl.many import as_made


def test_as_many_at_the_same_time_as_allowed() -> None:
    together = threading.Barrier(8)

    def work(thing: int) -> int:
        together.wait(5)  # nothing is done before eight are being worked at
        return -thing

    assert sorted(as_made(work, range(64), 8)) == [-n for n in reversed(range(64))]
    assert list(as_made(work, [], 8)) == []


def test_no_more_is_taken_than_there_is_room_for() -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    coming = as_made(str, things(), 4)
    for done in range(1, 10):
        next(coming)
        assert len(taken) <= 4 + 4 + done
    coming.close()  # type: ignore[attr-defined]
    assert len(taken) < 20


def test_an_error_ends_it_while_others_are_still_at_work() -> None:
    over, done = threading.Event(), []

    def work(thing: int) -> None:
        if thing == 3:
            raise ValueError("the third")
        over.wait(20)
        done.append(thing)

    with pytest.raises(ValueError, match="the third"):
        list(as_made(work, range(100), 8))
    assert done == []
    over.set()


@pytest.mark.parametrize(
    "work", ["list(as_made(ask, range(4), 4))", "with helpers(4) as pool: list(pool.map(ask, range(4)))"]
)
def test_interrupted_it_asks_no_server_again_and_keeps_the_reply_that_was_under_way(work: str, tmp_path: Path) -> None:
    code = (
        "import signal, sys\nfrom pathlib import Path\nfrom unidoc_rl.agent.endpoint import Endpoint\n"
        "from unidoc_rl.agent.hearing import Hearing\nfrom unidoc_rl.agent.kept import Kept\n"
        "from unidoc_rl.many import as_made, helpers\nfrom unidoc_rl.types import Message, Role\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # which a shell's background job would ignore
        "def ask(thing):\n"
        "    endpoint = Endpoint(sys.argv[1], 'served', seconds=0.5 if thing else 60, tries=1000)\n"
        "    hear = Hearing(endpoint, Kept(Path(sys.argv[2])), str, 'words', 1)\n"
        "    return hear([(Message(Role.USER, (str(thing),)),)])\n"
        f"{work}\n"
    )
    over, tried = threading.Event(), threading.Event()

    def answer(body: Body) -> Given:
        asked = body["messages"][0]["content"]
        if [one["messages"][0]["content"] for one in chat.asked].count("1") > 1:
            tried.set()
        over.wait(60)
        return completion(f"{asked} it is")

    with Chat(answer).running() as chat:
        running = subprocess.Popen([sys.executable, "-c", code, chat.url, tmp_path], stderr=subprocess.DEVNULL)
        try:
            assert tried.wait(30)
            running.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(2)  # for the first of them
            count = len(chat.asked)
            over.set()
            assert running.wait(10) != 0
        finally:
            running.kill()
            over.set()
        assert len(chat.asked) == count
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "0 it is" in kept
    assert "1 it is" not in kept
