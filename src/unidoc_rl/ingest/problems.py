"""What can be wrong with a file, told to the person whose file it is."""

from __future__ import annotations

from dataclasses import dataclass


class LeftOut(Exception):
    """A document that cannot become part of the corpus: why, and what to do about it."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice

    def __reduce__(self) -> tuple[type[LeftOut], tuple[str, str]]:
        return LeftOut, (self.reason, self.advice)


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of the report: a file, what is the matter, what to do, and whether the file was left out for it."""

    file: str
    reason: str
    advice: str
    left_out: bool = True

    def line(self) -> str:
        return f"{self.file}: {self.reason}; {self.advice}"
