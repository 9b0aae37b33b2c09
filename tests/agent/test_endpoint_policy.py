"""A policy behind an endpoint: one entry for each episode, whatever happens to the others."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.agent.chat import Body, Chat, Given, completion, error
from unidoc_rl.agent.endpoint import KEY, Endpoint, EndpointAway
from unidoc_rl.agent.endpoint_policy import EndpointPolicy
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.policy import Failed, Policy
from unidoc_rl.errors import UnidocError
from unidoc_rl.types import AnswerFormat, Message, Outcome, Picture, Question, Reply, Role

PAGE = Picture("report_1", 56, 28)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(KEY, raising=False)


def draw(picture: Picture) -> Image.Image:
    pixels = np.random.default_rng(picture.width).integers(0, 256, (picture.height, picture.width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def episode(query: str, sample: int = 0) -> Episode:
    question = Question(f"uid of {query}", query, "", AnswerFormat.STR, "lookup", "text", "report", ())
    return Episode(question, sample, "the rules")


def query(body: Body) -> str:
    return str(body["messages"][1]["content"])


@contextlib.contextmanager
def playing(chat: Chat, **options: Any) -> Iterator[Policy]:
    with chat.running(), contextlib.closing(Endpoint(chat.url, tries=2, sleep=lambda _: None)) as endpoint:
        yield EndpointPolicy(endpoint, **{"draw": draw, "temperature": 1, "turn_tokens": 64, "seed": 0, **options})


def test_it_continues_each_episode_in_their_order() -> None:
    chat = Chat(lambda body: completion(f"to {query(body)}"))
    with playing(chat) as policy:
        replies = policy.reply([episode(str(n)) for n in range(20)])
        assert policy.name == "served"
        assert policy.reply([]) == []
    for n, reply in enumerate(replies):
        assert isinstance(reply, Reply)
        assert (reply.text, reply.tokens, reply.context) == (f"to {n}", 5, 120 + 5)
        assert 0 < reply.seconds < 5
    assert chat.asked[0]["messages"][0] == {"role": "system", "content": "the rules"}
    assert {(body["max_tokens"], body["temperature"], "stop" in body) for body in chat.asked} == {(64, 1, False)}


def test_its_pictures_are_seen_as_they_are_and_drawn_once() -> None:
    drawn: list[Picture] = []

    def note(picture: Picture) -> Image.Image:
        drawn.append(picture)
        return draw(picture)

    chat = Chat()
    with playing(chat, draw=note, at_once=1) as policy:
        shown = episode("a")
        shown.messages += [Message(Role.ASSISTANT, ("look",)), Message(Role.USER, ("0: ", PAGE, "\n1: ", PAGE))]
        policy.reply([shown])
        policy.reply([shown])
    assert drawn == [PAGE]
    parts = chat.asked[1]["messages"][3]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "text", "image_url"]
    png = base64.b64decode(parts[3]["image_url"]["url"].split(",")[1])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), np.asarray(draw(PAGE)))


def test_what_befalls_one_episode_befalls_no_other() -> None:
    def answer(body: Body) -> Given | None:
        match query(body):
            case "long":
                return error(400, "This model's maximum context length is 4096 tokens.")
            case "refused":
                return error(400, "At most 4 image(s) may be provided in one prompt.")
            case "broken":
                return error(500, "oops")
            case "dropped":
                return None
        return completion("fine")

    with playing(Chat(answer)) as policy:
        names = ["a", "long", "b", "refused", "c", "broken", "dropped", "d"]
        replies = dict(zip(names, policy.reply([episode(name) for name in names]), strict=True))
    assert [name for name in names if isinstance(replies[name], Reply)] == ["a", "b", "c", "d"]
    failed = {name: reply for name, reply in replies.items() if isinstance(reply, Failed)}
    void = dict.fromkeys(["refused", "broken", "dropped"], Outcome.VOID)
    assert {name: each.outcome for name, each in failed.items()} == {"long": Outcome.OUT_OF_CONTEXT, **void}
    assert "context length is 4096" in failed["long"].reason
    assert "At most 4 image(s)" in failed["refused"].reason
    assert "away; 2 tries in 0 s, the last: it answered 500: oops" in failed["broken"].reason


@pytest.mark.parametrize(("given", "said"), [
    (error(401, "who?"), "set OPENAI_API_KEY"),
    (error(404, "no such model"), "has no model served"),
    (completion("a", usage=None), "does not count its tokens"),
])  # fmt: skip
def test_what_would_befall_all_is_raised(given: Given, said: str) -> None:
    with playing(Chat(lambda _: given)) as policy, pytest.raises(UnidocError, match=said) as caught:
        policy.reply([episode("a"), episode("b")])
    assert not isinstance(caught.value, EndpointAway)


def test_many_are_asked_for_at_once_but_not_more() -> None:
    together = threading.Barrier(16)

    def answer(_: Body) -> Given:
        together.wait(4)  # nobody is answered before 16 have asked
        return completion("fine")

    chat = Chat(answer)
    with playing(chat, at_once=16) as policy:
        assert all(isinstance(reply, Reply) for reply in policy.reply([episode(str(n)) for n in range(64)]))
    assert chat.busiest == 16


def test_samples_differ_and_a_run_again_does_not() -> None:
    def seeds(seed: int) -> list[int]:
        chat = Chat()
        with playing(chat, seed=seed, at_once=1) as policy:
            policy.reply([episode("a", sample) for sample in range(5)])
            policy.reply([episode("b")])
        return [body["seed"] for body in chat.asked]

    assert seeds(0) == seeds(0)
    assert len({*seeds(0), *seeds(1)}) == 12
