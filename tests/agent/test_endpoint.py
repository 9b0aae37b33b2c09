"""The endpoint says what servers understand, gets through what passes, and tells the rest in words without the key."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import servers
from tests.agent.chat import Body, Chat, Given, completion, error, scripted
from unidoc_rl.agent.endpoint import KEY, Completion, Endpoint, EndpointAway, Refused, TooLong
from unidoc_rl.errors import UnidocError
from unidoc_rl.types import Message, Picture, Role

SECRET = "sk-7f3c9d-not-to-be-seen"
HELLO = [Message(Role.USER, ("hello",))]
PAGE = Picture("report_1", 56, 28)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(KEY, raising=False)


@contextlib.contextmanager
def endpoint(address: str, model: str | None = "served", **options: Any) -> Iterator[Endpoint]:
    with contextlib.closing(Endpoint(address, model, **{"sleep": lambda _: None, **options})) as made:
        yield made


def ask(chat: Chat, **options: Any) -> Completion:
    with chat.running(), endpoint(chat.url, **options) as made:
        return made.complete(HELLO, max_tokens=8, temperature=0)


# --- what is asked --------------------------------------------------------------------------------------------------


def test_a_conversation_goes_there_and_a_text_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    chat = Chat(lambda _: completion("a text", "length"))
    turns = [
        Message(Role.SYSTEM, ("be brief",)),
        *HELLO,
        Message(Role.ASSISTANT, ("hi",)),
        Message(Role.USER, ("", "?")),
    ]
    with chat.running(), endpoint(chat.url + "/") as made:
        found = made.complete(turns, max_tokens=8, temperature=0.5, seed=7)
    assert found == Completion("a text", 120, 5, "length")
    assert chat.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert chat.asked == [
        {
            "model": "served",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": "hi"},
                {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "?"}]},
            ],
            "max_tokens": 8,
            "temperature": 0.5,
            "seed": 7,
        }
    ]


def test_what_is_not_set_is_not_sent() -> None:
    chat = Chat()
    ask(chat)
    assert set(chat.asked[0]) == {"model", "messages", "max_tokens", "temperature"}
    assert "Authorization" not in chat.headers[0]


def test_a_server_is_spared_what_it_takes_no_longer() -> None:
    """As OpenAI's models that reason say it."""

    def answer(body: Body) -> Given:
        for name, code in (("max_tokens", "unsupported_parameter"), ("temperature", "unsupported_value")):
            if name in body:
                told = {"message": f"'{name}' is not supported.", "type": "invalid_request_error"}
                return 400, {}, json.dumps({"error": {**told, "param": name, "code": code}})
        return completion("fine")

    chat = Chat(answer)
    with chat.running(), endpoint(chat.url) as made:
        for _ in range(2):
            assert made.complete(HELLO, max_tokens=8, temperature=0.5).text == "fine"
    assert [body.keys() & {"max_tokens", "max_completion_tokens", "temperature"} for body in chat.asked] == [
        {"max_tokens", "temperature"},
        {"max_completion_tokens", "temperature"},
        {"max_completion_tokens"},
        {"max_completion_tokens"},
    ]
    assert chat.asked[-1]["max_completion_tokens"] == 8


def test_a_picture_arrives_to_the_very_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (PAGE.height, PAGE.width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    chat = Chat()
    with chat.running(), endpoint(chat.url) as made:
        turn = [Message(Role.USER, ("Page 0: ", PAGE))]
        made.complete(turn, max_tokens=8, temperature=0, draw={PAGE: file.getvalue()}.__getitem__)
        with pytest.raises(ValueError, match="nothing that draws"):
            made.complete(turn, max_tokens=8, temperature=0)
    text, picture = chat.asked[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "Page 0: "}
    sent = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent))), pixels)


def test_a_model_that_is_not_named_is_asked_for_once() -> None:
    chat = Chat()
    with chat.running(), endpoint(chat.url, None) as made:
        assert [made.model, made.model] == ["served", "served"]
        made.complete(HELLO, max_tokens=8, temperature=0)
    assert (chat.listed, chat.asked[0]["model"]) == (1, "served")


@pytest.mark.parametrize(("models", "said"), [((), "serves no model"), (("a", "b"), "serves a, b; name one")])
def test_of_several_models_one_must_be_named(models: tuple[str, ...], said: str) -> None:
    with (
        Chat(models=models).running() as chat,
        endpoint(chat.url, None) as made,
        pytest.raises(UnidocError, match=said),
    ):
        _ = made.model


def test_many_threads_share_its_connections() -> None:
    chat = Chat(lambda body: completion(body["messages"][0]["content"]))
    texts = [f"text {n}" for n in range(64)]
    with chat.running(), endpoint(chat.url) as made, ThreadPoolExecutor(4) as threads:

        def echo(text: str) -> str:
            return made.complete([Message(Role.USER, (text,))], max_tokens=8, temperature=0).text

        assert list(threads.map(echo, texts)) == texts
    assert chat.connections <= 8  # 4, and what a thread opens before another one's is free again


# --- what passes ----------------------------------------------------------------------------------------------------


def test_it_asks_again_and_waits_as_it_is_told() -> None:
    slept: list[float] = []
    given = [
        error(500, "oops"),
        None,
        error(429, "slow down", Retry_After="7"),
        error(503, "loading"),
        error(408, ""),
        error(409, ""),
        error(503, "closed for the night", Retry_After="36000"),
    ]
    chat = scripted(*given)
    assert ask(chat, tries=8, sleep=slept.append, chance=lambda: 1.0).text == "fine"
    assert slept == [0.5, 1, 7 + 2, 4, 8, 16, 30 + 30]
    assert len(chat.asked) == 8


def test_a_connection_that_breaks_is_opened_again() -> None:
    with Chat(lambda _: completion("x" * 9999)).running() as chat:  # more than the proxy passes on at once
        proxy = servers.BreakingProxy(int(chat.url.split(":")[2].removesuffix("/v1")), cuts=3, after=1)
        with proxy.running() as port, endpoint(f"http://127.0.0.1:{port}/v1") as made:
            assert made.complete(HELLO, max_tokens=8, temperature=0).text == "x" * 9999
    assert proxy.broken == 3


def test_one_that_stays_away_is_its_own_error() -> None:
    expected = r"endpoint http://127\.0\.0\.1:\d+/v1: away; 3 tries in 0 s, the last: .*500: oops; see whether"
    with pytest.raises(EndpointAway, match=expected):
        ask(scripted(*[error(500, "oops")] * 3), tries=3)
    with (
        servers.closed_port() as port,
        endpoint(f"http://127.0.0.1:{port}/v1", None, tries=2) as made,
        pytest.raises(EndpointAway, match="refused"),
    ):
        _ = made.model


def test_one_that_says_nothing_is_not_waited_for() -> None:
    with (
        servers.silent_server() as port,
        endpoint(f"http://127.0.0.1:{port}/v1", tries=2, seconds=0.05) as made,
        pytest.raises(EndpointAway, match=r"no answer within 0\.05 s"),
    ):
        made.complete(HELLO, max_tokens=8, temperature=0)


# --- what does not --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        error(400, "This model's maximum context length is 40960 tokens. However, you requested 41024 tokens."),
        error(400, "The decoder prompt (length 5951) is longer than the maximum model length of 4096."),
        error(400, "The prompt (total length 25938) is too long to fit into the model (context length 4096)."),
        error(400, "The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
        (400, {}, json.dumps({"error": {"message": "Too much.", "code": "context_length_exceeded"}})),
        error(400, "Your input exceeds the context window of this model."),
        (400, {}, json.dumps({"error": {"code": 400, "message": "?", "type": "exceed_context_size_error"}})),
        error(422, "request (9412 tokens) exceeds the available context size (8192 tokens)"),
    ],
)
def test_too_long_a_conversation_is_told_apart(given: Given) -> None:
    chat = scripted(given)
    with pytest.raises(TooLong, match="the conversation is too long"):
        ask(chat)
    assert len(chat.asked) == 1


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ((401, {}, '{"error": "Unauthorized"}'), UnidocError, r"wants a key; set OPENAI_API_KEY \(401: Unauthorized\)"),
        (error(403, "not yours"), UnidocError, r"OPENAI_API_KEY \(403: not yours\)"),
        (error(404, "The model `x` does not exist."), UnidocError, r"no model served, or .*/v1 \(404: The model `x`"),
        (error(400, "At most 4\n {images}"), Refused, r"refuses .*\(400: At most 4 \{images\}\)"),
        ((422, {}, '{"detail": [{"loc": ["body"]}]}'), Refused, r'\(422: \[\{"loc": \["body"\]\}\]\)'),
        ((413, {}, "<html>nginx</html>"), Refused, r"\(413: <html>nginx"),
        ((302, {"Location": "/"}, ""), EndpointAway, r"unexpected answer \(302: \); check the address"),
        ((200, {}, "<html>welcome</html>"), EndpointAway, r"unexpected answer \(200: <html>welcome"),
        (completion("a", choices=[]), EndpointAway, "unexpected answer"),
        (completion("a", usage=None), UnidocError, "does not count its tokens"),
    ],
)  # fmt: skip
def test_a_refusal_is_in_the_servers_words_and_not_asked_again(given: Given, kind: type[Exception], said: str) -> None:
    chat = scripted(given)
    with pytest.raises(kind, match=said) as caught:
        ask(chat)
    assert type(caught.value) is kind
    assert len(chat.asked) == 1


def test_a_model_that_wrote_nothing_wrote_an_empty_text() -> None:
    assert ask(Chat(lambda _: completion(None))).text == ""


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 413, 500])
@pytest.mark.parametrize("before", [0, 380])  # shown whole, and cut within the key
def test_the_key_is_in_no_error_and_no_log(
    status: int, before: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY, SECRET)
    caplog.set_level(logging.DEBUG)
    chat = Chat(lambda _: error(status, f"{'x' * before}wrong key: {SECRET}, {SECRET}"))
    with pytest.raises(UnidocError) as caught:
        ask(chat, tries=2)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "x" * before in shown
    assert SECRET[:8] not in shown


@pytest.mark.parametrize("key", [f"{SECRET}\nX-Other: 1", f"{SECRET}é"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, key)
    with pytest.raises(UnidocError, match="OPENAI_API_KEY: holds characters") as caught:
        Endpoint("http://127.0.0.1:1/v1")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_key_may_end_in_a_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, f"{SECRET}\n")
    chat = Chat()
    ask(chat)
    assert chat.headers[0]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://host", "http://", "http://host:99999"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(UnidocError, match="http://host:port/v1"):
        Endpoint(address)


def test_an_address_with_a_key_is_refused_unseen() -> None:
    with pytest.raises(UnidocError, match="set OPENAI_API_KEY") as caught:
        Endpoint(f"http://me:{SECRET}@host/v1")
    assert SECRET not in str(caught.value)
