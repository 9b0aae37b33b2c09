"""Question files come back as they were written, the reference's are read, and a wrong one is named."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.index.test_stage import make_corpus
from unidoc_rl import questions
from unidoc_rl.errors import UnidocError
from unidoc_rl.types import AnswerFormat, Box, Evidence, Question

texts = st.text(st.characters(codec="utf-8"))
shares = st.integers(0, 1000)
any_box = st.builds(
    lambda x, y: Box(min(x), min(y), max(x), max(y)), st.tuples(shares, shares), st.tuples(shares, shares)
)
evidence = st.builds(
    Evidence,
    file_name=texts,
    page=st.integers(1, 10_000),
    regions=st.lists(any_box, max_size=3).map(tuple),
    needs_crop=st.none() | st.booleans(),
    places=st.lists(any_box, max_size=2).map(tuple),
)
any_question = st.builds(
    Question,
    uid=texts,
    query=texts,
    answer=texts,
    answer_format=st.sampled_from(AnswerFormat),
    kind=texts,
    source_type=texts,
    file_name=texts,
    evidence=st.lists(evidence, max_size=3).map(tuple),
)

# As in the reference's own files: nothing of our half, and keys that we do not know.
PLAIN: dict[str, Any] = {
    "uid": "train_1",
    "query": "What is the total?",
    "reference_answer": "42",
    "meta_info": {"file_name": "a.pdf", "reference_page": [3, 5], "source_type": "Table", "query_type": "Multi-Hop"},
    "split": "train",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("questions") / "train.json"


@given(st.lists(any_question, max_size=4, unique_by=lambda question: question.uid))
def test_questions_come_back_as_they_were(file: Path, asked: list[Question]) -> None:
    assert questions.write(file, iter(asked)) == len(asked)
    assert questions.read(file) == asked
    assert len(file.read_text(encoding="utf-8").split("\n")) == len(asked) + 3  # one a line, for diffs
    lines = file.with_suffix(".jsonl")
    assert questions.write(lines, iter(asked)) == len(asked)
    assert questions.read(lines) == asked


@given(any_question)
def test_two_questions_of_one_name_are_refused(file: Path, question: Question) -> None:
    questions.write(file, [question, question])
    with pytest.raises(UnidocError, match=r"question 2: its uid .* is another one's too"):
        questions.read(file)


@given(any_question)
def test_the_reference_s_half_speaks_of_the_first_document(question: Question) -> None:
    data = questions.to_json(question)
    first_half = {key: data[key] for key in ("uid", "query", "reference_answer", "meta_info")}
    plain = questions.from_json(first_half)
    assert plain.file_name == question.file_name
    assert [e.page for e in plain.evidence] == [e.page for e in question.evidence if e.file_name == question.file_name]


@pytest.mark.parametrize("wrap", [False, True])
def test_the_reference_s_files_are_read(file: Path, wrap: bool) -> None:
    file.write_text(json.dumps({"examples": [PLAIN]} if wrap else [PLAIN]))
    (question,) = questions.read(file)
    assert question == Question(
        uid="train_1",
        query="What is the total?",
        answer="42",
        answer_format=AnswerFormat.STR,
        kind="Multi-Hop",
        source_type="Table",
        file_name="a.pdf",
        evidence=(Evidence("a.pdf", 3, (), None), Evidence("a.pdf", 5, (), None)),
    )


def with_evidence(**changes: Any) -> dict[str, Any]:
    return {**PLAIN, "evidence": [{"file_name": "a.pdf", "page": 1, "regions": [[0, 0, 10, 10]], **changes}]}


@pytest.mark.parametrize(
    ("second", "key"),
    [
        ({key: PLAIN[key] for key in PLAIN if key != "uid"}, "uid"),
        ({**PLAIN, "query": 3}, "query"),
        ({**PLAIN, "answer_format": "Date"}, "answer_format"),
        ({**PLAIN, "meta_info": {**PLAIN["meta_info"], "reference_page": [0]}}, "meta_info.reference_page.0"),
        (with_evidence(page=0), "evidence.0.page"),
        (with_evidence(regions=[[0, 0, 10]]), "evidence.0.regions.0"),
        (with_evidence(regions=[[0, 0, 10, 1001]]), "evidence.0.regions.0.3"),
        (with_evidence(regions=[[-1, 0, 10, 10]]), "evidence.0.regions.0.0"),
        (with_evidence(regions=[[10, 0, 0, 10]]), "evidence.0.regions.0"),
        (with_evidence(needs_crop="perhaps"), "evidence.0.needs_crop"),
        ("no object", "the whole"),
        (None, "the whole"),
    ],
)
def test_a_wrong_question_is_named_with_its_number_and_key(file: Path, second: Any, key: str) -> None:
    file.write_text(json.dumps([PLAIN, second]))
    with pytest.raises(UnidocError, match=rf"^{re.escape(str(file))}: question 2: {re.escape(key)}\b.*: \S"):
        questions.read(file)


@pytest.mark.parametrize(
    "content", ["", "[", "3", "null", "{}", '{"examples": 3}', "[" * 100_000, "9" * 5000, '"\\ud800"']
)
def test_what_is_no_question_file_is_named(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(UnidocError, match=rf"^{re.escape(str(file))}: (no question file|expected a list of questions)"):
        questions.read(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match=r"nothing\.json: no question file"):
        questions.read(tmp_path / "nothing.json")


def test_it_is_told_why_a_question_cannot_be_played(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path)
    second = Evidence("bees.pdf", 2, (), None)
    there = Question("there", "Who?", "Bees", AnswerFormat.STR, "", "", "bees.pdf", (second,))
    asked = {
        "there": there,
        "nowhere said": replace(there, evidence=()),
        "unanswerable": replace(there, answer_format=AnswerFormat.NONE, evidence=()),
        "of no document": replace(there, answer_format=AnswerFormat.NONE, file_name="", evidence=()),
        "page": replace(there, evidence=(second, Evidence("bees.pdf", 3, (), None))),
        "document": replace(there, answer_format=AnswerFormat.NONE, file_name="wasps.pdf", evidence=()),
        "answer": replace(there, answer=" "),
    }
    assert questions.unplayable([replace(one, uid=uid) for uid, one in asked.items()], corpus) == {
        "page": "page bees_3 is not in the corpus",
        "document": "document wasps is not in the corpus",
        "answer": "its answer is empty",
    }
