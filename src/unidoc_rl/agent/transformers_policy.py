"""A policy that a model of the Qwen-VL family plays in this process.

A turn reads only what is new: the keys and values of all that an episode has read and written are kept until it ends.
Each is read alone, as long as it is; all are written together, filled up on the left.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from PIL import Image
from torch import Tensor

from unidoc_rl.agent.dialect import harmless
from unidoc_rl.agent.encoding import END, Encoded, Encoder, Looked
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.growing import growing
from unidoc_rl.agent.loading import load
from unidoc_rl.agent.policy import Failed
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Message, Picture, Reply


@dataclass(slots=True)
class _Read:
    """What the model has of an episode."""

    text: str = ""  # the conversation as the chat template writes it, up to the end of the agent's last turn
    ids: list[int] = field(default_factory=list)
    said: list[bool] = field(default_factory=list)  # of these, those that the model drew
    grids: list[Tensor] = field(default_factory=list)  # of its pictures
    looked: list[Looked] = field(default_factory=list)  # these, where they are recorded
    layers: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # keys and values (heads, tokens, dimension)
    cached: int = 0  # tokens that these are of; the rest is still to be read
    place: int = 0  # of the next that is written


class TransformersPolicy:
    """A `policy.Policy` of a model that is in memory.

    `records`: what an episode read and wrote is kept for `recorded`, pictures and all, to be learned from.
    """

    def __init__(
        self,
        model: Any,
        encoder: Encoder,
        name: str,
        show: Callable[[Picture], Image.Image],
        params: AgentParams,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        records: bool = False,
    ) -> None:
        self._model = model
        self._encoder = encoder
        self.name = name
        self._show = show
        self._records = records
        self._turn_tokens = params.turn_tokens
        self._temperature = temperature
        self._seed = seed
        self._end = self._encoder.end
        never = {*self._encoder.tokenizer.all_special_ids, self._encoder.image}
        self._never = sorted(never - {self._end})  # a placeholder that is written would be taken for a picture
        self._reads: WeakKeyDictionary[Episode, _Read] = WeakKeyDictionary()

    @classmethod
    def of(
        cls,
        folder: Path,
        show: Callable[[Picture], Image.Image],
        params: AgentParams,
        *,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> TransformersPolicy:
        """Of a folder as save_pretrained writes it, with tokenizer and image processor."""
        model, encoder = load(folder, params)
        return cls(model, encoder, folder.resolve().name, show, params, temperature=temperature, seed=seed)

    def recorded(self, episode: Episode) -> Encoded:
        """The tokens of an episode that has ended, just as they were read and drawn."""
        read = self._reads[episode]
        return Encoded(read.ids, read.said, read.looked)

    @torch.inference_mode()
    def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
        start = time.monotonic()
        reads = [self._reads.setdefault(episode, _Read()) for episode in episodes]
        follows = [self._read(read, self._hear(read, one.messages)) for read, one in zip(reads, episodes, strict=True)]
        written = self._write(reads, torch.cat(follows), [self._dice(episode) for episode in episodes])
        seconds = (time.monotonic() - start) / len(episodes)
        return [self._said(read, tokens, seconds) for read, tokens in zip(reads, written, strict=True)]

    def _said(self, read: _Read, tokens: list[int], seconds: float) -> Reply:
        text = harmless(self._encoder.tokenizer.decode(tokens, skip_special_tokens=True))
        ended = tokens[-1] == self._end
        read.ids += tokens if ended else [*tokens, self._end]
        read.said += [True] * len(tokens) + [False] * (not ended)  # an end that it did not write teaches nothing
        read.text += f"{text}{END}"
        return Reply(text, len(tokens), len(read.ids), seconds)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _hear(self, read: _Read, messages: Sequence[Message]) -> list[Looked]:
        """Adds what is new to what was read, and gives its pictures."""
        told = [(message.role.value, message.content) for message in messages]
        whole = self._encoder.write(told, begin_turn=True)
        if not whole.startswith(read.text):
            raise UnidocError(
                f"{self.name}: its chat template does not write a longer conversation as it began; "
                "the dialect's does: `unidoc sft` and `unidoc grpo` save it with what they make"
            )
        pictures = [part for message in messages for part in message.content if isinstance(part, Picture)]
        with ThreadPoolExecutor() as threads:
            shown = list(threads.map(self._look, pictures[len(read.grids) :]))
        told_ids = self._encoder.ids(whole[len(read.text) :], [self._encoder.squares(one) for one in shown])
        read.ids += told_ids
        read.said += [False] * len(told_ids)
        read.looked += shown if self._records else []
        read.grids += [one.grid for one in shown]
        read.text = whole
        return shown

    def _look(self, picture: Picture) -> Looked:
        return self._encoder.look(self._show(picture))

    def _read(self, read: _Read, shown: Sequence[Looked]) -> Tensor:
        """Takes in what was heard, alone: beside others, all would be as long as the longest. Gives what may follow."""
        cache, real = _joined([read]), torch.ones(1, len(read.ids), dtype=torch.bool)
        places = self._places(read)
        seen: dict[str, Tensor] = {}
        if shown:
            seen["pixel_values"] = torch.cat([one.pixels for one in shown]).to(self._model.dtype)
            seen["image_grid_thw"] = torch.stack([one.grid for one in shown])
        new = torch.tensor([read.ids[read.cached :]])
        logits = self._forward(cache, real, input_ids=new, position_ids=places[:, None, read.cached :], **seen)
        _keep([read], cache, real)
        read.place = int(places[0, -1]) + 1
        return logits

    def _places(self, read: _Read) -> Tensor:
        """(3, tokens): in text all three count on, in a picture they are time, row and column."""
        ids = torch.tensor([read.ids])
        if not read.grids:
            return torch.arange(len(read.ids)).expand(3, -1)
        kinds = (ids == self._encoder.image).int()
        grids = torch.stack(read.grids)
        places, _ = self._model.model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grids)
        return places[:, 0]  # type: ignore[no-any-return]

    # --- writing ------------------------------------------------------------------------------------------------------

    def _write(self, reads: Sequence[_Read], follows: Tensor, dice: Sequence[torch.Generator]) -> list[list[int]]:
        """The tokens of each, up to its end."""
        cache, real = _joined(reads), _filled(reads)
        places = torch.tensor([read.place for read in reads])
        written: list[list[int]] = [[] for _ in reads]
        writing = list(range(len(reads)))  # which of them are in the batch, by its rows
        going = torch.ones(len(reads), dtype=torch.bool)
        while True:
            chosen = self._choose(follows, [dice[one] for one in writing])
            for row in going.nonzero()[:, 0].tolist():
                written[writing[row]].append(int(chosen[row]))
            going &= chosen != self._end
            if not going.any() or max(map(len, written)) >= self._turn_tokens:
                break
            if 2 * int(going.sum()) <= len(writing):  # those that have ended are no more read along
                _keep([reads[one] for one in writing], cache, real)
                rows = going.nonzero()[:, 0]
                cache.batch_select_indices(rows.to(self._model.device))
                chosen, places, real, going = chosen[rows], places[rows], real[rows], going[rows]
                writing = [writing[row] for row in rows.tolist()]
            real = torch.cat([real, going[:, None]], dim=1)
            at = places.expand(3, -1)[:, :, None]
            follows = self._forward(cache, real, input_ids=chosen[:, None], position_ids=at)
            places = places + 1
        _keep([reads[one] for one in writing], cache, real)
        return written

    def _forward(self, cache: Any, real: Tensor, **inputs: Tensor) -> Tensor:
        """Of the next token; `real` is which are, of all that is in the cache or new."""
        inputs["attention_mask"] = real.long()
        placed = {name: tensor.to(self._model.device) for name, tensor in inputs.items()}
        output = self._model(**placed, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].float().cpu()  # type: ignore[no-any-return]

    def _choose(self, logits: Tensor, dice: Sequence[torch.Generator]) -> Tensor:
        logits[:, self._never] = -torch.inf
        if self._temperature == 0:
            return logits.argmax(-1)
        chances = torch.softmax(logits / self._temperature, -1)
        drawn = [torch.multinomial(row, 1, generator=die) for row, die in zip(chances, dice, strict=True)]
        return torch.cat(drawn)

    def _dice(self, episode: Episode) -> torch.Generator:
        """Whoever plays beside it, an episode has the same luck."""
        at = f"{self._seed} {episode.question.uid} {episode.sample} {len(episode.turns)}"
        return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(at.encode()).digest()[:7]))


def _joined(reads: Sequence[_Read]) -> Any:
    """The keys and values of all, filled up on the left."""
    cache = growing()
    past = max(read.cached for read in reads)
    for number, (like, _) in enumerate(reads[0].layers):
        both = []
        for which in range(2):
            joined = like.new_zeros(len(reads), like.shape[0], past, like.shape[2])
            for row, read in enumerate(reads):
                joined[row, :, past - read.cached :] = read.layers[number][which]
            both.append(joined)
        cache.update(both[0], both[1], number)
    return cache


def _filled(reads: Sequence[_Read]) -> Tensor:
    """(reads, tokens): which of those that are joined are real."""
    past = max(read.cached for read in reads)
    return torch.arange(past) >= past - torch.tensor([[read.cached] for read in reads])


def _keep(reads: Sequence[_Read], cache: Any, real: Tensor) -> None:
    """What the cache has of each, a row."""
    for row, read in enumerate(reads):
        kept = real[row].nonzero()[:, 0].to(cache.layers[0].keys.device)
        read.layers = [(layer.keys[row][:, kept], layer.values[row][:, kept]) for layer in cache.layers]
        read.cached = len(kept)
