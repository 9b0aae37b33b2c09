"""The teacher behind its endpoint, whether it writes questions or plays them, and the judge beside it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from urllib.parse import urldefrag

from unidoc_rl import provenance
from unidoc_rl.agent.endpoint import Endpoint
from unidoc_rl.agent.hearing import AT_ONCE
from unidoc_rl.agent.judge import address_of, open_judge
from unidoc_rl.agent.judging import Judge
from unidoc_rl.agent.kept import Kept, for_later_runs
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.corpus import PAGES
from unidoc_rl.curate import steps, writing
from unidoc_rl.curate.asking import Asking, cost
from unidoc_rl.curate.layout import Layout
from unidoc_rl.curate.shown import Shown
from unidoc_rl.curate.teacher import Teacher
from unidoc_rl.curate.writing import Writer
from unidoc_rl.params import Params
from unidoc_rl.retry import Pace
from unidoc_rl.types import Searcher

USED = "used"  # the folder that tells what the replies cost that a result is made of
NO_LIMITS: tuple[Pace | None, int] = (None, AT_ONCE)  # of its own, for who is asked at another address
SECONDS = 300  # that an endpoint may compute for a reply
TRIES = 10  # some minutes, in which it may be started anew


class Teaching:
    def __init__(self, corpus: Path, pictures: Pictures, work: Path, params: Params) -> None:
        address, model = urldefrag(str(params.curate.teacher))
        self._address = address
        self._pace = Pace(params.curate.per_minute)
        self._endpoint = Endpoint(address, model or None, seconds=SECONDS, tries=TRIES, pace=self._pace)
        self._corpus = provenance.identity(corpus / PAGES)
        self.layout = Layout(corpus)
        self._shown = Shown(pictures, self.layout)
        self._used = Kept(work / USED)
        self._params = params

    def player(self) -> Teacher:
        return Teacher(self._asking(steps.RULES), self._shown, self.layout, self._params.agent)

    def writer(self, search: Searcher, judge: Judge) -> Writer:
        return Writer(self._asking(writing.RULES), self._shown, self.layout, search, judge)

    def judge(self) -> Judge:
        """Of answers."""
        named = self._params.rewards.judge
        return open_judge(named, *self.limits(address_of(named)))

    def limits(self, address: str) -> tuple[Pace | None, int]:
        """How often and how much who is there is asked: whoever is at the teacher's address shares its limits."""
        if urldefrag(address).url.rstrip("/") != self._address.rstrip("/"):
            return NO_LIMITS
        return self._pace, self._params.curate.at_once

    def cost(self) -> dict[str, int]:
        return asdict(cost(self._used))

    def _asking(self, rules: str) -> Asking:
        return Asking(
            self._endpoint,
            rules,
            self._shown.jpeg,
            for_later_runs(),
            self._used,
            corpus=self._corpus,
            seed=self._params.curate.seed,
        )
