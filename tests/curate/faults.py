"""What a teacher is known to have got wrong in its episodes, against what the filters say of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from unidoc_rl.agent.scripted import NOT_ANSWERABLE
from unidoc_rl.curate.filters import answer_in_question
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Answer, AnswerFormat, Question, Trajectory

PRECISION = 0.98
RECALL = 0.95
LEAST = 10  # episodes with a fault of a kind, of which less than all may be told
ASTRAY = "astray"  # not made, but met: its pages were not found, and it says that there is no answer


class Told(NamedTuple):
    """Of an episode."""

    fault: str  # that is in it; empty where there is none
    reason: str | None  # the filter that it does not pass


def answered_by_numbers(asked: Sequence[Question]) -> list[Question]:
    """These, with a candidate's number for an answer wherever that can be asked: who names a page has not told it."""
    numbers = range(AgentParams().candidates)
    answered = (
        replace(one, answer=str(numbers[n % len(numbers)]), answer_format=AnswerFormat.INT) if one.evidence else one
        for n, one in enumerate(asked)
    )
    return [one if answer_in_question(other) else other for one, other in zip(asked, answered, strict=True)]


def otherwise(question: Question) -> Question:
    """With its answer as one may write it too, where there is another way."""
    match question.answer_format:
        case AnswerFormat.INT:
            answer = f"{int(question.answer):,}"
        case AnswerFormat.FLOAT:
            answer = f"{question.answer}0"
        case AnswerFormat.LIST:
            answer = ", ".join(reversed(question.answer.split(", ")))
        case _:
            answer = question.answer
    return replace(question, answer=answer)


def told(one: Trajectory, made: str, reason: str | None) -> Told:
    """`made`: the fault that its teacher made; empty where it made none."""
    astray = one.question.evidence and one.turns and one.turns[-1].said.action == Answer(NOT_ANSWERABLE)
    return Told(made or (ASTRAY if astray else ""), reason)


def assert_told_apart(episodes: Sequence[Told], filters: Mapping[str, Collection[str]]) -> None:
    """Nearly all faults are found, kind by kind, by filters that may name them; and no filter finds much else.

    `filters`: by the kind of fault. Whoever makes one may go astray too.
    """
    for kind, names in filters.items():
        found = [one.reason for one in episodes if one.fault == kind]
        assert len(found) >= LEAST, kind
        assert _share([reason is not None for reason in found]) >= RECALL, kind
        assert {*found} - {None} <= {*names, "wrong_answer"}, kind
    for name in {one.reason for one in episodes}:  # None among them, where there is to be no fault
        right = [bool(one.fault) is (name is not None) for one in episodes if one.reason == name]
        assert _share(right) >= PRECISION, name


def _share(told: Sequence[bool]) -> float:
    return sum(told) / len(told)
