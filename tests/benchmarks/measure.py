"""A command as a whole process: wall and CPU seconds, and the memory of it and everything it starts."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

RESULTS = Path("artifacts/bench")
UNIDOC = Path(sys.executable).with_name("unidoc")
MB = 1 << 20
SECONDS_BETWEEN_LOOKS = 0.02
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Run:
    wall: float
    cpu: float
    peak: int  # bytes, the sum over all its processes at the worst moment
    peak_of_one: int  # bytes, of its largest process
    output: str


def run(command: Sequence[str | Path], cpus: set[int], folder: Path | None = None) -> Run:
    """Runs a command on the given processors, in this folder, to its end; it must succeed, or leave something out."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    watch = _Watch(process.pid)
    watch.start()
    output, _ = process.communicate()
    watch.over.set()
    watch.join()
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{output}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, cpu, watch.peak, watch.peak_of_one, output)


class _Watch(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.peak = self.peak_of_one = 0
        self._pid = pid

    def run(self) -> None:
        while not self.over.wait(SECONDS_BETWEEN_LOOKS):
            sizes = [resident(pid) for pid in _family(self._pid)]
            self.peak = max(self.peak, sum(sizes))
            self.peak_of_one = max(self.peak_of_one, *sizes)


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        except OSError:
            continue  # it has ended
    return found


def resident(pid: int | Literal["self"] = "self") -> int:
    """Memory of a process, in bytes."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def table(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Rows of text as columns; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def save(name: str, figures: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    former = json.loads(path.read_text()) if path.exists() else {}  # of the parts that were not measured this time
    path.write_text(json.dumps(former | figures, indent=1) + "\n")
    print(f"\nwritten to {path}")
