"""`unidoc status` tells what is there, and what is not."""

from __future__ import annotations

from pathlib import Path

from tests.ingest import files
from unidoc_rl import questions, status
from unidoc_rl.index.stage import index
from unidoc_rl.ingest.stage import ingest
from unidoc_rl.params import IndexParams, IngestParams, Params
from unidoc_rl.shards import Shard
from unidoc_rl.trained import note
from unidoc_rl.types import AnswerFormat, Question, QuestionKind, Split

ASKED = Question("1", "How many?", "3", AnswerFormat.INT, QuestionKind.LOOKUP, "text", "a.pdf", ())


def ask(folder: Path, split: Split, *asked: Question) -> None:
    folder.mkdir(exist_ok=True)
    questions.write(folder / f"{split}.json", asked)


def test_every_folder_has_its_line_before_and_after_it_is_made(tmp_path: Path) -> None:
    assert [line.endswith("not made yet") for line in status.lines(tmp_path)] == [True] * 9
    files.write_pdf(tmp_path / "documents/a.pdf", pages=3)
    (tmp_path / "documents/empty.pdf").touch()
    for split in Split:
        ask(tmp_path / "questions", split, *([ASKED] if split is Split.TEST else []))
    ingest(tmp_path / "documents", tmp_path / "corpus", IngestParams(dpi=40, ocr=False, layout=False))
    index(tmp_path / "corpus", tmp_path / "index", IndexParams(retrievers=["bm25"]))
    (tmp_path / "sft").mkdir()
    note(tmp_path / "sft", "sft", Params(), {"loss": 0.5}, begun_with="nano", history=[])
    documents, asking, corpus, found, _, learned, *_ = status.lines(tmp_path)
    assert "2 PDF files" in documents
    assert "0 train, 0 validation, 1 test; kinds: 1 lookup" in asking
    assert "3 pages of 1 document" in corpus
    assert "1 file left out" in corpus
    assert Path(corpus.split("for example ")[1].split(";")[0]).is_file()
    assert "3 pages by bm25" in found
    assert "loss 0.5" in learned


def test_one_s_own_questions_and_documents_are_counted_as_they_lie(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "documents/2024/March/a.pdf")
    files.write_pdf(tmp_path / "documents/B.PDF")
    ask(tmp_path / "questions", Split.TEST, ASKED)
    documents, asking, *_ = status.lines(tmp_path)
    assert "2 PDF files" in documents
    assert asking == f"{tmp_path}/questions: 1 test; kinds: 1 lookup"


def test_a_corpus_without_any_page_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    ingest(tmp_path / "documents", tmp_path / "corpus", IngestParams(ocr=False, layout=False), shard=Shard(1, 1))
    _, _, told, *_ = status.lines(tmp_path)
    assert told.startswith(f"{tmp_path}/corpus: 0 pages of 0 documents; 1 file left out")


def test_a_folder_that_cannot_be_read_is_told_of_beside_the_others(tmp_path: Path) -> None:
    for name in ("questions", "corpus", "index", "trajectories", "sft", "grpo", "evaluation", "promotion"):
        (tmp_path / name).mkdir()
    (tmp_path / "index/index.json").write_text("{}")
    (tmp_path / "grpo/grpo.json").write_text('{"mar')
    (tmp_path / "evaluation/evaluation.json").write_text("[]")
    (tmp_path / "promotion/promotion.json").write_text("{}")
    told = dict(line.split(": ", 1) for line in status.lines(tmp_path))
    assert told.pop(f"{tmp_path}/documents") == "not made yet"
    reasons = [
        "train.json",
        "unidoc ingest",
        "is damaged",
        "report.json",
        "sft.json is missing",
        "",
        "another form",
        "another form",
    ]
    for said, reason in zip(told.values(), reasons, strict=True):
        assert said.startswith("not what this stage makes: ")
        assert reason in said
        assert "\n" not in said
