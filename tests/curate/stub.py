"""A teacher behind an endpoint that knows the annotations, sees pages by their bytes, and errs where it is told to."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.agent.chat import Body, Given, completion
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.scripted import NOT_ANSWERABLE
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
_DOCUMENT = re.compile(r"of the document (.+?): ")
_QUESTION = re.compile(r"The question: (.+)")


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
    """Answers a body as `Chat` wants it. `errs`: the fault of a question, by its uid."""

    corpus: Path
    asked: Sequence[Question]
    errs: dict[str, str] = field(default_factory=dict)
    dress: Callable[[str], str] = str  # what a reply is put into

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
        if any(one.query in text_of(body) and self.errs.get(one.uid) == "broken" for one in self.asked):
            return completion('I am sorry, but {"thought": "I can')
        return completion(self.dress(json.dumps(self.reply(body), ensure_ascii=False)))

    def reply(self, body: Body) -> dict[str, Any]:
        told = text_of(body)
        if step_of(body) in ("ask", "write", "guess", "confirm"):
            return self._about_writing(body, told)
        found = _QUESTION.search(told)
        assert found
        question = self._by_query[found[1]]
        fault = self.errs.get(question.uid, "")
        gold, noted = gold_pages(question), told.count("\nNoted: ")
        pages = [self._pages.get(_digest(picture)) for picture in pictures_of(body)]
        step = step_of(body)
        if step == "search":
            thought = f"It should be {question.answer}." if fault == "leak" else "I look for it."
            return {"thought": thought, "query": question.query if not noted else f"{question.query} again"}
        if step == "choose":
            return self._choice(pages, gold, fault)
        (page,) = pages[:1]
        regions = gold_regions(question)
        if step == "find":
            return {"regions": self._numbers(page, regions, fault)}
        if step == "zoom":
            needed = bool(regions.get(page or ""))
            return {"thought": "I look at the print.", "zoom": needed != (fault in ("needless", "missing"))}
        return self._learned(question, page, fault, last="This was the last search" in told, noted=noted)

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

    def _choice(self, pages: Sequence[str | None], gold: Sequence[str], fault: str) -> dict[str, Any]:
        right = [number for number, page in enumerate(pages) if page in gold]
        others = [number for number, page in enumerate(pages) if page not in gold]
        number = others[0] if others and (fault == "select" or not right) else right[0]
        compared = [{"number": n, "says": f"a page, seen as number {n}"} for n in range(len(pages))]
        return {"pages": compared, "thought": f"Page {number} it is.", "number": number}

    def _numbers(self, page: str | None, regions: dict[str, Any], fault: str) -> list[int]:
        if page is None:  # not gold
            return []
        boxes = [region.box for region in self._layout.regions(page)]
        wanted = [ELSEWHERE] if fault == "region" else regions.get(page) or boxes[:1]
        return [boxes.index(box) + 1 for box in wanted]

    def _learned(self, question: Question, page: str | None, fault: str, *, last: bool, noted: int) -> dict[str, Any]:
        done = (page is not None or fault == "select") and noted + 1 >= len(gold_pages(question))
        answer = question.answer if done else None
        if question.answer_format is AnswerFormat.NONE:
            answer = NOT_ANSWERABLE
        if answer and fault == "answer":
            answer = "42 of them" if answer == NOT_ANSWERABLE else NOT_ANSWERABLE
        return {"information": f"What page {page} says, note {noted}.", "thought": "So it is.", "answer": answer}


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
