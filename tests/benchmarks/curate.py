"""How much can be curated in a time: python -m tests.benchmarks.curate [--only endpoint|scripted] [--questions N]
[--seconds N].

endpoint   a teacher behind an endpoint that answers in a second, with 256 episodes in flight: how many of the requests
           that the endpoint could answer it is asked for, or of those that it allows a minute; how much memory grows
scripted   questions of the sample world, played by their annotations and filtered, searched by words and vectors
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count, cycle, islice, takewhile
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.measure import MB, UNIDOC, resident, save, table
from unidoc_rl import questions
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rollouts import play_apart
from unidoc_rl.curate.part import shuffled
from unidoc_rl.curate.stage import curate
from unidoc_rl.curate.teaching import Teaching
from unidoc_rl.index.search import Index
from unidoc_rl.params import CurateParams, Params
from unidoc_rl.types import Question, Split

IN_FLIGHT = 256
PER_MINUTE = 6000
WITHOUT = 8  # seconds at the beginning and the end, in which not all are in flight


def made_world(work: Path, documents: int) -> None:
    def unidoc(*parts: str | Path) -> None:
        subprocess.run([UNIDOC, *parts], check=True)

    chosen = f"sample.documents={documents}"
    unidoc("sample", "--documents", work / "pdf", "--questions", work / "questions", "--set", chosen)
    unidoc("ingest", work / "pdf", "--out", work / "corpus", "--set", "ingest.ocr=false", "--set", "ingest.dpi=100")
    unidoc("index", work / "corpus", "--out", work / "index")


def asked(work: Path) -> list[Question]:
    return [one for split in Split for one in questions.read(work / "questions" / f"{split}.json")]


def processor(since: os.times_result) -> float:
    """Seconds of it, of this process."""
    now = os.times()
    return now.user + now.system - since.user - since.system


# --- the endpoint -----------------------------------------------------------------------------------------------------


@contextmanager
def slow_endpoint() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.benchmarks.slow_endpoint", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}/v1#served", process


def report_endpoint(work: Path, seconds: float) -> dict[str, Any]:
    os.environ["no_proxy"] = "127.0.0.1"
    free, paced = _asked_for(work, seconds, None), _asked_for(work, seconds, PER_MINUTE)
    rows = [
        ("", "requests", "seconds", "a second", "of what it allows", "processor a request", "peak memory", "grows by"),
        (f"{IN_FLIGHT} in flight, 1 s each", *free.told()),
        (f"likewise, {PER_MINUTE:,} a minute", *paced.told()),
        ("wanted", "", "", "", ">= 90 %, <= 100 %", "", "", "< 5 %"),
    ]
    table("A teacher behind an endpoint", rows)
    return {
        "requests_a_second": free.rate,
        "share": free.share,
        "share_paced": paced.share,
        "cpu_ms": 1000 * free.cpu,
        "peak_mb": free.peak / MB,
        "memory_grows": free.grows,
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """Away from the beginning and the end: the rate, and by how much the last third's memory is above the middle's."""

    requests: int
    wall: float
    rate: float
    share: float  # of what is allowed
    cpu: float
    peak: int
    grows: float

    def told(self) -> tuple[str, ...]:
        return (
            f"{self.requests:,}",
            f"{self.wall:.0f}",
            f"{self.rate:.0f}",
            f"{self.share:.1%}",
            f"{1000 * self.cpu:.1f} ms",
            f"{self.peak / MB:.0f} MB",
            f"{self.grows:+.1%}",
        )


def _asked_for(work: Path, seconds: float, per_minute: float | None) -> _Asked:
    corpus, params, allowed = work / "corpus", Params(), per_minute / 60 if per_minute else IN_FLIGHT
    some = asked(work)
    seed = int(per_minute or 1)  # else nothing is asked that was asked before
    with (
        slow_endpoint() as (url, process),
        Index(work / "index", ["bm25"]) as search,
        tempfile.TemporaryDirectory() as teaching,
    ):
        pictures = Pictures(corpus, params.agent)
        environment = Environment(shuffled(search, 1), pictures, params.agent)
        curating = CurateParams(teacher=url, at_once=IN_FLIGHT, per_minute=per_minute, seed=seed)
        player = Teaching(corpus, pictures, Path(teaching), Params(curate=curating)).player()
        before, held, start = os.times(), list[int](), time.monotonic()
        jobs = takewhile(lambda _: time.monotonic() < start + seconds, zip(cycle(some), count()))
        for _one in play_apart(jobs, environment, player, IN_FLIGHT):
            held.append(resident())
        wall, used = time.monotonic() - start, processor(before)
        told, _none = process.communicate()
    moments = json.loads(told)
    counted = [moment for moment in moments if moments[0] + WITHOUT <= moment <= moments[-1] - WITHOUT]
    rate = (len(counted) - 1) / (counted[-1] - counted[0])
    third = len(held) // 3
    grows = median(held[-third:]) / median(held[third : 2 * third]) - 1
    return _Asked(len(moments), wall, rate, rate / allowed, used / len(moments), max(held), grows)


# --- the annotations --------------------------------------------------------------------------------------------------


def report_scripted(work: Path, many: int) -> dict[str, Any]:
    """Each in words of its own, so that nothing is searched for twice."""
    some = [
        replace(one, uid=f"{one.uid} {n}", query=f"{one.query} (case {n})")
        for n, one in enumerate(islice(cycle(asked(work)), many))
    ]
    questions.write(work / "asked.jsonl", some)
    os.chdir(work)
    before, start = os.times(), time.monotonic()
    report = curate(work / "asked.jsonl", work / "corpus", str(work / "index"), work / "trajectories", Params())
    seconds, cpu = time.monotonic() - start, processor(before) / many
    rate = many / seconds
    rows = [
        ("questions", "seconds", "a second", "processor a question", "10,000 would take", "kept"),
        (
            f"{many:,}",
            f"{seconds:.0f}",
            f"{rate:.1f}",
            f"{1000 * cpu:.1f} ms",
            f"{10_000 / rate / 60:.1f} minutes",
            str(report.sft),
        ),
        ("wanted", "", "", "", "< 10 minutes", ""),
    ]
    table("Questions played by their annotations, from the file to the card", rows)
    return {"questions_a_second": rate, "questions": many, "cpu_ms": 1000 * cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, help="a folder with corpus, index and questions; made where not given")
    parser.add_argument("--documents", type=int, default=24, help="of the sample world that is made")
    parser.add_argument("--questions", type=int, default=10_000, help="that are played by their annotations")
    parser.add_argument("--seconds", type=float, default=40, help=f"of asking the endpoint; at least {3 * WITHOUT}")
    parser.add_argument("--only", choices=["endpoint", "scripted"])
    options = parser.parse_args()
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        work = options.world or Path(folder)
        os.environ["UNIDOC_CACHE"] = str(Path(folder) / "cache")  # else a second run would ask nothing
        if not options.world:
            made_world(work, options.documents)
        figures: dict[str, Any] = {}
        if options.only in (None, "endpoint"):
            figures["endpoint"] = report_endpoint(work, options.seconds)
        if options.only in (None, "scripted"):
            figures["scripted"] = report_scripted(work, options.questions)
        os.chdir(here)
    save("curate", figures)


if __name__ == "__main__":
    main()
