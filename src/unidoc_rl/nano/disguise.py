"""Documents in whose words nothing can be guessed: each word stands for another of its length, the same one throughout.

The sample world has some thousand words. A model that learns its names of rows by heart takes what begins with a "B"
for one of those that often do, and says that, whatever is printed. Here only reading helps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from random import Random
from typing import Any

from unidoc_rl.sample.style import Style
from unidoc_rl.sample.vocabulary import phrases
from unidoc_rl.sample.world import Family

SHORT = 3  # letters: mostly units, and what holds a sentence together
_WORD = re.compile(r"\{\w+\}|[A-Za-z]+")  # what stands in braces is filled in later


def disguised(family: Family, rng: Random) -> Family:
    """The same company, numbers and looks, in other words."""
    others = _others(rng)
    documents = tuple(_written(document, others) for document in family.documents)
    return replace(family, documents=documents)


def _others(rng: Random) -> Mapping[str, str]:
    return {
        word: other
        for alike in _words_by_length().values()
        for word, other in zip(alike, rng.sample(alike, len(alike)), strict=True)
    }


@cache
def _words_by_length() -> Mapping[int, list[str]]:
    """In small letters."""
    found = defaultdict(set)
    for phrase in phrases():
        for word in _WORD.findall(phrase.lower()):
            if len(word) > SHORT and word.isalpha():
                found[len(word)].add(word)
    return {length: sorted(alike) for length, alike in found.items()}


def _written(value: Any, others: Mapping[str, str]) -> Any:
    """A document or a part of it, whose texts are written with other words."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return _WORD.sub(lambda found: _cased(found[0], others), value)
    if isinstance(value, tuple):
        made = [_written(one, others) for one in value]
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    if is_dataclass(value) and not isinstance(value, (type, Style)):
        return replace(value, **{one.name: _written(getattr(value, one.name), others) for one in fields(value)})
    return value


def _cased(word: str, others: Mapping[str, str]) -> str:
    other = others.get(word.lower())
    if other is None:
        return word
    return other.capitalize() if word[0].isupper() else other
