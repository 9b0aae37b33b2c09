"""Published question sets are read as they are: MMLongBench-Doc's and SlideVQA's, beside our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Bucket
from unidoc_rl import questions, storage
from unidoc_rl.errors import UnidocError
from unidoc_rl.types import AnswerFormat, Question

MMLONGBENCH: dict[str, Any] = {
    "doc_id": "PH_2016.06.08_Economy-Final.pdf",
    "doc_type": "Research report / Introduction",
    "question": "Which list?",
    "answer": "['Radio', 'Newspaper']",
    "evidence_pages": "[36, 37, 37]",
    "evidence_sources": "['Chart', 'Table']",
    "answer_format": "List",
}
NONE = {**MMLONGBENCH, "question": "Who?", "answer": "Not answerable", "evidence_pages": "[1]", "answer_format": "None"}
SLIDEVQA: dict[str, Any] = {
    "deck_name": "a-deck-2014",
    "deck_url": "somewhere",
    "image_urls": ["one", "two"],
    "qa_id": 17,
    "question": "How many?",
    "answer": "12%",
    "arithmetic_expression": "None",
    "evidence_pages": [3, 11],
    "reasoning_type": "Multi-Hop",
    "answer_type": "Single-Span",
}


def read(file: Path, *examples: dict[str, Any]) -> list[Question]:
    text = "\n".join(map(json.dumps, examples)) if file.suffix == ".jsonl" else json.dumps(examples)
    file.write_text(text)
    return questions.read(file)


def test_mmlongbench(tmp_path: Path) -> None:
    first, none = read(tmp_path / "samples.json", MMLONGBENCH, NONE)
    assert first.answer_format is AnswerFormat.LIST
    assert first.answer == "['Radio', 'Newspaper']"
    assert first.kind == "Research report / Introduction"
    assert first.source_type == "Chart, Table"
    assert questions.gold_pages(first) == ("PH_2016.06.08_Economy-Final_36", "PH_2016.06.08_Economy-Final_37")
    assert questions.gold_regions(first) == dict.fromkeys(questions.gold_pages(first))  # nobody has said where
    assert (none.answer_format, none.evidence) == (AnswerFormat.NONE, ())


def test_a_question_without_a_name_has_the_same_one_wherever_it_stands(tmp_path: Path) -> None:
    both = read(tmp_path / "both.json", MMLONGBENCH, NONE)
    (alone,) = read(tmp_path / "one.json", {key: NONE[key] for key in reversed(NONE)})
    assert alone == both[1]


def test_slidevqa(tmp_path: Path) -> None:
    (one,) = read(tmp_path / "test.jsonl", SLIDEVQA)
    assert (one.uid, one.answer, one.kind) == ("slidevqa_17", "12%", "Multi-Hop")
    assert questions.gold_pages(one) == ("a-deck-2014_3", "a-deck-2014_11")


def test_they_are_written_as_ours_are(tmp_path: Path) -> None:
    asked = read(tmp_path / "mixed.json", MMLONGBENCH, SLIDEVQA, NONE)
    questions.write(tmp_path / "ours.json", asked)
    assert questions.read(tmp_path / "ours.json") == asked


@pytest.mark.parametrize(
    ("example", "key"),
    [
        ({**MMLONGBENCH, "evidence_pages": "36, or so"}, "evidence_pages"),
        ({**MMLONGBENCH, "evidence_pages": "[0]"}, r"evidence_pages\.0"),
        ({**MMLONGBENCH, "answer_format": "Date"}, "answer_format"),
        ({**SLIDEVQA, "answer": None}, "answer"),
        ({key: SLIDEVQA[key] for key in SLIDEVQA if key != "qa_id"}, "qa_id"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, example: dict[str, Any], key: str) -> None:
    with pytest.raises(UnidocError, match=rf"question 1: {key}: "):
        read(tmp_path / "wrong.json", example)


def test_a_file_on_s3_is_read_as_it_is_now(bucket: Bucket) -> None:
    for number in (17, 18):
        bucket.put("sets/test.jsonl", json.dumps({**SLIDEVQA, "qa_id": number}).encode())
        (one,) = questions.read(storage.local_file(f"{bucket.uri}/sets/test.jsonl"))
        assert one.uid == f"slidevqa_{number}"
    with pytest.raises(UnidocError, match=r"sets/train\.jsonl"):
        storage.local_file(f"{bucket.uri}/sets/train.jsonl")
