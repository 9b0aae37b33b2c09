"""Rows in Milvus: the same answers as from files, from Milvus Lite and from the real server; and a server that goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from tests.index.milvus_server import Server, milvus_server
from tests.index.models import write_colqwen
from tests.index.test_stage import SUBJECTS, UNIDOC, content, make_corpus
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.index import in_milvus, manifest, milvus, scan, vectors
from unidoc_rl.index.catalogue import SCHEMA, Catalogue
from unidoc_rl.index.in_milvus import InMilvus
from unidoc_rl.index.maxsim import Quantised, pool, quantise
from unidoc_rl.index.milvus import Milvus, Rows
from unidoc_rl.index.scan import Scan
from unidoc_rl.index.search import Index
from unidoc_rl.index.searching import known_by
from unidoc_rl.index.stage import index
from unidoc_rl.params import IndexParams
from unidoc_rl.types import Query

QUERIES = [
    Query("insects that produce something sweet"),
    Query("honey", documents=frozenset({"ships", "steel"})),
    Query("grain on ships", excluded=frozenset({"ships_1", "bees_2"})),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with milvus_server(tmp_path_factory.mktemp("milvus")) as started:
        yield started


@pytest.fixture(params=["lite", "server"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "lite":
        return str(tmp_path / "rows/milvus.db")
    address: str = request.getfixturevalue("server").uri
    return address


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


def answers(made: Path) -> list[dict[str, float]]:
    with Index(made) as opened:
        return [{hit.page: round(hit.score, 4) for hit in hits} for hits in opened(QUERIES)]


def collections(uri: str) -> set[str]:
    if "://" not in uri and not Path(uri).exists():
        return set()
    milvus = Milvus(uri)
    try:
        return set(milvus.client.list_collections())
    finally:
        milvus.close()


@pytest.mark.slow
def test_milvus_gives_the_answers_that_files_give_and_keeps_one_collection(uri: str, tmp_path: Path) -> None:
    before = collections(uri)
    dense = IndexParams(retrievers=["dense"])
    make_corpus(tmp_path)
    index(tmp_path / "corpus", tmp_path / "index", dense.model_copy(update={"uri": uri}))
    index(tmp_path / "corpus", tmp_path / "files", dense)
    assert answers(tmp_path / "index") == answers(tmp_path / "files")
    first = known_by(str(tmp_path / "index"))
    index(tmp_path / "corpus", tmp_path / "index", dense.model_copy(update={"uri": uri}))
    assert known_by(str(tmp_path / "index")) == first  # in another collection
    (tmp_path / "docs/steel.pdf").unlink()
    make_corpus(tmp_path, {"ships": "Trains carry coal", "steel-2": "Clocks tell the hour", "bees": SUBJECTS["bees"]})
    (tmp_path / "docs/steel-2.pdf").rename(tmp_path / "docs/steel.pdf")
    make_corpus(tmp_path, {})
    index(tmp_path / "corpus", tmp_path / "index", dense.model_copy(update={"uri": uri}))
    index(tmp_path / "corpus", tmp_path / "files", dense)
    assert answers(tmp_path / "index") == answers(tmp_path / "files")
    assert known_by(str(tmp_path / "index")) != first
    assert len(collections(uri) - before) == 1


@pytest.mark.slow
def test_late_finds_its_candidates_in_milvus(corpus: Path, uri: str, tmp_path: Path) -> None:
    late = IndexParams(retrievers=["late"], late_encoder=str(write_colqwen(tmp_path / "colqwen")))
    index(corpus, tmp_path / "index", late.model_copy(update={"uri": uri}))
    index(corpus, tmp_path / "files", late)
    assert answers(tmp_path / "index") == answers(tmp_path / "files")


@pytest.mark.slow
def test_of_milvus_lite_readers_change_no_byte_and_a_second_one_is_told_who_holds_it(
    corpus: Path, tmp_path: Path
) -> None:
    uri = str(tmp_path / "milvus.db")
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], uri=uri))
    before = content(Path(uri))
    with Index(tmp_path / "index") as opened:
        assert opened([Query("honey")])[0]
        command: list[str | Path] = [UNIDOC, "search", tmp_path / "index", "honey"]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"process {os.getpid()} has it open" in second.stderr
    assert "Traceback" not in second.stderr
    assert content(Path(uri)) == before


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_in_milvus_once_the_next_has_finished(
    corpus: Path, uri: str, tmp_path: Path
) -> None:
    before = collections(uri)
    code = (
        "import os, signal, sys\n"
        "from unidoc_rl.index.milvus import Rows\n"
        "Rows.finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from unidoc_rl.index.stage import index\nfrom unidoc_rl.params import IndexParams\n"
        "index(sys.argv[1], sys.argv[2], IndexParams(retrievers=['dense'], uri=sys.argv[3]))\n"
    )
    command: list[str | Path] = [sys.executable, "-c", code, corpus, tmp_path / "index", uri]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], uri=uri))
    assert "bees_1" in answers(tmp_path / "index")[0]
    assert len(collections(uri) - before) == 1


@pytest.mark.slow
def test_a_server_that_goes_away_is_told_and_found_again(
    corpus: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = IndexParams(retrievers=["dense"], uri=server.uri)
    index(corpus, tmp_path / "index", params)
    expected = answers(tmp_path / "index")
    real = Rows.add

    def stop_and_add(rows: Rows, pages: Iterable[Any]) -> None:
        server.stop()
        real(rows, pages)

    with Index(tmp_path / "index") as opened:
        with monkeypatch.context() as patched:
            patched.setattr(milvus, "SECONDS", 10)
            patched.setattr(Rows, "add", stop_and_add)
            with pytest.raises(Away, match=f"{server.uri}: cannot be written"):
                index(corpus, tmp_path / "index", params)
            with pytest.raises(Away, match=f"{server.uri}: cannot be searched"):
                opened(QUERIES)
            with pytest.raises(Away, match="check that the server is there"):
                index(corpus, tmp_path / "index", params)
        server.start()
        again = [{hit.page: round(hit.score, 4) for hit in hits} for hits in opened(QUERIES)]
    assert again == expected  # the former index stands, and the open one goes on


@pytest.mark.slow
def test_a_collection_that_was_dropped_is_told_and_not_taken_for_a_server_that_is_away(uri: str) -> None:
    """Making an index again drops the former collection, which a service may have open."""
    vectors = np.ones((2, DIMENSION), np.float32)
    with Milvus(uri, create=True) as opened:
        rows = opened.create("dropped", DIMENSION)
        rows.add([("key", "document", vectors)])
        rows.finish()
        assert len(rows.nearest(vectors[:1], 2)[0]) == 2
        opened.client.drop_collection("dropped")
        with pytest.raises(UnidocError, match="the index was made again; open it again, or restart") as told:
            rows.nearest(vectors[:1], 2)
    assert type(told.value) is UnidocError  # of one that is away, a client asks again, in vain


def break_off(corpus: Path, made: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that ends with its collection begun, and leaves its work folder as a killed one would."""

    def fail(rows: Rows) -> None:
        raise UnidocError("broken off")

    with monkeypatch.context() as patched:
        patched.setattr(Rows, "finish", fail)
        with pytest.raises(UnidocError, match="broken off"):
            index(corpus, made, IndexParams(retrievers=["dense"], uri=uri))


def move(made: Path, uri: str) -> str:
    """Has an index say that its collection lies there, and gives that one's name."""
    described = manifest.read(made)
    described.model_copy(update={"uri": uri}).write(made)
    return str(described.collections["dense"].name)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A server that is gone for good."""
    monkeypatch.setattr(milvus, "SECONDS", 2)
    return "http://127.0.0.1:9"


@pytest.mark.slow
@pytest.mark.parametrize("to", ["files", "lite", "words"])
@pytest.mark.parametrize("killed", [False, True])
def test_where_the_index_no_longer_lies_nothing_is_left(
    corpus: Path, to: str, killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = str(tmp_path / "a.db")
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], uri=former))
    if killed:
        break_off(corpus, tmp_path / "index", former, monkeypatch)
    assert len(collections(former)) == 1 + killed
    uri = str(tmp_path / "b.db") if to == "lite" else None
    index(corpus, tmp_path / "index", IndexParams(retrievers=["bm25" if to == "words" else "dense"], uri=uri))
    assert collections(former) == set()
    with Index(tmp_path / "index") as opened:
        assert opened([Query("honey")])[0][0].document == "bees"


@pytest.mark.slow
def test_a_server_that_is_gone_keeps_no_index_from_being_made_elsewhere(
    corpus: Path, tmp_path: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lite = str(tmp_path / "a.db")
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], uri=lite))
    break_off(corpus, tmp_path / "index", lite, monkeypatch)
    journal = tmp_path / ".index.work/collections.json"
    ((_, begun),) = json.loads(journal.read_text())
    journal.write_text(json.dumps([[nowhere, begun]]))
    used = move(tmp_path / "index", nowhere)
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"]))
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith(nowhere)]
    assert [line.rpartition("is left there: ")[2] for line in told] == [begun, used]
    assert "bees_1" in answers(tmp_path / "index")[0]


@pytest.mark.slow
def test_a_collection_in_use_is_not_taken_for_a_left_over(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "a.db")
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], uri=uri))
    (tmp_path / ".index.work").mkdir()
    (tmp_path / ".index.work/collections.json").write_text(json.dumps([[uri, *collections(uri)]]))
    break_off(corpus, tmp_path / "index", uri, monkeypatch)
    assert "bees_1" in answers(tmp_path / "index")[0]


@pytest.mark.slow
def test_a_lite_folder_named_from_one_folder_is_searched_and_made_again_from_another(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = IndexParams(retrievers=["dense"], uri="rows/a.db")
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    index(corpus, tmp_path / "index", params)
    expected = answers(tmp_path / "index")
    monkeypatch.chdir(tmp_path / "there")
    assert answers(tmp_path / "index") == expected
    index(corpus, tmp_path / "index", params)
    assert len(collections(str(tmp_path / "there/rows/a.db"))) == 1
    assert collections(str(tmp_path / "here/rows/a.db")) == set()


def test_where_no_lite_folder_can_be_is_told_before_the_work(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("somebody's")
    for uri, said in ("file.db", "is a file"), ("file.db/milvus.db", "cannot be made"):
        with pytest.raises(UnidocError, match=rf"{uri}: {said}.*name another"):
            index(corpus, tmp_path / "index", IndexParams(uri=str(tmp_path / uri)))
    assert not (tmp_path / ".index.work/new/bm25").exists()


@pytest.mark.slow
def test_a_lite_folder_that_is_gone_is_told_and_not_made(corpus: Path, tmp_path: Path) -> None:
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], uri=str(tmp_path / "rows/a.db")))
    (tmp_path / "rows").rename(tmp_path / "elsewhere")
    with pytest.raises(UnidocError, match=r"a\.db: holds no collections; run `unidoc index` again"):
        answers(tmp_path / "index")
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"]))
    assert not (tmp_path / "rows").exists()


PAGES, OF_A_DOCUMENT, ROWS_OF_A_PAGE, DIMENSION = 300, 50, 6, 16


def some_pages(rng: np.random.Generator) -> list[Quantised]:
    """The rows of a page are near to each other, so that a few nearest rows are of even fewer pages."""
    directions = rng.normal(size=(PAGES, 1, DIMENSION))
    rows = directions + rng.normal(scale=0.05, size=(PAGES, ROWS_OF_A_PAGE, DIMENSION))
    return [quantise(page.astype(np.float32)) for page in rows]


def some_catalogue() -> Catalogue:
    documents = [f"d{n // OF_A_DOCUMENT}" for n in range(PAGES)]
    ids = [f"{document}_{n % OF_A_DOCUMENT}" for n, document in enumerate(documents)]
    return Catalogue(pa.table([ids, documents, ids, documents, ids], schema=SCHEMA))


def lay_out(folder: Path, listed: Catalogue, pages: list[Quantised], rows: Rows) -> tuple[Scan, vectors.Kept]:
    """The same rows in Milvus, to be scanned, and as kept vectors."""
    rows.add(
        (key, document, page.codes * page.scales[:, None])
        for key, document, page in zip(listed.keys, listed.documents, pages, strict=True)
    )
    rows.finish()
    scan.write(folder / "rows", pages, [ROWS_OF_A_PAGE] * PAGES, DIMENSION)
    for numbers in listed.pages_of.values():
        path, _ = vectors.place(listed, "store", int(numbers[0]))
        vectors.write(folder / path, [vectors.of_rows(pages[number]) for number in numbers])
    return Scan(folder / "rows"), vectors.Kept(folder, listed, "store")


@pytest.mark.slow
def test_among_many_pages_the_best_are_those_of_a_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_milvus, "HITS", 2)
    monkeypatch.setattr(in_milvus, "TOKENS", 4)
    rng = np.random.default_rng(0)
    listed, pages = some_catalogue(), some_pages(rng)
    tokens = (rng.normal(size=DIMENSION) + rng.normal(scale=0.2, size=(9, DIMENSION))).astype(np.float32)
    asked: list[int] = []
    real = Rows.nearest

    def nearest(
        rows: Rows, vectors: NDArray[np.float32], count: int, documents: frozenset[str] | None
    ) -> list[list[str]]:
        asked.append(count)
        return real(rows, vectors, count, documents)

    monkeypatch.setattr(Rows, "nearest", nearest)
    with Milvus(str(tmp_path / "milvus.db"), create=True) as opened:
        scanned, kept = lay_out(tmp_path, listed, pages, rows := opened.create("rows", DIMENSION))
        searched = InMilvus(rows, listed, kept)

        def best(query: Query, allowed: NDArray[np.bool_]) -> list[int]:
            asked.clear()
            (expected,) = scanned.find([pool(tokens, 4)], [query], [allowed], 20)
            (hits,) = searched.find([tokens], [query], [allowed], 20)
            assert len(hits) == 20
            np.testing.assert_allclose(hits[:10], expected[:10], rtol=1e-4)
            return [page for page, _ in hits]

        everything = np.ones(PAGES, bool)
        first = best(Query("q"), everything)
        assert len(asked) > 1  # the rows asked for first are of too few pages
        others = everything.copy()
        others[first] = False
        best(Query("q", excluded=frozenset(listed.ids[page] for page in first)), others)
        assert asked[0] == 4 * (20 + 20) // 4
        in_two = np.isin(listed.documents, ["d1", "d4"])
        best(Query("q", documents=frozenset({"d1", "d4"})), in_two)
        asked.clear()
        assert searched.find([tokens], [Query("q")], [np.zeros(PAGES, bool)], 20) == [[]]
        assert asked == []
