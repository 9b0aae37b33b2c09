"""Question files: the reference's format, with gold regions and crop labels beside it.

A file is a JSON list of examples (or an object that holds it under "examples"), written one example a line; a .jsonl
file has the lines alone, a .parquet file the rows of a table:

    {"uid", "query", "reference_answer",
     "meta_info": {"file_name", "reference_page": [1, …], "source_type", "query_type"},
     "answer_format", "evidence": [{"file_name", "page", "regions": [[x1, y1, x2, y2], …], "needs_crop",
                                    "places": [[x1, y1, x2, y2], …]}, …]}

The second half is ours. `file_name` and `reference_page` speak of the first document; `evidence` is complete: regions
are what one would cut out to read it, such as a table, and places the very words in them, where somebody has said.
Files in the formats of `benchmarks.py` are read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pyarrow.parquet as pq
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from unidoc_rl import benchmarks, progress
from unidoc_rl.corpus import Corpus
from unidoc_rl.errors import UnidocError
from unidoc_rl.names import document_name, page_id
from unidoc_rl.types import AnswerFormat, Box, Evidence, Question

LINES, TABLE = ".jsonl", ".parquet"
# Of files that become documents. Nothing else is cut off after a dot: a document's own name has no ending, maybe dots.
_ENDING = re.compile(r"\.(?:pdf|jpe?g|png|webp|tiff?)$", re.IGNORECASE)

_Thousandths = Annotated[int, Field(ge=0, le=1000)]


def _upright(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    if box[0] > box[2] or box[1] > box[3]:
        raise ValueError("expected [x1, y1, x2, y2] with x1 <= x2 and y1 <= y2")
    return box


_Region = Annotated[tuple[_Thousandths, _Thousandths, _Thousandths, _Thousandths], AfterValidator(_upright)]


class _Meta(BaseModel):
    file_name: str
    reference_page: list[Annotated[int, Field(ge=1)]]
    source_type: str = ""
    query_type: str = ""


class _Evidence(BaseModel):
    file_name: str
    page: Annotated[int, Field(ge=1)]
    regions: list[_Region] = []
    needs_crop: bool | None = None
    places: list[_Region] = []


class _Example(BaseModel):
    uid: str
    query: str
    reference_answer: str
    meta_info: _Meta
    answer_format: AnswerFormat = AnswerFormat.STR
    evidence: list[_Evidence] | None = None


def read(path: Path) -> list[Question]:
    """The questions of a file, in its order."""
    return list(_read(path))


def read_playable(path: Path, corpus: Path) -> tuple[list[Question], int]:
    """Those that can be played over this corpus, and how many others there are, which is told; none is an error."""
    asked = read(path)
    if not asked:
        raise UnidocError(f"{path}: holds no question")
    away = unplayable(asked, corpus)
    if away:
        uid, why = next(iter(away.items()))
        told = f"{path}: {len(away)} of its {len(asked)} questions cannot be played over {corpus}, {uid} first: {why}"
        if len(away) == len(asked):
            raise UnidocError(f"{told}; is it the corpus of these questions?")
        progress.tell(told)
    return [one for one in asked if one.uid not in away], len(away)


def unplayable(asked: Iterable[Question], corpus: Path) -> dict[str, str]:
    """Those that nobody can be right about with the pages of this corpus, by their uids, and why."""
    pages = Corpus(corpus)
    known, documents = set(pages.column("id")), set(pages.column("document"))
    found: dict[str, str] = {}
    for one in asked:
        missing = [page for page in gold_pages(one) if page not in known]
        if missing:
            found[one.uid] = f"page {missing[0]} is not in the corpus"
        elif not one.query.strip():
            found[one.uid] = "its question is empty"
        elif not one.answer.strip():
            found[one.uid] = "its answer is empty"
        elif not one.evidence and one.file_name and (about := document_of(one.file_name)) not in documents:
            found[one.uid] = f"document {about} is not in the corpus"
    return found


def refuse_the_same(some: Iterable[Question], others: Iterable[Question], files: str) -> None:
    """What is measured by is not learned from, nor chosen by."""
    known = {(one.query, documents(one)): one.uid for one in some}
    for one in others:
        if (uid := known.get((one.query, documents(one)))) is not None:
            raise UnidocError(
                f"{files}: {uid} and {one.uid} ask the same about the same documents, and what is measured by is "
                "neither learned from nor chosen by; take it out of one of them"
            )


def write(path: Path, questions: Iterable[Question]) -> int:
    """Writes the questions as they come, never holding them all; returns how many there were."""
    before, first, between, after = ("", "", "\n", "\n") if path.suffix == LINES else ("[", "\n", ",\n", "\n]\n")
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(before)
        for question in questions:
            file.write((between if count else first) + json.dumps(to_json(question), ensure_ascii=False))
            count += 1
        file.write(after)
    return count


def document_of(file_name: str) -> str:
    """The document that a file becomes, as `ingest` names it."""
    return document_name(_ENDING.sub("", PurePosixPath(file_name).name))


def gold_page(evidence: Evidence) -> str:
    """The id of its page, likewise."""
    return page_id(document_of(evidence.file_name), evidence.page)


def documents(question: Question) -> frozenset[str]:
    """All that it is about."""
    files = (question.file_name, *(evidence.file_name for evidence in question.evidence))
    return frozenset(document_of(file) for file in files if file)


def gold_pages(question: Question) -> tuple[str, ...]:
    """The ids of the pages that the answer needs, each once, in the order in which it is needed.

    Where several files have one name, ingest calls their documents otherwise, and no question can speak of them.
    """
    return tuple(dict.fromkeys(gold_page(evidence) for evidence in question.evidence))


def gold_regions(question: Question) -> dict[str, tuple[Box, ...] | None]:
    """By gold page, where one has to zoom in: nowhere, if it reads well as it is; None, if nobody has said."""
    by_page: dict[str, list[Evidence]] = {}
    for evidence in question.evidence:
        by_page.setdefault(gold_page(evidence), []).append(evidence)
    return {page: _regions(several) for page, several in by_page.items()}


def to_json(question: Question) -> dict[str, Any]:
    return {
        "uid": question.uid,
        "query": question.query,
        "reference_answer": question.answer,
        "meta_info": {
            "file_name": question.file_name,
            "reference_page": [e.page for e in question.evidence if e.file_name == question.file_name],
            "source_type": question.source_type,
            "query_type": question.kind,
        },
        "answer_format": question.answer_format,
        "evidence": [
            {
                "file_name": e.file_name,
                "page": e.page,
                "regions": e.regions,
                "needs_crop": e.needs_crop,
                "places": e.places,
            }
            for e in question.evidence
        ],
    }


def from_json(data: Any) -> Question:
    """A question from an example of any kind; without our half, its pages are known but no regions."""
    if (known := benchmarks.known(data)) is not None:
        return known
    example = _Example.model_validate(data)
    meta = example.meta_info
    evidence = example.evidence
    if evidence is None:
        evidence = [_Evidence(file_name=meta.file_name, page=page) for page in meta.reference_page]
    return Question(
        uid=example.uid,
        query=example.query,
        answer=example.reference_answer,
        answer_format=example.answer_format,
        kind=meta.query_type,
        source_type=meta.source_type,
        file_name=meta.file_name,
        evidence=tuple(
            Evidence(e.file_name, e.page, _boxes(e.regions), e.needs_crop, _boxes(e.places)) for e in evidence
        ),
    )


def _boxes(corners: Iterable[tuple[int, int, int, int]]) -> tuple[Box, ...]:
    return tuple(Box(*one) for one in corners)


def _regions(evidence: Iterable[Evidence]) -> tuple[Box, ...] | None:
    """Of a page that may be named more than once."""
    needed = [e for e in evidence if e.needs_crop is not False]
    boxes = dict.fromkeys(box for e in needed if e.needs_crop for box in e.regions)
    return tuple(boxes) if boxes or not needed else None


def _data(path: Path) -> Any:
    if path.suffix == TABLE:
        with pq.ParquetFile(path) as table:
            told = [column.name for column in table.schema_arrow if "binary" not in str(column.type)]  # no pictures
            return table.read(columns=told).to_pylist()
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()] if path.suffix == LINES else json.loads(text)


def _read(path: Path) -> Iterator[Question]:
    if path.is_dir():
        raise UnidocError(f"{path}: is a folder; name the file of questions in it")
    try:
        data = _data(path)
    except (OSError, ValueError, RecursionError) as error:
        raise UnidocError(f"{path}: no question file ({error})") from error
    examples = data.get("examples") if isinstance(data, dict) else data
    if not isinstance(examples, list):
        raise UnidocError(f'{path}: expected a list of questions, or an object with one under "examples"')
    known: set[str] = set()
    for number, example in enumerate(examples, start=1):
        try:
            question = from_json(example)
            if question.uid in known:
                raise UnidocError(f"{path}: question {number}: its uid {question.uid!r} is another one's too")
            known.add(question.uid)
            yield question
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise UnidocError(
                f"{path}: question {number}: {key}: {first['msg']}; "
                "`python -m pydoc unidoc_rl.questions` shows a whole one"
            ) from None
