"""What a collection costs, by its size: python -m tests.benchmarks.costs DOCUMENTS writes docs/costs.md.

The documents are taken in and indexed, on one core; what that took of processor and disk, by page, is multiplied. What
a GPU takes was not measured but reckoned, and is told apart.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from tests.benchmarks.measure import UNIDOC, Run, run, save

SIZES = (1_000, 100_000, 10_000_000)
PAGE_VECTORS = 768  # of ColQwen2
LATE_BYTES = (PAGE_VECTORS + 16) * (128 + 2)  # a byte a number and a scale a vector; 16 of them for the first look
DOCUMENT = Path(__file__).parents[2] / "docs" / "costs.md"
ONE = {0}
# A GPU's part is reckoned: multiplications of the weights, at what an H100 does of them where it is well fed.
FLOPS = 4e14
COLQWEN_WEIGHTS, POLICY_WEIGHTS = 2.2e9, 7.6e9
EPISODE_TOKENS = 3_300  # of the scripted policy's episodes, pictures included (`make demo`, report)
EPISODES = 346 * 80  # profiles/paper.yaml
PASSES = 10  # 2 to play, 2 by the model that it is held to, 6 to learn: by weight and token


def measured(documents: Path, work: Path) -> dict[str, float]:
    corpus, index = work / "corpus", work / "index"
    taken_in = _unidoc("ingest", documents, "--out", corpus, "--workers", "1")
    pages = pq.read_metadata(corpus / "pages.parquet").num_rows
    indexed = _unidoc("index", corpus, "--out", index)
    return {
        "pages": pages,
        "ingest_s": taken_in.cpu / pages,
        "corpus_bytes": _size(corpus) / pages,
        "index_s": indexed.cpu / pages,
        "texts_bytes": _size(index) / pages,
    }


def _unidoc(*parts: str | Path) -> Run:
    return run([UNIDOC, *parts], ONE)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def document(figures: Mapping[str, float]) -> str:
    late = 2 * COLQWEN_WEIGHTS * PAGE_VECTORS / FLOPS
    learning = PASSES * POLICY_WEIGHTS * EPISODE_TOKENS * EPISODES / FLOPS / 3600
    rows = [
        ("`ingest`, with layout, and OCR where a page has no text", *_hours(figures["ingest_s"])),
        ("`index`: words, and MiniLM's vectors of texts", *_hours(figures["index_s"])),
        ("the corpus on disk", *_bytes(figures["corpus_bytes"])),
        ("the index of words and texts", *_bytes(figures["texts_bytes"])),
        ("multi-vectors of page images (`late`), 768 a page: reckoned", *_bytes(LATE_BYTES)),
        ("these vectors, computed by ColQwen2: reckoned", *_hours(late, "GPU-hours")),
    ]
    head = ["", "a page", *(f"{size:,} pages" for size in SIZES)]
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return TEXT.format(table=table, pages=int(figures["pages"]), machine=platform.machine(), learning=learning)


def _hours(seconds: float, unit: str = "core-hours") -> list[str]:
    return [f"{seconds:.3g} s", *(f"{seconds * size / 3600:,.3g} {unit}" for size in SIZES)]


def _bytes(each: float) -> list[str]:
    def told(size: float) -> str:
        unit, name = next((one for one in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")) if size >= one[0]), (1e3, "kB"))
        return f"{size / unit:,.3g} {name}"

    return [told(each), *(told(each * size) for size in SIZES)]


TEXT = """# What it costs

Written by `python -m tests.benchmarks.costs DOCUMENTS`, of {pages} pages of real documents, on one core ({machine}):
what one page took, multiplied.

{table}

What is learned does not grow with the collection. One epoch of the reference's GRPO (`profiles/paper.yaml`, a model of
7 B) is reckoned at {learning:.0f} GPU-hours of an H100 that is always busy; expect several times as many, since
episodes wait for their searches and for the longest among them. No GPU was at hand to measure it.

## What to turn

- **1,000 pages**: nothing. `dvc repro promote` with your own documents, on a laptop ([dvc.md](dvc.md)).
- **100,000 pages**: ingest in parts, `--shard 1/8` on each machine or `pipeline.shards: 8`; `ingest.ocr: false` and
  `ingest.layout: false` where documents have a text layer and nobody is to be shown regions; `unidoc serve-index`, one
  for all that search; `ingest.image_format: webp` for less disk.
- **10 million pages**: a Milvus server (`index.uri`), since files are searched from end to end; `late` only where
  bm25 and dense find too little, by `index.retrievers`; corpora by department or year with an index each, where nobody
  asks across them. Curate from a part of the documents: a policy learns from thousands of questions, not from millions.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, help="a folder of PDF files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        figures = measured(options.documents, Path(work))
    save("costs", figures)
    print(json.dumps(figures, indent=1))
    DOCUMENT.write_text(document(figures), encoding="utf-8")
    print(f"written to {DOCUMENT}")


if __name__ == "__main__":
    main()
