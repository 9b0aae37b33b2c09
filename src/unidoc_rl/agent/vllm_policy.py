"""A policy that a vLLM server plays, and of which every token is known: to be learned from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from PIL import Image

from unidoc_rl.agent.dialect import harmless
from unidoc_rl.agent.encoding import Encoded, Encoder, Looked
from unidoc_rl.agent.endpoint import Completion
from unidoc_rl.agent.endpoint_policy import EndpointPolicy
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.vllm import Drawn, Vllm
from unidoc_rl.errors import UnidocError
from unidoc_rl.types import Picture

NOT_DRAWN = float("nan")


@dataclass(slots=True)
class _Heard:
    """What is known of an episode."""

    turns: list[Drawn] = field(default_factory=list)
    looked: list[Looked] = field(default_factory=list)


class VllmPolicy(EndpointPolicy):
    """`encoder`: of the model that learns. What the server reads must be what that one encodes."""

    def __init__(
        self,
        server: Vllm,
        encoder: Encoder,
        show: Callable[[Picture], Image.Image],
        *,
        temperature: float,
        turn_tokens: int,
        seed: int,
    ) -> None:
        super().__init__(server, show, temperature=temperature, turn_tokens=turn_tokens, seed=seed)
        self._server = server
        self._encoder = encoder
        self._show = show
        self._never = sorted({*encoder.tokenizer.all_special_ids, encoder.image} - {encoder.end})
        self._heard: WeakKeyDictionary[Episode, _Heard] = WeakKeyDictionary()
        self._one = threading.Lock()  # a tokenizer serves one thread

    def recorded(self, episode: Episode) -> Encoded:
        """The tokens of an episode that has ended, as they were read last.

        A turn that is read again may be split into other tokens than those that were drawn: it has no chances.
        """
        heard = self._heard.get(episode, _Heard())
        if not heard.turns:  # it broke off before the first
            return Encoded([self._encoder.end], [False], [], [NOT_DRAWN])
        ids = [*heard.turns[-1].read, *heard.turns[-1].ids]
        if ids[-1] != self._encoder.end:
            ids.append(self._encoder.end)
        said, chances = [False] * len(ids), [NOT_DRAWN] * len(ids)
        for turn in heard.turns:
            start = len(turn.read)
            ended = turn.ids[-1] == self._encoder.end
            stop = ids.index(self._encoder.end, start) + ended  # an end that it did not draw teaches nothing
            said[start:stop] = [True] * (stop - start)
            if ids[start:stop] == turn.ids:
                chances[start:stop] = turn.chances
        return Encoded(ids, said, heard.looked, chances)

    def _written(self, episode: Episode) -> Completion:
        with self._one:
            heard = self._heard.setdefault(episode, _Heard())
        pictures = [part for message in episode.messages for part in message.content if isinstance(part, Picture)]
        new = [self._encoder.look(self._show(picture)) for picture in pictures[len(heard.looked) :]]
        drawn = self._server.draw(
            episode.messages,
            chat_template=self._encoder.tokenizer.chat_template,
            end=self._encoder.end,
            never=self._never,
            max_tokens=self._turn_tokens,
            temperature=self._temperature,
            seed=self._seed_of(episode),
            png=self._png,
        )
        with self._one:
            heard.looked += new  # now that they were read
            self._refuse_another_reading(self._read_of(episode, heard.looked), drawn.read)
            heard.turns.append(drawn)
            text = harmless(self._encoder.tokenizer.decode(drawn.ids, skip_special_tokens=True))
        return Completion(text, len(drawn.read), len(drawn.ids), "")

    def _read_of(self, episode: Episode, looked: Sequence[Looked]) -> list[int]:
        """What the model that learns reads before its next turn."""
        told = [(message.role.value, message.content) for message in episode.messages]
        text = self._encoder.write(told, begin_turn=True)
        return self._encoder.ids(text, [self._encoder.squares(one) for one in looked])

    def _refuse_another_reading(self, own: Sequence[int], its: Sequence[int]) -> None:
        if list(own) != list(its):
            at = next((n for n, (one, other) in enumerate(zip(own, its, strict=False)) if one != other), -1)
            where = f"from token {at} on" if at >= 0 else "at its end"
            raise UnidocError(
                f"grpo.server: {self.name} reads a conversation as {len(its)} tokens, the model that learns as "
                f"{len(own)}, others {where}: start it with a model of the same kind, and with its own tokenizer and "
                "image processor"
            )
