"""A server that speaks the protocol of chat completions as vLLM and OpenAI do, and checks what it is asked."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tests import servers

Body = dict[str, Any]
Headers = dict[str, str]
Given = tuple[int, Headers, str]  # status, headers, text


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Text(Strict):
    type: Literal["text"]
    text: str


class _Url(Strict):
    url: Annotated[str, Field(pattern=r"^data:image/(?:png|jpeg);base64,[A-Za-z0-9+/]+=*$")]


class Shown(Strict):
    type: Literal["image_url"]
    image_url: _Url


class Told(Strict):
    role: Literal["system", "user", "assistant"]
    content: str | Annotated[list[Text | Shown], Field(min_length=1)]


class Asked(Strict):
    """The body of a request, as the protocol has it."""

    model: str
    messages: Annotated[list[Told], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Asked:
        """Models that reason take the newer name for the tokens, and no temperature."""
        if (self.max_tokens is None) == (self.max_completion_tokens is None):
            raise ValueError("tokens are bounded once")
        if self.temperature is None and self.max_tokens is not None:
            raise ValueError("no temperature")
        return self


def completion(text: str | None, finish_reason: str = "stop", **changed: Any) -> Given:
    """As vLLM answers."""
    body = {
        "id": "chatcmpl-0a1b2c",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "served",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "tool_calls": [], "reasoning_content": None},
                "logprobs": None,
                "finish_reason": finish_reason,
                "stop_reason": None,
            }
        ],
        "usage": {"prompt_tokens": 120, "total_tokens": 125, "completion_tokens": 5, "prompt_tokens_details": None},
        "prompt_logprobs": None,
    }
    return 200, {}, json.dumps(body | changed)


def error(status: int, message: str, **headers: str) -> Given:
    """As vLLM and OpenAI say it."""
    told = {"message": message, "type": "BadRequestError", "param": None, "code": status}
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps({"error": told})


@dataclass
class Chat:
    """Answers what `answer` says; None hangs up. Notes what it was asked, and how many asked at the same time."""

    answer: Callable[[Body], Given | None] = lambda _: completion("fine")
    models: tuple[str, ...] = ("served",)
    url: str = ""
    asked: list[Body] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)
    listed: int = 0  # times that it was asked for its models
    connections: int = 0
    busiest: int = 0
    _busy: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def running(self) -> Iterator[Chat]:
        chat = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with chat._lock:
                    chat.connections += 1

            def do_GET(self) -> None:
                chat.listed += 1
                assert self.path == "/v1/models"
                models = [{"id": name, "object": "model", "owned_by": "vllm"} for name in chat.models]
                servers.give(self, (200, {}, json.dumps({"object": "list", "data": models})))

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/chat/completions"
                assert self.headers["Content-Type"] == "application/json"
                Asked.model_validate_json(text)
                with chat._lock:
                    chat.asked.append(json.loads(text))
                    chat.headers.append(dict(self.headers))
                    chat._busy += 1
                    chat.busiest = max(chat.busiest, chat._busy)
                given = chat.answer(json.loads(text))
                with chat._lock:
                    chat._busy -= 1
                servers.give(self, given)

            def log_message(self, *_: object) -> None:
                pass

        with servers.serving(Handler) as url:
            self.url = f"{url}/v1"
            yield self


def scripted(*given: Given | None) -> Chat:
    """Gives these one after the other, then "fine"."""
    left = iter(given)
    return Chat(lambda _: next(left, completion("fine")))
