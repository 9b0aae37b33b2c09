"""What is measured of episodes: accuracy, and why the rest of them went wrong; each number with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from unidoc_rl.agent.rewards import kept_format, searched, selected, zoomed, zoomed_by_page
from unidoc_rl.agent.rules import is_answerable, says_there_is_none
from unidoc_rl.agent.trajectories import answer_of, pictures_of
from unidoc_rl.intervals import Measured, mean, share
from unidoc_rl.params import ActionName, EvaluateParams
from unidoc_rl.questions import gold_pages, gold_regions
from unidoc_rl.types import Box, Outcome, Search, Select, Trajectory, Zoom

RIGHT = 1.0  # what an answer is worth that counts as right


class Cause(StrEnum):
    """Why an answer is not right: the first thing on the way that went wrong."""

    GAVE_UP = "gave up"  # no answer came, or that there is none
    NOT_FOUND = "not found"  # a page that it needs was never shown
    WRONG_PAGE = "wrong page"  # it was shown, and another one kept
    WRONG_REGION = "wrong region"  # it was kept, and looked at in the wrong place
    MISREAD = "misread"  # all of it was seen, and the answer is wrong
    INVENTED = "invented"  # the documents do not say it


@dataclass(frozen=True, slots=True)
class Row:
    """What one episode comes to: light enough to hold thousands of them."""

    uid: str
    kind: str
    source: str
    hops: int
    value: float  # of the answer; what is void has none, and no row
    cause: Cause | None  # None: it is right
    outcome: Outcome
    figures: Mapping[str, float]  # by the names in FIGURES, as far as they can be said
    answered_none: bool  # it said that the documents do not say
    answerable: bool


FIGURES = {
    "reward": "what its episodes earn",
    "recall": "share of the gold pages that were shown",
    "ndcg": "how early they were shown",
    "first_gold_rank": "the first of them among all pages shown, where there is one",
    "select": "share of searches that ended with the right page",
    "region": "F1 of the regions drawn, or rightly not drawn",
    "region_iou": "what they have in common with the gold ones, where one must zoom",
    "format": "search, select, information and answer all occur",
    "turns": "",
    "searches": "",
    "zooms": "",
    "pictures": "that were shown",
    "tokens": "that the policy wrote",
    "context": "tokens of all that was read and written",
    "seconds": "",
    "cost": "at evaluate.price_read and evaluate.price_written",
}
SHARES = frozenset(("reward", "recall", "ndcg", "select", "region", "region_iou", "format"))  # figures from 0 to 1
ALL_ACTIONS: frozenset[ActionName] = frozenset(("search", "select", "zoom", "answer"))
_UNPRICED = EvaluateParams()


@dataclass(slots=True)
class Evaluation:
    accuracy: Measured
    f1: Measured
    by: Mapping[str, Mapping[str, Measured]]  # accuracy by kind, source and hops
    figures: Mapping[str, Measured]
    outcomes: Mapping[str, int]
    causes: Mapping[str, int]
    refusals: Mapping[str, Measured]  # how often it is right to say that there is no answer, and how often it does
    void: int = 0
    actions: Sequence[ActionName] = ()  # that its protocol allowed
    rows: Sequence[Row] = field(default_factory=list)


def row_of(
    one: Trajectory, actions: Collection[ActionName] = ALL_ACTIONS, params: EvaluateParams = _UNPRICED
) -> Row | None:
    """None of a void episode. `actions`: those that its protocol allowed; `params` has the prices."""
    if one.outcome is Outcome.VOID or one.scores is None:
        return None
    question, value = one.question, one.scores.parts["answer"]
    figures = {**_effort(one), **_seeing(one, actions)}
    if params.price_read or params.price_written:
        figures["cost"] = _cost(one, params)
    if {*actions} >= ALL_ACTIONS:  # an episode that may not do all of it cannot earn all of it
        figures["reward"] = one.scores.total
    return Row(
        uid=question.uid,
        kind=question.kind,
        source=question.source_type,
        hops=len(gold_pages(question)),
        value=value,
        cause=None if value >= RIGHT else cause(one, actions),
        outcome=one.outcome,
        figures={name: float(figure) for name, figure in figures.items()},
        answered_none=_refuses(one),
        answerable=is_answerable(question),
    )


def _effort(one: Trajectory) -> dict[str, float]:
    actions = Counter(type(turn.said.action) for turn in one.turns)
    return {
        "turns": len(one.turns),
        "searches": actions[Search],
        "zooms": actions[Zoom],
        "pictures": sum(len(pictures_of(turn)) for turn in one.turns),
        "tokens": sum(turn.reply.tokens for turn in one.turns),
        "context": max((turn.reply.context for turn in one.turns), default=0),
        "seconds": sum(turn.reply.seconds + turn.seconds for turn in one.turns),
    }


def _cost(one: Trajectory, params: EvaluateParams) -> float:
    """In each turn, all of the conversation is read."""
    replies = [turn.reply for turn in one.turns]
    read, written = sum(reply.context - reply.tokens for reply in replies), sum(reply.tokens for reply in replies)
    return (read * params.price_read + written * params.price_written) / 1_000_000


def _seeing(one: Trajectory, actions: Collection[ActionName]) -> dict[str, float]:
    """How the decisions were made that can be judged: by what is known of the question, and by what was allowed."""
    figures: dict[str, float] = {"format": kept_format(one)} if "select" in actions else {}
    gold, shown = gold_pages(one.question), _shown(one)
    if not gold:
        return figures
    figures |= {"recall": len(set(gold) & set(shown)) / len(gold), "ndcg": searched(one)}
    if found := [rank for rank, page in enumerate(shown, start=1) if page in gold]:
        figures["first_gold_rank"] = found[0]
    if "select" in actions:
        figures["select"] = selected(one)
    if "zoom" in actions and any(regions is not None for regions in gold_regions(one.question).values()):
        figures["region"] = zoomed(one)
        if (overlap := region_iou(one)) is not None:
            figures["region_iou"] = overlap
    return figures


def region_iou(one: Trajectory) -> float | None:
    """Of all that was drawn on a page with all that had to be, as a mean over the pages where one must zoom in."""
    needed = {page: regions for page, regions in gold_regions(one.question).items() if regions}
    drawn: dict[str, list[Box]] = {page: [] for page in needed}
    for picture in (picture for turn in one.turns for picture in pictures_of(turn) if picture.page in needed):
        drawn[picture.page].extend(picture.boxes)
    return fmean(_iou(drawn[page], regions) for page, regions in needed.items()) if needed else None


def _iou(some: Sequence[Box], others: Sequence[Box]) -> float:
    """Over the cells into which all their edges cut the page: they are few."""
    edges = np.array([*some, *others]).reshape(-1, 4)
    across, down = np.unique(edges[:, ::2]), np.unique(edges[:, 1::2])
    areas = np.outer(np.diff(down), np.diff(across))
    one, other = _painted(some, across, down), _painted(others, across, down)
    whole = int(areas[one | other].sum())
    return int(areas[one & other].sum()) / whole if whole else 0.0


def _painted(boxes: Sequence[Box], across: NDArray[np.int64], down: NDArray[np.int64]) -> NDArray[np.bool_]:
    cells = np.zeros((len(down) - 1, len(across) - 1), dtype=np.bool_)
    for box in boxes:
        left, right = np.searchsorted(across, (box.x1, box.x2))
        upper, lower = np.searchsorted(down, (box.y1, box.y2))
        cells[upper:lower, left:right] = True
    return cells


def cause(one: Trajectory, actions: Collection[ActionName] = ALL_ACTIONS) -> Cause:
    """Of an episode whose answer is wrong. Where nothing can be kept, all that was shown is."""
    answer, gold, shown = answer_of(one), set(gold_pages(one.question)), set(_shown(one))
    looked = zoomed_by_page(one)
    if not is_answerable(one.question):
        return Cause.GAVE_UP if answer is None else Cause.INVENTED
    if not gold <= shown:
        return Cause.NOT_FOUND
    if "select" in actions and not gold <= looked.keys() | _selected(one):
        return Cause.WRONG_PAGE
    if answer is None or _refuses(one):
        return Cause.GAVE_UP
    there = [value for page, value in looked.items() if page in gold and value is not None]
    return Cause.WRONG_REGION if "zoom" in actions and any(value < 1 for value in there) else Cause.MISREAD


def _refuses(one: Trajectory) -> bool:
    """It says that the documents do not say: as its judge has read it, or else by rules."""
    if one.scores is not None and one.scores.refuses is not None:
        return one.scores.refuses
    answer = answer_of(one)
    if answer is None or (is_answerable(one.question) and _is_right(one)):
        return False  # whoever is right has answered: "No, it is not included"
    return says_there_is_none(one.question, answer)


def _is_right(one: Trajectory) -> bool:
    return one.scores is not None and one.scores.parts["answer"] >= RIGHT


def _selected(one: Trajectory) -> set[str]:
    """Pages, whatever was selected after them."""
    return {
        shown[0].page for turn in one.turns if isinstance(turn.said.action, Select) and (shown := pictures_of(turn))
    }


def evaluation(rows: Iterable[Row | None], actions: Collection[ActionName] = ()) -> Evaluation:
    listed = list(rows)
    known = sorted((row for row in listed if row is not None), key=lambda row: row.uid)  # however they came to end
    figures = {name: [row.figures[name] for row in known if name in row.figures] for name in FIGURES}
    groups: dict[str, Callable[[Row], list[str]]] = {
        "kind": lambda row: [row.kind or "not said"],
        "source": lambda row: row.source.split(", ") if row.source else ["not said"],
        "hops": lambda row: [str(row.hops)],
    }
    refusals = {
        "of what it calls unanswerable, is so": [not row.answerable for row in known if row.answered_none],
        "of what is unanswerable, it says so": [row.answered_none for row in known if not row.answerable],
    }
    return Evaluation(
        accuracy=share([row.value for row in known]),
        f1=f1(known),
        by={name: _by(known, key) for name, key in groups.items()},
        figures={name: (share if name in SHARES else mean)(values) for name, values in figures.items() if values},
        outcomes=dict(Counter(row.outcome.value for row in known)),
        causes=dict(Counter(row.cause.value for row in known if row.cause).most_common()),
        refusals={name: share(values) for name, values in refusals.items() if values},
        void=len(listed) - len(known),
        actions=sorted(actions),
        rows=known,
    )


def f1(rows: Sequence[Row]) -> Measured:
    """MMLongBench-Doc's: of recall, over what can be answered, and precision, over what was answered.

    With S the worth of all answers to what can be answered, A as many as can be, and P as many as were, it is
    2 S / (A + P).
    """
    counted = [row for row in rows if row.answerable or not row.answered_none]
    return share(
        [2 * row.value * row.answerable for row in counted],
        [row.answerable + (not row.answered_none) for row in counted],
    )


def changed(before: Evaluation, now: Evaluation) -> dict[str, list[str]]:
    """The questions that the second alone is right about, and those that the first alone is."""
    was = {row.uid: row.value >= RIGHT for row in before.rows}
    both = [(row.uid, row.value >= RIGHT) for row in now.rows if row.uid in was]
    return {
        "won": [uid for uid, right in both if right and not was[uid]],
        "lost": [uid for uid, right in both if was[uid] and not right],
    }


def _by(rows: Sequence[Row], groups_of: Callable[[Row], list[str]]) -> dict[str, Measured]:
    groups: dict[str, list[float]] = {}
    for row in rows:
        for group in groups_of(row):
            groups.setdefault(group, []).append(row.value)
    return {name: share(values) for name, values in sorted(groups.items())}


def _shown(one: Trajectory) -> list[str]:
    """Every page that a search showed, in this order, each once."""
    pages = [
        picture.page for turn in one.turns if isinstance(turn.said.action, Search) for picture in pictures_of(turn)
    ]
    return list(dict.fromkeys(pages))
