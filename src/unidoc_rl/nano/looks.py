"""Where the tokens of a lesson should look: at what they say, what was told of what they show, what is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from unidoc_rl.agent.encoding import Encoded, Encoder
from unidoc_rl.nano.glyphs import NOWHERE
from unidoc_rl.nano.parts import Seen
from unidoc_rl.nano.talk import Lesson, Spot

UNTOLD = 0  # where every conversation begins
SHORTEST = 3  # letters, of a word that is looked for


class Looks:
    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._texts = encoder.tokenizer.batch_decode([[token] for token in range(len(encoder.tokenizer))])

    def of(self, one: Encoded, lesson: Lesson) -> tuple[Tensor, ...]:
        """Of each token, what batches.Rows has as spots, shown, evidence, told and cells."""
        tokens = self._tokens(one.ids, lesson)
        return (
            self._spots(one, lesson, tokens),
            *_evidence(one, lesson, tokens),
            self._told(one, lesson, tokens),
            _cells(one, lesson, tokens),
        )

    def _spots(self, one: Encoded, lesson: Lesson, tokens: Mapping[int, Sequence[int]]) -> Tensor:
        """Of each token of a lesson, at which tokens the letters stand that it says."""
        found = [
            [
                *(NOWHERE if spot is None else tokens[spot.part][spot.at] for spot in pair),
                _heard(pair[0], tokens, lesson),
            ]
            for turn in lesson.turns
            for pair in [*self._ends(turn.reply, turn.spots), (None, None)]  # the last ends the turn
        ]
        spots = torch.full((len(one.ids), 3), NOWHERE)
        spots[torch.tensor(one.said)] = torch.tensor(found)
        return spots

    def _tokens(self, ids: Sequence[int], lesson: Lesson) -> dict[int, Sequence[int]]:
        """Of each part of a lesson that something is copied from, the token of each of its letters or squares."""
        spots = [spot for turn in lesson.turns for spot in turn.spots if spot]
        used = {spot.part for spot in spots} | {spot.heard[0] for spot in spots if spot.heard}
        found: dict[int, Sequence[int]] = {}
        end = 0
        for number, part in enumerate(lesson.parts):
            if isinstance(part, Seen):
                start = ids.index(self._encoder.image, end)
                end = start + part.tokens
                found[number] = range(start, end)
            elif number in used:
                own = self._encoder.tokenizer(part, return_offsets_mapping=True)
                start = _find(own["input_ids"], ids, end)
                spans = enumerate(own["offset_mapping"], start)
                held = {at: token for token, (first, last) in spans for at in range(first, last)}
                found[number] = [held[at] for at in range(len(part))]
                end = start + len(own["input_ids"])
        return found

    def _ends(self, reply: str, spots: Sequence[Spot | None]) -> Iterator[tuple[Spot | None, Spot | None]]:
        """Of each token of a reply, those of its first and last letter; of a space, those of what follows."""
        for start, end in self._encoder.tokenizer(reply, return_offsets_mapping=True)["offset_mapping"]:
            following = spots[end : end + 1] if reply[start:end].isspace() else ()
            inside = [spot for spot in spots[start:end] if spot] or [*following, None][:1]
            yield inside[0], inside[-1]

    def _told(self, one: Encoded, lesson: Lesson, tokens: Mapping[int, Sequence[int]]) -> Tensor:
        """Rules are not looked at, which are the same for all."""
        found = torch.full((len(one.ids),), NOWHERE)
        begin = len(self._encoder.conversation([("system", (lesson.rules,))], [])[0])
        for part, seen in enumerate(lesson.parts):
            if isinstance(seen, Seen):
                start = tokens[part][0]
                known = self._words(one.ids[:start], begin)
                for first, end in seen.page.words.tolist():
                    square, word = seen.squares[first], seen.page.letters[first:end].lower()
                    if square != NOWHERE and len(word) >= SHORTEST and word.isalpha():
                        at = start + square  # of several that begin there, one that was told
                        found[at] = max(int(found[at]), known.get(word, UNTOLD))
        return found

    def _words(self, ids: Sequence[int], begin: int) -> dict[str, int]:
        """Of each word of a text, in small letters, the token that says as much of it as tells it from most others."""
        text, at = "", list[int]()
        for number, token in enumerate(ids[begin:], begin):
            text += self._texts[token]
            at += [number] * len(self._texts[token])
        words = [*re.finditer(rf"[^\W\d_]{{{SHORTEST},}}", text)]
        return {word[0].lower(): at[word.start() + SHORTEST - 1] for word in reversed(words)}  # where it is said first


def _evidence(one: Encoded, lesson: Lesson, tokens: Mapping[int, Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Of pictures that a reply follows at once: what comes later, they cannot know of."""
    shown, evidence = (torch.full((len(one.ids),), NOWHERE) for _ in range(2))
    start = 0
    for number, turn in enumerate(lesson.turns):
        told = [part for message in turn.told for part in message]
        pictures = [start + n for n, part in enumerate(told) if isinstance(part, Seen)]
        start += len(told) + 1  # the reply
        if turn.evidence:
            for part in pictures:
                shown[list(tokens[part])] = number
            for spot in turn.evidence:
                if spot.part in pictures:
                    evidence[tokens[spot.part][spot.at]] = number
    return shown, evidence


def _cells(one: Encoded, lesson: Lesson, tokens: Mapping[int, Sequence[int]]) -> Tensor:
    """Of values whose row's name and column's head are in the same picture."""
    found = torch.full((len(one.ids), 2), NOWHERE)
    for part, seen in enumerate(lesson.parts):
        if isinstance(seen, Seen):
            start = tokens[part][0]
            for first, end, name, head in seen.page.cells.tolist():
                of = sorted({int(seen.squares[name]), int(seen.squares[head])})
                for square in {*seen.squares[first:end].tolist()} - {NOWHERE}:
                    if of[0] != NOWHERE and of[-1] < square:
                        found[start + square] = torch.tensor([start + seen.squares[name], start + seen.squares[head]])
    return found


def _heard(spot: Spot | None, tokens: Mapping[int, Sequence[int]], lesson: Lesson) -> int:
    """At which token of a text."""
    if spot is None:
        return NOWHERE
    if spot.heard is None:
        return NOWHERE if isinstance(lesson.parts[spot.part], Seen) else tokens[spot.part][spot.at]
    part, at = spot.heard
    return tokens[part][at]


def _find(part: Sequence[int], ids: Sequence[int], start: int) -> int:
    """From where on these tokens stand among others."""
    for at in range(start, len(ids) - len(part) + 1):
        if ids[at : at + len(part)] == part:
            return at
    raise ValueError(f"{part} is not among the tokens {ids[start:]}")
