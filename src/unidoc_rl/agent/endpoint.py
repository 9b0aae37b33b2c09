"""A model behind an OpenAI-compatible server (vLLM, llama.cpp, OpenAI …): a conversation goes there, a text comes back.

The key, where the server wants one, comes from OPENAI_API_KEY; it is in no message of an error.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import httpx2
from pydantic import BaseModel, Field, ValidationError

from unidoc_rl import keys, progress, retry
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.types import Content, Message, Picture

KEY = "OPENAI_API_KEY"
CONNECT_SECONDS = 10  # a server that computes for minutes still accepts connections at once
JPEG = b"\xff\xd8"  # how one begins
BUSY = frozenset({408, 409, 429, *range(500, 600)})
# As vLLM, SGLang, llama.cpp and OpenAI say it; some give a code too, but none without one of these words in it.
TOO_LONG = re.compile(r"context[ _](?:length|size|window)|maximum model length", re.IGNORECASE)

# What models of OpenAI that reason take no longer, and what they take instead: nothing but their own temperature.
NEWER = {"max_tokens": "max_completion_tokens", "temperature": ""}


class EndpointAway(Away):
    """The server was not there, or would not answer this conversation; another conversation may fare better."""


class Refused(EndpointAway):
    """It was there, and does not take this request; a smaller one it may."""


class TooLong(Exception):
    """A conversation, with the room asked for its continuation, is longer than the model can read."""


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    prompt_tokens: int  # as the server counts them, pictures included
    completion_tokens: int
    finish_reason: str  # "stop"; "length" where max_tokens cut it off


class _Written(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Written
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


class _Model(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Model]


_Read = TypeVar("_Read", bound=BaseModel)


class Endpoint:
    """For any number of threads; keeps its connections.

    `address`: up to and with /v1. `model`: the one that is served there, where it is not named. `seconds`: how long
    the server may be silent, and it is while it computes. `tries`: how often it is asked before it counts as away.
    `pace`: of the completions that it is asked for, tries counted; one for all who ask the same server.
    """

    def __init__(
        self,
        address: str,
        model: str | None = None,
        *,
        seconds: float = 600,
        tries: int = 8,
        pace: retry.Pace | None = None,
        sleep: Callable[[float], object] = retry.pause,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if "@" in address:  # it would be in every error
            raise UnidocError(f"endpoint: its address carries a name or key; leave them out, and set {KEY}")
        self._address = address.rstrip("/")
        self._model = model
        self._patience = retry.Patience(tries, sleep, chance)
        self._pace = pace or retry.Pace(None)
        self._outdated: set[str] = set()  # what it takes no longer
        self._key = keys.key(KEY)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            timeout = httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))
            self._http = retry.client(self._address, timeout, headers)
        except ValueError as error:
            raise UnidocError(f"endpoint {address}: {error}; give it as http://host:port/v1") from error

    @property
    def model(self) -> str:
        """Its name; threads that ask for it at once may all ask the server, and hear the same."""
        if self._model is None:
            response = self._ask(lambda: self._http.get("/models"), "a list of models")
            names = [model.id for model in self._read(_Models, response).data]
            if len(names) != 1:
                raise UnidocError(f"endpoint {self._address}: serves {', '.join(names) or 'no model'}; name one model")
            self._model = names[0]
        return self._model

    def complete(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | None = None,
        draw: Callable[[Picture], bytes] | None = None,
    ) -> Completion:
        """What the model writes next; `draw` gives the PNG or JPEG of a picture, and is needed where there are some."""
        asked = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        found = self._read(_Completion, self._continued(messages, draw, asked))
        if found.usage is None:
            raise UnidocError(f"endpoint {self._address}: does not count its tokens (no `usage`); use one that does")
        choice = found.choices[0]
        text = choice.message.content or ""
        return Completion(text, found.usage.prompt_tokens, found.usage.completion_tokens, choice.finish_reason or "")

    def close(self) -> None:
        self._http.close()

    def _continued(
        self, messages: Sequence[Message], draw: Callable[[Picture], bytes] | None, how: Mapping[str, Any]
    ) -> httpx2.Response:
        """The answer to a conversation, with what else is said of its continuation."""
        told = [{"role": message.role.value, "content": _content(message.content, draw)} for message in messages]
        asked = {"model": self.model, "messages": told, **how}
        return self._ask(lambda: self._post(asked), f"model {self.model}")

    def _post(self, asked: Mapping[str, Any]) -> httpx2.Response:
        """A try; another one follows at once without what the server takes no longer, which it is then spared."""
        named = {NEWER[name] if name in self._outdated else name: value for name, value in asked.items()}
        body = json.dumps({name: value for name, value in named.items() if name and value is not None})
        self._pace.wait()
        response = self._http.post("/chat/completions", content=body, headers={"Content-Type": "application/json"})
        outdated = _not_taken(response)
        if outdated not in NEWER or outdated not in named:
            return response
        self._outdated.add(outdated)
        progress.tell(f"endpoint {self._address}: takes no {outdated}, and is asked without it")
        return self._post(asked)

    def _ask(self, send: Callable[[], httpx2.Response], wanted: str, busy: Container[int] = BUSY) -> httpx2.Response:
        """The answer, whose status is 200."""
        try:
            response = self._patience.ask(send, busy, self._said)
        except retry.InVain as error:
            raise EndpointAway(f"endpoint {self._address}: away; {error}; see whether it runs, and its log") from error
        told = f"({response.status_code}: {self._said(response)})"
        match response.status_code:
            case 200:
                return response
            case 401:
                key = f"refuses the key in {KEY}" if self._key else f"wants a key; set {KEY}"
                raise UnidocError(f"endpoint {self._address}: {key} {told}")
            case 403:
                raise UnidocError(f"endpoint {self._address}: does not allow this with the key in {KEY} {told}")
            case 404:
                where = f"has no {wanted}, or is not at this address, which often ends in /v1"
                raise UnidocError(f"endpoint {self._address}: {where} {told}")
            case 400 | 413 | 422 if TOO_LONG.search(_reason(response)):
                raise TooLong(f"endpoint {self._address}: the conversation is too long {told}")
            case 400 | 413 | 422:
                raise Refused(f"endpoint {self._address}: refuses this request {told}")
        raise self._unexpected(response)

    def _read(self, kind: type[_Read], response: httpx2.Response) -> _Read:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise self._unexpected(response) from error

    def _unexpected(self, response: httpx2.Response) -> EndpointAway:
        return EndpointAway(
            f"endpoint {self._address}: an unexpected answer ({response.status_code}: {self._said(response)}); "
            "check the address, which often ends in /v1, and the server's log"
        )

    def _said(self, response: httpx2.Response) -> str:
        """The server's own words, in one line, without our key, which some servers repeat."""
        text = _message(response)
        if self._key:
            text = text.replace(self._key, "…")
        return " ".join(text.split())[:400]


def _content(content: Content, draw: Callable[[Picture], bytes] | None) -> str | list[dict[str, Any]]:
    match content:
        case (str(text),):  # the form that every server and every chat template takes
            return text
    return [_block(part, draw) for part in content]


def _block(part: str | Picture, draw: Callable[[Picture], bytes] | None) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if draw is None:
        raise ValueError("a conversation with pictures, and nothing that draws them")
    drawn = draw(part)
    kind = "jpeg" if drawn.startswith(JPEG) else "png"
    url = f"data:image/{kind};base64,{base64.b64encode(drawn).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _not_taken(response: httpx2.Response) -> str:
    """The name of what a server says it does not take, whatever its value; empty where it says so of nothing."""
    if response.status_code != 400:
        return ""
    try:
        error = response.json()["error"]
        return str(error["param"]) if str(error["code"]).startswith("unsupported_") else ""
    except (ValueError, LookupError, TypeError):
        return ""


def _reason(response: httpx2.Response) -> str:
    """Message, code and type of an error; not the request, which some servers repeat beside them."""
    try:
        error = response.json()["error"]
        return " ".join(str(error.get(name, "")) for name in ("message", "code", "type"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return _message(response)


def _message(response: httpx2.Response) -> str:
    """Of an error: `error.message` by OpenAI, and `error`, `message` or `detail` by others."""
    try:
        told = response.json()
        for name in ("error", "message", "detail"):
            if isinstance(told, dict) and name in told:
                told = told[name]
        return told if isinstance(told, str) else json.dumps(told)
    except ValueError:
        return response.text
