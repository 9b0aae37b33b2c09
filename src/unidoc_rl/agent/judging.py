"""What a judge of answers is, whoever it may be: rules, or a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from unidoc_rl.types import Question


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer is worth, from 0 (wrong) to 1 (right); None where the judge could not say: never a guess."""

    value: float | None
    reason: str  # in words; kept beside the scores, or as the episode's failure
    refuses: bool | None = None  # whether the answer says that there is none, where the judge has looked for that
    away: bool = False  # it could not be asked: it may say something another time


def not_judged(reason: str, *, away: bool) -> Verdict:
    return Verdict(None, f"not judged: {reason}", away=away)


class Judge(Protocol):
    """Compares answers with their questions' references: one verdict for each, in their order."""

    def __call__(self, asked: Sequence[tuple[Question, str]]) -> list[Verdict]: ...
