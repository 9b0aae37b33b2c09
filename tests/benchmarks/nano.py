"""How quick and how small the nano model is: python -m tests.benchmarks.nano --model FOLDER.

writing    tokens a second, sixteen at once: paragraphs read aloud, the reading of the picture included
episodes   five turns: a question, three pages, the one that was selected, a part of it, an answer; sixteen at once, and
           beside it transformers' own manner: one after the other, with everything read again before each turn
memory     of this process at its worst, Python, torch and transformers included
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

from tests.benchmarks.measure import MB, save, table
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.nano import pages
from unidoc_rl.nano.evaluate import SEED, Shown, conversation
from unidoc_rl.nano.model import PROTOCOL
from unidoc_rl.nano.parts import Opened, open_page, some_words
from unidoc_rl.types import Content, Message, Picture, Reply, Role

TOGETHER = 16
ROUNDS = 5
TURN_TOKENS = 40  # an agent of few words
PARAGRAPH = (150, 400)  # letters


def writing(policy: TransformersPolicy, shown: Shown, opened: Sequence[Opened]) -> dict[str, float]:
    rates = []
    for number in range(ROUNDS):
        rng = Random(number)
        cuts: list[Image.Image] = []
        while len(cuts) < TOGETHER:
            one = rng.choice(opened)
            found = some_words(rng, one.page, PARAGRAPH[1])
            if found and len(found[1].text) >= PARAGRAPH[0]:
                cuts.append(one.zoomed(found[0], 64).image)
        episodes = [conversation(n, [(shown.add(image),)]) for n, image in enumerate(cuts)]
        start = time.monotonic()
        replies = policy.reply(episodes)
        seconds = time.monotonic() - start
        rates.append(sum(reply.tokens for reply in replies if isinstance(reply, Reply)) / seconds)
    return {"tokens_a_second": median(rates)}


def turns(rng: Random, shown: Shown, opened: Sequence[Opened]) -> Iterator[Content]:
    """What an agent is told in five turns."""
    yield ("What figure does the annual report 2019 give for net sales in Norway (in EUR million)?",)
    three = [shown.add(one.whole.image) for one in rng.sample(list(opened), 3)]
    yield ("Pages found:", *(part for n, page in enumerate(three) for part in (f"\n{n}: ", page)))
    yield ("Page 1: ", three[1])
    cut = None
    while cut is None:
        one = rng.choice(opened)
        cut = some_words(rng, one.page, 120)
    yield ("The region: ", shown.add(one.zoomed(cut[0], 64).image))
    yield ("There is no action in this turn.",)


def played(reply: Callable[[list[Episode]], list[str]], shown: Shown, opened: Sequence[Opened], count: int) -> float:
    """Seconds an episode, so many at once."""
    episodes = [conversation(n, []) for n in range(count)]
    told = [list(turns(Random(n), shown, opened)) for n in range(count)]
    start = time.monotonic()
    for turn in range(5):
        for episode, contents in zip(episodes, told, strict=True):
            episode.messages.append(Message(Role.USER, contents[turn]))
        for episode, said in zip(episodes, reply(episodes), strict=True):
            episode.messages.append(Message(Role.ASSISTANT, (said,)))
    return (time.monotonic() - start) / count


class Peer:
    """Transformers' generate on the whole conversation, before every turn."""

    def __init__(self, model: Path, shown: Shown) -> None:
        self._model: Any = AutoModelForImageTextToText.from_pretrained(model)
        self._encoder = Encoder.of(model)
        self._shown = shown

    @torch.inference_mode()
    def __call__(self, episodes: list[Episode]) -> list[str]:
        return [self._one(episode) for episode in episodes]

    def _one(self, episode: Episode) -> str:
        told = [(message.role.value, message.content) for message in episode.messages]
        pictures = [part for message in episode.messages for part in message.content if isinstance(part, Picture)]
        looked = [self._encoder.look(self._shown(picture)) for picture in pictures]
        text = self._encoder.write(told, begin_turn=True)
        ids = torch.tensor([self._encoder.ids(text, [self._encoder.squares(one) for one in looked])])
        given: dict[str, Any] = {"input_ids": ids, "mm_token_type_ids": (ids == self._encoder.image).int()}
        if looked:
            given["pixel_values"] = torch.cat([one.pixels for one in looked])
            given["image_grid_thw"] = torch.stack([one.grid for one in looked])
        made = self._model.generate(
            **given, max_new_tokens=TURN_TOKENS, do_sample=False, eos_token_id=self._encoder.end, pad_token_id=0
        )
        said: str = self._encoder.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        return said.replace("<|", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    model = parser.parse_args().model
    shown = Shown()
    opened = [open_page(page) for page in pages.family(SEED, 0)]
    figures = writing(TransformersPolicy.of(model, shown, PROTOCOL), shown, opened)
    agent = PROTOCOL.model_copy(update={"turn_tokens": TURN_TOKENS})

    def ours(episodes: list[Episode]) -> list[str]:
        return [reply.text for reply in policy.reply(episodes) if isinstance(reply, Reply)]

    seconds, peer = [], []
    for _ in range(3):
        policy = TransformersPolicy.of(model, shown, agent)
        seconds.append(played(ours, shown, opened, TOGETHER))
        peer.append(played(Peer(model, shown), shown, opened, 2))
    figures |= {"episode_s": median(seconds), "peer_episode_s": median(peer)}
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    table(
        "The nano model, on all cores",
        [
            ("", "measured", "wanted"),
            ("writing, sixteen at once", f"{figures['tokens_a_second']:.0f} tokens/s", ">= 300"),
            ("an episode of five turns, four pages and a crop", f"{figures['episode_s']:.2f} s", "< 1 s"),
            ("transformers' generate, one after the other", f"{figures['peer_episode_s']:.2f} s", ""),
            ("memory at its worst", f"{figures['peak_mb']:.0f} MB", "< 1500"),
        ],
    )
    save("nano", figures)


if __name__ == "__main__":
    main()
