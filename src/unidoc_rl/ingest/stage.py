"""The stage `ingest`: documents to a corpus of pages.

Documents are found, told apart by content, and read by workers, a few pages at a time; what the former corpus
already holds is taken over. Files that cannot be used are told on screen and in the report, and stop nothing.

Several machines may each read a shard of the documents: who then takes over theirs makes what one alone would.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unidoc_rl import corpus, progress, storage, tracking
from unidoc_rl.cores import cores
from unidoc_rl.errors import UnidocError
from unidoc_rl.ingest.assemble import assemble
from unidoc_rl.ingest.discover import discover
from unidoc_rl.ingest.former import Former
from unidoc_rl.ingest.identify import Document, identify
from unidoc_rl.ingest.pieces import Pieces
from unidoc_rl.ingest.pool import Died, Pool, Step, TimedOut
from unidoc_rl.ingest.problems import Problem
from unidoc_rl.ingest.tasks import Count, Counted, DiskError, Failed, Pages, Read, Settings
from unidoc_rl.params import IngestParams, ServiceParams
from unidoc_rl.shards import Shard

WORKER = "unidoc_rl.ingest.worker"


def ingest(
    documents: str | Path,
    out: str | Path,
    params: IngestParams,
    *,
    workers: int | None = None,
    shard: Shard | None = None,
    parts: Sequence[str | Path] = (),
    services: ServiceParams | None = None,
) -> dict[str, int]:
    """Makes the corpus `out` of `documents` (a folder, a file, a list, or s3://), and tells what is in it.

    `shard`: makes a part of it. `parts`: corpora whose pages are taken over, as those of a former one are. `services`:
    whose MLflow is told of it; none where None, and of a part.
    """
    storage.keep_apart(out, documents)
    made = [storage.local_folder(part) for part in parts]
    found, problems = discover(str(documents))  # first: of what is not there, nothing is to be told
    told = services if shard is None else None
    with (
        storage.writing(out, corpus.PAGES, corpus.REPORT) as output,
        tracking.stage("ingest", told, output.work, params, {"documents": documents}) as figures,
    ):
        if shard is not None:
            found, problems = [*shard.share(found)], []  # who takes over the parts tells of what is none
        former = Former([folder for folder in (output.former, *made) if folder])
        identified, more = identify(found, params, former, output.work / "fetched")
        work = _Work(params, Pieces(output.work / "pieces"))
        for problem in [*problems, *more]:
            work.tell(problem)
        new = [one for one in identified if not former.has(one.key, params.max_pages)]
        work.read(new, workers or cores())
        kept = [one for one in identified if one.key not in work.failed]
        if not kept and shard is None:
            raise UnidocError(f"{documents}: none of its documents could be read; the reasons stand above")
        entries = assemble(kept, former, work.pieces, output.new, params)
        _write_report(output.new / corpus.REPORT, entries, work.problems)
        figures |= _summary(entries, work.problems)
    return figures


class _Work:
    """The reading of documents, and what went wrong with them."""

    def __init__(self, params: IngestParams, pieces: Pieces) -> None:
        self.params = params
        self.pieces = pieces
        self.problems: list[Problem] = []
        self.failed: set[str] = set()

    def tell(self, problem: Problem) -> None:
        self.problems.append(problem)
        progress.tell(problem.line())

    def read(self, documents: Sequence[Document], workers: int) -> None:
        """Leaves every document either finished in `pieces`, or in `failed`."""
        by_key = {one.key: one for one in documents}
        with Pool(WORKER, [json.dumps(asdict(Settings.of(self.params)))], workers, self.params.page_seconds) as pool:
            counts = self._count(pool, by_key)
            todo = {key: self.pieces.missing(key, count) for key, count in counts.items()}
            pages = sum(counts.values())
            left = sum(stop - start for ranges in todo.values() for start, stop in ranges)
            with progress.bar(pages, "reading", "page", done=pages - left) as bar:
                tasks = (
                    Read(key, by_key[key].source, start, stop, self.pieces.of(key))
                    for key, ranges in todo.items()
                    for start, stop in ranges
                )
                for task, heard in self._heard(pool, tasks):
                    if isinstance(heard, Step):
                        bar.update()
                    elif isinstance(heard, Pages):
                        self.pieces.finished(task.key, task.start, task.stop, heard.rows)
                        _tell_remarks(by_key[task.key], heard)
                    else:
                        self._fail(by_key[task.key], heard)

    def _count(self, pool: Pool, by_key: dict[str, Document]) -> dict[str, int]:
        """How many pages each document has, without those that are left out."""
        tasks = (Count(key, one.source) for key, one in by_key.items() if self.pieces.numbers(key) is None)
        with progress.bar(len(by_key), "opening", "document") as bar:
            for task, heard in self._heard(pool, tasks):
                if isinstance(heard, Counted):
                    self.pieces.counted(task.key, heard.numbers)
                else:
                    self._fail(by_key[task.key], heard)
                bar.update()
        counts = {key: len(self.pieces.numbers(key) or ()) for key in by_key if key not in self.failed}
        for key, count in counts.items():
            if count > self.params.max_pages:
                advice = f"split it, or raise ingest.max_pages ({self.params.max_pages})"
                self._fail(by_key[key], Failed(f"has {count} pages", advice))
        return {key: count for key, count in counts.items() if key not in self.failed}

    def _heard(self, pool: Pool, tasks: Iterable[Count | Read]) -> Iterator[tuple[Any, Any]]:
        """What `pool` tells of tasks, but for those whose document has failed before they are begun.

        A document whose reader ended is tried once more, after the others: a machine that is short of memory ends the
        readers of good ones. What it had told of a task by then is not told again.
        """
        again: list[Count | Read] = []
        told: dict[Count | Read, int] = {}  # steps of a task whose reader ended
        suspects: set[str] = set()

        def first() -> Iterator[Count | Read]:
            for task in tasks:
                if task.key in suspects:
                    again.append(task)  # if every page of it ends a reader, no more than a few are lost to it
                elif task.key not in self.failed:
                    yield task

        for task, heard in pool.run(first()):
            if isinstance(heard, Died):
                suspects.add(task.key)
                again.append(task)
                told[task] = heard.steps
            else:
                yield task, heard
        for task, heard in pool.run(task for task in again if task.key not in self.failed):
            if isinstance(heard, Step) and told.get(task, 0) > 0:
                told[task] -= 1
            else:
                yield task, heard

    def _fail(self, document: Document, heard: Any) -> None:
        if isinstance(heard, DiskError):
            raise OSError(heard.errno, heard.message, heard.path)
        if document.key in self.failed:
            return  # a second range of its pages was being read when the first failed
        self.failed.add(document.key)
        for file in document.files:
            self.tell(Problem(file, *_explain(heard, self.params)))


def _tell_remarks(document: Document, pages: Pages) -> None:
    for row in pages.rows:
        if row.note:
            progress.tell(f"{document.files[0]}: page {row.n} {row.note}")


def _explain(heard: Failed | Died | TimedOut, params: IngestParams) -> tuple[str, str]:
    if isinstance(heard, Failed):
        return heard.reason, heard.advice
    if isinstance(heard, TimedOut):
        return (
            f"has a page that takes longer than {params.page_seconds} s",
            "raise ingest.page_seconds, or print it to a new PDF",
        )
    if heard.cause == "SIGKILL":  # which no damaged file brings about
        return (
            f"lost its reader twice: the system ended it ({heard.cause}), most likely for want of memory",
            "take fewer --workers, or a machine with more",
        )
    return f"made the reader end ({heard.cause}): damaged, or far too large", "print it to a new PDF"


def _write_report(path: Path, entries: Sequence[dict[str, Any]], problems: Sequence[Problem]) -> None:
    """The same input gives the same report: no times, no places of this machine."""
    ordered = sorted(problems, key=lambda problem: (problem.file, problem.reason))
    report = {
        "documents": entries,
        "left_out": [_entry(problem) for problem in ordered if problem.left_out],
        "remarks": [_entry(problem) for problem in ordered if not problem.left_out],
    }
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _entry(problem: Problem) -> dict[str, str]:
    return {key: value for key, value in asdict(problem).items() if key != "left_out"}


def _summary(entries: Sequence[dict[str, Any]], problems: Sequence[Problem]) -> dict[str, int]:
    sources: Counter[str] = Counter()
    for entry in entries:
        sources.update(entry["text"])
    return {
        "documents": len(entries),
        "pages": sum(entry["pages"] for entry in entries),
        **{f"pages_{source}": count for source, count in sorted(sources.items())},
        "left_out": sum(problem.left_out for problem in problems),
    }
