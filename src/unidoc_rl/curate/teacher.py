"""A teacher that plays: a vision model behind an endpoint, led through each episode step by step.

It writes a query; compares the candidates page by page and keeps one; finds the evidence among the regions of the page;
says, at the resolution that the agent sees, whether zooming would help, and if not, says so again at full resolution;
reads, and answers or searches again. What it replies becomes turns in the agent's dialect; where it cannot be
understood, the episode is given up, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from weakref import WeakKeyDictionary, proxy

from unidoc_rl.agent.dialect import write
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.policy import Failed, written
from unidoc_rl.agent.scripted import NOT_ANSWERABLE, zoom
from unidoc_rl.curate import steps
from unidoc_rl.curate.asking import Asking, Unreadable
from unidoc_rl.curate.layout import Layout
from unidoc_rl.curate.shown import Shown
from unidoc_rl.errors import Away
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Answer, Outcome, Picture, Reply, Said, Search, Select

ROUNDS = 3  # searches at most


class Teacher:
    """A `policy.Policy`, for any number of threads."""

    def __init__(self, asking: Asking, shown: Shown, layout: Layout, params: AgentParams) -> None:
        self.name = asking.model
        self._asking = asking
        self._shown = shown
        self._layout = layout
        self._params = params
        self._scripts: WeakKeyDictionary[Episode, Iterator[Said]] = WeakKeyDictionary()

    def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
        return [self._next(episode) for episode in episodes]

    def _next(self, episode: Episode) -> Reply | Failed:
        if episode not in self._scripts:  # a script that held its episode would keep it for ever
            self._scripts[episode] = self._script(proxy(episode))
        start = time.monotonic()
        try:
            said = next(self._scripts[episode])
        except Unreadable as error:
            return Failed(Outcome.GAVE_UP, str(error))
        except Away as error:
            return Failed(Outcome.VOID, str(error))
        return written(write(said), episode, self._params, time.monotonic() - start)

    def _script(self, episode: Episode) -> Iterator[Said]:
        known, sample = steps.Known(episode.question.query), episode.sample
        noted = ""
        for left in reversed(range(ROUNDS)):
            wanted = self._asking(steps.search(known), steps.Wanted, sample=sample)
            yield Said(wanted.thought, noted, Search(wanted.query))
            known.searched.append(wanted.query)
            candidates = episode.candidates
            if not candidates:
                raise Unreadable(f"nothing is found for its query: {wanted.query}")
            chosen = self._choice(known, candidates, sample)
            yield Said(_comparison(chosen), "", Select(chosen.number))
            looks = [candidates[chosen.number]]
            if closer := self._closer(known, looks[0], sample):
                yield closer
                looks += [part for part in episode.messages[-1].content if isinstance(part, Picture)]
            learned = self._asking(steps.read(known, looks, last=not left), steps.Learned, sample=sample)
            noted = learned.information
            known.noted.append(noted)
            if learned.answer or not left:
                yield Said(learned.thought, noted, Answer(learned.answer or NOT_ANSWERABLE))
                return

    def _choice(self, known: steps.Known, candidates: Sequence[Picture], sample: int) -> steps.Chosen:
        def wrong(reply: steps.Chosen) -> str:
            compared = {one.number for one in reply.pages}
            if missing := set(range(len(candidates))) - compared:
                return f"page {min(missing)} is not among the pages compared"
            return outside([reply.number, *compared], 0, len(candidates) - 1)

        return self._asking(steps.choose(known, candidates), steps.Chosen, sample=sample, wrong=wrong)

    def _closer(self, known: steps.Known, page: Picture, sample: int) -> Said | None:
        """The turn that zooms in, where that helps."""
        regions = tuple(region.box for region in self._layout.regions(page.page))
        if not regions or "zoom" not in self._params.actions:
            return None

        def wrong(reply: steps.Found) -> str:
            return outside(reply.regions, 1, len(regions))

        numbered = self._shown.numbered(page.page, regions)
        found = self._asking(steps.find(known, numbered), steps.Found, sample=sample, wrong=wrong)
        if not found.regions:
            return None
        closer = self._asking(steps.zoom(known, page), steps.Closer, sample=sample)
        if not closer.zoom:
            full = self._shown.full(page.page)
            closer = self._asking(steps.zoom_after_all(known, page, full), steps.Closer, sample=sample)
        drawn = [regions[number - 1] for number in dict.fromkeys(found.regions)][: self._params.regions]
        return Said(closer.thought, "", zoom(drawn, page, self._params)) if closer.zoom else None


def outside(numbers: Iterable[int], least: int, most: int) -> str:
    """What is wrong with numbers that are to be in this range; nothing, where they are."""
    wrong = next((number for number in numbers if not least <= number <= most), None)
    return "" if wrong is None else f"there is no number {wrong}; they go from {least} to {most}"


def _comparison(chosen: steps.Chosen) -> str:
    compared = [f"Page {one.number}: {one.says.rstrip('.')}." for one in chosen.pages]
    return " ".join([*compared, chosen.thought])
