"""`unidoc status` tells what is there, and what is not."""

from __future__ import annotations

from pathlib import Path

from tests.ingest import files
from unidoc_rl import questions, status
from unidoc_rl.index.stage import index
from unidoc_rl.ingest.stage import ingest
from unidoc_rl.params import IndexParams, IngestParams, Params
from unidoc_rl.trained import note
from unidoc_rl.types import AnswerFormat, Question, QuestionKind, Split


def test_every_folder_has_its_line_before_and_after_it_is_made(tmp_path: Path) -> None:
    assert [line.endswith("not made yet") for line in status.lines(tmp_path)] == [True] * 9
    files.write_pdf(tmp_path / "documents/a.pdf", pages=3)
    (tmp_path / "documents/empty.pdf").touch()
    (tmp_path / "questions").mkdir()
    asked = Question("1", "How many?", "3", AnswerFormat.INT, QuestionKind.LOOKUP, "text", "a.pdf", ())
    for split in Split:
        questions.write(tmp_path / f"questions/{split}.json", [asked] if split is Split.TEST else [])
    ingest(tmp_path / "documents", tmp_path / "corpus", IngestParams(dpi=40, ocr=False, layout=False))
    index(tmp_path / "corpus", tmp_path / "index", IndexParams(retrievers=["bm25"]))
    (tmp_path / "sft").mkdir()
    note(tmp_path / "sft", "sft", Params(), {"loss": 0.5}, begun_with="nano", history=[])
    documents, asking, corpus, found, _, learned, *_ = status.lines(tmp_path)
    assert "2 PDF files" in documents
    assert "0 train, 0 validation, 1 test; kinds: 1 lookup" in asking
    assert "3 pages of 1 documents" in corpus
    assert "1 files left out" in corpus
    assert Path(corpus.split("for example ")[1].split(";")[0]).is_file()
    assert "3 pages by bm25" in found
    assert "loss 0.5" in learned
