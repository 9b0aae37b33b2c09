"""Text to the terms that BM25 counts: words of any script without their endings, and pairs of neighbours.

Pairs tell pages apart that hold the same words in other places; words that any question holds ("how many of the") say
nothing alone, and count in pairs only.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

import Stemmer

# Numbers keep their points and commas; scripts that write without spaces are taken two characters at a time.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# Vowel signs and the like: no letters to `re`, but parts of their words.
_MARKS = "".join(sign for sign in map(chr, range(0x300, 0x1000)) if unicodedata.category(sign).startswith("M"))
_WORD = re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|\d+(?:[.,]\d+)+|(?:[^\W_{_UNSPACED}]+[{_MARKS}]*)+")
_CACHED = 1 << 18
_COMMON = frozenset(
    """
    a an the this that these those of in on to for from with by at as and or not is are was were be been do does did has
    have it its they them their there than then what which who whom whose when where why how many much
    """.split()  # noqa: SIM905
)
_ENGLISH = Stemmer.Stemmer("english")  # leaves words of another language as they are, or nearly


def terms(text: str) -> list[str]:
    words = _words(text)
    return [word for word in words if word not in _COMMON] + [f"{one} {next_}" for one, next_ in pairwise(words)]


def _words(text: str) -> list[str]:
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        word = match.group()
        if match["unspaced"]:
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        else:
            found.append(_stem(word))
    return found


@lru_cache(maxsize=_CACHED)
def _stem(word: str) -> str:
    return word if word in _COMMON else str(_ENGLISH.stemWord(word))
