"""How many there are of something, in words."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
