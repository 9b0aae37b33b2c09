"""The data card: what was curated, counted and drawn, with some of the episodes to look at; one HTML file."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from unidoc_rl import webpage
from unidoc_rl.agent import trajectories
from unidoc_rl.boxes import SCALE
from unidoc_rl.curate import SFT, filters
from unidoc_rl.plural import counted
from unidoc_rl.types import Select, Trajectory, Zoom

FILE = "card.html"
SHOWN = 10  # episodes
ROWS = 10  # at most, of how many tokens were written
_MEANINGS = {
    "void": "its answer could not be judged",
    "gave_up": "the teacher's replies could not be understood",
    "unanswered": "no answer came",
    "wrong_answer": "the answer is wrong",
    "broken_format": "the protocol is not kept",
    "wrong_page": "a page that the answer needs was never kept",
    "missing_zoom": "no zoom, where the print is too small",
    "needless_zoom": "a zoom, where the page reads well",
    "wrong_region": "a zoom beside the evidence",
    "repetition": "the same done or said again and again",
    "too_long": "more turns or tokens than allowed, in all or in a turn",
    "leaked_answer": "the answer was known before it was seen",
    "twin": "word for word another one",
    "too_easy": "the weak policy gets its question right too often",
    "too_hard": "the weak policy gets its question right too seldom",
    "surplus": "too many of its kind, document or position",
}
_DROPPED = {
    "too_vague": "its page cannot be found by it",
    "known_without": "it is answered without its page",
    "one_is_enough": "one of its two pages alone gives its answer",
    "not_confirmed": "its evidence alone does not give its answer",
    "answered": "a page that it finds answers it, and none was to",
    "given_up": "the replies of the teacher, or of the judge, could not be understood",
    "away": "an endpoint was away: a later run writes it",
    "twin": "another one asks the same",
    "validation": "to try a policy on, about documents of their own",
    "test": "to evaluate it with, likewise",
}
_TABLES = (
    "kind",
    "evidence",
    "turns",
    "action",
    "place of the right page",
    "place chosen",
    "size of a region",
    "tokens written",
)
_AREAS = ((2, "< 2 % of the page"), (10, "2–10 %"), (30, "10–30 %"), (101, "> 30 %"))


class Counts:
    """What the kept trajectories are like, counted as they come by."""

    def __init__(self) -> None:
        self.tables: dict[str, Counter[str]] = {name: Counter() for name in _TABLES}

    def add(self, one: Trajectory) -> None:
        known = filters.traits(one)
        self.tables["kind"][known.kind or "not said"] += 1
        self.tables["evidence"][one.question.source_type or "not said"] += 1
        self.tables["turns"][str(len(one.turns))] += 1
        if known.position is not None:
            self.tables["place of the right page"][str(known.position)] += 1
        self.tables["tokens written"][str(sum(turn.reply.tokens for turn in one.turns))] += 1
        for turn in one.turns:
            self.tables["action"][type(turn.said.action).__name__.lower()] += 1
            if isinstance(turn.said.action, Select):
                self.tables["place chosen"][str(turn.said.action.number)] += 1
            if isinstance(turn.said.action, Zoom):
                for box in (box for picture in trajectories.pictures_of(turn) for box in picture.boxes):
                    share = 100 * (box.x2 - box.x1) * (box.y2 - box.y1) / SCALE**2
                    self.tables["size of a region"][next(name for most, name in _AREAS if share < most)] += 1


def write(folder: Path, corpus: Path, report: Mapping[str, Any], seed: int) -> None:
    """The card of the folder that the stage has made so far."""
    counts, rng = Counts(), random.Random(seed)
    some: list[Trajectory] = []  # each has the same chance to be among them
    for number, one in enumerate(trajectories.read(folder / SFT), start=1):
        counts.add(one)
        if len(some) < SHOWN:
            some.append(one)
        elif (place := rng.randrange(number)) < SHOWN:
            some[place] = one
    summary = (
        f"{report['sft']:,} trajectories to imitate and {report['rl']:,} questions to learn from by rewards, out of "
        f"{report['questions']:,} questions played {report['played']:,} times"
    )
    difficulty = Counter(f"{share:.0%}" for share in report["rated"].values())
    tables = {**counts.tables, "right, of the weak policy's plays": difficulty}
    body = [
        f"<h1>Trajectories</h1><p>{summary}</p>",
        f"<h2>Through the filters</h2><table>{webpage.bars(_funnel(report), report['played'])}</table>{_idle(report)}",
        f"<h2>What is kept</h2>{webpage.charts((name, _counted(name, one)) for name, one in tables.items())}",
    ]
    if report["written"]:
        bars = webpage.bars(_dropped(report["written"]), report["written"]["written"])
        body.insert(1, f"<h2>Questions that the teacher wrote</h2><table>{bars}</table>")
    if report["cost"]:
        cost = "{requests:,} requests, {prompt_tokens:,} tokens read and {completion_tokens:,} written"
        body.insert(1, f"<p>The teacher: {cost.format(**report['cost'])}</p>")
    if report["left_out"]:
        body.append(f"<h2>Questions that cannot be played</h2>{webpage.listed(report['left_out'].items())}")
    body.append(f"<h2>Some of them, drawn by chance</h2>{webpage.episodes(some, corpus)}")
    (folder / FILE).write_text(webpage.page("Trajectories", "".join(body)), encoding="utf-8")


def _funnel(report: Mapping[str, Any]) -> Iterator[tuple[str, str, float, str]]:
    left = report["played"]
    yield "played", "", left, f"{left:,}"
    for name in filters.REASONS:
        if less := report["rejected"][name]:
            left -= less
            yield f"− {less:,} {name}", _MEANINGS[name], left, f"{left:,}"


def _idle(report: Mapping[str, Any]) -> str:
    idle = [(name, _MEANINGS[name]) for name in filters.REASONS if not report["rejected"][name]]
    said = f"{counted(len(idle), 'filter')}, by which nothing was left out"
    return webpage.hidden(said, webpage.listed(idle)) if idle else ""


def _dropped(written: Mapping[str, int]) -> Iterator[tuple[str, str, float, str]]:
    left = written["written"]
    yield "written", "", left, f"{left:,}"
    for name, less in written.items():
        if name in _DROPPED and less:
            left -= less
            yield f"− {less:,} {name}", _DROPPED[name], left, f"{left:,}"


def _counted(name: str, counted: Counter[str]) -> str:
    rows = counted.most_common() if name in ("kind", "evidence", "action") else sorted(counted.items(), key=_numbers)
    if name == "tokens written" and counted:
        rows = list(_spread({int(tokens): count for tokens, count in rows}))
    return webpage.bars(
        ((key, "", many, f"{many:,}") for key, many in rows), max((many for _, many in rows), default=1)
    )


def _numbers(row: tuple[str, int]) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", row[0])]


def _spread(counts: Mapping[int, int]) -> Iterator[tuple[str, int]]:
    """Over ranges as wide as each other, few enough to be looked at."""
    least, most = min(counts), max(counts)
    widths = (factor * 10**power for power in count(1) for factor in (1, 2, 5))
    width = next(one for one in widths if most // one - least // one < ROWS)
    for start in range(least // width * width, most + 1, width):
        yield f"{start:,}–{start + width - 1:,}", sum(counts.get(tokens, 0) for tokens in range(start, start + width))
