"""How fast `ingest` is, and what it takes: python -m tests.benchmarks.ingest [DOCUMENTS].

Everything is measured on whole processes, ours and the peer's in turn, so that a machine that others use at the same
time slows both. Needs poppler's tools for the peer (Debian: poppler-utils).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from reportlab.pdfgen.canvas import Canvas

from tests.benchmarks.measure import MB, UNIDOC, Run, run, save, table

BARE = ("--set", "ingest.layout=false", "--set", "ingest.ocr=false")
ONE, TWO = {0}, {0, 1}


def ingest(documents: Path, out: Path, *options: str, workers: int = 1, cpus: set[int] = ONE) -> Run:
    shutil.rmtree(out, ignore_errors=True)
    return run([UNIDOC, "ingest", documents, "--out", out, "--workers", str(workers), *options], cpus)


def pages_of(corpus: Path) -> dict[str, int]:
    """Pages by where their words came from, and in all."""
    entries = json.loads((corpus / "report.json").read_text())["documents"]
    counts = {"all": sum(entry["pages"] for entry in entries)}
    for entry in entries:
        for source, count in entry["text"].items():
            counts[source] = counts.get(source, 0) + count
    return counts


def speed(documents: Path, work: Path, rounds: int) -> dict[str, float]:
    reference: Sequence[str | Path] = [
        sys.executable,
        "-m",
        "tests.benchmarks.reference_ingest",
        documents,
        work / "reference",
        "150",
    ]
    peer, one, two = [], [], []
    for _ in range(rounds):
        peer.append(run(reference, ONE).wall)
        one.append(ingest(documents, work / "corpus", *BARE).wall)
        two.append(ingest(documents, work / "corpus", *BARE, workers=2, cpus=TWO).wall)
    pages = pages_of(work / "corpus")["all"]
    faster = median(theirs / ours for theirs, ours in zip(peer, one, strict=True))
    scaling = median(alone / both for alone, both in zip(one, two, strict=True))
    table(
        f"Rendering, words and encoding: {pages} pages at 150 dpi to jpg, median of {rounds} rounds",
        [
            ("", "pages/s", "ratio", "wanted"),
            ("pdf2image over poppler, one core (no words)", f"{pages / median(peer):.1f}", "1", ""),
            ("unidoc ingest, one core", f"{pages / median(one):.1f}", f"{faster:.2f} times the peer", ">= 3"),
            ("unidoc ingest, two workers", f"{pages / median(two):.1f}", f"{scaling:.2f} times one", ">= 1.7"),
        ],
    )
    return {
        "pages": pages,
        "peer_s": median(peer),
        "one_s": median(one),
        "two_s": median(two),
        "times_peer": faster,
        "scaling": scaling,
    }


def reading(documents: Path, work: Path) -> dict[str, float]:
    """What layout and OCR add, in CPU-seconds a page, and the memory of the whole."""
    bare = ingest(documents, work / "bare", *BARE)
    layout = ingest(documents, work / "layout", "--set", "ingest.ocr=false")
    full = ingest(documents, work / "full", workers=2, cpus=TWO)
    pages, read = pages_of(work / "bare"), pages_of(work / "full")
    layout_s = (layout.cpu - bare.cpu) / pages["all"]
    ocr_s = (full.cpu - layout.cpu) / max(1, pages.get("none", 0))
    table(
        "Layout and OCR",
        [
            ("", "measured", "wanted"),
            ("layout, CPU-seconds a page more", f"{layout_s:.3f}", "<= 0.35"),
            ("pages without a text layer", str(pages.get("none", 0)), ""),
            ("pages read by OCR (the others of these are blank or pictures)", str(read.get("ocr", 0)), ""),
            ("OCR, CPU-seconds a page without a text layer", f"{ocr_s:.2f}", ""),
            ("pages left without words", str(read.get("none", 0)), ""),
        ],
    )
    return {"layout_cpu_s": layout_s, "ocr_cpu_s": ocr_s, "pages": pages["all"], "ocr_pages": read.get("ocr", 0)}


def memory(documents: Path, work: Path) -> dict[str, float]:
    """Peak memory, by the length of a document and by the number of documents; everything on, one worker."""
    short, long, few, many = (work / name for name in ("short", "long", "few", "many"))
    write(short / "short.pdf", 20)
    write(long / "long.pdf", 2000)
    for number in range(200):
        write((few if number < 10 else many) / f"{number}.pdf", 2, f"Document {number}")
    rows = [("", "pages", "all processes", "largest process")]
    figures = {}
    cases: list[tuple[str, Path, tuple[str, ...]]] = [
        ("20 pages in one document", short, BARE),
        ("2,000 pages in one document", long, BARE),
    ]
    cases += [
        ("10 documents", few, BARE),
        ("190 documents", many, BARE),
        ("the documents, layout and OCR on", documents, ()),
    ]
    for name, folder, options in cases:
        done = ingest(folder, work / "corpus", *options)
        rows.append(
            (name, str(pages_of(work / "corpus")["all"]), f"{done.peak / MB:.0f} MB", f"{done.peak_of_one / MB:.0f} MB")
        )
        figures[name] = done.peak / MB
    table("Peak memory with one worker (wanted: under 700 MB, whatever the length and the number)", rows)
    return figures


def write(path: Path, pages: int, text: str = "A page of a long document") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = Canvas(str(path), invariant=1)
    for n in range(pages):
        for line in range(60):
            canvas.drawString(50, 800 - 12 * line, f"{text}, page {n + 1}, line {line}: numbers {n * line} and words")
        canvas.showPage()
    canvas.save()


def command(rounds: int) -> dict[str, float]:
    seconds = median(run([UNIDOC, "--help"], ONE).wall for _ in range(rounds))
    table("The command", [("", "seconds", "wanted"), ("unidoc --help", f"{seconds:.2f}", "< 0.5")])
    return {"help_s": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path, help="a folder of PDF files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["speed", "reading", "memory", "command"])
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], dict[str, float]]] = {
        "command": lambda work: command(9),
        "speed": lambda work: speed(options.documents, work, options.rounds),
        "reading": lambda work: reading(options.documents, work),
        "memory": lambda work: memory(options.documents, work),
    }
    if shutil.which("pdftoppm") is None:
        raise SystemExit("the peer needs poppler's tools; install them (Debian: poppler-utils)")
    with tempfile.TemporaryDirectory() as work:
        figures = {name: part(Path(work) / name) for name, part in parts.items() if options.only in (None, name)}
    save("ingest", figures)


if __name__ == "__main__":
    main()
