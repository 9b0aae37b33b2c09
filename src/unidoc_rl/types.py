"""The nouns that every other file speaks: typed, without logic.

A place on a page is a `Box` in thousandths of the page's width and height, whatever resolution anybody sees.
Pixels appear only where a picture is drawn or cut, and `boxes.py` is the one place that converts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


class Box(NamedTuple):
    """A rectangle in 0–1000 of the page, the origin at the top left; x1 <= x2 and y1 <= y2."""

    x1: int
    y1: int
    x2: int
    y2: int


class TextSource(StrEnum):
    """Where a page's words come from."""

    NATIVE = "native"  # the file's own text layer
    OCR = "ocr"  # read from the picture
    NONE = "none"  # nothing to read, or reading was switched off


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a page that the layout model proposes: a table, a figure, a heading …"""

    kind: str
    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the corpus; `image` is the picture's path below the corpus folder."""

    id: str  # <document>_<n>
    document: str
    n: int  # counted from 1
    width: int  # pixels of the picture
    height: int
    image: str
    text: str
    text_source: TextSource
    words: tuple[Word, ...]
    regions: tuple[Region, ...]


class QuestionKind(StrEnum):
    """What a question asks of the agent; the reference calls it `query_type`."""

    LOOKUP = "lookup"  # one value, printed on one page
    CHART = "chart"  # one value, read from a chart
    LAYOUT = "layout"  # about how the page is made: headings, order, number of rows
    MULTI_HOP = "multi_hop"  # one page tells what to look for on another
    COMPARISON = "comparison"  # two values, found and compared
    UNANSWERABLE = "unanswerable"  # the documents do not say


class AnswerFormat(StrEnum):
    """How an answer is to be compared."""

    STR = "Str"
    INT = "Int"
    FLOAT = "Float"
    LIST = "List"
    NONE = "None"  # not answerable


class Split(StrEnum):
    """What a question may be used for; a document's questions are all in one split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A page that the answer needs, where on it, and whether it can only be read by zooming in."""

    file_name: str
    page: int
    regions: tuple[Box, ...]
    needs_crop: bool | None  # None: nobody has said


@dataclass(frozen=True, slots=True)
class Question:
    uid: str
    query: str
    answer: str
    answer_format: AnswerFormat
    kind: str  # a QuestionKind in the sample world; other sets have names of their own
    source_type: str  # text, table, chart …: what the evidence is
    file_name: str  # the document that it is about; the first, where there are several
    evidence: tuple[Evidence, ...]  # in the order in which it is needed; empty for an unanswerable question


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for, and among which pages."""

    text: str
    documents: frozenset[str] | None = None  # None: all of them
    excluded: frozenset[str] = frozenset()  # ids of pages that must not come back


@dataclass(frozen=True, slots=True)
class Hit:
    """A page that a search has found."""

    page: str  # its id
    document: str
    image: str  # its picture's path below the corpus folder
    score: float  # that the hits are ordered by, best first
    scores: Mapping[str, float]  # by the retrievers that found it


class Search(Protocol):
    """A search, wherever it is done: in this process, or by a service. At most k hits a query, in their order."""

    def __call__(self, queries: Sequence[Query], k: int) -> list[list[Hit]]: ...
