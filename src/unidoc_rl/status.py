"""What the stages have made so far, and where to look at it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unidoc_rl import corpus, questions
from unidoc_rl.index import manifest
from unidoc_rl.types import Split


def lines(artifacts: Path) -> Iterator[str]:
    """One line for each folder that is there, in the order of the stages."""
    folders = {"documents": _documents, "questions": _questions, "corpus": _corpus, "index": _index}
    for name, describe in folders.items():
        folder = artifacts / name
        yield f"{folder}: {describe(folder) if folder.is_dir() else 'not made yet'}"


def _documents(folder: Path) -> str:
    sizes = [path.stat().st_size for path in folder.glob("*.pdf")]
    return f"{len(sizes)} PDF files, {sum(sizes) / 1e6:.1f} MB"


def _questions(folder: Path) -> str:
    found = {split: questions.read(folder / f"{split}.json") for split in Split}
    kinds = Counter(question.kind for split in found.values() for question in split)
    counts = ", ".join(f"{len(split)} {name}" for name, split in found.items())
    return f"{counts}; kinds: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}"


def _corpus(folder: Path) -> str:
    pages = corpus.Corpus(folder)
    report = json.loads((folder / corpus.REPORT).read_text(encoding="utf-8"))
    line = f"{len(pages)} pages of {len(report['documents'])} documents; for example {folder / pages.first().image}"
    left_out = len(report["left_out"])
    return f"{line}; {left_out} files left out, see {folder / corpus.REPORT}" if left_out else line


def _index(folder: Path) -> str:
    found = manifest.read(folder)
    return f'{found.pages} pages by {", ".join(found.retrievers)}; try: unidoc search {folder} "net sales by region"'
