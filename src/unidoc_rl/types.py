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
    regions: tuple[Box, ...]  # what one would cut out to read it: a whole table, a chart, a paragraph
    needs_crop: bool | None  # None: nobody has said
    places: tuple[Box, ...] = ()  # where in these it stands: a row's name, its value; none where nobody has said


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


class Searcher(Protocol):
    """Searches, wherever it is done: in this process, or by a service. At most k hits a query, in their order."""

    def __call__(self, queries: Sequence[Query], k: int) -> list[list[Hit]]: ...


# --- what an agent does, and what it sees -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Search:
    """Look for pages."""

    query: str


@dataclass(frozen=True, slots=True)
class Select:
    """Keep one of the last search's candidates."""

    number: int  # counted from 0


@dataclass(frozen=True, slots=True)
class Zoom:
    """Look closer at regions of the page that is selected."""

    regions: tuple[tuple[float, float, float, float], ...]  # as written: on the picture as shown, or in thousandths


@dataclass(frozen=True, slots=True)
class Answer:
    """End with this."""

    text: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Nothing that the protocol knows."""

    reason: str  # told to the agent


Action = Search | Select | Zoom | Answer | Malformed


@dataclass(frozen=True, slots=True)
class Said:
    """A turn of the agent, understood."""

    thought: str  # empty where there is none
    information: str  # likewise
    action: Action


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was shown, without its pixels: from these it is made again, byte for byte."""

    page: str  # its id
    width: int  # as shown
    height: int
    boxes: tuple[Box, ...] = ()  # cut from the page and stacked, as the agent drew them; none: the whole page
    margin: int = 0  # pixels of the page by which each was widened


Content = tuple[str | Picture, ...]  # of a message, in the order in which it is read


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: Content


class Outcome(StrEnum):
    """How an episode ended."""

    ANSWERED = "answered"
    OUT_OF_TURNS = "out_of_turns"
    OUT_OF_PICTURES = "out_of_pictures"  # it was shown more than it may hold
    OUT_OF_CONTEXT = "out_of_context"  # it is longer than the model can read
    GAVE_UP = "gave_up"  # the agent could not go on
    VOID = "void"  # search, policy or judge failed, not the agent: it counts nowhere


@dataclass(frozen=True, slots=True)
class Reply:
    """What a policy wrote in a turn."""

    text: str
    tokens: int  # of this text
    context: int  # tokens of all that was read and written up to its end, pictures included
    seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """What the agent wrote, how it was understood, and what it was shown for it."""

    reply: Reply
    said: Said
    observation: Content  # empty where the episode ended
    seconds: float  # that the environment took


@dataclass(frozen=True, slots=True)
class Scores:
    """The rewards of an episode: every part in [0, 1], and what they make together."""

    total: float
    parts: Mapping[str, float]
    judged: str  # how the answer was judged, in words
    refuses: bool | None = None  # whether the answer says that there is none, where the judge has looked for that


@dataclass(frozen=True, slots=True)
class Trajectory:
    """An episode that has ended."""

    question: Question
    sample: int  # which of several attempts at the question, counted from 0
    policy: str  # the name of what played
    turns: tuple[Turn, ...]
    outcome: Outcome
    failure: str  # why no more was written; empty where the agent ended it, or used up what it had
    scores: Scores | None  # None: nobody has scored it
