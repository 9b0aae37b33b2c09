"""Published question sets are read as they are: MMLongBench-Doc's and SlideVQA's, beside our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import servers
from tests.conftest import Bucket
from unidoc_rl import questions, storage
from unidoc_rl.cli import cli
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


def test_page_0_of_mmlongbench_is_one_that_nobody_has_said(tmp_path: Path) -> None:
    examples = ({**MMLONGBENCH, "evidence_pages": pages} for pages in ("[0]", "[0, 36]"))
    unknown, half = read(tmp_path / "samples.json", *examples)
    assert (unknown.evidence, unknown.file_name) == ((), MMLONGBENCH["doc_id"])
    assert questions.gold_pages(half) == ("PH_2016.06.08_Economy-Final_36",)


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
        ({**MMLONGBENCH, "evidence_pages": "[-1]"}, r"evidence_pages\.0"),
        ({**MMLONGBENCH, "answer_format": "Date"}, "answer_format"),
        ({**SLIDEVQA, "answer": None}, "answer"),
        ({key: SLIDEVQA[key] for key in SLIDEVQA if key != "qa_id"}, "qa_id"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, example: dict[str, Any], key: str) -> None:
    with pytest.raises(UnidocError, match=rf"question 1: {key}: .*pydoc unidoc_rl.questions"):
        read(tmp_path / "wrong.json", example)


def test_a_file_on_s3_is_read_as_it_is_now(bucket: Bucket) -> None:
    for number in (17, 18):
        bucket.put("sets/test.jsonl", json.dumps({**SLIDEVQA, "qa_id": number}).encode())
        (one,) = questions.read(storage.local_file(f"{bucket.uri}/sets/test.jsonl"))
        assert one.uid == f"slidevqa_{number}"
    with pytest.raises(UnidocError, match=r"sets/train\.jsonl"):
        storage.local_file(f"{bucket.uri}/sets/train.jsonl")


def test_the_folder_of_a_copy_is_what_is_in_it_and_of_several_one_must_be_named(tmp_path: Path) -> None:
    def asked(folder: Path) -> list[Question]:
        return questions.read(cli.commands["evaluate"].params[0].type.convert(str(folder), None, None))

    (tmp_path / "MMLongBench-Doc/data").mkdir(parents=True)
    assert read(tmp_path / "MMLongBench-Doc/data/samples.json", MMLONGBENCH) == asked(tmp_path / "MMLongBench-Doc")
    (tmp_path / "ViDoSeek").mkdir()
    expected = read(tmp_path / "ViDoSeek/vidoseek.json", VIDOSEEK)
    assert asked(tmp_path / "ViDoSeek") == expected
    read(tmp_path / "ViDoSeek/slidevqa_refined.json", VIDOSEEK)
    with pytest.raises(UnidocError, match="ViDoSeek: is a folder; name the file of questions in it"):
        asked(tmp_path / "ViDoSeek")


# --- by their names ---------------------------------------------------------------------------------------------------

VIDOSEEK: dict[str, Any] = {
    "uid": "04d8bb0db929110f204723c56e5386c1d8d21587_2",
    "query": "What is the value?",
    "reference_answer": "A value",
    "meta_info": {
        "file_name": "04d8bb0db929110f204723c56e5386c1d8d21587.pdf",
        "reference_page": [10, 11],
        "source_type": "Text",
        "query_type": "Multi-Hop",
    },
}
READ = """import sys
from unidoc_rl import questions
from unidoc_rl.cli import cli
for name in sys.argv[1:]:
    for asked in questions.read(cli.commands["evaluate"].params[0].type.convert(name, None, None)):
        print(asked.uid, *questions.gold_pages(asked))
"""


def fetched(tmp_path: Path, hub: str, *names: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, as the hub's address is read when its package is imported."""
    home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "no_proxy": "127.0.0.1"}
    environment = {**os.environ, **home, "HF_ENDPOINT": hub}
    return subprocess.run(
        [sys.executable, "-c", READ, *names], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )


def table(tmp_path: Path, *examples: dict[str, Any]) -> bytes:
    pq.write_table(pa.Table.from_pylist(list(examples)), tmp_path / "table.parquet")
    return (tmp_path / "table.parquet").read_bytes()


def test_published_sets_come_from_the_hub_by_their_names_and_once(tmp_path: Path) -> None:
    ours = json.dumps({"examples": [VIDOSEEK]}).encode()
    held = {"vidoseek.json": ours, "slidevqa_refined.json": ours.replace(b"_2", b"_3")}
    files = {f"/datasets/autumncc/ViDoSeek/resolve/main/{name}": body for name, body in held.items()}
    files["/datasets/yubo2333/MMLongBench-Doc/resolve/main/data/train-00000-of-00001.parquet"] = table(
        tmp_path, MMLONGBENCH
    )
    (same,) = read(tmp_path / "samples.json", MMLONGBENCH)
    document = "04d8bb0db929110f204723c56e5386c1d8d21587"
    wanted = [f"{document}_{n} {document}_10 {document}_11" for n in (2, 3)]
    wanted.append(" ".join((same.uid, *questions.gold_pages(same))))
    with servers.hub(files) as hub:
        first = fetched(tmp_path, hub, "vidoseek", "slidevqa", "mmlongbench")
    assert first.stdout.splitlines() == wanted, first.stderr
    assert fetched(tmp_path, hub, "vidoseek").stdout.splitlines() == wanted[:1]  # the hub is away by now
    (tmp_path / "vidoseek").write_text("[]")
    mine = fetched(tmp_path, hub, "vidoseek")
    assert (mine.returncode, mine.stdout) == (0, "")  # a file of that name is what is meant


def test_a_hub_that_does_not_have_it_is_told_with_what_can_be_done(tmp_path: Path) -> None:
    with servers.hub({}) as hub:
        failed = fetched(tmp_path, hub, "mmlongbench")
    assert "UnidocError: mmlongbench: cannot be fetched from the hub" in failed.stderr
    assert "get data/train-00000-of-00001.parquet of its data set yubo2333/MMLongBench-Doc, and name" in failed.stderr


def test_a_table_is_read_without_its_pictures(tmp_path: Path) -> None:
    (one,) = read(tmp_path / "test.jsonl", SLIDEVQA)
    file = tmp_path / "test.parquet"
    file.write_bytes(
        table(tmp_path, {**SLIDEVQA, "page_1": {"bytes": b"\xff\xd8", "path": "1.jpg"}, "page_2": b"\xff"})
    )
    assert questions.read(file) == [one]
    file.write_bytes(b"PAR1")
    with pytest.raises(UnidocError, match=r"test\.parquet: no question file"):
        questions.read(file)
