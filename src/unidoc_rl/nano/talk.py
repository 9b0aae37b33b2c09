"""A lesson: a conversation in the form of an episode's, and of each letter to be said, where it stands earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from unidoc_rl.nano.glyphs import NOWHERE
from unidoc_rl.nano.parts import Seen

RULES = "Read."  # short, since it stands before every lesson
LETTERS = 4  # of a text, about, to a token

Part = str | Seen


class Spot(NamedTuple):
    """Where something stands."""

    part: int  # of the lesson; all parts are counted, what is told and what is said
    at: int  # a letter of a text, or the square of a token in a picture
    heard: tuple[int, int] | None = None  # the part and the letter of a text that said it too, of what is in a picture


Spots = tuple[Spot | None, ...]  # of each letter of a text that is said; None, where it is copied from nowhere


@dataclass(frozen=True, slots=True)
class Turn:
    told: tuple[tuple[Part, ...], ...]  # the user's messages
    reply: str  # empty where nothing is to be said
    spots: Spots = ()  # none where nothing is copied
    evidence: tuple[Spot, ...] = ()  # squares of what was told that the reply rests on; none where there is no question


@dataclass(frozen=True)
class Lesson:
    turns: tuple[Turn, ...]
    rules: str = RULES

    @cached_property
    def parts(self) -> list[Part]:
        """In their order."""
        return [
            part
            for turn in self.turns
            for part in [*(part for message in turn.told for part in message), *([turn.reply] if turn.reply else [])]
        ]

    @property
    def seen(self) -> list[Seen]:
        return [part for part in self.parts if isinstance(part, Seen)]

    @property
    def tokens(self) -> int:
        """About."""
        return sum(part.tokens if isinstance(part, Seen) else len(part) // LETTERS for part in self.parts)


class Talk:
    """A lesson in the making."""

    def __init__(self, rules: str = RULES) -> None:
        self._rules = rules
        self._turns: list[Turn] = []
        self._heard: list[tuple[Part, ...]] = []
        self._parts = 0

    def hear(self, *message: Part) -> int:
        """A message of the user; the number of its last part."""
        self._heard.append(message)
        self._parts += len(message)
        return self._parts - 1

    @property
    def number(self) -> int:
        """Of the part that comes next."""
        return self._parts

    def say(self, reply: str, copied: Mapping[str, Spots] | None = None, evidence: Sequence[Spot] = ()) -> None:
        """In answer to what was heard. `copied`: where what comes after a text of the reply stands."""
        spots: list[Spot | None] = []
        for before, own in (copied or {}).items():
            start = reply.index(before, len(spots)) + len(before)
            spots += [*[None] * (start - len(spots)), *own]
        spots += [None] * (len(reply) - len(spots)) if spots else []
        self._turns.append(Turn(tuple(self._heard), reply, tuple(spots), tuple(evidence)))
        self._heard = []
        self._parts += 1

    def lesson(self) -> Lesson:
        return Lesson(tuple(self._turns), self._rules)


def silent(seen: Seen) -> Lesson:
    """A picture to look at."""
    return Lesson((Turn(((seen,),), ""),))


def letters(part: int, start: int, count: int) -> Spots:
    """Of a text that is copied from another one, letter by letter."""
    return tuple(Spot(part, at) for at in range(start, start + count))


def squares(part: int, seen: Seen, read: Sequence[int]) -> Spots:
    """Of a text that is read from a picture; of each of its letters, which of the page it is."""
    found = (NOWHERE if letter == NOWHERE else int(seen.squares[letter]) for letter in read)
    return tuple(None if square == NOWHERE else Spot(part, square) for square in found)
