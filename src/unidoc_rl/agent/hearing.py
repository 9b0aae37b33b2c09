"""What a model says about answers: asked fairly, heard once for all runs, and never guessed where it is not understood.

An answer is data of which nobody knows what it holds: it stands between marks, and no instruction in it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from unidoc_rl.agent.dialect import harmless
from unidoc_rl.agent.endpoint import Endpoint, TooLong
from unidoc_rl.agent.kept import Kept, digest
from unidoc_rl.errors import Away
from unidoc_rl.many import helpers
from unidoc_rl.types import Message, Role

LONGEST = 4000  # characters of an answer; nobody needs more to be right
REPLY_TOKENS = 2048  # room for models that think before they speak
AT_ONCE = 16
_SHOWN = 500  # characters of a reply that are told, from its end

Prompt = tuple[Message, ...]
_Heard = TypeVar("_Heard")


@dataclass(frozen=True, slots=True)
class Unheard:
    """Nothing that could be understood, and why."""

    reason: str
    away: bool = False  # nothing was heard at all: it may be, another time


class Hearing(Generic[_Heard]):
    """For any number of threads.

    `replies`: of all runs. `read`: what is made of one; None where it cannot be understood. `wanted`: those that can.
    """

    def __init__(
        self, endpoint: Endpoint, replies: Kept, read: Callable[[str], _Heard | None], wanted: str, at_once: int
    ) -> None:
        self._endpoint = endpoint
        self._replies = replies
        self._read = read
        self._wanted = wanted
        self._at_once = at_once

    def __call__(self, prompts: Sequence[Prompt]) -> list[_Heard | Unheard]:
        distinct = list(dict.fromkeys(prompts))  # samples of one question often agree
        with helpers(self._at_once) as pool:
            heard = dict(zip(distinct, pool.map(self._heard, distinct), strict=True))
        return [heard[each] for each in prompts]

    def _heard(self, prompt: Prompt) -> _Heard | Unheard:
        try:
            known = self._known(prompt)
            return self._asked(prompt) if known is None else known
        except TooLong as error:
            return Unheard(str(error))
        except Away as error:
            return Unheard(str(error), away=True)

    def _known(self, prompt: Prompt) -> _Heard | None:
        reply = self._replies.get(self._key(prompt))
        return None if reply is None else self._read(reply)

    def _asked(self, prompt: Prompt) -> _Heard | Unheard:
        *before, last = prompt
        reminded = Message(last.role, (*last.content, f"\n\nYour whole reply is to be {self._wanted}."))
        for messages in (prompt, (*before, reminded)):
            written = self._endpoint.complete(messages, max_tokens=REPLY_TOKENS, temperature=0)
            heard = self._read(written.text) if written.finish_reason != "length" else None
            if heard is not None:
                self._replies.put(self._key(prompt), written.text)
                return heard
        return Unheard(f"two replies that do not end with {self._wanted}, the last: {end(written.text)}")

    def _key(self, prompt: Prompt) -> list[object]:
        return [self._endpoint.model, *([message.role, *message.content] for message in prompt)]


def asking(rules: str, given: Mapping[str, str], answer: str) -> Prompt:
    """The rules, then what is given and the answer of the agent, each between marks.

    The marks follow from all of the texts, so that none can hold them; an agent, who is not shown the reference,
    cannot even try where that is given.
    """
    cut = answer[:LONGEST]
    texts = {name: harmless(text) for name, text in (*given.items(), ("answer", cut))}
    mark = digest(list(texts.values()))[:16]
    parts = [f"<{name} {mark}>\n{text}\n</{name} {mark}>" for name, text in texts.items()]
    if cut != answer:
        parts.append(f"The answer goes on; it is cut after {LONGEST} characters.")
    return Message(Role.SYSTEM, (rules,)), Message(Role.USER, ("\n\n".join(parts),))


def last_line(reply: str) -> str:
    """That holds anything."""
    *_, last = ["", *filter(str.strip, reply.splitlines())]
    return last


def end(reply: str) -> str:
    """Of a reply, in one line."""
    return " ".join(reply.split())[-_SHOWN:]
