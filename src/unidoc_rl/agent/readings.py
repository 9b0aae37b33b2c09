"""Numbers and dates as people write them, in texts that `plain` has made comparable."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import NamedTuple

_LONGEST = 2000  # characters that are read; nobody needs more to be right


def plain(text: str) -> str:
    """One spelling of what looks the same, in small letters, and no more of it than can be read quickly."""
    return re.sub("[−–‐]", "-", unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()[:_LONGEST])


# --- numbers ----------------------------------------------------------------------------------------------------------

_SCALES = {
    **dict.fromkeys(("thousand", "thousands", "k"), 10**3),
    **dict.fromkeys(("million", "millions", "mn", "mio", "m"), 10**6),
    **dict.fromkeys(("billion", "billions", "bn", "b"), 10**9),
    **dict.fromkeys(("trillion", "trillions", "tn"), 10**12),
}
_SCALE = re.compile(rf"\b(?:{'|'.join(word for word in _SCALES if len(word) > 1)})\b")  # alone, "m" may be metres
_BEHIND = rf"(?:[\s-]?(?:(?P<scale>{'|'.join(_SCALES)})\b|(?P<percent>%|per ?cent\b|pct\b)))?"
SIGN = r"(?<![\w%])(?<!\d[$€£¥])(?:-|minus )(?:us\$|[$€£¥])?(?=\.?\d)"  # of a number; in 5%-10% there is none
_NUMBER = re.compile(
    rf"(?<!\w)(?<!\d[.,])(?P<sign>{SIGN})?"
    r"(?P<digits>\d{1,3}(?: \d{3})+(?!\d)(?:[.,]\d{1,40})?|\d{1,40}(?:[.,'’]\d{1,40})*|\.\d{1,40})"
    rf"{_BEHIND}"
)
_CURRENCY = r"(?:us\$|[$€£¥]|(?:usd|eur|gbp|cad|aud|chf|cny|rmb|jpy|inr|sek|nok|dkk)\b)?"
_ALONE = re.compile(rf"[~+<>≤≥=\s]*{_CURRENCY}\s*(?P<number>(?:{SIGN})?[.\d].*?)\s*{_CURRENCY}[\s.]*")
_CODE = re.compile(r"\s*\d+-?[kmb][\s.]*")  # Form 10-K, Table 2B
_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty""".split()  # noqa: SIM905
_WORD = re.compile(rf"(?P<sign>\bminus )?\b(?P<word>{'|'.join(_WORDS)})\b{_BEHIND}")
_UNREAD = re.compile(
    rf"\b(?:twenty[\s-](?:{'|'.join(_WORDS[1:10])})|(?:thir|for|fif|six|seven|eigh|nine)ty|(?:hundred|dozen)s?"
    r"|one[\s-]half|halves|thirds|(?:four|fif|six|seven|eigh|nin|ten)ths)\b"
)


class Number(NamedTuple):
    value: Fraction  # as written
    scale: int = 0  # of the word behind it: a million; 0 where there is none
    percent: bool = False


def numbers(text: str) -> list[Number]:
    """Those of a text, in their order; words such as "three" where it has no digits, and none that are unread."""
    found = [number for match in _NUMBER.finditer(text) if (number := _number(match)) is not None]
    if found or has_unread(text):
        return found
    return [_read(Fraction(_WORDS.index(match["word"])), match) for match in _WORD.finditer(text)]


def has_unread(text: str) -> bool:
    """Whether it has a number in words that are not read: beyond twenty, or a fraction."""
    return _UNREAD.search(text) is not None


def only_number(text: str) -> Number | None:
    """The number that a text is, with no more than a currency beside it; 10-K is none."""
    alone = None if _CODE.fullmatch(text) else _ALONE.fullmatch(text)
    match = _NUMBER.fullmatch(alone["number"]) if alone else None
    return _number(match) if match else None


def scale_in(query: str) -> int:
    """The one in which a question wants its answer ("in EUR million"); 0 where it names none, or several."""
    named = {_SCALES[match[0]] for match in _SCALE.finditer(query)}
    return named.pop() if len(named) == 1 else 0


def same_number(true: Number, told: Number, tolerance: Fraction) -> bool:
    """Whether what was told has the true value.

    Where only one of them names its scale, the other may be in the same or written out; where only one is a
    percentage, the other may be its fraction.
    """
    full = (true.value * (true.scale or 1), told.value * (told.scale or 1))
    pairs = [full] if true.scale and told.scale else [(true.value, told.value), full]
    if true.percent != told.percent:
        pairs.append((_share(true), _share(told)))
    return any(abs(other - one) <= tolerance * abs(one) for one, other in pairs)


def _share(number: Number) -> Fraction:
    return number.value / 100 if number.percent else number.value


def _number(match: re.Match[str]) -> Number | None:
    value = _value(match["digits"])
    return None if value is None else _read(value, match)


def _read(value: Fraction, match: re.Match[str]) -> Number:
    """With what stands around it."""
    scale = _SCALES[match["scale"]] if match["scale"] else 0
    return Number(-value if match["sign"] else value, scale, bool(match["percent"]))


def _value(digits: str) -> Fraction | None:
    """None where the marks make no number, but a date or a version."""
    text = re.sub(r"[ '’]", "", digits)
    marks = re.sub(r"\d", "", text)
    if "." in marks and "," in marks:
        decimal = marks[-1]
        if marks.count(decimal) > 1:
            return None
        text = text.replace("," if decimal == "." else ".", "")
    elif re.fullmatch(r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}|\d{1,3}(?:\.\d{3}){2,}", text):
        text = re.sub("[.,]", "", text)
    elif len(marks) > 1:
        return None
    return Fraction(text.replace(",", "."))


# --- dates ------------------------------------------------------------------------------------------------------------

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_DATES = [
    re.compile(rf"(?<!\w){pattern}(?!\w)")
    for pattern in (
        rf"{_YEAR}(?P<mark>[-/.])(?P<iso>\d{{1,2}})(?P=mark)(?P<day>\d{{1,2}})",
        rf"(?P<first>\d{{1,2}})(?P<mark>[-/.])(?P<second>\d{{1,2}})(?P=mark){_YEAR}",
        rf"{_YEAR},? {_MONTH} {_DAY}",
        rf"{_DAY}(?: of)?[ -]{_MONTH}(?:,?[ -]{_YEAR})?",
        rf"{_MONTH} {_DAY}(?:,? ?{_YEAR})?",
        rf"{_MONTH},?[ -]{_YEAR}",
    )
]


class Date(NamedTuple):
    """A day, or as much of it as is written."""

    year: int | None
    month: int
    day: int | None


def dates(text: str) -> list[set[Date]]:
    """Those of a text; of 3/4/2015 both readings."""
    found = []
    for pattern in _DATES:
        found += [set(_readings(match)) for match in pattern.finditer(text)]
        text = pattern.sub(" ", text)
    return [readings for readings in found if readings]


def only_date(text: str) -> set[Date]:
    """The readings of the date that a text is; none where it is something else."""
    matches = (pattern.fullmatch(text.strip(" .")) for pattern in _DATES)
    return next((set(_readings(match)) for match in matches if match), set())


def same_date(true: set[Date], told: set[Date]) -> bool:
    """Whether what was told says all that the true date does, in any reading of both."""
    return any(
        all(part is None or part == other for part, other in zip(one, another, strict=True))
        for one, another in product(true, told)
    )


def _readings(match: re.Match[str]) -> Iterator[Date]:
    parts = match.groupdict()
    year = int(parts["year"]) if parts["year"] else None
    if "month" in parts:
        yield Date(year, _MONTHS.index(parts["month"][:3]) + 1, int(parts["day"]) if parts.get("day") else None)
        return
    both = [(parts["iso"], parts["day"])] if "iso" in parts else [(parts["second"], parts["first"])]
    both += [] if "iso" in parts else [(parts["first"], parts["second"])]
    for month, day in both:
        if 1 <= int(month) <= 12 and 1 <= int(day) <= 31:
            yield Date(year, int(month), int(day))
