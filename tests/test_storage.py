"""A result is whole or absent, on this machine and on S3, whatever is killed, cut off or refused."""

from __future__ import annotations

import contextlib
import json
import linecache
import math
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests import servers
from tests.conftest import Bucket
from unidoc_rl import s3, storage
from unidoc_rl.errors import UnidocError

MARKER = "marker.json"
REPOSITORY = Path(__file__).parents[1]
REQUEST = r"(client|transfer)\.\w+\("  # a line of s3.py that asks the server for something


def make(out: str | Path, content: str) -> None:
    """A stage: two files that belong together."""
    with storage.writing(out, MARKER) as output:
        (output.new / MARKER).write_text(content)
        (output.new / "deep").mkdir()
        (output.new / "deep" / "page").write_text(content)


def content_of(folder: Path) -> str:
    """What `make` put there; fails on half of it, or on anything beside it."""
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == {MARKER, "deep", "deep/page"}
    whole = (folder / MARKER).read_text()
    assert (folder / "deep" / "page").read_text() == whole
    return whole


# --- local folders --------------------------------------------------------------------------------------------------


def test_a_result_replaces_the_former_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "new parent" / "corpus"
    make(out, "one")
    make(out, "two")
    assert content_of(out) == "two"
    assert list(out.parent.iterdir()) == [out]


def test_an_error_leaves_the_former_result_and_the_work(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    make(out, "one")
    with pytest.raises(ZeroDivisionError):
        _fail_halfway(out)
    assert content_of(out) == "one"
    with storage.writing(out, MARKER) as output:
        assert (output.work / "finished").read_text() == "page 1"
        assert not any(output.new.iterdir())


def _fail_halfway(out: Path) -> None:
    with storage.writing(out, MARKER) as output:
        assert output.former == out
        (output.new / MARKER).write_text("half")
        (output.work / "finished").write_text("page 1")
        raise ZeroDivisionError


def test_a_linked_folder_is_filled_where_the_link_points(tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "corpus").symlink_to(tmp_path / "big disk")
    make(tmp_path / "corpus", "one")
    assert (tmp_path / "corpus").is_symlink()
    assert content_of(tmp_path / "big disk") == "one"


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_not_ours_is_not_replaced(tmp_path: Path, kind: str) -> None:
    theirs = tmp_path / "holiday" / "photo.jpg"
    theirs.parent.mkdir()
    theirs.write_bytes(b"sea")
    out = theirs if kind == "file" else theirs.parent
    with pytest.raises(UnidocError, match=f"{out.name}: exists, and holds no {MARKER}.*name another folder"):
        make(out, "one")
    assert theirs.read_bytes() == b"sea"


def test_a_folder_that_holds_one_marker_of_several_is_not_ours(tmp_path: Path) -> None:
    out = tmp_path / "website"
    make(out, "one")
    with (
        pytest.raises(UnidocError, match=r"website: exists, and holds no pages\.parquet: not ours"),
        storage.writing(out, MARKER, "pages.parquet"),
    ):
        pass
    with storage.writing(out, MARKER, "deep/page") as output:
        assert output.former == out


@pytest.mark.parametrize(
    ("out", "read", "told"),
    [
        ("corpus", "corpus", "corpus: is, or lies inside, corpus"),
        ("corpus/index", "corpus", "corpus/index: is, or lies inside, corpus"),
        ("corpus", "corpus/list.txt", "corpus/list.txt: is, or lies inside, corpus"),
        ("corpus/../corpus", "corpus", "corpus/../corpus: is, or lies inside, corpus"),
        ("s3://bucket/corpus/", "s3://bucket/corpus", "s3://bucket/corpus/: is, or lies inside, s3://bucket/corpus"),
        ("s3://bucket/a/index", "s3://bucket/a", "s3://bucket/a/index: is, or lies inside, s3://bucket/a"),
    ],
)
def test_a_result_in_the_place_of_what_it_is_made_of_is_refused(out: str, read: str, told: str) -> None:
    with pytest.raises(UnidocError, match=f"^{told}; keep what a stage reads and what it makes apart"):
        storage.keep_apart(out, "elsewhere", read)


def test_a_result_beside_what_it_is_made_of_is_allowed() -> None:
    storage.keep_apart("corpus", "corpora", "http://corpus:8000", "s3://corpus/a")
    storage.keep_apart(".", "http://host:8000")
    storage.keep_apart("s3://bucket/corpus", "s3://bucket/corpora", "bucket/corpus")


def test_the_folder_that_one_is_in_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")
    for out in (".", "..", tmp_path / "a"):
        with pytest.raises(UnidocError, match=r"is the folder that you are in, or holds it"):
            make(out, "one")
    make("c", "one")


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnidocError, match=r"file/corpus: cannot be written .*name another folder"):
        make(tmp_path / "file" / "corpus", "one")
    with pytest.raises(UnidocError, match=r"proc/corpus: cannot be written .*name another folder"):
        make("/proc/corpus", "one")  # "no such file", Linux says of what cannot be made there


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnidocError, match=r"nowhere: no such folder; .*run the stage that makes it first"):
        storage.local_folder(tmp_path / "nowhere")
    with pytest.raises(UnidocError, match="file: is no folder; "):
        storage.local_folder(tmp_path / "file")


def in_a_process_of_its_own(test: Callable[..., None], *args: Any) -> None:
    """For what forks: pytest's process has threads, and a child has none of them to give its locks free."""
    process = multiprocessing.get_context("spawn").Process(target=test, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("former", [None, "one"])
def test_killed_at_any_line_it_leaves_a_whole_result_or_none_and_the_next_run_ends_well(
    tmp_path: Path, former: str | None
) -> None:
    in_a_process_of_its_own(_kill_at_any_line, tmp_path, former)


def _kill_at_any_line(tmp_path: Path, former: str | None) -> None:
    kills = 0
    for line in _lines_until_it_ends():
        out = tmp_path / str(line) / "corpus"
        if former:
            make(out, former)
        if not _killed_at(line, lambda out=out: make(out, "two")):  # type: ignore[misc]
            break
        kills += 1
        if out.exists():
            assert content_of(out) in (former, "two")
        make(out, "three")
        assert content_of(out) == "three"
        assert list(out.parent.iterdir()) == [out]
    assert kills > 40  # else the lines of storage.py were not seen, and nothing was tried


def _lines_until_it_ends() -> Iterator[int]:
    yield from range(1, 1000)
    pytest.fail("the run never came to its end")


def _killed_at(n: int, run: Callable[[], object], lines: str = "") -> bool:
    """Runs it in a child, killed before the n-th line of storage.py or of this file, of those that match `lines`.

    False if it came to its end before that.
    """
    child = os.fork()
    if child == 0:
        kill = _kill_before(n, lines)
        threading.settrace(kill)
        sys.settrace(kill)
        run()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _kill_before(n: int, lines: str) -> Callable[[FrameType, str, Any], Any]:
    left = n

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        file = frame.f_code.co_filename
        if file not in (storage.__file__, s3.__file__, __file__):
            return None
        left -= event == "line" and bool(re.search(lines, linecache.getline(file, frame.f_lineno)))
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return count

    return count


# --- one at a time --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def holder(out: str | Path, inside: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that is at work on `out` until its stdin is closed, or it is killed."""
    script = (
        "import os, sys\n"
        "from unidoc_rl import storage\n"
        f"with storage.writing({str(out)!r}, {MARKER!r}) as output:\n"
        f"    {inside or 'pass'}\n"
        f"    (output.new / {MARKER!r}).touch()\n"
        "    print('at work', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        yield process
        process.kill()


def test_a_second_process_is_told_which_one_is_at_work(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    with holder(out) as process:
        with pytest.raises(UnidocError, match=f"process {process.pid} is at work on it; wait for that one, or end it"):
            make(out, "two")
        process.communicate()
        assert process.returncode == 0
    make(out, "two")
    assert content_of(out) == "two"


def test_a_killed_process_frees_the_folder_though_its_workers_live_on(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    with holder(out, inside="os.fork() or (sys.stdin.read(), os._exit(0))") as process:
        process.kill()
        process.wait()
        make(out, "two")  # the forked worker lives until its stdin is closed, which happens below
    assert content_of(out) == "two"


# --- S3 -------------------------------------------------------------------------------------------------------------


def test_a_result_on_s3_comes_back_as_it_was_and_follows_its_changes(bucket: Bucket, tmp_path: Path) -> None:
    out = f"{bucket.uri}/team/corpus"
    with storage.writing(out, MARKER) as output:
        (output.new / MARKER).write_text("one")
        (output.new / "gone").mkdir()
        (output.new / "gone" / "page").write_text("1")
        (output.new / "kept page ü").write_text("2")
    first = storage.local_folder(out)
    assert (first / "gone" / "page").read_text() == "1"

    shutil.rmtree(os.environ["UNIDOC_CACHE"])  # as on another machine
    with storage.writing(out, MARKER) as output:
        assert output.former is not None
        shutil.copy(output.former / "kept page ü", output.new)
        (output.new / "gone").write_text("a file now")
        (output.new / MARKER).write_text("two")
    (first / "left by a reader").write_text("by mistake")
    again = storage.local_folder(f"{out}/")
    assert {path.name: path.read_text() for path in again.iterdir()} == {
        MARKER: "two",
        "gone": "a file now",
        "kept page ü": "2",
    }
    assert sorted(bucket.objects()) == sorted(
        f"team/corpus/{name}" for name in ("COMPLETE.json", "gone", "kept page ü", MARKER)
    )


def test_only_changed_files_travel(bucket: Bucket) -> None:
    out = f"{bucket.uri}/corpus"
    make(out, "one")
    before = bucket.objects()
    page = storage.local_folder(out) / "deep" / "page"
    read_at = page.stat().st_mtime_ns
    with storage.writing(out, MARKER) as output:
        assert output.former is not None
        shutil.copytree(output.former, output.new, dirs_exist_ok=True)
        (output.new / "more").touch()
    storage.local_folder(out)
    assert bucket.objects()["corpus/deep/page"] == before["corpus/deep/page"]
    assert page.stat().st_mtime_ns == read_at


def test_folders_within_folders_do_not_disturb_each_other(bucket: Bucket) -> None:
    make(bucket.uri, "whole bucket")
    make(f"{bucket.uri}/inner", "inner")
    make(bucket.uri, "again")
    assert content_of(storage.local_folder(bucket.uri)) == "again"
    assert content_of(storage.local_folder(f"{bucket.uri}/inner")) == "inner"


def test_half_an_upload_is_refused_until_the_stage_has_run_again(bucket: Bucket) -> None:
    out = f"{bucket.uri}/corpus"
    make(out, "one")
    bucket.delete("corpus/COMPLETE.json")
    bucket.put("corpus/WRITING.json", json.dumps({"files": {MARKER: "", "deep/page": "", "old": ""}}).encode())
    bucket.put("corpus/old")
    with pytest.raises(UnidocError, match=r"corpus: holds no COMPLETE.json.*run that stage again"):
        storage.local_folder(out)
    make(out, "two")
    assert content_of(storage.local_folder(out)) == "two"
    assert "corpus/old" not in bucket.objects()


def test_objects_of_somebody_else_are_neither_replaced_nor_removed(bucket: Bucket) -> None:
    bucket.put("reports/2024.pdf", b"%PDF")
    with pytest.raises(UnidocError, match=r"reports: holds objects, and no COMPLETE.json: not ours.*another prefix"):
        make(f"{bucket.uri}/reports", "one")
    assert list(bucket.objects()) == ["reports/2024.pdf"]
    make(f"{bucket.uri}/reports/corpus", "one")
    bucket.put("reports/corpus/notes.txt", b"mine")
    make(f"{bucket.uri}/reports/corpus", "two")
    assert "reports/corpus/notes.txt" in bucket.objects()


def test_a_result_of_another_stage_is_not_replaced(bucket: Bucket) -> None:
    make(f"{bucket.uri}/corpus", "one")
    with (
        pytest.raises(UnidocError, match=r"exists, and holds no index.json"),
        storage.writing(f"{bucket.uri}/corpus", "index.json"),
    ):
        pass
    assert content_of(storage.local_folder(f"{bucket.uri}/corpus")) == "one"


@pytest.mark.parametrize(
    "listing",
    [b"not JSON", b"[]", b'{"files": ["a"]}', b'{"files": {"../../evil": "0"}}', b'{"files": {"/evil": "0"}}'],
)
def test_a_list_of_files_that_no_stage_wrote_is_refused(bucket: Bucket, listing: bytes) -> None:
    bucket.put("corpus/COMPLETE.json", listing)
    for use in (storage.local_folder, lambda out: make(out, "one")):
        with pytest.raises(UnidocError, match=r"corpus/COMPLETE.json: is no list of files that a stage has written"):
            use(f"{bucket.uri}/corpus")


def test_a_file_that_changes_while_it_is_read_is_noticed(bucket: Bucket) -> None:
    make(f"{bucket.uri}/corpus", "one")
    bucket.put("corpus/deep/page", b"two")
    shutil.rmtree(os.environ["UNIDOC_CACHE"])
    with pytest.raises(UnidocError, match="deep/page was changed while it was read; run again"):
        storage.local_folder(f"{bucket.uri}/corpus")
    bucket.delete("corpus/COMPLETE.json")  # the half copy that stays behind is no former result
    bucket.put("corpus/WRITING.json", b'{"files": {}}')
    with storage.writing(f"{bucket.uri}/corpus", MARKER) as output:
        assert output.former is None
        (output.new / MARKER).touch()


def test_what_could_not_be_sent_is_taken_over_by_the_next_run(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    out = f"{bucket.uri}/corpus"
    make(out, "one")
    with pytest.raises(UnidocError, match="refused"):
        _lose_the_right_to_write(out, monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.S3_SECRET)
    with pytest.raises(UnidocError, match="what was made for it here has not been sent; run that stage again first"):
        storage.local_folder(out)
    with storage.writing(out, MARKER) as output:
        assert output.former is not None
        assert (output.former / MARKER).read_text() == "hours of work"
        shutil.copytree(output.former, output.new, dirs_exist_ok=True)
    assert (storage.local_folder(out) / MARKER).read_text() == "hours of work"


def test_a_file_on_s3_is_kept_apart_from_a_result_in_its_place(bucket: Bucket) -> None:
    out = f"{bucket.uri}/corpus"
    make(out, "one")
    copied = storage.local_file(f"{out}/{MARKER}")
    with pytest.raises(UnidocError, match="keep what a stage reads and what it makes apart"):
        storage.keep_apart(out, copied)
    storage.keep_apart(f"{bucket.uri}/other", copied)


def _lose_the_right_to_write(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with storage.writing(out, MARKER) as output:
        shutil.copytree(output.former or "", output.new, dirs_exist_ok=True)
        (output.new / MARKER).write_text("hours of work")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "changed meanwhile")


@pytest.mark.slow
def test_killed_before_any_request_nobody_reads_half_of_it_from_s3(bucket: Bucket, tmp_path: Path) -> None:
    in_a_process_of_its_own(_kill_before_any_request, bucket, tmp_path)


def _kill_before_any_request(bucket: Bucket, tmp_path: Path) -> None:
    kills = 0
    for line in _lines_until_it_ends():
        out = f"{bucket.uri}/{line}"
        make(out, "one")
        made = tmp_path / str(line) / "made"
        make(made, "two")
        if not _killed_at(line, lambda out=out, made=made: s3.push(made, out), REQUEST):  # type: ignore[misc]
            break
        kills += 1
        with contextlib.suppress(UnidocError):
            assert content_of(storage.local_folder(out)) in ("one", "two")
        make(out, "three")
        assert content_of(storage.local_folder(out)) == "three"
        assert not any(key == f"{line}/WRITING.json" for key in bucket.objects())
    assert kills >= 9


def write_pages(folder: Path, pages: int) -> Path:
    folder.mkdir()
    for n in range(pages):
        (folder / f"page{n:03}").write_text(str(n))
    return folder


class Watched:
    """What is asked of the server for pages, each of which may be held up until it is allowed."""

    def __init__(self, hold: Callable[[], object]) -> None:
        self.asked: list[str] = []
        self._hold = hold

    def __call__(self, sent: bytes) -> None:
        if found := re.match(rb"(PUT|GET|DELETE) \S*/page", sent):
            self.asked.append(found[1].decode())
            self._hold()


def test_files_travel_several_at_once(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of any of them passes until all have been asked for."""
    together = threading.Barrier(s3.AT_ONCE, timeout=servers.START_SECONDS)
    made, got, uri = write_pages(tmp_path / "made", s3.AT_ONCE), tmp_path / "got", f"{bucket.uri}/corpus"
    watched = Watched(together.wait)
    with servers.BreakingProxy(bucket.port, before=watched).running() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        s3.push(made, uri)
        assert s3.pull(uri, got, tmp_path / "half")
        assert [path.read_text() for path in sorted(got.iterdir())] == [str(n) for n in range(s3.AT_ONCE)]
        s3.push(write_pages(tmp_path / "empty", 0), uri)
    assert sorted(watched.asked) == sorted(["PUT", "GET", "DELETE"] * s3.AT_ONCE)
    assert list(bucket.objects()) == ["corpus/COMPLETE.json"]


def test_a_file_that_cannot_be_sent_stops_the_others(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = write_pages(tmp_path / "made", 200)
    watched = Watched(lambda: (made / "page020").unlink(missing_ok=True))
    with servers.BreakingProxy(bucket.port, before=watched).running() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(FileNotFoundError, match="page020"):
            s3.push(made, f"{bucket.uri}/corpus")
    assert len(watched.asked) < 100
    assert "corpus/WRITING.json" in bucket.objects()
    assert "corpus/COMPLETE.json" not in bucket.objects()


def test_a_copy_that_broke_off_before_its_first_file_of_what_is_no_more_there(bucket: Bucket, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.touch()
    assert not s3.pull(f"{bucket.uri}/corpus", tmp_path / "got", half)
    assert not half.exists()


def test_what_can_be_no_bucket_is_no_server_s_fault(aws: None) -> None:
    with pytest.raises(UnidocError, match=r"s3://my bucket/corpus: is no address such as s3://bucket/prefix"):
        list(s3.list_objects("s3://my bucket/corpus"))


def test_a_file_that_cannot_be_fetched_stops_the_others(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3.push(write_pages(tmp_path / "made", 200), f"{bucket.uri}/corpus")
    bucket.delete("corpus/page020")
    watched = Watched(lambda: None)
    with servers.BreakingProxy(bucket.port, before=watched).running() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(s3.NotGiven, match="corpus: not there"):
            s3.pull(f"{bucket.uri}/corpus", tmp_path / "got", tmp_path / "half")
    assert len(watched.asked) < 100
    assert (tmp_path / "half").exists()


def test_control_c_ends_it_and_leaves_no_half_file(bucket: Bucket, tmp_path: Path) -> None:
    uri, got = f"{bucket.uri}/corpus", tmp_path / "got"
    s3.push(write_pages(tmp_path / "made", 200), uri)
    on_their_way, interrupted = threading.Semaphore(0), threading.Event()

    def hold() -> None:
        on_their_way.release()
        interrupted.wait()

    watched = Watched(hold)
    script = (
        "import signal\nfrom pathlib import Path\nfrom unidoc_rl import s3\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"s3.pull({uri!r}, Path({str(got)!r}), Path({str(tmp_path / 'half')!r}))\n"
    )
    with servers.BreakingProxy(bucket.port, before=watched).running() as port:
        env = os.environ | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, env=env, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
            for _ in range(s3.AT_ONCE):
                assert on_their_way.acquire(timeout=servers.START_SECONDS)
            process.send_signal(signal.SIGINT)
            interrupted.set()
        assert process.returncode == -signal.SIGINT
    assert len(watched.asked) < 100
    assert {path.name for path in got.iterdir()} <= {path.name for path in (tmp_path / "made").iterdir()}


def test_a_reader_waits_for_the_one_that_writes(bucket: Bucket) -> None:
    out = f"{bucket.uri}/corpus"
    script = f"from unidoc_rl import storage; print(storage.local_folder({out!r}))"
    with holder(out) as writer:
        command = [sys.executable, "-c", script]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY
        ) as reader:
            assert reader.stderr is not None
            assert f"process {writer.pid} is at work on it; waiting" in reader.stderr.readline()
            writer.communicate()
            folder, _ = reader.communicate()
    assert (Path(folder.strip()) / MARKER).is_file()


def test_objects_below_an_address_are_those_of_that_folder(bucket: Bucket, tmp_path: Path) -> None:
    for key in ("report/b.pdf", "report/a/c.pdf", "reports/d.pdf", "report.pdf"):
        bucket.put(key, key.encode())
    found = list(s3.list_objects(f"{bucket.uri}/report"))
    assert [item.uri for item in found] == [f"{bucket.uri}/report/a/c.pdf", f"{bucket.uri}/report/b.pdf"]
    assert found[0].size == len("report/a/c.pdf")
    assert [item.uri for item in s3.list_objects(f"{bucket.uri}/report.pdf")] == [f"{bucket.uri}/report.pdf"]
    assert len(list(s3.list_objects(bucket.uri))) == 4
    s3.download(found[1].uri, tmp_path / "b.pdf")
    assert (tmp_path / "b.pdf").read_bytes() == b"report/b.pdf"


# --- S3 that refuses, is away, or breaks off ------------------------------------------------------------------------


USES: list[Callable[[str], object]] = [
    lambda uri: make(uri, "one"),
    storage.local_folder,
    lambda uri: list(s3.list_objects(uri)),
    lambda uri: s3.download(f"{uri}/x", Path(os.devnull)),
    lambda uri: s3.ask(uri, 3),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("name", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")])
def test_wrong_keys_are_named(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, use: Callable[[str], object], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UnidocError, match=f"{bucket.uri}.*: refused .*check AWS_ACCESS_KEY_ID"):
        use(f"{bucket.uri}/corpus")


@pytest.mark.parametrize("use", USES)
def test_a_missing_bucket_is_named(bucket: Bucket, use: Callable[[str], object]) -> None:
    with pytest.raises(UnidocError, match=r"s3://no-such-bucket/corpus.*: not there .*check the bucket's name"):
        use("s3://no-such-bucket/corpus")


@pytest.mark.parametrize("use", USES)
def test_a_server_that_is_away_is_named(
    aws: None, monkeypatch: pytest.MonkeyPatch, use: Callable[[str], object]
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with servers.closed_port() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(UnidocError, match=rf"s3://bucket/corpus.*127\.0\.0\.1:{port}\) cannot be reached"):
            use("s3://bucket/corpus")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AWS_ENDPOINT_URL", "no address", "AWS_ENDPOINT_URL is http"),
        ("AWS_PROFILE", "nobody", "no keys"),
        ("AWS_SECRET_ACCESS_KEY", None, "no keys"),
    ],
)
def test_unusable_settings_are_named(
    aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str | None, message: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(UnidocError, match=message):
        make("s3://bucket/corpus", "one")


def test_an_address_without_a_bucket_is_named(aws: None) -> None:
    with pytest.raises(UnidocError, match="s3://: names no bucket"):
        storage.local_folder("s3://")


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2000, 300_000])
def test_a_connection_that_breaks_now_and_then_is_tried_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """After 1 byte every kind of answer is cut off, after 300 000 only the big file's."""
    page = os.urandom(1_000_000)
    proxy = servers.BreakingProxy(bucket.port, cuts=2, after=after)
    with proxy.running() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with storage.writing(f"{bucket.uri}/corpus", MARKER) as output:
            (output.new / MARKER).write_bytes(page)
        proxy.broken = 0
        shutil.rmtree(os.environ["UNIDOC_CACHE"])
        assert (storage.local_folder(f"{bucket.uri}/corpus") / MARKER).read_bytes() == page
    assert proxy.broken == 2


@pytest.mark.parametrize("after", [1, 300_000])
def test_a_connection_that_always_breaks_is_an_error_and_leaves_no_half_file(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: int
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    bucket.put("big", os.urandom(1_000_000))
    with servers.BreakingProxy(bucket.port, cuts=math.inf, after=after).running() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        with pytest.raises(UnidocError, match=rf"s3://.*/big: the server .*{port}\) cannot be reached or broke off"):
            s3.download(f"{bucket.uri}/big", tmp_path / "big")
    assert not any(path.name.startswith("big") for path in tmp_path.iterdir())


def test_what_a_killed_run_left_serves_the_same_inputs_only(tmp_path: Path) -> None:
    for inputs, kept in (("a", False), ("a", True), ("b", False)):
        with contextlib.suppress(Killed), storage.writing(tmp_path / "out", MARKER) as output:
            output.goes_on_with(inputs)
            assert (output.work / "played.jsonl").exists() == (output.work / "checkpoints").exists() == kept
            (output.work / "played.jsonl").touch()
            (output.work / "checkpoints").mkdir(exist_ok=True)
            assert output.new.is_dir()
            raise Killed


@pytest.mark.parametrize("inputs", ["a", "b"])
def test_killed_while_it_removes_what_was_left_it_goes_on_with_all_of_it_or_nothing(
    tmp_path: Path, inputs: str
) -> None:
    in_a_process_of_its_own(_kill_as_it_removes, tmp_path, inputs)


def _kill_as_it_removes(tmp_path: Path, inputs: str) -> None:
    left = ["checkpoints/weights", "played/episodes.jsonl", "rows", "tried"]

    def end(out: Path) -> None:
        with storage.writing(out, MARKER) as output:
            output.goes_on_with(inputs)
            (output.new / MARKER).touch()

    for line in _lines_until_it_ends():
        out = tmp_path / str(line) / "out"
        with contextlib.suppress(Killed), storage.writing(out, MARKER) as output:
            output.goes_on_with("a")
            for file in left:
                (output.work / file).parent.mkdir(exist_ok=True)
                (output.work / file).touch()
            raise Killed
        if not _killed_at(line, lambda out=out: end(out), "path"):  # type: ignore[misc]
            break
        with storage.writing(out, MARKER) as output:
            output.goes_on_with("a")
            assert [file for file in left if (output.work / file).exists()] in ([], left)
            (output.new / MARKER).touch()
    assert line > len(left)


class Killed(Exception):
    """As far as a stage's folders go."""
