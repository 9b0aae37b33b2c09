"""What the sample world costs, small and large: python -m tests.benchmarks.sample."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.measure import MB, UNIDOC, run, save, table

SIZES = (100, 1000)
BOTH = {0, 1}


def main() -> None:
    rows = [("documents", "seconds", "documents/s", "MB a document", "peak memory, all processes")]
    figures = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            documents, questions = Path(folder, "documents"), Path(folder, "questions")
            command: list[str | Path] = [
                UNIDOC,
                "sample",
                "--documents",
                documents,
                "--questions",
                questions,
                "--workers",
                "2",
            ]
            done = run([*command, "--set", f"sample.documents={size}"], BOTH)
            megabytes = sum(path.stat().st_size for path in documents.iterdir()) / MB / size
        figures[str(size)] = {"seconds": done.wall, "mb_a_document": megabytes, "peak_mb": done.peak / MB}
        rows.append(
            (f"{size}", f"{done.wall:.0f}", f"{size / done.wall:.1f}", f"{megabytes:.2f}", f"{done.peak / MB:.0f} MB")
        )
    table("The sample world with two workers (wanted: the same memory whatever the size)", rows)
    save("sample", figures)


if __name__ == "__main__":
    main()
