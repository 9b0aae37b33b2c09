"""What is measured of episodes: accuracy, and why the rest of them went wrong; each number with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from unidoc_rl.agent.rules import says_there_is_none
from unidoc_rl.agent.trajectories import answer_of, pictures_of
from unidoc_rl.intervals import Measured, mean
from unidoc_rl.questions import gold_pages
from unidoc_rl.types import Outcome, Search, Select, Trajectory, Zoom

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


FIGURES = (
    "recall", "first_gold_rank", "reward", "search", "select", "region", "format", "turns", "searches", "zooms",
    "pictures", "tokens", "seconds",
)  # fmt: skip


@dataclass(slots=True)
class Evaluation:
    accuracy: Measured
    by: Mapping[str, Mapping[str, Measured]]  # accuracy by kind, source and hops
    figures: Mapping[str, Measured]
    outcomes: Mapping[str, int]
    causes: Mapping[str, int]
    refusals: Mapping[str, Measured]  # how often it is right to say that there is no answer, and how often it does
    void: int = 0
    rows: Sequence[Row] = field(default_factory=list)


def row_of(one: Trajectory) -> Row | None:
    """None of a void episode."""
    if one.outcome is Outcome.VOID or one.scores is None:
        return None
    gold, question, value = gold_pages(one.question), one.question, one.scores.parts["answer"]
    shown = _shown(one)
    actions = Counter(type(turn.said.action) for turn in one.turns)
    figures = {
        "reward": one.scores.total,
        "turns": len(one.turns),
        "searches": actions[Search],
        "zooms": actions[Zoom],
        "pictures": sum(len(pictures_of(turn)) for turn in one.turns),
        "tokens": sum(turn.reply.tokens for turn in one.turns),
        "seconds": sum(turn.reply.seconds + turn.seconds for turn in one.turns),
        **{name: part for name, part in one.scores.parts.items() if name != "answer"},
    }
    if gold:
        figures["recall"] = len(set(gold) & set(shown)) / len(gold)
        if found := [rank for rank, page in enumerate(shown, start=1) if page in gold]:
            figures["first_gold_rank"] = found[0]
    answer = answer_of(one)
    return Row(
        uid=question.uid,
        kind=question.kind,
        source=question.source_type,
        hops=len(question.evidence),
        value=value,
        cause=None if value >= RIGHT else cause(one),
        outcome=one.outcome,
        figures={name: float(figure) for name, figure in figures.items()},
        answered_none=answer is not None and says_there_is_none(one.question, answer),
        answerable=bool(question.evidence),
    )


def cause(one: Trajectory) -> Cause:
    """Of an episode whose answer is wrong."""
    answer, gold = answer_of(one), set(gold_pages(one.question))
    if not gold:
        return Cause.GAVE_UP if answer is None else Cause.INVENTED
    kept = {
        shown[0].page
        for turn in one.turns
        if isinstance(turn.said.action, (Select, Zoom)) and (shown := pictures_of(turn))
    }
    if not gold <= set(_shown(one)):
        return Cause.NOT_FOUND
    if not gold <= kept:
        return Cause.WRONG_PAGE
    if answer is None or says_there_is_none(one.question, answer):
        return Cause.GAVE_UP
    region = one.scores.parts.get("region", 1.0) if one.scores else 1.0
    return Cause.WRONG_REGION if region < 1 else Cause.MISREAD


def evaluation(rows: Iterable[Row | None]) -> Evaluation:
    listed = list(rows)
    known = [row for row in listed if row is not None]
    figures = {name: [row.figures[name] for row in known if name in row.figures] for name in FIGURES}
    groups: dict[str, Callable[[Row], str]] = {
        "kind": lambda row: row.kind or "not said",
        "source": lambda row: row.source or "not said",
        "hops": lambda row: str(row.hops),
    }
    refusals = {
        "of what it calls unanswerable, is so": [not row.answerable for row in known if row.answered_none],
        "of what is unanswerable, it says so": [row.answered_none for row in known if not row.answerable],
    }
    return Evaluation(
        accuracy=mean([row.value for row in known]),
        by={name: _by(known, key) for name, key in groups.items()},
        figures={name: mean(values) for name, values in figures.items() if values},
        outcomes=dict(Counter(row.outcome.value for row in known)),
        causes=dict(Counter(row.cause.value for row in known if row.cause).most_common()),
        refusals={name: mean(values) for name, values in refusals.items() if values},
        void=len(listed) - len(known),
        rows=known,
    )


def _by(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, Measured]:
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row.value)
    return {name: mean(values) for name, values in sorted(groups.items())}


def _shown(one: Trajectory) -> list[str]:
    """Every page that a search showed, in this order, each once."""
    pages = [
        picture.page for turn in one.turns if isinstance(turn.said.action, Search) for picture in pictures_of(turn)
    ]
    return list(dict.fromkeys(pages))
