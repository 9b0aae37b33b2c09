"""A policy that plays by asking a model behind an OpenAI-compatible server."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from PIL import Image

from unidoc_rl.agent.endpoint import Completion, Endpoint, TooLong
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.hearing import AT_ONCE
from unidoc_rl.agent.kept import Kept, plain
from unidoc_rl.agent.policy import Failed
from unidoc_rl.errors import Away
from unidoc_rl.many import helpers
from unidoc_rl.types import Outcome, Picture, Reply

KEPT = 1024  # pictures, as PNG of some 200 kB: each is sent again with every turn of its episode


class EndpointPolicy:
    """A `policy.Policy`.

    `at_once`: episodes that the server is asked to continue at the same time. `replies`: where what it writes is kept,
    and it is asked nothing twice. `corpus`: what tells its pages from those of another.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        draw: Callable[[Picture], Image.Image],
        *,
        temperature: float,
        turn_tokens: int,
        seed: int,
        at_once: int = AT_ONCE,
        replies: Kept | None = None,
        corpus: str = "",
    ) -> None:
        self.name = endpoint.model
        self._endpoint = endpoint
        self._png = lru_cache(KEPT)(lambda picture: _png(draw(picture)))
        self._temperature = temperature
        self._turn_tokens = turn_tokens
        self._seed = seed
        self._at_once = at_once
        self._replies = replies
        self._corpus = corpus

    def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
        """The next turn of each. What keeps it from one of them is its entry; what would from all of them, such as
        a wrong key, is raised."""
        with helpers(self._at_once) as pool:
            return list(pool.map(self._continue, episodes))

    def _continue(self, episode: Episode) -> Reply | Failed:
        start = time.monotonic()
        try:
            written = self._written(episode)
        except TooLong as error:
            return Failed(Outcome.OUT_OF_CONTEXT, str(error))
        except Away as error:
            return Failed(Outcome.VOID, str(error))
        context = written.prompt_tokens + written.completion_tokens
        return Reply(written.text, written.completion_tokens, context, time.monotonic() - start)

    def _written(self, episode: Episode) -> Completion:
        seed = self._seed_of(episode)

        def complete() -> Completion:
            return self._endpoint.complete(
                episode.messages,
                max_tokens=self._turn_tokens,
                temperature=self._temperature,
                seed=seed,
                draw=self._png,
            )

        if self._replies is None:
            return complete()
        read = [[message.role, plain(message.content)] for message in episode.messages]
        key = [self.name, self._corpus, read, self._turn_tokens, self._temperature, seed]
        return self._replies.completion(key, complete)

    def _seed_of(self, episode: Episode) -> int:
        """Samples of a question begin with the same conversation, and are to differ; the same in a run resumed."""
        at = f"{self._seed} {len(episode.turns)} {episode.sample} {episode.question.uid}"
        return int.from_bytes(hashlib.sha256(at.encode()).digest()[:4]) >> 1  # servers take 31 bits


def _png(image: Image.Image) -> bytes:
    """Without loss: training draws the same pictures again, and must see what the model saw, while JPEG moves pixels
    of letters by 20 of 255 even at quality 95. Level 1 takes half the time of the usual 6, for a tenth more bytes."""
    file = io.BytesIO()
    image.copy().save(file, "PNG", compress_level=1)  # saving writes on the image, and others may be saving it
    return file.getvalue()
