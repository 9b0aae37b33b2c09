"""How well and how fast pages are found: python -m tests.benchmarks.index [--only late|texts|retrieval].

late       multi-vectors, beside the reference's way: everything in memory, torch MaxSim over all of it
texts      bm25 and dense over invented text
retrieval  real questions about real documents: MMLongBench-Doc's format, a corpus that `unidoc ingest` made of them
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from tests.benchmarks.measure import MB, UNIDOC, resident, run, save, table
from unidoc_rl.index import bm25, catalogue, manifest, scan
from unidoc_rl.index.catalogue import SCHEMA, Catalogue
from unidoc_rl.index.late import Late, arrays_of
from unidoc_rl.index.maxsim import Floats, Quantised, one_thread, quantise
from unidoc_rl.index.search import Index
from unidoc_rl.index.vectors import PAGES_A_FILE, Kept, place, rows_of, write
from unidoc_rl.names import document_name
from unidoc_rl.types import Hit, Query

VECTORS, DIMENSION, TOKENS = 768, 128, 20
QUERIES = 40
PAGES_A_DOCUMENT = 64


def own() -> int:
    """Without files that are mapped, which the system takes back when it needs room."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


# --- late ------------------------------------------------------------------------------------------------------------


class World:
    """Pages that are mixtures of real ones: spans of two or three, moved by a map of the page's own, rows jittered."""

    def __init__(self, file: Path, seed: int) -> None:
        with np.load(file) as arrays:
            self._real = [arrays[name].astype(np.float32) for name in arrays.files]
        self._rows = np.concatenate(self._real)
        self._rng = np.random.default_rng(seed)

    def page(self) -> NDArray[np.float16]:
        rng = self._rng
        sources = [self._real[one] for one in rng.integers(len(self._real), size=int(rng.integers(2, 4)))]
        spans: list[Floats] = []
        while sum(map(len, spans)) < VECTORS:
            source = sources[rng.integers(len(sources))]
            start, length = int(rng.integers(len(source) - 60)), int(rng.integers(60, 300))
            spans.append(source[start : start + length])
        rows = np.concatenate(spans)[:VECTORS]
        onto, along = (_unit(self._rows[rng.integers(len(self._rows), size=6)]) for _ in range(2))
        shift = 0.5 * _unit(self._rows[rng.integers(len(self._rows))])
        jitter = 0.03 * rng.standard_normal(rows.shape, np.float32)
        return _unit(rows + 0.35 * (rows @ onto.T) @ along + shift + jitter).astype(np.float16)

    def query(self, page: NDArray[np.float16]) -> Floats:
        """Rows of a page from a few places on it, jittered."""
        rng = self._rng
        around = rng.integers(len(page), size=4)[rng.integers(4, size=TOKENS)] + rng.integers(-40, 40, size=TOKENS)
        rows = page[np.clip(around, 0, len(page) - 1)].astype(np.float32)
        return _unit(rows + rng.standard_normal(rows.shape, np.float32) / np.sqrt(DIMENSION))


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def late(pages: int, vectors: Path, work: Path) -> dict[str, float]:
    """Builds, in a process of its own, then opens and searches in another, so that memory is that of searching."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    build_late(pages, vectors, work)
    command = [sys.executable, "-m", "tests.benchmarks.index", "--search", str(work)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(work)
    return figures


def build_late(pages: int, vectors: Path, work: Path) -> None:
    world = World(vectors, seed=pages)
    documents = [f"d{number // PAGES_A_DOCUMENT}" for number in range(pages)]
    ids = [f"{document}_{number % PAGES_A_DOCUMENT}" for number, document in enumerate(documents)]
    listed = Catalogue(pa.table([ids, documents, ids, documents, ids], schema=SCHEMA))
    listed.write(work)
    everything = np.lib.format.open_memmap(work / "all.npy", "w+", np.float16, (pages, VECTORS, DIMENSION))
    few = []
    for start in range(0, pages, PAGES_A_FILE):
        made = [world.page() for _ in range(min(PAGES_A_FILE, pages - start))]
        everything[start : start + len(made)] = made
        arrays = [arrays_of(page.astype(np.float32)) for page in made]
        path, _ = place(listed, "synthetic", start)
        write(work / path, arrays)
        few += [rows_of(one) for one in arrays]
    scan.write(work / "late", few, [len(one.codes) for one in few], DIMENSION)
    chosen = np.random.default_rng(1).integers(pages, size=QUERIES)
    np.save(work / "queries.npy", np.stack([world.query(everything[number]) for number in chosen]))


class Known:
    """Stands for the model: a query's text is its number."""

    def __init__(self, queries: Sequence[Floats]) -> None:
        self._queries = queries

    def queries(self, texts: Sequence[str]) -> list[Floats]:
        return [self._queries[int(text)] for text in texts]


def search_late(work: Path) -> dict[str, float]:
    queries = list(np.load(work / "queries.npy"))
    before, start = resident(), time.monotonic()
    listed = catalogue.read(work)
    finder = Late(Known(queries), scan.Scan(work / "late"), Kept(work, listed, "synthetic"))
    everywhere = np.ones(len(listed), bool)
    opened, open_mb = time.monotonic() - start, (resident() - before) / MB
    found, seconds = [], []
    with one_thread():  # as an Index searches
        for number in range(QUERIES):
            start = time.monotonic()
            found.append([page for page, _ in finder.find([Query(str(number))], [everywhere], 10)[0]])
            seconds.append(time.monotonic() - start)
        start = time.monotonic()
        finder.find([Query(str(number)) for number in range(20)], [everywhere] * 20, 10)
        together = (time.monotonic() - start) / 20
    exact, brute = brute_force(np.load(work / "all.npy", mmap_mode="r"), queries)
    recall = np.mean([len({*mine} & {*best}) / 10 for mine, best in zip(found, exact, strict=True)])
    return {
        "pages": len(listed),
        "recall": float(recall),
        "open_s": opened,
        "query_s": median(seconds),
        "batch_s": together,
        "brute_s": brute,
        "open_mb": open_mb,
        "own_mb": own() / MB,
    }


def brute_force(pages: NDArray[np.float16], queries: Sequence[Floats]) -> tuple[list[list[int]], float]:
    """The best ten by exact MaxSim in float32, and the reference's seconds a query: bf16, blocks of 128 pages."""
    scores = np.empty((len(queries), len(pages)), np.float32)
    asked = torch.from_numpy(np.concatenate(list(queries)))
    taken = 0.0
    for start in range(0, len(pages), 128):
        block = torch.from_numpy(np.array(pages[start : start + 128]))
        full = torch.einsum("qd,pvd->qpv", asked, block.float()).amax(2)
        scores[:, start : start + 128] = full.view(len(queries), TOKENS, -1).sum(1)
        small, one = block.bfloat16(), asked[:TOKENS].bfloat16()  # a query after the other, as the reference does
        begin = time.monotonic()
        torch.einsum("qd,pvd->qpv", one, small).amax(2).sum(0)
        taken += time.monotonic() - begin
    return [np.argsort(-row, kind="stable")[:10].tolist() for row in scores], taken


def report_late(sizes: Sequence[int], vectors: Path, work: Path) -> dict[str, Any]:
    made = [late(size, vectors, work / "late") for size in sizes]
    table(
        f"late: {VECTORS} vectors of {DIMENSION} a page, {TOKENS} tokens a query, two cores",
        [
            (
                "pages",
                "recall@10",
                "open",
                "one query",
                "20 together, each",
                "brute force bf16",
                "memory: to open; after, but for mapped files",
            ),
            *[
                (
                    f"{one['pages']:,}",
                    f"{one['recall']:.3f}",
                    f"{one['open_s']:.1f} s",
                    f"{one['query_s'] * 1000:.0f} ms",
                    f"{one['batch_s'] * 1000:.0f} ms ({one['brute_s'] / one['batch_s']:.1f} times brute force)",
                    f"{one['brute_s'] * 1000:.0f} ms",
                    f"{one['open_mb']:.0f}; {one['own_mb']:.0f} MB",
                )
                for one in made
            ],
            ("wanted", ">= 0.98", "< 3 s", "<= 300 ms at 20,000", ">= 5 times at 20,000", "", "< 2,000 MB"),
        ],
    )
    return {str(one["pages"]): one for one in made}


# --- bm25 and dense ---------------------------------------------------------------------------------------------------


def report_texts(pages: int, work: Path) -> dict[str, Any]:
    """An index of invented pages, made without `ingest` and with invented vectors: only searching is measured."""
    work.mkdir(parents=True)
    build_texts(pages, work)
    figures = {}
    for name in ("bm25", "dense"):
        done = run([sys.executable, "-m", "tests.benchmarks.index", "--search-texts", name, work], {0, 1})
        figures[name] = json.loads(done.output.splitlines()[-1]) | {"peak_mb": done.peak / MB}
    table(
        f"Text: {pages:,} pages of 300 words, a query of eight words, two cores",
        [
            ("", "median", "open", "peak memory of the process"),
            *[
                (name, f"{one['query_s'] * 1000:.1f} ms", f"{one['open_s']:.1f} s", f"{one['peak_mb']:.0f} MB")
                for name, one in figures.items()
            ],
            ("wanted", "<= 60 ms", "", "< 2,000 MB"),
        ],
    )
    return figures


def build_texts(pages: int, work: Path) -> None:
    from unidoc_rl.index.dense import Pieces, pieces
    from unidoc_rl.index.terms import terms

    rng = np.random.default_rng(0)
    words = np.array([f"w{number:x}" for number in range(60_000)])
    documents = [f"d{number // PAGES_A_DOCUMENT}" for number in range(pages)]
    ids = [f"{document}_{number % PAGES_A_DOCUMENT}" for number, document in enumerate(documents)]
    Catalogue(pa.table([ids, documents, ids, documents, ids], schema=SCHEMA)).write(work)
    builder = bm25.Builder()
    rows: list[Quantised] = []
    for _ in range(pages):
        text = " ".join(words[np.minimum(rng.zipf(1.3, 300), len(words)) - 1])
        builder.add(terms(text))
        rows.append(quantise(rng.standard_normal((len(pieces(text)), 384), np.float32)))
    builder.write(work / bm25.FOLDER)
    encoder = Pieces(None)
    counts = [len(page.codes) for page in rows]
    scan.write(work / "dense", rows, counts, 384)
    dense = manifest.Collection(
        name=None, encoder=encoder.name, store=encoder.store, source=None, dimension=384, rows=sum(counts)
    )
    manifest.Manifest(
        format=manifest.FORMAT,
        pages=pages,
        retrievers=["bm25", "dense"],
        fusion="weight",
        weights={"bm25": 1, "dense": 0.5, "late": 1},
        uri=None,
        collections={"dense": dense},
        files={},
    ).write(work)


def search_texts(name: str, work: Path) -> dict[str, float]:
    rng = np.random.default_rng(1)
    start = time.monotonic()
    with Index(work, [name]) as index:  # type: ignore[list-item]
        opened = time.monotonic() - start
        seconds = []
        for _ in range(60):
            text = " ".join(f"w{number:x}" for number in np.minimum(rng.zipf(1.3, 8), 60_000) - 1)
            start = time.monotonic()
            index([Query(text)], 10)
            seconds.append(time.monotonic() - start)
    return {"open_s": opened, "query_s": median(seconds)}


# --- real questions ---------------------------------------------------------------------------------------------------


def report_retrieval(corpus: Path, samples: Path, work: Path) -> dict[str, Any]:
    """Recall of the evidence pages, with bootstrap intervals, within the document and over all of them."""
    subprocess.run([UNIDOC, "index", corpus, "--out", work / "index"], check=True)
    asked = questions(samples, work / "index")
    rows: list[Sequence[str]] = [("", "among", "R@1", "R@3", "R@5", "R@10", "NDCG@10")]
    figures: dict[str, Any] = {}
    for name in ("bm25", "dense", "both"):
        chosen: Any = None if name == "both" else [name]
        with Index(work / "index", chosen) as index:
            for among in ("document", "all"):
                limits = [frozenset({document}) if among == "document" else None for _, document, _ in asked]
                queries = [Query(text, limit) for (text, _, _), limit in zip(asked, limits, strict=True)]
                hits = index(queries, 10)
                measured = [scores(found, gold) for found, (_, _, gold) in zip(hits, asked, strict=True)]
                figures[f"{name}_{among}"] = np.mean(measured, axis=0).tolist()
                rows.append((name, among, *intervals(np.array(measured))))
    table(f"Real questions: {len(asked)} of MMLongBench-Doc, means with 95 % intervals", rows)
    return figures


def questions(samples: Path, index: Path) -> list[tuple[str, str, frozenset[str]]]:
    from unidoc_rl.index import catalogue

    known = catalogue.read(index).number_of_id
    found = []
    for sample in json.loads(samples.read_text()):
        document = document_name(Path(sample["doc_id"]).stem)
        gold = {f"{document}_{n}" for n in ast.literal_eval(sample["evidence_pages"])} & known.keys()
        if gold and sample["answer_format"] != "None":
            found.append((sample["question"], document, frozenset(gold)))
    return found


def scores(hits: Sequence[Hit], gold: frozenset[str]) -> list[float]:
    right = [hit.page in gold for hit in hits]
    gain = sum(1 / np.log2(rank + 2) for rank, good in enumerate(right) if good)
    ideal = sum(1 / np.log2(rank + 2) for rank in range(min(10, len(gold))))
    return [*(sum(right[:k]) / len(gold) for k in (1, 3, 5, 10)), gain / ideal]


def intervals(measured: NDArray[np.float64]) -> list[str]:
    rng = np.random.default_rng(0)
    drawn = measured[rng.integers(len(measured), size=(2000, len(measured)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return [f"{mean:.3f} [{a:.3f}, {b:.3f}]" for mean, a, b in zip(measured.mean(axis=0), low, high, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of real data")
    parser.add_argument("--corpus", type=Path, help="a corpus of its documents; made where not given")
    parser.add_argument("--only", choices=["late", "texts", "retrieval"])
    parser.add_argument("--pages", type=int, nargs="+", default=[1000, 5000, 20_000], help="sizes for late")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--search-texts", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    if options.search:
        print(json.dumps(search_late(options.search)))
        return
    if options.search_texts:
        print(json.dumps(search_texts(options.search_texts[0], Path(options.search_texts[1]))))
        return
    benchmark = options.data / "mmlongbench-dev"
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "late": lambda work: report_late(options.pages, options.data / "colqwen-pages/multivectors.npz", work),
        "texts": lambda work: report_texts(20_000, work),
        "retrieval": lambda work: report_retrieval(
            options.corpus or made_corpus(benchmark / "documents", work), benchmark / "samples.json", work
        ),
    }
    with tempfile.TemporaryDirectory() as work:
        figures = {name: part(Path(work) / name) for name, part in parts.items() if options.only in (None, name)}
    save("index", figures)


def made_corpus(documents: Path, work: Path) -> Path:
    subprocess.run([UNIDOC, "ingest", documents, "--out", work / "corpus"], check=True)
    return work / "corpus"


if __name__ == "__main__":
    main()
