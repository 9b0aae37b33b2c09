"""Runs in MLflow: a server where `services.mlflow` names one, else a database below this folder.

What a run tells is noted on this disk first, and forgotten once MLflow has it: a server that is away holds no stage up,
and nothing is lost. A run that was killed is gone on with; a stage's run stands below that of its pipeline.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from unidoc_rl import cluster, progress, provenance, storage
from unidoc_rl.errors import Abandoned, UnidocError
from unidoc_rl.journal import Journal
from unidoc_rl.mlflow_server import FOLDER, Server, away, place
from unidoc_rl.params import ServiceParams
from unidoc_rl.provenance import Known

UNSENT = "unsent"
PIPELINE = "UNIDOC_RUN"  # names the run of the pipeline that a stage belongs to
LONGEST_PARAM = 6000  # letters that MLflow takes
PATIENCE = 60  # seconds between two tries at a server that is away
LAST_TRIES = 10  # where what it is not told is lost
RUNS = Path("artifacts/runs")  # as dvc.yaml has them


class Run:
    """A run that is going on."""

    def __init__(self, journal: Journal, address: str | None) -> None:
        self._journal = journal
        self._address = address
        self._server: Server | None = None  # until it is asked for the first time
        self._again = 0.0  # when one that was away is asked once more
        self.key = journal.key

    def params(self, params: Mapping[str, Any]) -> None:
        """A run that is gone on with keeps those that it began with: MLflow changes none."""
        self.tell("params", values=_as_told(params))

    def metrics(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Of several steps at once."""
        now = int(time.time() * 1000)
        listed = [(name, value, now, step) for step, row in rows for name, value in row.items()]
        self.tell("metrics", rows=listed)

    def result(self, figures: Mapping[str, float]) -> None:
        """What the stage came to: it stands with the pipeline's run too, by which pipelines are compared."""
        self.metrics([(0, figures)])
        self.tell("result", rows=[(name, value, int(time.time() * 1000), 0) for name, value in figures.items()])

    def beside(self, name: str, params: Mapping[str, Any], figures: Mapping[str, float]) -> None:
        """Another that was measured in this run: it stands below as a run of its own, by which they are compared."""
        self.tell("beside", name=name, params=_as_told(params), figures=dict(figures), at=int(time.time() * 1000))

    def inputs(self, inputs: Mapping[str, str | Path | Known]) -> dict[str, str]:
        """What the stage is made from; returns what each is known by."""
        known = {name: provenance.identity(one) for name, one in inputs.items()}
        places = {name: one.place if isinstance(one, Known) else str(one) for name, one in inputs.items()}
        told = [{"name": name, "digest": known[name], "source": places[name]} for name in inputs]
        self.tell("inputs", inputs=told)
        return known

    def file(self, path: Path, folder: str | None = None) -> None:
        self.tell("file", file=self._journal.keep(path), folder=folder)

    def trace(self, name: str, told: Mapping[str, Any]) -> None:
        """An episode: `inputs`, `outputs`, `spans`, `expected`, `feedback`, and `why` it is that."""
        self.tell("trace", name=name, at=time.time_ns(), told=told)

    def last_step(self) -> int:
        """The last of which it was told anything; -1 where it was told nothing."""
        events = [event for event, _ in self._journal.events()]
        noted = [row[3] for event in events if event["what"] == "metrics" for row in event["rows"]]
        with suppress(*away()):
            noted += Server(self._address).steps(self.key)
        return max(noted, default=-1)

    def tell(self, what: str, *, at_last: bool = False, **more: Any) -> None:
        """Notes it, and sends all that is not sent, unless the server was away a moment ago."""
        self._journal.note({"what": what, **more})
        if at_last or time.monotonic() >= self._again:
            self._send()

    def wait(self) -> None:
        """Until all is told; not for ever, since what the stage has made is worth more."""
        for _ in range(LAST_TRIES):
            if self._journal.is_sent():
                return
            time.sleep(PATIENCE)
            self._send()
        progress.tell(f"MLflow at {place(self._address)} is still away: what {self._journal.folder} has is lost")

    def _send(self) -> None:
        try:
            self._server = self._server or Server(self._address)
            self._server.take(self._journal)
        except away() as error:
            if not self._again:
                progress.tell(
                    f"MLflow at {place(self._address)} cannot be told ({error}); what it is to know is kept in "
                    f"{self._journal.folder}, and `unidoc track --retry` sends it"
                )
            self._again = time.monotonic() + PATIENCE


def _as_told(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:LONGEST_PARAM] for name, value in params.items()}


@contextmanager
def run(name: str, address: str | None, note: Path | None = None) -> Iterator[Run]:
    """A run under this name; how it ended is noted there.

    `note`: a file for its key, by which a later process goes on with it.
    """
    noted = note.read_text() if note is not None and note.exists() else ""
    key = noted or uuid.uuid4().hex
    if note is not None and not noted:
        with storage.replacing(note) as new:
            new.write_text(key)
    journal = Journal(FOLDER.resolve() / UNSENT / key)
    with journal.held() as held:
        if not held:
            raise UnidocError(f"{journal.folder}: another process is at work on this run; wait for it")
        told = Run(journal, address)
        now = int(time.time() * 1000)
        told.tell("begin", name=name, address=address, pipeline=pipeline(), tags=tags(), at=now)
        status = "FAILED"
        try:
            yield told
            _note_beside_results(name, told.key)
            status = "FINISHED"
        except (KeyboardInterrupt, Abandoned):
            status = "KILLED"
            raise
        finally:
            told.tell("end", at_last=True, status=status, at=int(time.time() * 1000))
            if cluster.IN_A_POD in os.environ and PIPELINE in os.environ and status != "KILLED":
                told.wait()  # a task's disk goes with its pod
            if journal.is_sent():
                journal.remove()


@contextmanager
def stage(
    name: str, services: ServiceParams | None, work: Path, params: BaseModel, inputs: Mapping[str, str | Path]
) -> Iterator[dict[str, int]]:
    """A run of a stage that learns nothing, below its pipeline's; by itself, such a stage is not worth one.

    The stage puts its figures in here, which are known when it has done. `services`: whose MLflow is told; none is
    where None, as for a shard. `work`: where a run that was killed with the same parameters is noted.
    """
    figures: dict[str, int] = {}
    if services is None or pipeline() is None:
        yield figures
        return
    with run(name, services.mlflow, work / f"run-{provenance.key(params)[:12]}") as told:
        told.params(params.model_dump())
        yield figures
        try:
            told.inputs(inputs)  # now: they may be many gigabytes to look at, and the work was not to wait for that
        except (PermissionError, FileNotFoundError) as error:  # of a file that the stage has told of, and left out
            progress.tell(f"MLflow is not told what {name} took in: {error}")
        told.metrics([(0, figures)])


def _note_beside_results(name: str, key: str) -> None:
    """Under DVC, which keeps it with them: a stage that it brings back has the run that has made it."""
    if "DVC_ROOT" in os.environ:
        RUNS.mkdir(parents=True, exist_ok=True)
        (RUNS / name).write_text(f"{key}\n", encoding="utf-8")


def retry() -> tuple[int, int]:
    """Sends what is kept below this folder; returns how many runs that were, and how many are still at work.

    A run whose process is gone without having ended it was killed. Those that cannot be sent hold no other up.
    """
    sent = busy = 0
    unsent = list[str]()
    for folder in sorted((FOLDER.resolve() / UNSENT).glob("*/")):
        journal = Journal(folder)
        with journal.held() as held:
            if not held:
                busy += 1
            elif not (events := [event for event, _ in journal.events()]):
                journal.remove()  # its process has just ended
            else:
                if events[-1]["what"] != "end":
                    journal.note({"what": "end", "status": "KILLED", "at": journal.last_noted()})
                try:
                    _send_again(journal, events[0]["address"])
                    sent += 1
                except UnidocError as error:
                    unsent.append(str(error))
    if unsent:
        raise UnidocError("\n".join([f"{sent} runs sent, and {len(unsent)} not:", *unsent]))
    return sent, busy


def _send_again(journal: Journal, address: str | None) -> None:
    try:
        Server(address).take(journal)
    except away() as error:
        raise UnidocError(
            f"MLflow at {place(address)} cannot be told ({error}); {journal.folder} is kept: try again later"
        ) from error
    journal.remove()


def tags() -> dict[str, str]:
    """Which code, data and environment."""
    return {
        "mlflow.source.name": "unidoc",  # without which MLflow's pages do not show the commit
        "mlflow.source.git.commit": provenance.commit(),
        "data": provenance.data_version()[:12],
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("unidoc-rl", "torch", "transformers", "trl")},
    }


def pipeline() -> dict[str, str] | None:
    """The run of the pipeline that this process belongs to: UNIDOC_RUN, or the `dvc repro` that started it."""
    name, repro = os.environ.get(PIPELINE), os.environ.get("DVC_ROOT")
    if name:
        told = name
    elif repro:
        # torchrun gives each of its processes a group of its own, and is itself in that of the others.
        group = os.getpgid(os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else 0)
        told = f"{repro} {group} {_began(group)}"
        name = f"dvc repro in {Path(repro).name}"
    else:
        return None
    return {"key": hashlib.sha256(told.encode()).hexdigest()[:32], "name": name}


def _began(process: int) -> str:
    """When a process did, in the kernel's time: numbers of processes are given again."""
    file = Path(f"/proc/{process}/stat")
    return file.read_text().rpartition(")")[2].split()[19] if file.exists() else ""
