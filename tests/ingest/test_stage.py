"""The stage `ingest` as its users meet it: the command, over folders good and bad."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.conftest import Bucket
from tests.ingest import files, mortal_worker
from unidoc_rl import corpus, storage
from unidoc_rl.cli import cli
from unidoc_rl.corpus import Corpus
from unidoc_rl.errors import UnidocError
from unidoc_rl.ingest import assemble, stage
from unidoc_rl.ingest.discover import discover
from unidoc_rl.ingest.former import Former
from unidoc_rl.ingest.identify import identify
from unidoc_rl.ingest.stage import ingest
from unidoc_rl.params import IngestParams
from unidoc_rl.shards import Shard
from unidoc_rl.types import TextSource

UNIDOC = Path(sys.executable).with_name("unidoc")
PLAIN = IngestParams(dpi=60, layout=False, ocr=False)
OPTIONS = ("--set", "ingest.dpi=60", "--set", "ingest.layout=false", "--set", "ingest.ocr=false")


def unidoc_ingest(
    documents: Path, out: Path, *options: str, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    command: Sequence[str | Path] = [UNIDOC, "ingest", documents, "--out", out, *OPTIONS, *options]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=before, cwd=documents.parent, check=False)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def images_of(out: Path) -> dict[str, int]:
    """Every picture, and the moment when it was made."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "images").rglob("*.jpg")}


def report_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / corpus.REPORT).read_text()))


def test_a_corpus_holds_every_page_with_its_words_and_picture(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/b.pdf", pages=3, text="Beta")
    files.write_pdf(tmp_path / "docs/a.pdf", pages=2, text="Alpha", size=(400, 300))
    (tmp_path / "docs/talk").mkdir()
    Image.new("RGB", (50, 40), "white").save(tmp_path / "docs/talk/1.png")
    made = ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    pages = list(Corpus(tmp_path / "corpus"))
    assert (made["documents"], made["pages"], made["left_out"]) == (3, 6, 0)
    assert [page.id for page in pages] == ["a_1", "a_2", "b_1", "b_2", "b_3", "talk_1"]
    assert pages[1].text == "Alpha, number 2"
    assert [word.text for word in pages[1].words] == ["Alpha,", "number", "2"]
    assert [page.text_source for page in pages] == [TextSource.NATIVE] * 5 + [TextSource.NONE]
    for page in pages:
        with Image.open(tmp_path / "corpus" / page.image) as picture:
            assert picture.size == (page.width, page.height)
    assert len(images_of(tmp_path / "corpus")) == 6


def test_words_stand_where_they_stand_whatever_was_read_before(tmp_path: Path) -> None:
    """PDFium shapes the letters that stand in for a missing font after the font that it needed last."""
    files.write_without_font(tmp_path / "docs/a.pdf", weight=900)
    files.write_without_font(tmp_path / "docs/b.pdf", weight=300)
    files.write_without_font(tmp_path / "alone/b.pdf", weight=300)
    for folder in ("docs", "alone"):
        ingest(tmp_path / folder, tmp_path / f"of_{folder}", PLAIN, workers=1)
    *_, after = Corpus(tmp_path / "of_docs")
    (alone,) = Corpus(tmp_path / "of_alone")
    assert after == alone


def test_page_numbers_in_the_names_of_pictures_are_kept(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for n in (3, 12):
        Image.new("RGB", (50, 40), "white").save(tmp_path / f"docs/report_{n}.png")
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    assert [page.id for page in Corpus(tmp_path / "corpus")] == ["report_3", "report_12"]


@pytest.mark.parametrize("image_format", ["jpg", "png", "webp"])
def test_pictures_have_the_format_that_was_chosen(tmp_path: Path, image_format: str) -> None:
    files.write_pdf(tmp_path / "docs/a.pdf", pages=1)
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN.model_copy(update={"image_format": image_format}))
    (page,) = Corpus(tmp_path / "corpus")
    with Image.open(tmp_path / "corpus" / page.image) as picture:
        assert picture.format == {"jpg": "JPEG"}.get(image_format, image_format.upper())


def test_a_new_file_is_worked_on_alone_and_the_rest_taken_over(tmp_path: Path) -> None:
    docs, out = tmp_path / "docs", tmp_path / "corpus"
    for name in ("a", "b", "c"):
        files.write_pdf(docs / f"{name}.pdf", text=name)
    ingest(docs, out, PLAIN)
    before = images_of(out)
    files.write_pdf(docs / "new.pdf", text="new")
    files.write_pdf(docs / "b.pdf", text="changed")
    (docs / "c.pdf").rename(docs / "renamed.pdf")
    ingest(docs, out, PLAIN)
    after = images_of(out)
    assert {name for name in after if name[0] in "ar"} == {"a_1.jpg", "a_2.jpg", "renamed_1.jpg", "renamed_2.jpg"}
    assert after["a_1.jpg"] == before["a_1.jpg"]
    assert after["renamed_1.jpg"] == before["c_1.jpg"]
    assert after["b_1.jpg"] != before["b_1.jpg"]
    fresh = tmp_path / "fresh"
    ingest(docs, fresh, PLAIN)
    assert content(out) == content(fresh)


def test_shards_together_make_what_one_machine_makes(tmp_path: Path) -> None:
    """With copies, names and bad files in several shards, and a shard in which there is nothing."""
    docs = tmp_path / "docs"
    for name in ("a", "2023/report", "2024/report"):
        files.write_pdf(docs / f"{name}.pdf", text=name)
    files.write_pdf(docs / "copy of a.pdf", text="a")
    (docs / "bad.pdf").write_bytes(b"%PDF-1.7 and no more")
    (docs / "letter.docx").write_bytes(b"PK")
    shards = [Shard(1, 2), Shard(2, 2), Shard(9, 9)]
    parts = [tmp_path / f"part{shard.place}" for shard in shards]
    for part, shard in zip(parts, shards, strict=True):
        ingest(docs, part, PLAIN, shard=shard, workers=1)
    options = [option for part in parts for option in ("--part", str(part))]
    assert unidoc_ingest(docs, tmp_path / "together", *options).returncode == 3
    ingest(docs, tmp_path / "alone", PLAIN)
    assert content(tmp_path / "together") == content(tmp_path / "alone")
    read = {moment for part in parts for moment in images_of(part).values()}
    assert {*images_of(tmp_path / "together").values()} <= read


def test_which_shard_of_how_many_is_said_in_one_word() -> None:
    def said(shard: str) -> Any:
        command = ["docs", "--out", "corpus", "--shard", shard]
        return cli.commands["ingest"].make_context("ingest", command).params["shard"]

    assert said("2/4") == Shard(2, 4)
    for wrong in ("0/2", "3/2", "1", "a/b"):
        with pytest.raises(click.BadParameter, match=f"{wrong} is none of several; expected 1/4"):
            said(wrong)


def test_pages_are_the_same_bytes_in_whatever_pieces_they_come(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/a.pdf", pages=7)
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    pages = corpus.Corpus(tmp_path / "corpus").table(*corpus.PAGE_SCHEMA.names)
    many = [pages.slice(n % 5, 1 + n % 7) for n in range(300)]
    rows = pa.concat_tables(many)
    written = set()
    for size in (1, 100, corpus.ROWS_A_GROUP, 2000):
        corpus.write_pages(tmp_path / "pages", [rows.slice(at, size) for at in range(0, len(rows), size)])
        written.add((tmp_path / "pages").read_bytes())
    assert len(rows) > corpus.ROWS_A_GROUP
    assert len(written) == 1


def test_other_settings_are_other_pages(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/a.pdf", pages=1)
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN.model_copy(update={"dpi": 90}))
    (page,) = Corpus(tmp_path / "corpus")
    assert page.width == round(595 * 90 / 72)


def test_a_lower_limit_holds_for_what_was_taken_in_before(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/long.pdf", pages=5)
    files.write_pdf(tmp_path / "docs/short.pdf", pages=1)
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    made = ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN.model_copy(update={"max_pages": 4}))
    assert (made["documents"], made["left_out"]) == (1, 1)


def test_a_corpus_among_its_own_documents_is_refused(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "a.pdf")
    with pytest.raises(UnidocError, match="lies inside"):
        ingest(tmp_path, tmp_path / "corpus", PLAIN)
    with pytest.raises(UnidocError, match="lies inside"):
        ingest("s3://bucket/docs", "s3://bucket/docs/corpus", PLAIN)
    files.write_pdf(tmp_path / "corpus/new/b.pdf")
    with pytest.raises(UnidocError, match="lies inside"):  # the exchange of folders would remove them
        ingest(tmp_path / "corpus/new", tmp_path / "corpus", PLAIN)
    assert (tmp_path / "corpus/new/b.pdf").exists()


def test_a_former_corpus_that_lost_a_picture_is_named(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/a.pdf")
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    (tmp_path / "corpus/images/a/a_2.jpg").unlink()
    with pytest.raises(UnidocError, match=r"a_2\.jpg: is missing; remove the corpus"):
        ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)


def test_a_picture_is_not_written_through_the_link_of_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    assemble._link(tmp_path / "a", tmp_path / "picture")
    with pytest.raises(FileExistsError):
        assemble._link(tmp_path / "b", tmp_path / "picture")
    assert (tmp_path / "a").read_text() == "a"


def test_a_former_report_that_is_damaged_is_named(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/a.pdf")
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    (tmp_path / "corpus/report.json").write_text("{}")
    with pytest.raises(UnidocError, match=r"report\.json: is damaged"):
        ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)


# --- bad input ------------------------------------------------------------------------------------------------------


def bad_files(docs: Path) -> dict[str, str]:
    """One of every kind that is quickly found out, and a word of the reason that must be given."""
    files.write_locked(docs / "locked.pdf")
    files.write_pdf(docs / "long.pdf", pages=30)
    whole = files.write_pdf(docs / "cut.pdf").read_bytes()
    (docs / "cut.pdf").write_bytes(whole[:900])
    (docs / "empty.pdf").touch()
    (docs / "page.pdf").write_bytes(b"<html></html>")
    (docs / "damaged.pdf").write_bytes(files.of_pages([files.EMPTY_PAGE, b"(no page)"]))
    (docs / "many.pdf").write_bytes(files.of_pages([files.EMPTY_PAGE] * 100_000))
    (docs / "letter.docx").write_bytes(b"PK")
    (docs / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    (docs / "link.pdf").symlink_to("/etc/hostname")
    return {
        "locked.pdf": "password",
        "long.pdf": "30 pages",
        "cut.pdf": "cut off",
        "empty.pdf": "empty",
        "page.pdf": "not a PDF",
        "damaged.pdf": "page 2 of 2",
        "many.pdf": "100000 pages",
        "letter.docx": "neither a PDF nor a picture",
        "photo.jpg": "cut off",
        "link.pdf": "leads out",
    }


def test_every_bad_file_has_its_line_and_stops_no_other(tmp_path: Path) -> None:
    docs, out = tmp_path / "docs", tmp_path / "corpus"
    files.write_pdf(docs / 'good ‘one’ & "two".pdf')
    files.write_pdf(docs / "年報 2024.pdf", text="other")
    reasons = bad_files(docs)
    done = unidoc_ingest(docs, out, "--set", "ingest.max_pages=20")
    lines = {line.partition(": ")[0]: line for line in done.stderr.splitlines()}
    left_out = {entry["file"]: entry for entry in report_of(out)["left_out"]}
    assert done.returncode == 3
    assert sorted(left_out) == sorted(reasons)
    for file, reason in reasons.items():
        assert reason in left_out[file]["reason"]
        assert left_out[file]["advice"]
        assert lines[file] == f"{file}: {left_out[file]['reason']}; {left_out[file]['advice']}"
    assert [entry["document"] for entry in report_of(out)["documents"]] == ["good_one_two", "年報_2024"]
    assert len(Corpus(out)) == 4
    assert f"{len(reasons)} files left out" in done.stdout


def test_what_may_be_left_out_is_no_failure(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/good.pdf")
    (tmp_path / "docs/empty.pdf").touch()
    assert unidoc_ingest(tmp_path / "docs", tmp_path / "corpus", "--set", "ingest.may_leave_out=1").returncode == 0


def test_nothing_readable_leaves_the_former_corpus(tmp_path: Path) -> None:
    docs, out = tmp_path / "docs", tmp_path / "corpus"
    files.write_pdf(docs / "good.pdf")
    ingest(docs, out, PLAIN)
    former = content(out)
    (docs / "good.pdf").write_bytes(b"")
    done = unidoc_ingest(docs, out)
    assert done.returncode == 1
    assert "good.pdf: is empty" in done.stderr
    assert content(out) == former


@pytest.mark.slow
def test_bombs_end_their_reader_and_nothing_else(tmp_path: Path) -> None:
    docs, out = tmp_path / "docs", tmp_path / "corpus"
    files.write_pdf(docs / "a.pdf", pages=1)
    (docs / "b-swollen.pdf").write_bytes(files.swollen_content(2))
    (docs / "c-nested.pdf").write_bytes(files.nested_forms(12))
    files.write_pdf(docs / "d.pdf", pages=1, text="after the bombs")
    made = ingest(docs, out, PLAIN.model_copy(update={"page_seconds": 8}), workers=1)
    assert (made["documents"], made["left_out"]) == (2, 2)
    assert {entry["file"] for entry in report_of(out)["left_out"]} == {"b-swollen.pdf", "c-nested.pdf"}


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where readers are told at what the system ends them."""
    monkeypatch.setenv("MORTAL", str(tmp_path / "mortal"))
    return tmp_path / "mortal"


def with_mortal_readers(docs: Path, out: Path, workers: int) -> Result:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stage, "WORKER", "tests.ingest.mortal_worker")
        return CliRunner().invoke(cli, ["ingest", str(docs), "--out", str(out), "--workers", str(workers), *OPTIONS])


@pytest.mark.parametrize("workers", [1, 3])
def test_a_document_whose_reader_the_system_ended_once_is_read_as_if_nothing_had_been(
    tmp_path: Path, mortal: Path, workers: int
) -> None:
    docs = tmp_path / "docs"
    for name, pages in ("a", 1), ("b", 40), ("c", 5), ("d", 20):
        files.write_pdf(docs / f"{name}.pdf", pages=pages, text=name)
    mortal_worker.tell(mortal, [("b", "Read", 1), ("c", "Count", 1), ("d", "Read", 1)])
    done = with_mortal_readers(docs, tmp_path / "corpus", workers)
    ingest(docs, tmp_path / "undisturbed", PLAIN)
    assert done.exit_code == 0
    assert [mortal_worker.ended(mortal, name) for name in "bcd"] == [1, 1, 1]
    assert content(tmp_path / "corpus") == content(tmp_path / "undisturbed")
    assert "opening: 4 of 4 documents" in done.stderr
    assert "reading: 66 of 66 pages" in done.stderr


@pytest.mark.parametrize("moment", ["Count", "Read"])
def test_a_document_whose_reader_the_system_always_ends_is_left_out_after_two_tries(
    tmp_path: Path, mortal: Path, moment: str
) -> None:
    docs = tmp_path / "docs"
    for name in ("a", "b", "c"):
        files.write_pdf(docs / f"{name}.pdf", pages=5, text=name)
    mortal_worker.tell(mortal, [("b", moment, 99)])
    done = with_mortal_readers(docs, tmp_path / "corpus", workers=1)
    (docs / "b.pdf").unlink()
    ingest(docs, tmp_path / "others", PLAIN)
    assert done.exit_code == 3
    assert mortal_worker.ended(mortal, "b") == 2
    assert "b.pdf: lost its reader twice: the system ended it (SIGKILL), most likely for want of memory" in done.stderr
    assert "; take fewer --workers" in done.stderr
    assert list(Corpus(tmp_path / "corpus")) == list(Corpus(tmp_path / "others"))


def test_of_a_document_that_ends_its_reader_everywhere_not_every_page_is_tried(tmp_path: Path, mortal: Path) -> None:
    docs = tmp_path / "docs"
    files.write_pdf(docs / "a.pdf", pages=200)
    files.write_pdf(docs / "b.pdf", text="b")
    mortal_worker.tell(mortal, [("a", "Read", 99)])
    assert with_mortal_readers(docs, tmp_path / "corpus", workers=1).exit_code == 3
    assert mortal_worker.ended(mortal, "a") <= 4  # a task is taken before it is known how the one before it ends
    assert [page.document for page in Corpus(tmp_path / "corpus")] == ["b", "b"]


def test_a_page_of_five_metres_is_in_the_report(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/poster.pdf", pages=1, size=(14173, 5669))
    done = unidoc_ingest(tmp_path / "docs", tmp_path / "corpus", "--set", "ingest.dpi=150")
    (entry,) = report_of(tmp_path / "corpus")["documents"]
    assert done.returncode == 0
    assert "5000 x 2000 mm" in entry["remarks"]["page 1"]
    assert "poster.pdf: page 1 is 5000 x 2000 mm" in done.stderr


def without_superuser() -> None:
    """Root reads everything; this takes from root (and what it starts) the right to."""
    if os.geteuid() == 0:
        drop, override, search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        for capability in (override, search):
            assert ctypes.CDLL(None).prctl(drop, capability) == 0


def test_a_file_without_permission_is_left_out(tmp_path: Path) -> None:
    files.write_pdf(tmp_path / "docs/good.pdf")
    files.write_pdf(tmp_path / "docs/secret.pdf", text="secret").chmod(0)
    (tmp_path / "docs/closed").mkdir(mode=0)
    files.write_pdf(tmp_path / "docs/listed-only/c.pdf", text="listed").parent.chmod(0o400)
    done = unidoc_ingest(tmp_path / "docs", tmp_path / "corpus", before=without_superuser)
    reasons = {entry["file"]: entry["reason"] for entry in report_of(tmp_path / "corpus")["left_out"]}
    assert done.returncode == 3
    assert sorted(reasons) == ["closed", "listed-only/c.pdf", "secret.pdf"]
    assert "Permission denied" in reasons["secret.pdf"]


def test_a_full_disk_ends_the_run_and_keeps_the_former_corpus(tmp_path: Path) -> None:
    """A file system of one megabyte, in a name space of the test's own."""
    docs = tmp_path / "docs"
    files.write_pdf(docs / "a.pdf", pages=1)
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=1m none {disk} && cd {disk}
        {UNIDOC} ingest {docs}/a.pdf --out corpus {" ".join(OPTIONS)} || exit 90
        sha256sum corpus/pages.parquet > before
        {UNIDOC} ingest {docs} --out corpus {" ".join(OPTIONS)} --set ingest.dpi=300 --set ingest.image_format=png
        echo status $?
        sha256sum --check before && ls -A
    """
    for number in range(40):
        files.write_pdf(docs / f"more{number}.pdf", pages=2, text=f"more {number}")
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "status 1" in done.stdout
    assert "unidoc: corpus: the disk is full; free some space and run again" in done.stderr
    assert "corpus/pages.parquet: OK" in done.stdout


def test_a_file_that_changes_while_it_is_read_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    docs, out = tmp_path / "docs", tmp_path / "corpus"
    for name in ("a", "b"):
        files.write_pdf(docs / f"{name}.pdf", pages=200, text=f"first {name}")
    command: Sequence[str | Path] = [UNIDOC, "ingest", docs, "--out", out, "--workers", "1", *OPTIONS]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not any((tmp_path / ".corpus.work").rglob("*.jpg")):
            os.sched_yield()
        files.write_pdf(docs / "b.pdf", pages=3, text="second b")
        assert process.wait() == 3
    (problem,) = report_of(out)["left_out"]
    assert problem["file"] == "b.pdf"
    ingest(docs, out, PLAIN)
    assert {page.text for page in Corpus(out) if page.document == "b"} == {f"second b, number {n}" for n in (1, 2, 3)}


# --- killed, and run again ------------------------------------------------------------------------------------------


def kill_when(documents: Path, out: Path, seen: Callable[[], bool]) -> bool:
    """Starts the command, and kills it the moment something is to be seen; whether it was still at work."""
    command: Sequence[str | Path] = [UNIDOC, "ingest", documents, "--out", out, "--workers", "2", *OPTIONS]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not seen():
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


@pytest.fixture(scope="module")
def many_documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    docs = tmp_path_factory.mktemp("many") / "docs"
    for number in range(12):
        files.write_pdf(docs / f"{number}.pdf", pages=20, text=f"document {number}")
    (docs / "empty.pdf").touch()
    return docs


@pytest.fixture(scope="module")
def undisturbed(many_documents: Path) -> dict[str, bytes]:
    """The corpus of a run that nothing happened to."""
    out = many_documents.with_name("undisturbed")
    assert unidoc_ingest(many_documents, out).returncode == 3
    return content(out)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [0, 1, 9])
@pytest.mark.parametrize("with_former", [False, True])
def test_killed_anywhere_and_run_again_it_ends_as_if_nothing_had_been(
    tmp_path: Path, many_documents: Path, undisturbed: dict[str, bytes], parts: int, with_former: bool
) -> None:
    out = tmp_path / "corpus"
    if with_former:
        ingest(many_documents / "3.pdf", out, PLAIN)
    former = content(out) if with_former else None
    work = tmp_path / ".corpus.work"
    assert kill_when(many_documents, out, lambda: work.exists() and len(list(work.rglob("*.parquet"))) >= parts)
    assert (content(out) if out.exists() else None) == former
    kept = {path: path.stat().st_mtime_ns for path in work.rglob("*-*.parquet")}
    assert unidoc_ingest(many_documents, out).returncode == 3
    assert content(out) == undisturbed
    assert not work.exists()
    assert len(kept) >= parts


def test_what_a_killed_run_had_finished_is_not_done_again(tmp_path: Path, many_documents: Path) -> None:
    out, work = tmp_path / "corpus", tmp_path / ".corpus.work"
    kill_when(many_documents, out, lambda: work.exists() and len(list(work.rglob("*-*.parquet"))) >= 6)
    images = {path.stat().st_ino for folder in work.glob("pieces/*") for path in _finished(folder)}
    assert images
    unidoc_ingest(many_documents, out)
    assert images <= {path.stat().st_ino for path in out.rglob("*.jpg")}


def _finished(folder: Path) -> list[Path]:
    """The pictures of pages whose rows are written."""
    ranges = [rows.stem.split("-") for rows in folder.glob("*-*.parquet")]
    return [folder / f"{n + 1}.jpg" for start, stop in ranges for n in range(int(start), int(stop))]


def test_workers_end_with_a_killed_run(tmp_path: Path, many_documents: Path) -> None:
    """Else they would go on writing into a folder that the next run has taken over."""
    out, work = tmp_path / "corpus", tmp_path / ".corpus.work"
    assert kill_when(many_documents, out, lambda: work.exists() and any(work.rglob("*.jpg")))
    while any(str(tmp_path) in command for command in _commands("unidoc_rl.ingest.worker")):
        os.sched_yield()


def _commands(part: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESRCH):
                raise
            continue
        if part in command:
            found.append(command)
    return found


# --- S3 -------------------------------------------------------------------------------------------------------------


def test_from_s3_to_s3_and_only_what_is_new_is_fetched(tmp_path: Path, bucket: Bucket) -> None:
    for name in ("a", "b"):
        bucket.put(f"docs/{name}.pdf", files.write_pdf(tmp_path / f"{name}.pdf", text=name).read_bytes())
    out = f"{bucket.uri}/made/corpus"
    assert ingest(f"{bucket.uri}/docs/", out, PLAIN)["pages"] == 4
    first = bucket.objects()
    bucket.put("docs/c.pdf", files.write_pdf(tmp_path / "c.pdf", text="c").read_bytes())
    assert ingest(f"{bucket.uri}/docs/", out, PLAIN)["pages"] == 6
    second = bucket.objects()
    assert second["made/corpus/images/a/a_1.jpg"] == first["made/corpus/images/a/a_1.jpg"]
    assert [page.id for page in Corpus(storage.local_folder(out))] == ["a_1", "a_2", "b_1", "b_2", "c_1", "c_2"]


def test_an_object_that_is_gone_when_it_is_fetched_is_left_out(tmp_path: Path, bucket: Bucket) -> None:
    for name in ("a", "b"):
        bucket.put(f"docs/{name}.pdf", files.write_pdf(tmp_path / f"{name}.pdf", text=name).read_bytes())
    found, _ = discover(f"{bucket.uri}/docs/")
    bucket.delete("docs/a.pdf")
    documents, problems = identify(found, PLAIN, Former([]), tmp_path / "cache")
    assert [document.name for document in documents] == ["b"]
    assert [problem.file for problem in problems] == ["a.pdf"]


def test_other_settings_read_again_what_was_known_on_s3(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put("docs/a.pdf", files.write_pdf(tmp_path / "a.pdf").read_bytes())
    for dpi in (60, 90):
        made = ingest(f"{bucket.uri}/docs/", tmp_path / "corpus", PLAIN.model_copy(update={"dpi": dpi}))
        assert (made["pages"], made["left_out"]) == (2, 0)


def test_wrong_keys_are_told_and_nothing_is_made(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("docs/a.pdf", files.write_pdf(tmp_path / "a.pdf").read_bytes())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UnidocError, match="AWS_SECRET_ACCESS_KEY"):
        ingest(f"{bucket.uri}/docs/", tmp_path / "corpus", PLAIN)
    assert not (tmp_path / "corpus").exists()
