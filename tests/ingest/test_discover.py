"""Which documents a folder, a list or a prefix holds, and what each is called."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.conftest import Bucket
from tests.ingest.files import write_pdf
from unidoc_rl.errors import UnidocError
from unidoc_rl.ingest.discover import Found, discover
from unidoc_rl.ingest.former import Former
from unidoc_rl.ingest.identify import identify
from unidoc_rl.params import IngestParams


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def shape(found: list[Found]) -> dict[str, list[str]]:
    return {document.stem: [file.name for file in document.files] for document in found}


def test_pdfs_are_documents_wherever_they_lie_and_hidden_files_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "b.pdf", "deep/er/A.PDF", ".hidden.pdf", ".git/x.pdf")
    found, problems = discover(str(tmp_path))
    assert shape(found) == {"b": ["b.pdf"], "A": ["deep/er/A.PDF"]}
    assert problems == []


def test_what_systems_and_tools_leave_in_a_folder_is_no_document_that_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.pdf", ".DS_Store", "Thumbs.db", "deep/desktop.ini", "~$letter.docx", "._a.pdf")
    found, problems = discover(str(tmp_path))
    assert shape(found) == {"a": ["a.pdf"]}
    assert problems == []


def test_pictures_named_by_document_and_page(tmp_path: Path) -> None:
    touch(tmp_path, "report_2.jpg", "report_10.jpg", "report_1.jpg", "slides_1.png")
    found, _ = discover(str(tmp_path))
    assert shape(found) == {"report": ["report_1.jpg", "report_2.jpg", "report_10.jpg"], "slides": ["slides_1.png"]}
    assert {document.stem: document.numbers for document in found} == {"report": (1, 2, 10), "slides": (1,)}


def test_a_sub_folder_of_pictures_is_one_document_in_the_order_of_names(tmp_path: Path) -> None:
    touch(tmp_path, "talk/slide2.png", "talk/slide10.png", "talk/slide1.png", "alone.tif")
    found, _ = discover(str(tmp_path))
    assert shape(found) == {
        "alone": ["alone.tif"],
        "talk": ["talk/slide1.png", "talk/slide2.png", "talk/slide10.png"],
    }


def test_a_sub_folder_may_hold_several_documents_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "img/a_1.jpg", "img/b_1.jpg", "img/a_2.jpg")
    found, _ = discover(str(tmp_path))
    several = {"a": ["img/a_1.jpg", "img/a_2.jpg"], "b": ["img/b_1.jpg"]}
    assert shape(found) == several
    touch(tmp_path, "img/logo.png")  # a stray one makes no other documents of them
    found, _ = discover(str(tmp_path))
    assert shape(found) == {**several, "logo": ["img/logo.png"]}


def test_a_cover_beside_numbered_pages_is_a_page_of_theirs(tmp_path: Path) -> None:
    touch(tmp_path, "talk/cover.jpg", "talk/slide_1.jpg", "talk/slide_2.jpg")
    found, _ = discover(str(tmp_path))
    assert shape(found) == {"talk": ["talk/cover.jpg", "talk/slide_1.jpg", "talk/slide_2.jpg"]}


def test_what_is_no_document_is_named(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    touch(outside, "secret.pdf")
    inside = tmp_path / "inside"
    touch(inside, "fine.pdf", "letter.docx")
    (inside / "out.pdf").symlink_to(outside / "secret.pdf")
    (inside / "folder").symlink_to(outside)
    (inside / "nothing.pdf").symlink_to(inside / "gone.pdf")
    (inside / "again.pdf").symlink_to(inside / "fine.pdf")
    os.mkfifo(inside / "pipe.pdf")
    found, problems = discover(str(inside))
    assert [document.stem for document in found] == ["again", "fine"]
    reasons = {problem.file: problem.reason for problem in problems}
    assert sorted(reasons) == ["folder", "letter.docx", "nothing.pdf", "out.pdf", "pipe.pdf"]
    assert "leads out" in reasons["folder"]
    assert "leads out" in reasons["out.pdf"]


def test_a_name_that_is_no_text_or_has_line_breaks_is_shown_on_one_line(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"no\xfftext.pdf")).touch()
    (tmp_path / "two\nlines.docx").touch()
    found, problems = discover(str(tmp_path))
    assert [file.name for document in found for file in document.files] == ["no\ufffdtext.pdf"]
    assert [problem.file for problem in problems] == ["two\ufffdlines.docx"]


def test_a_list_names_files_from_its_own_folder(tmp_path: Path) -> None:
    touch(tmp_path, "lists/near.pdf", "far.pdf")
    (tmp_path / "lists/these.txt").write_text(f"# mine\nnear.pdf\n\n{tmp_path / 'far.pdf'}\nmissing.pdf\n")
    found, problems = discover(str(tmp_path / "lists/these.txt"))
    assert {document.stem for document in found} == {"near", "far"}
    assert [problem.file for problem in problems] == ["missing.pdf"]


def test_a_list_is_taken_at_its_word(tmp_path: Path) -> None:
    touch(tmp_path, ".cache/kept.pdf")
    (tmp_path / "these.txt").write_text(f"\ufeff.cache/kept.pdf\n{'x' * 300}\n", encoding="utf-8")
    found, problems = discover(str(tmp_path / "these.txt"))
    assert [document.stem for document in found] == ["kept"]
    assert len(problems) == 1
    (tmp_path / "latin.txt").write_bytes("Übersicht.pdf".encode("latin-1"))
    with pytest.raises(UnidocError, match="save it as UTF-8"):
        discover(str(tmp_path / "latin.txt"))


def test_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match="holds no PDF"):
        discover(str(tmp_path))
    with pytest.raises(UnidocError, match="no such folder"):
        discover(str(tmp_path / "absent"))


def test_a_prefix_is_read_like_a_folder(bucket: Bucket) -> None:
    for key in ("docs/a.pdf", "docs/deep/b.pdf", "docs/talk/1.png", "docs/talk/2.png", "docs/x.txt", "other/c.pdf"):
        bucket.put(key, key.encode())
    found, problems = discover(f"{bucket.uri}/docs")
    assert discover(f"{bucket.uri}/docs/") == (found, problems)
    assert {document.stem for document in found} == {"a", "b", "talk"}
    assert [problem.file.endswith("x.txt") for problem in problems] == [True]


def names_in(folder: Path) -> dict[str, tuple[str, ...]]:
    documents, _ = identify(discover(str(folder))[0], IngestParams(), Former([]), folder / ".cache")
    return {document.name: document.files for document in documents}


def test_the_same_content_is_one_document(tmp_path: Path) -> None:
    write_pdf(tmp_path / "one.pdf", text="the same")
    write_pdf(tmp_path / "sub/copy.pdf", text="the same")
    assert names_in(tmp_path) == {"one": ("one.pdf", "sub/copy.pdf")}


@pytest.mark.parametrize("copy", ["report (1).pdf", "Copy of report.pdf", "a/report-copy.pdf"])
def test_a_copy_beside_a_document_gives_it_no_other_name(tmp_path: Path, copy: str) -> None:
    write_pdf(tmp_path / "report.pdf")
    write_pdf(tmp_path / copy)
    assert names_in(tmp_path) == {"report": ("report.pdf", copy)}


def test_names_that_become_one_are_told_apart_the_same_way_whoever_came_first(tmp_path: Path) -> None:
    """A page id must never come to mean another page because a file was added."""
    write_pdf(tmp_path / "b/report.pdf", text="of b")
    assert set(names_in(tmp_path)) == {"report"}
    write_pdf(tmp_path / "a/Report.pdf", text="of a")
    both = names_in(tmp_path)
    assert len(both) == 2
    assert all(name.casefold().startswith("report-") for name in both)
    (tmp_path / "b/report.pdf").rename(tmp_path / "0.pdf")
    (tmp_path / "0.pdf").rename(tmp_path / "z report .pdf")
    assert set(names_in(tmp_path)) == {"Report", "z_report"}


def test_a_name_that_another_document_gets_to_be_told_apart_is_not_had_twice(tmp_path: Path) -> None:
    first = hashlib.sha256(write_pdf(tmp_path / "a/report.pdf", text="of a").read_bytes()).hexdigest()
    write_pdf(tmp_path / "b/report.pdf", text="of b")
    third = f"report-{first[:8].upper()}"
    own = hashlib.sha256(write_pdf(tmp_path / f"{third}.pdf", text="of c").read_bytes()).hexdigest()
    named = {files: name for name, files in names_in(tmp_path).items()}
    assert named["a/report.pdf",] == f"report-{first[:16]}"
    assert named[f"{third}.pdf",] == f"{third}-{own[:16]}"
    assert len({name.casefold() for name in named.values()}) == 3


@pytest.mark.parametrize("name", ["a b.pdf", "quo'te\".pdf", "a..b.pdf", "Übersicht 2024.pdf", "年報.pdf", "α\tβ.pdf"])
def test_any_name_becomes_a_safe_one(tmp_path: Path, name: str) -> None:
    write_pdf(tmp_path / name)
    (safe,) = names_in(tmp_path)
    assert not set(safe) & set("/\\ '\"\t")
    assert not safe.startswith(".")
