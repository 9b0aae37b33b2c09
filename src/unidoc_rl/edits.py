"""How far one text is from another."""

from __future__ import annotations


def edits(one: str, other: str) -> int:
    """The least number of letters to put in, take out or exchange."""
    row = list(range(len(other) + 1))
    for n, letter in enumerate(one, start=1):
        above, row[0] = row[0], n
        for m, wanted in enumerate(other, start=1):
            above, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, above + (letter != wanted))
    return row[-1]
