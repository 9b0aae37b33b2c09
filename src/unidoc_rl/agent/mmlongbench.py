"""MMLongBench-Doc's own scoring of answers, for numbers that can be held against its published ones.

An answer is compared by the format of its reference, with partial credit for texts that are nearly the same (ANLS). The
published protocol lets a model pull the answer out of a longer text first: `extraction.py`. Without a model, an answer
that says in whatever words that there is none becomes the protocol's own two words; every other one, and one that is
the reference itself, is taken as it is.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

from unidoc_rl.agent.judging import Verdict
from unidoc_rl.agent.readings import plain
from unidoc_rl.agent.rules import says_there_is_none
from unidoc_rl.edits import edits
from unidoc_rl.types import AnswerFormat, Question

NAME = "mmlongbench"
NOT_ANSWERABLE = "Not answerable"
_SHOWN = 200  # characters of an answer that are told
_NEAR = 0.5  # likeness that is no more than this counts for nothing
_TOLERANCE = 0.01  # of a number with decimals, of the larger one
_PARENTHESES = re.compile(r"\s*\([^)]*\)")
_QUOTE = re.compile(r"^['\"]|['\"]$")
_EXACT = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r".*https://.*",
        r".*(?:\.py|ipynb)",
        r"page.*",
        r"\d+(?:[-\s]\d+)?",  # a telephone number, or any number
        r".*[ap]\.m\..*",
        r"\d{4}[-\s]\d{2}(?:[-\s]\d{2})?",
        r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}",
    )
]


def by_protocol(asked: Sequence[tuple[Question, str]]) -> list[Verdict]:
    """A `judging.Judge`."""
    return [verdict(question, _short(question, answer)) for question, answer in asked]


def _short(question: Question, answer: str) -> str:
    """Of a reference such as "Don't know", the same words are no refusal."""
    is_text = question.answer_format is not AnswerFormat.NONE and plain(question.answer) != plain(NOT_ANSWERABLE)
    if is_text and plain(answer) == plain(question.answer):
        return answer
    return NOT_ANSWERABLE if says_there_is_none(question, answer) else answer


def verdict(question: Question, answer: str) -> Verdict:
    """Of a short answer."""
    form = question.answer_format
    value = worth(form, question.answer, answer)
    reason = f"by MMLongBench-Doc's protocol, as {form.value}: {value:.2f} for {answer[:_SHOWN]}"
    return Verdict(value, reason, refuses=answer == NOT_ANSWERABLE)


def worth(form: AnswerFormat, reference: str, answer: str) -> float:
    """What an answer is worth, from 0 to 1."""
    match form:
        case AnswerFormat.INT:
            return float(_same_integer(reference, answer))
        case AnswerFormat.FLOAT:
            return float(_same_float(_clean(reference), _clean(answer)))
        case AnswerFormat.LIST:
            return _same_list(_items(reference), _items(answer))
        case AnswerFormat.STR | AnswerFormat.NONE:
            true, told = _clean(reference), _clean(answer)
            return float(true == told) if _must_be_exact(true) else likeness(true, told)


def likeness(true: str, told: str) -> float:
    """ANLS of one pair: 1 less the share of letters that must be changed; 0 where that is half of them or more."""
    longest = max(len(true.upper()), len(told.upper()))  # as the authors count: ß is two letters
    alike = 1 - (edits(true, told) / longest if longest else 0.0)
    return alike if alike > _NEAR else 0.0


def _same_integer(reference: str, answer: str) -> bool:
    """Decimals of the answer are cut off; those of the reference are none."""
    try:
        return int(reference) == int(float(answer))
    except (ValueError, OverflowError):
        return False


def _same_float(reference: str, answer: str) -> bool:
    """Within a hundredth; a percentage may be a fraction, and the other way round."""
    try:
        true, told = float(reference), float(answer)
    except ValueError:
        return False
    return any(_close(one, told) for one in (true / 100, true, true * 100))


def _close(true: float, told: float) -> bool:
    places = max(min(_decimals(true), _decimals(told)), 2)
    return math.isclose(true, told, rel_tol=_TOLERANCE) or round(true, places) == round(told, places)


def _decimals(number: float) -> int:
    """As they are written; 3, where there is no point."""
    _, point, decimals = str(number).partition(".")
    return len(decimals) if point else 3


def _same_list(true: Sequence[Any], told: Sequence[Any]) -> float:
    """Of lists of one length, in the order of the alphabet: the worst pair counts."""
    if not true or len(true) != len(told):
        return 0.0
    wanted, given = (sorted(_clean(item) for item in items) for items in (true, told))
    if _is_number(wanted[0]) or _must_be_exact(wanted[0]):
        return float("-".join(wanted) == "-".join(given))
    return min(likeness(one, other) for one, other in zip(wanted, given, strict=True))


def _items(text: str) -> Sequence[Any]:
    """Of a list as Python writes it; any other text is one item."""
    if not text.startswith("["):
        return [text]
    try:
        read = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return [text]
    return read if isinstance(read, list) else [read]


def _clean(item: object) -> str:
    text = _PARENTHESES.sub("", str(item).lower().strip()).strip()
    text = _QUOTE.sub("", text).strip()
    return text.lstrip("$").strip().rstrip("%").strip()


def _must_be_exact(text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in _EXACT)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
