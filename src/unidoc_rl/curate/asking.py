"""Asking the teacher: pictures and text go to a vision model behind an endpoint, a JSON object comes back.

Models write prose around their JSON, half of it, keys in capitals, or that they are sorry. What can be understood for
certain is taken; else the model is told what is wrong, and asked again. Every reply is kept under what was asked, so
that nothing is asked twice, neither by a run that was killed nor by one with other filters.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from unidoc_rl.agent.endpoint import Completion, Endpoint, Refused, TooLong
from unidoc_rl.agent.kept import Kept, plain
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.types import Content, Message, Picture, Role

READINGS = 3  # replies that may be read in vain
SMALLER = (1, 2, 4)  # how many times, where pictures are too large for the endpoint
AWAY_IN_A_ROW = 32  # requests: then it is not the requests
REPLY_TOKENS = 4096  # room for models that think before they speak
TEMPERATURE = 0.7
SHOWN = 200  # characters of a reply that are told
_THOUGHT = re.compile(r".*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)  # of models that think aloud

_Reply = TypeVar("_Reply", bound=BaseModel)


class Unreadable(Exception):
    """No reply that can be used, and why."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of all replies that a result is made of, in whichever run they were asked for."""

    requests: int = 0
    prompt_tokens: int = 0  # as the server counts them, pictures included
    completion_tokens: int = 0


class Asking:
    """For any number of threads.

    `replies`: of all runs. `used`: what those cost that a result is made of. `corpus`: what tells its pages from those
    of another. `seed`: of all replies.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        rules: str,
        draw: Callable[[Picture, int], bytes],
        replies: Kept,
        used: Kept,
        *,
        corpus: str,
        seed: int,
    ) -> None:
        self.model = endpoint.model
        self._endpoint = endpoint
        self._rules = Message(Role.SYSTEM, (rules,))
        self._draw = draw
        self._replies = replies
        self._used = used
        self._corpus = corpus
        self._seed = seed
        self._away = 0  # requests, since one was answered
        self._one = threading.Lock()

    def __call__(
        self, content: Content, kind: type[_Reply], *, sample: int = 0, wrong: Callable[[_Reply], str] = lambda _: ""
    ) -> _Reply:
        """The reply to this, as such an object; `wrong` tells what is impossible in it. Samples differ."""
        problem = ""
        for number in range(READINGS):
            reminder = (f"\n\nYour last reply cannot be used: {problem}. {ONLY_JSON}",) if problem else ()
            written = self._written((*content, *reminder), f"{self._seed} {sample} {number}")
            try:
                return read(written, kind, wrong)
            except Unreadable as error:
                problem = str(error)
        raise Unreadable(f"{READINGS} replies in vain, the last: {problem}: {_beginning(written.text)}")

    def _written(self, content: Content, dice: str) -> Completion:
        key = [self.model, self._corpus, self._rules.content, plain(content), dice]
        written = self._replies.completion(key, lambda: self._asked(content, dice))
        self._used.put(key, json.dumps([written.prompt_tokens, written.completion_tokens]))
        return written

    def _asked(self, content: Content, dice: str) -> Completion:
        for smaller in SMALLER:
            try:
                return self._completed(content, dice, smaller)
            except (Refused, TooLong) as error:
                refusal = str(error)
        raise Unreadable(refusal)

    def _completed(self, content: Content, dice: str, smaller: int) -> Completion:
        try:
            written = self._endpoint.complete(
                (self._rules, Message(Role.USER, content)),
                max_tokens=REPLY_TOKENS,
                temperature=TEMPERATURE,
                seed=int.from_bytes(hashlib.sha256(dice.encode()).digest()[:4]) >> 1,  # servers take 31 bits
                draw=lambda picture: self._draw(picture, smaller),
            )
        except Refused:
            raise
        except Away as error:
            self._not_answered(error)
            raise
        self._away = 0
        return written

    def _not_answered(self, error: Away) -> None:
        with self._one:
            self._away += 1
            if self._away > AWAY_IN_A_ROW:
                hint = "curate.at_once and curate.per_minute say how much it is asked"
                raise UnidocError(f"{error}; {hint}; run again to go on where this stopped") from error


def cost(used: Kept) -> Cost:
    counted = [json.loads(text) for text in used]
    return Cost(len(counted), sum(read for read, _ in counted), sum(written for _, written in counted))


# --- reading ----------------------------------------------------------------------------------------------------------

ONLY_JSON = "Reply with one JSON object of the keys that were asked for, and nothing else."


def read(written: Completion, kind: type[_Reply], wrong: Callable[[_Reply], str]) -> _Reply:
    """The last object in a reply that is of this kind: models draft before they decide."""
    if written.finish_reason == "length":  # whatever object it holds may be a part of another
        raise Unreadable("it was cut off; be brief")
    problem = "there is no JSON object in it"
    for found in reversed(list(_objects(_THOUGHT.sub("", written.text)))):
        try:
            reply = kind.model_validate({str(key).strip().casefold(): value for key, value in found.items()})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'the object'}: {first['msg']}"
            continue
        if not (problem := wrong(reply)):
            return reply
    raise Unreadable(problem)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects that stand in a text, in its order."""
    decoder = json.JSONDecoder(strict=False)  # a line break in a text is meant as one
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield found
        at = text.find("{", end)


def _beginning(text: str) -> str:
    return " ".join(text.split())[:SHOWN] or "nothing"
