"""A judge without a model: right or wrong by rules, 1 or 0 and nothing between.

What the reference is decides how an answer is compared with it: a number, a date, a list, words, or "not answerable".
An answer may be a sentence around the value, but one that names several is wrong, even if the right one is among them:
nobody is to be right by listing what could be. Where a rule cannot be sure, the answer is wrong; a model may know
better. Partial credit, as MMLongBench-Doc's ANLS gives it, would reward being near: likeness only excuses slips here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from fractions import Fraction

from unidoc_rl.agent.judging import Verdict
from unidoc_rl.agent.readings import (
    SIGN,
    Number,
    dates,
    has_unread,
    numbers,
    only_date,
    only_number,
    plain,
    same_date,
    same_number,
    scale_in,
)
from unidoc_rl.edits import edits
from unidoc_rl.types import AnswerFormat, Question

_TOLERANCE = Fraction(1, 100)  # of a number with decimals, as MMLongBench-Doc has it
_ALIKE = 0.85  # of a word's letters (ANLS): a slip in seven; "indirect" is not "direct", "emigration" no immigration
_AROUND = 10  # words that a short answer may have around the reference's

_NOT = r"(?:not|cannot|cant|couldnt|isnt|arent|wasnt|werent|doesnt|dont|didnt|hasnt|havent|unable|impossible)"
_BETWEEN = r"(?: (?:be|been|to|possible|able|explicitly|directly|clearly|specifically|actually|have|any|an?|the|this))*"
_TOLD = (
    r"(?:answer(?:able|ed)?|determined?|f(?:ou|i)nd|known?|available|provided?|given?|mention(?:ed)?|specif(?:y|ied)"
    r"|stated?|report(?:ed)?|disclosed?|cover(?:ed)?|hold|contain(?:ed)?|included?|shown?|say|said|tell|told"
    r"|identif(?:y|ied)|information|data|in (?:the|these|any) (?:documents?|reports?|pages?))"
)
_REFUSAL = re.compile(
    rf"\b{_NOT}{_BETWEEN} {_TOLD}\b|\bno such\b|\bun(?:answerable|available|disclosed|specified|reported)\b"
    r"|\b(?:no|not enough|insufficient|lacks?) (?:\w+ )?(?:information|answer|data|evidence|mention)\b"
)
_NOTHING = {"none", "n/a", "na", "unknown", "null", "nil", "nothing", "not applicable", "-"}
_YEARS = range(1900, 2101)
_ARTICLES = frozenset(("a", "an", "the"))
_OTHERWISE = "not no never nor neither or and either both but than instead rather except versus vs"
_HEDGES = frozenset(f"{_OTHERWISE} maybe perhaps possibly might".split())
_SIGN = re.compile(rf"{SIGN}\.?")
_SIGNS = "%+#−<>≤≥"  # that matter, once `_signed` has dropped the others
_GRADE = re.compile(r"\b(([^\W\d_])\2{0,2}|ab|rh)-(?![\w-])")  # BBB-, and a blood group's; in "pre- and post-" none
_BOUND = re.compile(r"(?<![-=])([<>≤≥])\s*(?:us\$|[$€£¥])?(?=−?\.?\d)|[<>≤≥]")  # of a number; others are brackets
_ENUMERATING = re.compile(r"[;|\n/•、]|,(?!\d)|(?<=\w{3})\.(?=\s)|\s[-—]\s")
_LEAD = re.compile(r"\W*(?:(?:the|my) )?(?:final )?answer(?: is\b|:)(?: that\b)?:?\s*")
_PARENTHESES = re.compile(r"\([^()]*\)")
_BULLET = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+")
_QUOTED = re.compile(r"(['\"])(.*?)\1(?=\s*(?:[,\]]|$))")
_SEPARATORS = [re.compile(text) for text in (r"[;\n|]", r",(?!\d)", r",(?!\d)(?: and\b)?| and | & ", r",")]


def by_rules(asked: Sequence[tuple[Question, str]]) -> list[Verdict]:
    """A `judging.Judge`."""
    return [_verdict(question, answer) for question, answer in asked]


def is_answerable(question: Question) -> bool:
    """Whether the documents say it: a text too may be a reference that says there is none."""
    return _is_answerable(question.answer_format, plain(question.answer))


def says_there_is_none(question: Question, answer: str) -> bool:
    """Whether it would be right if the question could not be answered; not, where "None" is what the documents say."""
    if is_answerable(question) and plain(answer) == plain(question.answer):
        return False
    return _verdict(replace(question, answer_format=AnswerFormat.NONE), answer).value == 1


def items(question: Question) -> list[str]:
    """What its answer consists of: those of a list, or the whole."""
    reference = plain(question.answer)
    return _items(reference) if question.answer_format is AnswerFormat.LIST else [reference]


def _verdict(question: Question, answer: str) -> Verdict:
    kind, is_right = _compare(question.answer_format, plain(question.query), plain(question.answer), plain(answer))
    return Verdict(float(is_right), f"by rules, as {kind}: {'right' if is_right else 'wrong'}")


def _is_answerable(form: AnswerFormat, reference: str) -> bool:
    return form is not AnswerFormat.NONE and not _REFUSAL.fullmatch(" ".join(_words(reference.strip(" ."))))


def _compare(form: AnswerFormat, query: str, reference: str, answer: str) -> tuple[str, bool]:
    """As what the two were compared, and whether the answer is right."""
    answer = answer[lead.end() :] if (lead := _LEAD.match(answer)) else answer
    true, told = reference.strip(" ."), answer.strip(" .")
    wanted, refusal = (" ".join(_words(text)) for text in (true, _outside(told)))
    refuses = _REFUSAL.search(refusal) is not None
    if not _is_answerable(form, reference):
        values, asked = ({number.value for number in numbers(text)} for text in (answer, query))
        values = {value for value in values - asked if value not in _YEARS}  # "not in the report of 2022" tells none
        return "not answerable", (refuses and not values and not has_unread(answer)) or told in _NOTHING
    if told and told == true:
        return "the same text", True
    if wanted in ("yes", "no") and re.match(rf"{wanted}[,.;:]", told):
        return "yes or no", _same_words(query, reference, answer)  # "No, it did not" says nothing else
    if refuses and not _REFUSAL.search(wanted):
        return "an answer that says there is none", False
    if form is AnswerFormat.LIST:
        return "a list", _same_list(query, reference, answer)
    return _compare_one(form, query, reference, answer)


def _compare_one(form: AnswerFormat, query: str, reference: str, answer: str) -> tuple[str, bool]:
    """Of what is no list."""
    said_too = {*_words(_outside(answer))} - {*_words(reference), *_words(query)}
    if said_too & _HEDGES:
        return "an answer that says something else too", False
    if date := only_date(reference):
        told = dates(answer)
        return "a date", bool(told) and all(same_date(date, other) for other in told)
    number = _reference_number(form, query, reference)
    if number is None:
        return "words", _same_words(query, reference, answer)
    if _bounds(reference) != _bounds(_outside(answer)):
        return "a number", False
    whole = form is AnswerFormat.INT or (form is not AnswerFormat.FLOAT and number.value.denominator == 1)
    return "a number", _same_number(query, number, answer, Fraction(0) if whole else _TOLERANCE)


# --- numbers ----------------------------------------------------------------------------------------------------------


def number_in(reference: str, form: AnswerFormat) -> Number | None:
    """The number that a reference is, in its own scale."""
    if form in (AnswerFormat.INT, AnswerFormat.FLOAT):
        found = numbers(reference)
        return found[0] if len(found) == 1 else None  # whatever unit stands beside it
    return only_number(reference)


def _reference_number(form: AnswerFormat, query: str, reference: str) -> Number | None:
    number = number_in(reference, form)
    if number is None or number.scale or number.percent:
        return number
    return number._replace(scale=scale_in(query))


def _same_number(query: str, true: Number, answer: str, tolerance: Fraction) -> bool:
    """Every number of the answer must be the right one, but for those that only say again what was asked.

    Where the right one itself stands in the question, which asks to choose, none of them is excused.
    """
    asked = {number.value for number in numbers(query)}
    excused = set() if true.value in asked else asked
    told = [number for number in numbers(_outside(answer)) if number.value not in excused]
    return bool(told) and all(same_number(true, number, tolerance) for number in told)


def _bounds(text: str) -> set[str]:
    """The signs by which its numbers are not those that are written: <1%."""
    return {*re.findall("[<>≤≥]", _signed(text))}


def _outside(text: str) -> str:
    """Without remarks in parentheses, if anything is left then."""
    rest = _PARENTHESES.sub(" ", text)
    return rest if any(map(str.isalnum, rest)) else text


# --- lists ------------------------------------------------------------------------------------------------------------


def _same_list(query: str, reference: str, answer: str) -> bool:
    """As sets: all that the reference names, and nothing else, in one of the ways in which the answer may be read."""
    true = _items(reference)
    ways = [way for text in (answer, answer.partition(": ")[2]) for way in _lists(text)] or [[answer]]
    return any(_same_items(query, true, told) for told in ways)


def _same_items(query: str, true: Sequence[str], told: Sequence[str]) -> bool:
    if len({" ".join(_words(item)) for item in true}) != len({" ".join(_words(item)) for item in told}):
        return False
    right = [[_compare_one(AnswerFormat.STR, query, one, other)[1] for other in told] for one in true]
    return all(map(any, right)) and all(map(any, zip(*right, strict=True)))


def _items(reference: str) -> list[str]:
    return next(_lists(reference), [reference])


def _lists(text: str) -> Iterator[list[str]]:
    """The lists that a text may be, of two or more."""
    inside = text.strip().strip("[]")
    quoted = [match[2] for match in _QUOTED.finditer(inside)]
    splits = [quoted] if quoted else [separator.split(inside) for separator in _SEPARATORS]
    for split in splits:
        items = [_BULLET.sub("", item, count=1).strip() for item in split]
        if len(items := [item for item in items if item]) > 1:
            yield items


# --- words ------------------------------------------------------------------------------------------------------------


def _same_words(query: str, reference: str, answer: str) -> bool:
    reference, answer = _outside(reference), _outside(answer)
    dropped = _ARTICLES - _label(reference)
    true, told = _words(reference, dropped), _words(answer, dropped)
    if not true:
        return reference.strip() == answer.strip()
    if true in (["yes"], ["no"]):
        return told[:1] == true and not {"yes", "no"} - {*true} & {*told}
    joined = "".join(true)
    if _alike(true, told) or (joined == "".join(told) and not _has_digit(joined)):  # web site, website
        return True
    enumerates = len(_ENUMERATING.findall(answer)) > len(_ENUMERATING.findall(reference))
    return not enumerates and _holds(told, true, _words(query, dropped))


def _holds(told: Sequence[str], true: Sequence[str], query: Sequence[str]) -> bool:
    """Whether a short answer has the reference as a phrase, and nothing beside it that may be another answer.

    Where the question itself has the phrase, it asks to choose, and a sentence may say anything about it.
    """
    if len(told) > len(true) + _AROUND or _place(true, query) is not None:
        return False
    at = _place(true, told)
    if at is None:
        return False
    around = {*told[:at], *told[at + len(true) :]}
    return not around & _HEDGES and all(word in query for word in around if _has_digit(word))


def _place(phrase: Sequence[str], words: Sequence[str]) -> int | None:
    places = (at for at in range(len(words) - len(phrase) + 1) if words[at : at + len(phrase)] == phrase)
    return next(places, None)


def _alike(true: Sequence[str], told: Sequence[str]) -> bool:
    """Whether the words differ by slips of the pen only; in what has digits or signs, nobody may slip."""
    return len(true) == len(told) and all(
        one == other or (not re.search(r"[\d+−]", one + other) and _likeness(one, other) >= _ALIKE)
        for one, other in zip(true, told, strict=True)
    )


def _likeness(one: str, other: str) -> float:
    """1 less the share of letters that must be changed."""
    longest = max(len(one), len(other))
    if abs(len(one) - len(other)) > (1 - _ALIKE) * longest:
        return 0.0
    return 1 - edits(one, other) / longest


def _label(reference: str) -> set[str]:
    """The article that a reference ends in, where it is a label: Hepatitis A."""
    return {*_words(reference, frozenset())[-1:]} - {*_words(reference)}


def _words(text: str, dropped: Set[str] = _ARTICLES) -> list[str]:
    """Letters, digits and the signs that matter, without what is dropped where anything else is left."""
    text = _signed(re.sub("['’`´]", "", text).replace("&", " and "))
    kept = "".join(char if char in _SIGNS or unicodedata.category(char)[0] in "LNM" else " " for char in text).split()
    return [word for word in kept if word not in dropped] or kept


def _signed(text: str) -> str:
    """With a minus that is no hyphen, and no bracket that is not the bound of a number, which stands beside it."""
    text = _GRADE.sub(r"\1−", _SIGN.sub("−", text)).replace("<=", "≤").replace(">=", "≥")
    return _BOUND.sub(r" \1", text)


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))
