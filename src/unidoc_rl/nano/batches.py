"""Lessons as tensors. Batch n of a stage is the same whenever it is made, so that a killed run goes on.

Neighbouring batches share the pages of a few families, which are drawn once: drawing costs more than cutting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from unidoc_rl.agent.encoding import Encoded, Encoder, batch
from unidoc_rl.nano import lessons, pages, specimens
from unidoc_rl.nano.glyphs import NOWHERE, PLACES
from unidoc_rl.nano.model import PROTOCOL, make_processor, make_tokenizer
from unidoc_rl.nano.pages import DrawnPage
from unidoc_rl.nano.parts import OPEN, Seen
from unidoc_rl.nano.recipe import Stage
from unidoc_rl.nano.talk import Lesson, Spot

SHARED = 30  # batches that see the same families
FAMILIES = 3  # that a batch sees
WORLDS = 100  # of a seed, at most
GROUPS = 4  # by length, so that little is filled up


class Rows(NamedTuple):
    """Lessons of about one length."""

    ids: Tensor  # (lessons, tokens), filled up on the right
    labels: Tensor  # as ids; UNSAID where nothing is to be said
    # (lessons, tokens, 3): at which tokens the first and the last letter of a token stand, and at which token of a text
    # it was heard; or NOWHERE
    spots: Tensor
    # (lessons, tokens): of a picture's token twice the number of the turn that showed it, and one more if the reply
    # rests on it; or NOWHERE
    evidence: Tensor


@dataclass(slots=True)
class Batch:
    task: str
    rows: list[Rows]  # in the order of the pictures
    pixels: Tensor
    grids: Tensor  # (pictures, 3)
    glyphs: Tensor  # (tokens of pictures, PLACES)
    words: Tensor  # (pieces of words in pictures, 2): the token of a picture in which it begins, and its own

    def on(self, device: torch.device) -> Batch:
        rows = [Rows(*(tensor.to(device) for tensor in one)) for one in self.rows]
        seen = (self.pixels, self.grids, self.glyphs, self.words)
        return Batch(self.task, rows, *(tensor.to(device) for tensor in seen))


class Share(NamedTuple):
    """Which of how many parts of each batch."""

    number: int
    of: int


WHOLE = Share(0, 1)


class Batches(IterableDataset[Batch]):
    """A share of each batch of a stage, from one on."""

    def __init__(self, stage: Stage, seed: int, start: int, share: Share) -> None:
        self._stage = stage
        self._seed = seed
        self._start = start
        self._share = share

    def __iter__(self) -> Iterator[Batch]:
        maker, worker = Maker(), get_worker_info()
        first, every = (worker.id, worker.num_workers) if worker else (0, 1)  # workers take turns
        for number in range(self._start + first, self._stage.steps, every):
            yield maker.batch(self._stage, self._seed, number, self._share)


class Maker:
    """Makes batches; holds what that takes."""

    def __init__(self) -> None:
        self._encoder = Encoder(make_tokenizer(PROTOCOL), make_processor())
        self._pieces = lru_cache(OPEN)(self._cut_up)

    def batch(self, stage: Stage, seed: int, number: int, share: Share = WHOLE) -> Batch:
        (task,) = Random(f"{seed}/{stage.name}/{number}").choices(list(stage.tasks), list(stage.tasks.values()))
        rng = Random(f"{seed}/{stage.name}/{number}/{share.number}")
        world, first = pages.UNASKED + WORLDS * seed + stage.world, number // SHARED
        drawn = specimens.specimen if task == "printing" else pages.family
        families = [drawn(world, first + n) for n in range(FAMILIES)]
        chosen: list[Lesson] = []
        tokens = 0
        for lesson in lessons.of(task, rng, families):
            chosen.append(lesson)
            tokens += lesson.tokens
            if tokens >= stage.tokens / share.of:
                return self.collated(task, chosen)
        raise AssertionError("lessons never end")

    def collated(self, task: str, chosen: list[Lesson]) -> Batch:
        encoded = sorted(((self._encoded(lesson), lesson) for lesson in chosen), key=lambda one: len(one[0].ids))
        seen = [one for _, lesson in encoded for one in lesson.seen]
        each = -(-len(encoded) // GROUPS)
        groups = [encoded[at : at + each] for at in range(0, len(encoded), each)]
        rows = [self._rows(group) for group in groups] if chosen[0].turns[0].reply else []
        return Batch(task, rows, *self._look(seen))

    def _look(self, seen: Sequence[Seen]) -> tuple[Tensor, ...]:
        """Pixels, grids, glyphs and words."""
        if not seen:
            return torch.empty(0), *(torch.empty(0, width, dtype=torch.long) for width in (3, PLACES, 2))
        made = self._encoder.processor(images=[one.image for one in seen], do_resize=False, return_tensors="pt")
        glyphs = torch.from_numpy(np.concatenate([one.glyphs for one in seen]))
        starts = np.cumsum([0, *(one.tokens for one in seen[:-1])])
        words = [self._words(one, start) for one, start in zip(seen, starts, strict=True)]
        return made["pixel_values"], made["image_grid_thw"], glyphs, torch.from_numpy(np.concatenate(words))

    def _words(self, seen: Seen, start: int) -> NDArray[np.int64]:
        """Of a picture whose tokens begin at this one."""
        letters, tokens = self._pieces(seen.page).T
        squares = seen.squares[letters]
        words: NDArray[np.int64] = np.stack([start + squares, tokens], axis=1)[squares != NOWHERE]
        return words

    def _cut_up(self, page: DrawnPage) -> NDArray[np.int64]:
        """(pieces, 2): of each piece of a page's words, its first letter and its token, as in the midst of a text."""
        words = page.words.tolist()
        cut = self._encoder.tokenizer(
            [" " + page.letters[first:end] for first, end in words], return_offsets_mapping=True
        )
        pieces = [
            (first + max(start - 1, 0), token)
            for (first, _), tokens, spans in zip(words, cut["input_ids"], cut["offset_mapping"], strict=True)
            for token, (start, end) in zip(tokens, spans, strict=True)
            if end > 1  # a space alone stands nowhere
        ]
        return np.array(pieces, np.int64).reshape(-1, 2)

    def _rows(self, group: Sequence[tuple[Encoded, Lesson]]) -> Rows:
        filled = batch([one for one, _ in group], self._encoder)
        spots = torch.full((*filled["input_ids"].shape, 3), NOWHERE)
        evidence = torch.full(filled["input_ids"].shape, NOWHERE)
        for row, (one, lesson) in enumerate(group):
            tokens = self._tokens(one.ids, lesson)
            spots[row, : len(one.ids)] = self._stand(one, lesson, tokens)
            evidence[row, : len(one.ids)] = _evidence(one, lesson, tokens)
        return Rows(filled["input_ids"], filled["labels"], spots, evidence)

    def _stand(self, one: Encoded, lesson: Lesson, tokens: Mapping[int, Sequence[int]]) -> Tensor:
        """Of each token of a lesson, at which tokens the letters stand that it says."""
        found = [
            [
                *(NOWHERE if spot is None else tokens[spot.part][spot.at] for spot in pair),
                _heard(pair[0], tokens, lesson),
            ]
            for turn in lesson.turns
            for pair in [*self._spots(turn.reply, turn.spots), (None, None)]  # the last ends the turn
        ]
        stand = torch.full((len(one.ids), 3), NOWHERE)
        stand[torch.tensor(one.said)] = torch.tensor(found)
        return stand

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

    def _spots(self, reply: str, spots: Sequence[Spot | None]) -> Iterator[tuple[Spot | None, Spot | None]]:
        """Of each token of a reply, those of its first and last letter; of a space, those of what follows."""
        for start, end in self._encoder.tokenizer(reply, return_offsets_mapping=True)["offset_mapping"]:
            following = spots[end : end + 1] if reply[start:end].isspace() else ()
            inside = [spot for spot in spots[start:end] if spot] or [*following, None][:1]
            yield inside[0], inside[-1]

    def _encoded(self, lesson: Lesson) -> Encoded:
        """The tokens of a lesson, and which are to be said; none where nothing is."""
        messages: list[tuple[str, Sequence[object]]] = [("system", (lesson.rules,))]
        for turn in lesson.turns:
            messages += [*(("user", parts) for parts in turn.told), ("assistant", (turn.reply,))]
        squares = [seen.tokens for seen in lesson.seen]
        ids, said = self._encoder.conversation(messages if lesson.turns[0].reply else [], squares)
        return Encoded(ids, said, [])


def _evidence(one: Encoded, lesson: Lesson, tokens: Mapping[int, Sequence[int]]) -> Tensor:
    """Of pictures that a reply follows at once: what comes later, they cannot know of."""
    found = torch.full((len(one.ids),), NOWHERE)
    start = 0
    for number, turn in enumerate(lesson.turns):
        told = [part for message in turn.told for part in message]
        shown = [start + n for n, part in enumerate(told) if isinstance(part, Seen)]
        start += len(told) + 1  # the reply
        if turn.evidence:
            for part in shown:
                found[list(tokens[part])] = 2 * number
            for spot in turn.evidence:
                if spot.part in shown:
                    found[tokens[spot.part][spot.at]] = 2 * number + 1
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
