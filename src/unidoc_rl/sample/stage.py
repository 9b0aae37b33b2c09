"""The stage `sample`: a world of PDF files and the questions about them, as two folders, each whole or not at all.

    unidoc sample --documents documents --questions questions --set sample.documents=100

Families are made in parallel, each in a folder of its own below the work folder, which gets its name when it is
complete: a run that was killed goes on with those that are missing. At the end the documents are moved into the
result, and the questions copied, in the order of the families.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from unidoc_rl import progress, storage, tracking
from unidoc_rl import questions as question_files
from unidoc_rl.cores import cores
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import SampleParams, ServiceParams
from unidoc_rl.processes import end_with_parent
from unidoc_rl.sample import asking, world
from unidoc_rl.sample import documents as drawing
from unidoc_rl.types import Question, Split

MARKER = ".sample.json"
FILES = "files"  # in there: the names of those that were made beside it


@dataclass(frozen=True, slots=True)
class _Job:
    """A family to be made, or made: `documents` of its PDF files, its questions and its number of pages."""

    seed: int
    index: int
    documents: int
    readable: float
    folder: Path

    @property
    def questions(self) -> Path:
        return self.folder / "questions.json"

    @property
    def pages(self) -> Path:
        return self.folder / "pages.json"

    @property
    def pdfs(self) -> list[Path]:
        return sorted(self.folder.glob("*.pdf"))

    @property
    def is_done(self) -> bool:
        # Killed while documents were moved into the result, a run leaves a family without them.
        return len(self.pdfs) == self.documents


def sample(
    documents: str | Path,
    questions: str | Path,
    params: SampleParams,
    *,
    workers: int | None = None,
    services: ServiceParams | None = None,
) -> dict[str, int]:
    """Makes the world; returns how many documents, pages and questions of each split it has.

    `services`: whose MLflow is told of it; none where None.
    """
    storage.keep_apart(documents, questions)
    with (
        storage.writing(documents, MARKER) as pdfs,
        storage.writing(questions, MARKER) as asked,
        tracking.stage("sample", services, pdfs.work, params, {}) as figures,
    ):
        for made, former in ((documents, pdfs.former), (questions, asked.former)):
            if former is not None:
                _refuse_foreign(made, former)
        folder = pdfs.work / "families" / _version(params)
        jobs = [
            _Job(params.seed, index, take, params.readable, folder / f"{index:06d}-{take}")
            for index, take in world.sizes(params.seed, params.documents)
        ]
        _make_all(jobs, workers or cores())
        counts = {
            split.value: question_files.write(asked.new / f"{split}.json", _questions(jobs, split)) for split in Split
        }
        pages = sum(int(job.pages.read_text(encoding="utf-8")) for job in jobs)
        for path in (path for job in jobs for path in job.pdfs):
            path.rename(pdfs.new / path.name)
        for new in (pdfs.new, asked.new):
            noted = {**params.model_dump(), FILES: _names(new)}
            (new / MARKER).write_text(json.dumps(noted) + "\n", encoding="utf-8")
        figures |= {"documents": params.documents, "pages": pages, **counts}
    return figures


def _refuse_foreign(made: str | Path, former: Path) -> None:
    """What somebody has put beside what is made anew would be gone with it."""
    known = json.loads((former / MARKER).read_text(encoding="utf-8")).get(FILES, ())
    if foreign := sorted({*_names(former)} - {*known, MARKER}):
        raise UnidocError(
            f"{made}: holds {foreign[0]}, which `unidoc sample` has not made, and would remove; keep what is yours in "
            "another folder"
        )


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _version(params: SampleParams) -> str:
    """What the files of a family depend on beside its number: the parameters, and the code that makes them."""
    digest = hashlib.sha256(f"{params.seed} {params.readable}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _make_all(jobs: Sequence[_Job], workers: int) -> None:
    """Makes what is not there yet."""
    missing = [job for job in jobs if not job.is_done]
    total, open_ = (sum(job.documents for job in some) for some in (jobs, missing))
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    with (
        progress.bar(total, "drawing documents", "document", done=total - open_) as bar,
        ProcessPoolExecutor(min(workers, len(missing)), context, initializer=end_with_parent) as pool,
    ):
        for count in pool.map(_make, missing):
            bar.update(count)


def _make(job: _Job) -> int:
    """Draws a family and asks about it, in a folder that is named when all of it is there."""
    part = job.folder.with_suffix(".part")
    for old in (part, job.folder):
        shutil.rmtree(old, ignore_errors=True)
    part.mkdir(parents=True)
    family = world.family(job.seed, job.index)
    shown = [drawing.draw(d, part / f"{d.file_name}.pdf") for d in family.documents[: job.documents]]
    question_files.write(part / job.questions.name, asking.ask(family, shown, job.seed, job.readable))
    pages = sum(len(document.document.pages) for document in shown)
    (part / job.pages.name).write_text(str(pages), encoding="utf-8")
    part.rename(job.folder)
    return job.documents


def _questions(jobs: Sequence[_Job], split: Split) -> Iterator[Question]:
    for job in jobs:
        if world.split(job.index) is split:
            yield from question_files.read(job.questions)
