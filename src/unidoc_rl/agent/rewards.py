"""What an episode earns: a reward for every decision, and what they make together.

Each part is in [0, 1]. A part is left out, and the others weigh the more, by what is not known about the question,
never by what the agent did: of a question without gold pages (the documents do not say, or nobody has said where),
only its answer and its format can be judged.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from statistics import fmean

import numpy as np

from unidoc_rl.agent.judging import Judge, Verdict
from unidoc_rl.agent.trajectories import answer_of, pictures_of
from unidoc_rl.params import RewardParams
from unidoc_rl.questions import gold_pages, gold_regions
from unidoc_rl.types import Box, Outcome, Picture, Scores, Search, Select, Trajectory, Zoom

_VRAG = {"answer": 0.7, "search": 0.2, "format": 0.1}  # VRAG-RL's own
JUDGED = 256  # trajectories at once
_NO_ANSWER = Verdict(0.0, "there is no answer")


def score(trajectories: Sequence[Trajectory], params: RewardParams, judge: Judge) -> list[Trajectory]:
    """The trajectories with their scores; one whose answer could not be judged is void, and void ones have none."""
    asked = {
        at: answer
        for at, trajectory in enumerate(trajectories)
        if trajectory.outcome is not Outcome.VOID and (answer := answer_of(trajectory)) is not None
    }
    told = judge([(trajectories[at].question, answer) for at, answer in asked.items()])
    verdicts = dict(zip(asked, told, strict=True))
    return [_scored(trajectory, verdicts.get(at, _NO_ANSWER), params) for at, trajectory in enumerate(trajectories)]


def scored(played: Iterable[Trajectory], params: RewardParams, judge: Judge) -> Iterator[Trajectory]:
    """Likewise, as they come: some are judged at once, and no more are held."""
    coming = iter(played)
    while some := list(islice(coming, JUDGED)):
        yield from score(some, params, judge)


def searched(trajectory: Trajectory) -> float:
    """How early the gold pages were shown: NDCG of every search's first page, then every second, then every third.

    The ideal list begins with all gold pages, however few were shown: who finds one of two is not done.
    """
    return _ndcg(chain.from_iterable(zip_longest(*_shown(trajectory))), gold_pages(trajectory.question))


def searched_in_turn(trajectory: Trajectory) -> float:
    """VRAG-RL's: likewise, of the pages in the order in which they were shown."""
    return _ndcg(chain.from_iterable(_shown(trajectory)), gold_pages(trajectory.question))


def selected(trajectory: Trajectory) -> float:
    """The share of searches that ended with the right page: the first gold one that they showed, or else the first."""
    gold = gold_pages(trajectory.question)
    return _mean(
        float(search.selected == next((page for page in search.candidates if page in gold), search.candidates[0]))
        for search in _searches(trajectory)
    )


def zoomed(trajectory: Trajectory) -> float:
    """Whether regions were drawn where they had to be and nowhere else, as a mean over the pages that were looked at.

    Gold pages of which nobody has said whether they need it do not count, and who looked at nothing else did nothing
    wrong.
    """
    pages = zoomed_by_page(trajectory)
    values = [value for value in pages.values() if value is not None]
    return fmean(values) if values else float(bool(pages))


def zoomed_by_page(trajectory: Trajectory) -> dict[str, float | None]:
    """Likewise, of each page that was looked at; None where nobody has said whether it is needed there.

    Those are the pages that a search ended with, and those that were zoomed into; a page that stood first until another
    was selected is none.
    """
    regions = gold_regions(trajectory.question)
    drawn: dict[str, list[Box]] = {search.selected: [] for search in _searches(trajectory)}
    for picture in (picture for action, shown in _acts(trajectory) if isinstance(action, Zoom) for picture in shown):
        drawn.setdefault(picture.page, []).extend(picture.boxes)
    values: dict[str, float | None] = {}
    for page, boxes in drawn.items():
        wanted = regions.get(page, ())
        values[page] = None if wanted is None else _f1(boxes, wanted)
    return values


def kept_format(trajectory: Trajectory, looking: Sequence[type[object]] = (Search, Select)) -> float:
    """1 where search, select, information and answer all occur, half where only the answer is missing."""
    actions = [turn.said.action for turn in trajectory.turns]
    looked = all(any(isinstance(action, kind) for action in actions) for kind in looking)
    if not looked or not any(turn.said.information.strip() for turn in trajectory.turns):
        return 0.0
    return 0.5 if answer_of(trajectory) is None else 1.0


# --- parts to a total -------------------------------------------------------------------------------------------------


def _scored(trajectory: Trajectory, verdict: Verdict, params: RewardParams) -> Trajectory:
    if trajectory.outcome is Outcome.VOID:
        return trajectory
    if verdict.value is None:
        failure = f"the answer could not be judged: {verdict.reason}"
        return replace(trajectory, outcome=Outcome.VOID, failure=failure, scores=None)
    parts = _parts(trajectory, verdict.value, params)
    total = math.fsum(contributions(parts, params).values())
    return replace(trajectory, scores=Scores(total, parts, verdict.reason, verdict.refuses))


def _parts(trajectory: Trajectory, answer: float, params: RewardParams) -> dict[str, float]:
    """What counts in this set of rewards, of this question."""
    parts = {"answer": answer}
    if params.of == "outcome":
        return parts
    if gold_pages(trajectory.question):
        if params.of == "vrag":
            parts["search"] = searched_in_turn(trajectory)
        else:
            parts |= {"search": searched(trajectory), "select": selected(trajectory), "region": zoomed(trajectory)}
    looking = (Search,) if params.of == "vrag" else (Search, Select)  # VRAG-RL's agents cannot select
    return parts | {"format": kept_format(trajectory, looking)}


def contributions(parts: Mapping[str, float], params: RewardParams) -> dict[str, float]:
    """What each part adds to the total: the mean of the parts by their weights, shared out."""
    if params.of == "outcome":
        return dict(parts)
    weights = _VRAG if params.of == "vrag" else {name: getattr(params, name) for name in parts}
    whole = sum(weights[name] for name in parts)
    if not parts["format"] or not whole:
        return dict.fromkeys(parts, 0.0)
    all_count = params.of != "gated" or parts["answer"] >= params.threshold
    return {
        name: weights[name] * value / whole if all_count or name == "answer" else 0.0 for name, value in parts.items()
    }


# --- what happened in an episode --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Search:
    """A search that found something; pages by their ids."""

    candidates: tuple[str, ...]
    selected: str  # in the end


def _acts(trajectory: Trajectory) -> list[tuple[object, tuple[Picture, ...]]]:
    """Every action with the pictures that it brought."""
    return [(turn.said.action, tuple(pictures_of(turn))) for turn in trajectory.turns]


def _searches(trajectory: Trajectory) -> list[_Search]:
    searches: list[_Search] = []
    for action, shown in _acts(trajectory):
        if isinstance(action, Search) and shown:
            searches.append(_Search(tuple(picture.page for picture in shown), shown[0].page))
        elif isinstance(action, Select) and shown and searches:
            searches[-1] = replace(searches[-1], selected=shown[0].page)
    return searches


def _shown(trajectory: Trajectory) -> list[tuple[str, ...]]:
    return [search.candidates for search in _searches(trajectory)]


# --- measures ---------------------------------------------------------------------------------------------------------


def _mean(values: Iterable[float]) -> float:
    """0 of none: what was never done was not done right."""
    listed = list(values)
    return fmean(listed) if listed else 0.0


def _ndcg(pages: Iterable[str | None], gold: Collection[str]) -> float:
    """Of a list in which None is no page, and a page counts where it stands first; 0 where nothing is gold."""
    once = (page for page in dict.fromkeys(pages) if page is not None)
    found = sum(1 / math.log2(rank + 1) for rank, page in enumerate(once, start=1) if page in gold)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, len(gold) + 1))
    return found / ideal if gold else 0.0


def _f1(drawn: Sequence[Box], wanted: Sequence[Box]) -> float:
    if not wanted:
        return float(not drawn)
    return 2 * _hits(drawn, wanted) / (len(drawn) + len(wanted))


def _hits(drawn: Sequence[Box], wanted: Sequence[Box]) -> int:
    """How many boxes can be paired off, one with one, with an IoU of a half or more."""
    others = np.array(wanted)
    overlaps = [_overlaps(box, others) for box in drawn]
    owner: dict[int, int] = {}  # of a wanted box: the drawn one that it is paired with
    partner: dict[int, int] = {}  # the other way round
    free = useful = (1 << len(wanted)) - 1  # sets of wanted boxes, as bits
    for start in range(len(drawn)):
        reached = 0
        came_from: dict[int, int] = {}
        waiting = [start]
        for box in waiting:
            if open_ := overlaps[box] & free:
                free ^= open_ & -open_
                _pair(box, _lowest(open_), owner, partner, came_from)
                break
            new = overlaps[box] & useful & ~reached
            reached |= new
            while new:
                taken = _lowest(new)
                new &= new - 1
                came_from[taken] = box
                waiting.append(owner[taken])
        else:
            useful &= ~reached  # no pair more can be made over these: nobody need go there again
    return len(owner)


def _pair(box: int, region: int, owner: dict[int, int], partner: dict[int, int], came_from: Mapping[int, int]) -> None:
    """Pairs the box, and gives what it was paired with to the one that asked for it, back to the first of them."""
    while True:
        before = partner.get(box)
        owner[region], partner[box] = box, region
        if before is None:
            return
        region, box = before, came_from[before]


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _overlaps(box: Box, others: np.typing.NDArray[np.int64]) -> int:
    """With which of the others the box has an IoU of a half or more, as bits."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box.x2 - box.x1) * (box.y2 - box.y1)
    enough = (common > 0) & (2 * common >= areas - common)
    return int.from_bytes(np.packbits(enough, bitorder="little").tobytes(), "little")
