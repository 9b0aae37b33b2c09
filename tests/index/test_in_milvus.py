"""Rows in Milvus: the same answers as from files, from Milvus Lite and from the real server; and a server that goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.index.milvus_server import Server, milvus_server
from tests.index.models import write_colqwen
from tests.index.test_stage import SUBJECTS, UNIDOC, content, make_corpus
from unidoc_rl.errors import Away
from unidoc_rl.index.milvus import Milvus
from unidoc_rl.index.search import Index
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
    (tmp_path / "docs/steel.pdf").unlink()
    make_corpus(tmp_path, {"ships": "Trains carry coal", "steel-2": "Clocks tell the hour", "bees": SUBJECTS["bees"]})
    (tmp_path / "docs/steel-2.pdf").rename(tmp_path / "docs/steel.pdf")
    make_corpus(tmp_path, {})
    index(tmp_path / "corpus", tmp_path / "index", dense.model_copy(update={"uri": uri}))
    index(tmp_path / "corpus", tmp_path / "files", dense)
    assert answers(tmp_path / "index") == answers(tmp_path / "files")
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
def test_a_server_that_goes_away_is_told_and_found_again(corpus: Path, server: Server, tmp_path: Path) -> None:
    params = IndexParams(retrievers=["dense"], uri=server.uri)
    index(corpus, tmp_path / "index", params)
    expected = answers(tmp_path / "index")
    with Index(tmp_path / "index") as opened:
        server.stop()
        with pytest.raises(Away, match=f"{server.uri}: cannot be searched"):
            opened(QUERIES)
        with pytest.raises(Away, match="check that the server is there"):
            index(corpus, tmp_path / "index", params)
        server.start()
        again = [{hit.page: round(hit.score, 4) for hit in hits} for hits in opened(QUERIES)]
    assert again == expected  # the former index stands, and the open one goes on
