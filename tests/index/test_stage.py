"""The stage `index` and the searches in what it makes, over real corpora and the real Milvus Lite."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Bucket
from tests.ingest import files
from unidoc_rl.cli import cli
from unidoc_rl.corpus import Corpus
from unidoc_rl.errors import UnidocError
from unidoc_rl.index import build, manifest, vectors
from unidoc_rl.index import search as searching
from unidoc_rl.index.search import Index
from unidoc_rl.index.stage import index
from unidoc_rl.ingest.stage import ingest
from unidoc_rl.params import IndexParams, IngestParams
from unidoc_rl.types import Query

UNIDOC = Path(sys.executable).with_name("unidoc")
PLAIN = IngestParams(dpi=40, layout=False, ocr=False)
WORDS = IndexParams(retrievers=["bm25"])
BOTH = IndexParams()
SUBJECTS = {"bees": "Bees make honey in summer", "ships": "Ships carry grain over the sea", "steel": "Steel melts late"}


def make_corpus(folder: Path, subjects: dict[str, str] = SUBJECTS) -> Path:
    """A document of two pages about each subject."""
    for name, text in subjects.items():
        files.write_pdf(folder / f"docs/{name}.pdf", text=text)
    ingest(folder / "docs", folder / "corpus", PLAIN)
    return folder / "corpus"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def found(made: Path | str, text: str, **limits: frozenset[str]) -> list[str]:
    with Index(made) as opened:
        (hits,) = opened([Query(text, **limits)])
    return [hit.page for hit in hits]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def made(corpus: Path) -> Path:
    index(corpus, corpus.parent / "index", BOTH)
    return corpus.parent / "index"


def test_each_retriever_and_both_together_find_the_page(made: Path) -> None:
    for retrievers in (["bm25"], ["dense"], None):
        with Index(made, retrievers) as opened:  # type: ignore[arg-type]
            first, second = opened([Query("honey of bees"), Query("grain on ships, number 2")], k=4)
        assert first[0].document == "bees"
        assert second[0].page == "ships_2"
        assert [hit.score for hit in first] == sorted((hit.score for hit in first), reverse=True)
        assert set(first[0].scores) == {*(retrievers or ["bm25", "dense"])}
        assert (made.parent / "corpus" / first[0].image).is_file()


def test_the_meaning_is_found_without_the_words(made: Path) -> None:
    with Index(made, ["dense"]) as opened:
        (hits,) = opened([Query("insects that produce something sweet")])
    assert hits[0].document == "bees"


def test_only_the_documents_asked_for_and_never_an_excluded_page(made: Path) -> None:
    assert set(found(made, "bees and ships", documents=frozenset({"ships"}))) == {"ships_1", "ships_2"}
    everything = {f"{name}_{n}" for name in SUBJECTS for n in (1, 2)}
    for page in everything:
        assert page not in found(made, "bees, ships, steel, number", excluded=frozenset({page}))
    assert found(made, "number", excluded=frozenset(everything)) == []


def test_readers_change_no_byte(made: Path) -> None:
    before = content(made)
    found(made, "steel")
    assert content(made) == before


@given(st.text(max_size=60))
@settings(max_examples=40)
def test_any_text_is_searched_for_or_refused(made: Path, text: str) -> None:
    with Index(made, ["bm25"]) as opened:
        if any(character.isalnum() for character in text):
            assert len(opened([Query(text)])[0]) <= 6
        else:
            with pytest.raises(UnidocError, match="holds no word"):
                opened([Query(text)])


@pytest.mark.parametrize("text", ["x" * 100_000, "honey " * 20_000, "honey \x00\x07 \ud800", "蜂蜜 мёд عسل honey"])
def test_long_and_strange_queries_are_answered(made: Path, text: str) -> None:
    hits = found(made, text)
    assert hits or "honey" not in text


def test_any_number_of_queries_have_their_own_hits(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "QUERIES_AT_ONCE", 2)
    with Index(made) as opened:
        assert opened([]) == []
        many = opened([Query(text) for text in SUBJECTS.values()], k=1)
    assert [hits[0].document for hits in many] == list(SUBJECTS)


def test_search_prints_hits_or_json(made: Path) -> None:
    def search(*arguments: str) -> list[str]:
        done = CliRunner().invoke(cli, ["search", str(made), *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout.splitlines()

    assert re.fullmatch(r" +[\d.]+  bees_\d  \(bm25 [\d.]+  dense [\d.]+\)", search("honey of bees", "-k", "1")[0])
    assert search("grain", "honey", "--retriever", "bm25", "--document", "steel") == [
        *("grain:", "nothing found"),
        *("honey:", "nothing found"),
    ]
    limits = ("--document", "ships", "--document", "bees", "--exclude", "ships_1", "--exclude", "bees_2")
    first, second = map(json.loads, search("grain on ships", "蜂蜜 \udcff", *limits, "--json"))
    assert {hit["page"] for hit in first["hits"]} == {"ships_2", "bees_1"}
    assert first["hits"][0].keys() == {"page", "document", "image", "score", "scores"}
    assert second["query"] == "蜂蜜 ?"


def test_an_index_on_s3_is_made_again_and_searched_there(corpus: Path, bucket: Bucket) -> None:
    for params in (WORDS, WORDS.model_copy(update={"fusion": "rank"})):
        index(corpus, f"{bucket.uri}/index", params)
        assert found(f"{bucket.uri}/index", "honey of bees")[0].startswith("bees")


def test_what_cannot_be_asked_is_told(made: Path) -> None:
    with Index(made, ["bm25"]) as opened:
        with pytest.raises(UnidocError, match="no document 'bee'; the nearest name is 'bees'"):
            opened([Query("honey", documents=frozenset({"bee"}))])
        with pytest.raises(UnidocError, match="1 to 1000"):
            opened([Query("honey")], k=0)
        with pytest.raises(UnidocError, match="holds no word"):
            opened([Query(" ?! ")])
    with pytest.raises(UnidocError, match="has no late, only bm25, dense"):
        Index(made, ["late"])


def test_new_changed_and_gone_pages_give_the_same_answers_as_a_new_index(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    index(tmp_path / "corpus", tmp_path / "index", BOTH)
    kept = next((tmp_path / "index/vectors").rglob("*.safetensors")).parent.parent
    before = {path: path.stat().st_ino for path in kept.rglob("*.safetensors")}
    (tmp_path / "docs/steel.pdf").unlink()
    make_corpus(tmp_path, {"ships": "Trains carry coal through the valley", "clocks": "Clocks tell the hour"})
    index(tmp_path / "corpus", tmp_path / "index", BOTH)
    index(tmp_path / "corpus", tmp_path / "anew", BOTH)
    for text in ("bees honey", "coal trains", "grain ships", "what tells the hour", "steel melts"):
        with Index(tmp_path / "index") as changed:
            (one,) = changed([Query(text)])
        with Index(tmp_path / "anew") as anew:
            (other,) = anew([Query(text)])
        assert [hit.page for hit in one] == [hit.page for hit in other]
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-5)
    after = {path: path.stat().st_ino for path in kept.rglob("*.safetensors")}
    assert len(set(before.values()) & set(after.values())) == 1  # the bees' vectors were not computed again
    assert len(after) == 3


def double(corpus: Path, document: str, name: str) -> None:
    """The document under another name, too: `ingest` leaves it out, other programs may not."""
    pages = pq.read_table(corpus / "pages.parquet")
    other = pages
    for column in ("id", "document", "image"):
        renamed = pc.replace_substring(pages[column], document, name)
        other = other.set_column(other.schema.get_field_index(column), column, renamed)
    pq.write_table(pa.concat_tables([pages, other]), corpus / "pages.parquet")
    report = json.loads((corpus / "report.json").read_text())
    report["documents"] += [{**entry, "document": name} for entry in report["documents"]]
    (corpus / "report.json").write_text(json.dumps(report))


def test_documents_of_the_same_content_share_their_vectors_and_both_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = IndexParams(retrievers=["dense"])
    files.write_pdf(tmp_path / "docs/one.pdf", pages=5, text=SUBJECTS["bees"])
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    double(tmp_path / "corpus", "one", "same")
    with monkeypatch.context() as patched:
        patched.setattr(build, "PAGES_A_FILE", 3)
        patched.setattr(vectors, "PAGES_A_FILE", 3)
        for _ in range(2):  # computed, and then taken over
            index(tmp_path / "corpus", tmp_path / "index", dense)
            for n in range(1, 6):
                best = found(tmp_path / "index", f"{SUBJECTS['bees']}, number {n}")[:2]
                assert set(best) == {f"one_{n}", f"same_{n}"}
    kept = [path.name for path in (tmp_path / "index/vectors").rglob("*.safetensors")]
    assert sorted(kept) == ["0.safetensors", "3.safetensors"]
    index(tmp_path / "corpus", tmp_path / "index", dense)  # whose file of that name has all five pages
    assert "has 3 pages instead of 5: computed again" in capsys.readouterr().err
    assert set(found(tmp_path / "index", f"{SUBJECTS['bees']}, number 5")[:2]) == {"one_5", "same_5"}


def test_an_index_of_another_encoder_is_refused_by_name(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "index")
    path = tmp_path / "index/index.json"
    described = json.loads(path.read_text())
    described["collections"]["dense"]["encoder"] = "another-encoder-0123"
    path.write_text(json.dumps(described))
    with pytest.raises(UnidocError, match=r"another-encoder-0123 .* holds model-"):
        Index(tmp_path / "index")


def test_an_index_of_another_version_is_refused_in_words(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "index")
    path = tmp_path / "index/index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": manifest.FORMAT - 1}))
    with pytest.raises(
        UnidocError, match=r"index\.json: has format \d, this version reads \d; run `unidoc index` again"
    ):
        Index(tmp_path / "index")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    """With zeros, as a copy that was broken off may have at its end."""
    path.write_bytes(path.read_bytes()[:-8].ljust(path.stat().st_size, b"\0"))


def test_an_index_of_other_documents_is_refused_where_their_pages_are_looked_at(tmp_path: Path) -> None:
    corpus, made = make_corpus(tmp_path), tmp_path / "index"
    index(corpus, made, WORDS)
    Index(made, corpus=corpus).close()

    def difference() -> str:
        ingest(tmp_path / "docs", corpus, PLAIN)
        with pytest.raises(UnidocError) as raised:
            Index(made, corpus=corpus)
        told = re.fullmatch(r"(.+): was made of .* than (.+) \(first difference: (.+)\); run .*", str(raised.value))
        assert told
        assert told.groups()[:2] == (str(made), str(corpus))
        return told[3]

    files.write_pdf(tmp_path / "docs/salt.pdf", text="Salt is mined")
    assert difference() == "salt is not in the index"
    files.write_pdf(tmp_path / "docs/salt.pdf", text="Salt is boiled")
    index(corpus, made, WORDS)
    assert difference() == "salt has changed"
    (tmp_path / "docs/salt.pdf").unlink()
    assert difference() == "salt is not in the corpus"
    served = CliRunner().invoke(cli, ["serve-index", str(made), "--corpus", str(corpus), "--port", "0"])
    assert "salt is not in the corpus" in str(served.exception)
    index(corpus, made, WORDS)
    Index(made, corpus=corpus).close()


@pytest.mark.slow
def test_an_index_is_no_corpus(corpus: Path, tmp_path: Path) -> None:
    index(corpus, tmp_path / "index", WORDS)
    with pytest.raises(UnidocError, match=r"index: is no corpus, but an index perhaps"):
        Corpus(tmp_path / "index")


def test_rows_in_milvus_are_not_opened_for_other_documents(tmp_path: Path) -> None:
    corpus, uri = make_corpus(tmp_path), str(tmp_path / "rows/milvus.db")
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], uri=uri))
    Index(tmp_path / "index", corpus=corpus).close()
    (tmp_path / "docs/bees.pdf").unlink()
    ingest(tmp_path / "docs", corpus, PLAIN)
    with pytest.raises(UnidocError, match=r"first difference: bees is not in the corpus"):
        Index(tmp_path / "index", corpus=corpus)
    index(corpus, tmp_path / "index", IndexParams(retrievers=["dense"], uri=uri))  # nobody has it open
    Index(tmp_path / "index", corpus=corpus).close()


@pytest.mark.parametrize("victim", ["index.json", "pages.parquet", "bm25/pages.npy", "dense/codes.npy"])
@pytest.mark.parametrize("damage", [Path.unlink, cut, overwrite])
def test_a_damaged_index_is_told_and_made_anew(
    made: Path, corpus: Path, tmp_path: Path, victim: str, damage: Callable[[Path], None]
) -> None:
    copy = tmp_path / "index"
    shutil.copytree(made, copy)
    damage(copy / victim)
    with pytest.raises(UnidocError, match=r"run `unidoc index` again|is no index; make one"):
        found(copy, "honey")
    if {manifest.FILE, "pages.parquet"} <= {*os.listdir(copy)}:  # without them, it is not known to be an index
        index(corpus, copy, BOTH)
        assert found(copy, "honey of bees")[0].startswith("bees")


def test_several_processes_search_an_index_at_once(made: Path) -> None:
    with Index(made):
        command: list[str | Path] = [UNIDOC, "search", made, "honey of bees", "-k", "1"]
        second = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "bees_1" in second.stdout


def test_an_empty_corpus_has_nothing_to_be_found(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    pages = tmp_path / "corpus/pages.parquet"
    pq.write_table(pq.read_table(pages).slice(0, 0), pages)
    with pytest.raises(UnidocError, match="no pages"):
        index(tmp_path / "corpus", tmp_path / "index", WORDS)


@pytest.mark.parametrize("damage", [Path.unlink, cut, lambda path: path.write_text('{"documents": []}')])
def test_a_corpus_whose_report_is_damaged_is_told(
    corpus: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    damage(tmp_path / "corpus/report.json")
    with pytest.raises(UnidocError, match=r"report\.json: does not tell of every document .*`unidoc ingest` again"):
        index(tmp_path / "corpus", tmp_path / "index", WORDS)


def test_pages_without_words_are_in_the_index_and_never_found(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "docs").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "docs/picture.png")
    files.write_pdf(tmp_path / "docs/text.pdf", pages=1)
    ingest(tmp_path / "docs", tmp_path / "corpus", PLAIN)
    assert index(tmp_path / "corpus", tmp_path / "index", BOTH)["pages"] == 2
    assert found(tmp_path / "index", "page of a document") == ["text_1"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["encoding", "scanning", "exchange"])
def test_killed_while_it_is_made_the_former_index_stands_and_the_next_run_finishes(
    corpus: Path, tmp_path: Path, moment: str
) -> None:
    index(corpus, tmp_path / "index", WORDS)
    before = content(tmp_path / "index")
    kill = {
        "encoding": "from unidoc_rl.index import build as m; n = 'write'",
        "scanning": "from unidoc_rl.index import scan as m; n = 'write'",
        "exchange": "from unidoc_rl.index.build import Build as m; n = 'collections'",
    }[moment]
    code = (
        f"import os, signal, sys; {kill}\n"
        "real = getattr(m, n)\n"
        "def die(*a, **k):\n    real(*a, **k)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "setattr(m, n, die)\n"
        "from unidoc_rl.index.stage import index\nfrom unidoc_rl.params import IndexParams\n"
        "index(sys.argv[1], sys.argv[2], IndexParams())\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, corpus, tmp_path / "index"], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert content(tmp_path / "index") == before
    index(corpus, tmp_path / "index", BOTH)
    assert found(tmp_path / "index", "honey of bees")[0].startswith("bees")
    assert not (tmp_path / ".index.work").exists()


def test_vectors_need_a_retriever_that_takes_them(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match=r"add it to index\.retrievers"):
        index(corpus, tmp_path / "index", WORDS, vectors=tmp_path / "vectors.npz")
    with pytest.raises(UnidocError, match=r"index\.late_encoder"):
        index(corpus, tmp_path / "index", IndexParams(retrievers=["late"]))
    assert not (tmp_path / "index").exists()
