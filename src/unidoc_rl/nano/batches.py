"""Lessons as tensors. Batch n of a stage is the same whenever it is made, so that a killed run goes on.

A batch takes a few families out of a pool that is renewed slowly: to draw one for each would take as long as to learn,
and where the same few come again and again, their pages' layouts are learned by heart, and nobody looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import IterableDataset, get_worker_info

from unidoc_rl.agent.encoding import Encoded, Encoder, batch
from unidoc_rl.nano import lessons, pages, specimens
from unidoc_rl.nano.glyphs import NOWHERE, PLACES, TURNS
from unidoc_rl.nano.looks import Looks
from unidoc_rl.nano.model import PROTOCOL, make_processor, make_tokenizer
from unidoc_rl.nano.parts import Seen
from unidoc_rl.nano.pieces import Pieces
from unidoc_rl.nano.recipe import Stage
from unidoc_rl.nano.talk import Lesson

FAMILIES = 3  # that a batch sees
POOL = pages.KEPT  # families that it finds them among
RENEWED = 2  # after so many batches, a family of these
RENEWED_FROZEN = 12  # likewise, where a page that was looked at once need not be looked at again
WORLDS = 100  # of a seed, at most
GROUPS = 4  # by length, so that little is filled up


class Rows(NamedTuple):
    """Lessons of about one length."""

    ids: Tensor  # (lessons, tokens), filled up on the right
    labels: Tensor  # as ids; UNSAID where nothing is to be said
    # (lessons, tokens, 3): at which tokens the first and the last letter of a token stand, and at which token of a text
    # it was heard; or NOWHERE
    spots: Tensor
    # (lessons, tokens): of a picture's token the number of the turn that showed it, if its reply rests on some of them;
    # or NOWHERE
    shown: Tensor
    evidence: Tensor  # likewise, of those tokens alone on which it rests
    # (lessons, tokens): of a picture's token that shows words, at which token of a text before it one of them was told;
    # UNTOLD where none was; or NOWHERE
    told: Tensor
    # (lessons, tokens, 2): of a picture's token that shows a value in a table, at which tokens the name of its row and
    # the head of its column begin; or NOWHERE
    cells: Tensor


@dataclass(slots=True)
class Batch:
    task: str
    rows: list[Rows]  # in the order of the pictures
    pixels: Tensor
    grids: Tensor  # (pictures, 3)
    glyphs: Tensor  # (tokens of pictures, PLACES)
    letters: Tensor  # (tokens of pictures, TURNS)
    words: Tensor  # (pieces of words in pictures, 2): the token of a picture in which it begins, and its own

    def on(self, device: torch.device) -> Batch:
        rows = [Rows(*(tensor.to(device) for tensor in one)) for one in self.rows]
        seen = (self.pixels, self.grids, self.glyphs, self.letters, self.words)
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
    """Makes batches, for a model that is new or for one that has this encoder; holds what that takes."""

    def __init__(self, encoder: Encoder | None = None) -> None:
        self._encoder = encoder or Encoder(make_tokenizer(PROTOCOL), make_processor())
        self._pieces = Pieces(self._encoder.tokenizer)
        self._looks = Looks(self._encoder)

    def batch(self, stage: Stage, seed: int, number: int, share: Share = WHOLE) -> Batch:
        (task,) = Random(f"{seed}/{stage.name}/{number}").choices(list(stage.tasks), list(stage.tasks.values()))
        rng = Random(f"{seed}/{stage.name}/{number}/{share.number}")
        world = pages.UNASKED + WORLDS * seed + stage.world
        first = number // (RENEWED_FROZEN if stage.frozen else RENEWED)
        drawn = specimens.specimen if task in lessons.OF_A_SPECIMEN else pages.family
        families = [drawn(world, first + n) for n in rng.sample(range(POOL), FAMILIES)]
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
        """Pixels, grids, glyphs, letters and words."""
        if not seen:
            return torch.empty(0), *(torch.empty(0, width, dtype=torch.long) for width in (3, PLACES, TURNS, 2))
        made = self._encoder.processor(images=[one.image for one in seen], do_resize=False, return_tensors="pt")
        glyphs, letters = (
            torch.from_numpy(np.concatenate(of)) for of in ([one.glyphs for one in seen], [one.letters for one in seen])
        )
        starts = np.cumsum([0, *(one.tokens for one in seen[:-1])])
        words = [self._words(one, start) for one, start in zip(seen, starts, strict=True)]
        return made["pixel_values"], made["image_grid_thw"], glyphs, letters, torch.from_numpy(np.concatenate(words))

    def _words(self, seen: Seen, start: int) -> NDArray[np.int64]:
        """Of a picture whose tokens begin at this one."""
        squares, tokens = self._pieces.on(seen)
        words: NDArray[np.int64] = np.stack([start + squares, tokens], axis=1)
        return words

    def _rows(self, group: Sequence[tuple[Encoded, Lesson]]) -> Rows:
        filled = batch([one for one, _ in group], self._encoder)
        looks = zip(*(self._looks.of(one, lesson) for one, lesson in group), strict=True)
        return Rows(
            filled["input_ids"],
            filled["labels"],
            *(pad_sequence(of, batch_first=True, padding_value=NOWHERE) for of in map(list, looks)),
        )

    def _encoded(self, lesson: Lesson) -> Encoded:
        """The tokens of a lesson, and which are to be said; none where nothing is."""
        messages: list[tuple[str, Sequence[object]]] = [("system", (lesson.rules,))]
        for turn in lesson.turns:
            messages += [*(("user", parts) for parts in turn.told), ("assistant", (turn.reply,))]
        squares = [seen.tokens for seen in lesson.seen]
        ids, said = self._encoder.conversation(messages if lesson.turns[0].reply else [], squares)
        return Encoded(ids, said, [])
