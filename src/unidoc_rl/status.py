"""What the stages have made so far, and where to look at it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from unidoc_rl import corpus, questions
from unidoc_rl.curate import REPORT
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate import EVALUATION
from unidoc_rl.index import manifest
from unidoc_rl.plural import counted
from unidoc_rl.promote import PROMOTION
from unidoc_rl.trained import CARD, marks
from unidoc_rl.types import Split


def lines(artifacts: Path) -> Iterator[str]:
    """One line for each folder that is there, in the order of the stages."""
    folders: dict[str, Callable[[Path], str]] = {
        "documents": _documents,
        "questions": _questions,
        "corpus": _corpus,
        "index": _index,
        "trajectories": _trajectories,
        "sft": partial(_policy, stage="sft"),
        "grpo": partial(_policy, stage="grpo"),
        "evaluation": _evaluation,
        "promotion": _promotion,
    }
    for name, describe in folders.items():
        folder = artifacts / name
        yield f"{folder}: {_told(folder, describe) if folder.is_dir() else 'not made yet'}"


def _told(folder: Path, describe: Callable[[Path], str]) -> str:
    """Of a folder that cannot be read, why: the others are told of all the same."""
    try:
        return describe(folder)
    except FileNotFoundError as error:
        why = f"{error.filename} is missing"
    except (UnidocError, OSError, ValueError) as error:
        why = " ".join(str(error).split())
    except (LookupError, TypeError, AttributeError):
        why = "one of its files has another form"
    return f"not what this stage makes: {why}"


def _documents(folder: Path) -> str:
    """With those in folders below it, which `ingest` finds too."""
    files = [path for path in folder.rglob("*") if path.suffix.lower() == ".pdf" and path.is_file()]
    sizes = [path.stat().st_size for path in files]
    return f"{len(sizes)} PDF files, {sum(sizes) / 1e6:.1f} MB"


def _questions(folder: Path) -> str:
    """Of the files that are there: a teacher writes those that are not."""
    found = {split: questions.read(file) for split in Split if (file := folder / f"{split}.json").exists()}
    if not found:
        raise UnidocError(f"holds none of {', '.join(f'{split}.json' for split in Split)}")
    kinds = Counter(question.kind for split in found.values() for question in split)
    counts = ", ".join(f"{len(split)} {name}" for name, split in found.items())
    return f"{counts}; kinds: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}"


def _corpus(folder: Path) -> str:
    pages = corpus.Corpus(folder)
    report = _json(folder / corpus.REPORT)
    line = f"{counted(len(pages), 'page')} of {counted(len(report['documents']), 'document')}"
    if len(pages):
        line += f"; for example {folder / pages.first().image}"
    left_out = len(report["left_out"])
    return f"{line}; {counted(left_out, 'file')} left out, see {folder / corpus.REPORT}" if left_out else line


def _index(folder: Path) -> str:
    found = manifest.read(folder)
    pages, by = counted(found.pages, "page"), ", ".join(found.retrievers)
    return f'{pages} by {by}; try: unidoc search {folder} "net sales by region"'


def _trajectories(folder: Path) -> str:
    report = _json(folder / REPORT)
    return (
        f"{report['sft']} to imitate, {counted(report['rl'], 'question')} for rewards; look at {folder / 'card.html'}"
    )


def _policy(folder: Path, stage: str) -> str:
    figures = ", ".join(f"{name} {value:.3g}" for name, value in marks(folder, stage).items() if "/" not in name)
    return f"{figures}; what it was made with: {folder / CARD}"


def _evaluation(folder: Path) -> str:
    told = [
        f"{name} {one['accuracy']['value']:.1%} [{one['accuracy']['low']:.1%}, {one['accuracy']['high']:.1%}]"
        for name, one in _json(folder / EVALUATION).items()
    ]
    return f"right: {', '.join(told)}; look at {folder / 'report.html'}"


def _promotion(folder: Path) -> str:
    made = _json(folder / PROMOTION)
    return f"{made['name']}: version {made['version']} is {'champion' if made['promoted'] else 'a candidate'}"


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
