"""A teacher behind an endpoint that knows the annotations, sees pages by their bytes, and errs where it is told to.

Nothing that it gets wrong is its own: it may go ways round too, as who does not know the annotations must.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from tests.agent.chat import Body, Given, completion
from tests.curate.faults import otherwise
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import ENDS, KEEPS, NOT_ANSWERABLE, STARTS, ZOOMS, keywords
from unidoc_rl.corpus import PAGE_SCHEMA, PAGES
from unidoc_rl.curate.layout import Layout
from unidoc_rl.curate.shown import Shown
from unidoc_rl.names import document_name
from unidoc_rl.params import AgentParams
from unidoc_rl.questions import gold_page, gold_pages, gold_regions
from unidoc_rl.types import AnswerFormat, Box, Question

ELSEWHERE = Box(900, 0, 990, 60)  # a region of every page, in which nothing stands
STEPS = {
    "What do you search for?": "search",
    "Compare them page by page": "choose",
    "Which of them hold": "find",
    "Would it help to zoom": "zoom",
    "Does that show you anything": "zoom",
    "What does it teach you": "read",
    "Write one question that cannot be answered": "ask",
    "Write one question": "write",
    "Without looking anything up": "guess",
    "These parts of pages": "confirm",
}
BROKEN = ('I am sorry, but {"thought": "I can', "I cannot help with that.", '{"thoughts": "I look for it."}')
HELPS = "It says "  # how a note begins of a page that holds something of the answer
_DOCUMENT = re.compile(r"of the document (.+?): ")
_QUESTION = re.compile(r"The question: (.+)")
_DIGIT = re.compile(r"\d")
_Done = TypeVar("_Done")


def with_regions(corpus: Path, out: Path, asked: Sequence[Question]) -> Path:
    """The corpus again, with the gold regions among those that were proposed."""
    wanted: dict[str, list[Box]] = {}
    for evidence in (evidence for question in asked for evidence in question.evidence):
        wanted.setdefault(gold_page(evidence), []).extend(evidence.regions)
    rows = pq.read_table(corpus / PAGES).to_pylist()
    for row in rows:
        boxes = dict.fromkeys([*wanted.get(row["id"], []), ELSEWHERE])
        row["regions"] = [{"kind": "text", "score": 1.0, **box._asdict()} for box in boxes]
    out.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, PAGE_SCHEMA), out / PAGES)
    for path in corpus.iterdir():
        if path.name != PAGES:
            (out / path.name).symlink_to(path)
    return out


@dataclass
class Stub:
    """Answers a body as `Chat` wants it.

    `errs`: the fault of a question, by its uid; `made`: those that came to be made. `wanders`: how often it searches
    for something poor first, keeps a wrong page first, and has to say a thing twice.
    """

    corpus: Path
    asked: Sequence[Question]
    errs: dict[str, str] = field(default_factory=dict)
    dress: Callable[[str], str] = str  # what a reply is put into
    wanders: float = 0
    made: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._layout = Layout(self.corpus)
        self._shown = shown = Shown(Pictures(self.corpus, AgentParams()), self._layout)
        self._pages: dict[str, str] = {}  # by the digest of their bytes
        for page in {page for question in self.asked for page in gold_pages(question)}:
            regions = tuple(region.box for region in self._layout.regions(page))
            for picture in (shown.whole(page), shown.numbered(page, regions)):
                self._pages[_digest(shown.jpeg(picture))] = page
        self._by_query = {question.query: question for question in self.asked}

    def __call__(self, body: Body) -> Given:
        question = self._question(body)
        if question and self.errs.get(question.uid) == "broken":
            return completion(self._make(question, "broken", self._dice(question, "broken").choice(BROKEN)))
        if question and self._goes_round(question, step_of(body)) and "cannot be used" not in text_of(body):
            return completion(BROKEN[0])
        return completion(self.dress(json.dumps(self.reply(body), ensure_ascii=False)))

    def reply(self, body: Body) -> dict[str, Any]:
        told, step, question = text_of(body), step_of(body), self._question(body)
        if question is None:
            return self._about_writing(body, told)
        fault = self.errs.get(question.uid, "")
        pages = [self._pages.get(_digest(picture)) for picture in pictures_of(body)]
        if step == "search":
            return self._wanted(question, fault, noted=told.count("\nNoted: "))
        if step == "choose":
            early = "\nNoted: " not in told and self._goes_round(question, "detour")
            return self._choice(question, pages, wrong=fault == "select" or early)
        (page,) = pages[:1]
        if step == "find":
            return {"regions": self._found(question, page, fault)}
        if step == "zoom":
            needed = bool(gold_regions(question).get(page or ""))
            wrong = self._make(question, fault, fault == ("missing" if needed else "needless"))
            return {"thought": self._dice(question, "zoom").choice(ZOOMS), "zoom": needed != wrong}
        return self._learned(question, page, fault, told=told)

    def _question(self, body: Body) -> Question | None:
        """That is played; of one that is written, nobody knows it before."""
        found = _QUESTION.search(text_of(body))
        return self._by_query[found[1]] if found else None

    def _dice(self, question: Question, of: str) -> random.Random:
        return random.Random(f"{question.uid} {of}")

    def _goes_round(self, question: Question, way: str) -> bool:
        return self._dice(question, way).random() < self.wanders

    def _make(self, question: Question, fault: str, done: _Done) -> _Done:
        """Notes the fault, where anything was done for it."""
        if done:
            self.made[question.uid] = fault
        return done

    def _about_writing(self, body: Body, told: str) -> dict[str, Any]:
        """Of pages that an annotated question is about, that question; of others, one that finds nothing."""
        step, shown = step_of(body), list(pictures_of(body))
        if step == "ask":
            return {"question": self._unanswerable(told, _digest(shown[0]))}
        if step != "write":
            question = next((one for one in self.asked if one.query in told), None)
            fault = self.errs.get(question.uid, "") if question else ""
            return {"answer": question and self._answer(question, fault, step, len(shown)), "vague": fault == "vague"}
        pages = [self._pages.get(_digest(picture)) for picture in shown]
        evidence = [{"page": at, "region": 1} for at in range(1, len(pages) + 1)]
        fits = (one for one in self.asked if one.evidence and set(gold_pages(one)) <= set(pages))
        question = max(fits, key=lambda one: len(one.evidence), default=None)
        if question is None:
            return {"question": "What is it?", "answer": "This.", "answer_format": "str", "evidence": evidence}
        form = str(question.answer_format).upper()
        return {"question": question.query, "answer": question.answer, "answer_format": form, "evidence": evidence}

    def _answer(self, question: Question, fault: str, step: str, shown: int) -> str | None:
        if not question.evidence:
            return "42 of them" if fault == "answered" and shown else "It is not stated."
        knows = fault == "known" if step == "guess" else shown >= len(question.evidence) and fault != "unconfirmed"
        return question.answer if knows else None

    def _unanswerable(self, told: str, page: str) -> str:
        """Of a document of which such a question is annotated, that one; several are shared out among its pages."""
        document = _DOCUMENT.search(told)
        assert document
        known = [one.query for one in self.asked if not one.evidence and document_name(one.file_name) == document[1]]
        return known[int(page, 16) % len(known)] if known else "What is it?"

    def _wanted(self, question: Question, fault: str, *, noted: int) -> dict[str, Any]:
        dice = self._dice(question, "search")
        thought, words = dice.choice(STARTS), keywords(question.query)
        ways = [question.query, words, f"{words} again", f"{question.query} again"]
        if self._goes_round(question, "search"):
            ways.insert(0, " ".join(words.split()[::3]))
        if not noted and self._make(question, fault, fault == "leak"):
            answer = dice.choice([question, otherwise(question)]).answer
            if dice.random() < 0.5:
                return {"thought": f"It should be {answer}.", "query": ways[0]}
            return {"thought": thought, "query": f"{ways[0]} {answer}"}
        return {"thought": thought, "query": ways[noted]}

    def _choice(self, question: Question, pages: Sequence[str | None], *, wrong: bool) -> dict[str, Any]:
        gold = gold_pages(question)
        right = [number for number, page in enumerate(pages) if page in gold]
        others = [number for number, page in enumerate(pages) if page not in gold]
        number = others[0] if others and (wrong or not right) else right[0]
        compared = [{"number": n, "says": f"seen as page {n}"} for n in range(len(pages))]
        thought = self._dice(question, "choose").choice(KEEPS).format(number=number)
        return {"pages": compared, "thought": thought, "number": number}

    def _found(self, question: Question, page: str | None, fault: str) -> list[int]:
        if page not in (regions := gold_regions(question)):
            return []
        boxes = [region.box for region in self._layout.regions(page)]
        wanted = list(regions[page] or boxes[:1])
        if self._make(question, fault, fault == "region"):
            wanted = [*wanted[: self._dice(question, "find").randrange(2)], ELSEWHERE]  # beside it, or too
        return [boxes.index(box) + 1 for box in wanted]

    def _learned(self, question: Question, page: str | None, fault: str, *, told: str) -> dict[str, Any]:
        gold, end = gold_pages(question), self._dice(question, "read").choice(ENDS)
        helps = page in gold or not gold or self._make(question, fault, fault == "select")
        answer = question.answer if helps and told.count(HELPS) + 1 >= len(gold) else None
        if question.answer_format is AnswerFormat.NONE:
            answer = NOT_ANSWERABLE
        note = f"{HELPS}{answer or 'a part of it'}." if helps else "Nothing here speaks of it."
        if answer and self._make(question, fault, fault == "answer"):
            answer = self._wrong(question)
        return {"information": note, "thought": end, "answer": answer}

    def _wrong(self, question: Question) -> str:
        """None at all; or one that is near, or what another one is answered by."""
        if question.answer_format is AnswerFormat.NONE:
            return "42 of them"
        near = _DIGIT.sub(lambda digit: str((int(digit[0]) + 1) % 10), question.answer, count=1)
        other = next(one.answer for one in self.asked if by_rules([(question, one.answer)])[0].value == 0)
        return self._dice(question, "answer").choice([NOT_ANSWERABLE, near if near != question.answer else other])


def text_of(body: Body) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def pictures_of(body: Body) -> Iterator[bytes]:
    content = body["messages"][-1]["content"]
    for part in content if isinstance(content, list) else []:
        if part["type"] == "image_url":
            yield base64.b64decode(part["image_url"]["url"].split(",")[1])


def step_of(body: Body) -> str:
    return next(step for phrase, step in STEPS.items() if phrase in text_of(body))


def _digest(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()
