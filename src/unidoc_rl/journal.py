"""What a run has to tell MLflow, on this disk until it is told: a folder a run, and a line an event.

.mlflow/unsent/<key>/events.jsonl   in their order
.mlflow/unsent/<key>/sent           how far MLflow has been told, in bytes
.mlflow/unsent/<key>/files/         the files that are told of

An event that was on its way as the process died is told again, so all of them must be such that it makes no difference.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]


class Journal:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder.name
        self._events = folder / "events.jsonl"
        self._sent = folder / "sent"
        self.files = folder / "files"

    @contextmanager
    def held(self) -> Iterator[bool]:
        """By one process at a time; False where another one has it."""
        self.files.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            self._cut()
            yield True

    def _cut(self) -> None:
        """A line that a killed process has not ended."""
        if self._events.exists():
            whole = self._events.read_bytes().rfind(b"\n") + 1
            os.truncate(self._events, whole)

    def note(self, event: Event) -> None:
        """Whole or not at all: behind half a line, which a full disk leaves, another would be none either."""
        begin = self._events.stat().st_size if self._events.exists() else 0
        try:
            with self._events.open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
        except OSError:
            os.truncate(self._events, begin)
            raise

    def last_noted(self) -> int:
        """When it was told the last event, in milliseconds."""
        return self._events.stat().st_mtime_ns // 1_000_000

    def keep(self, path: Path) -> str:
        """Keeps a file as it is now; returns where, below `files`."""
        place = self.files / f"{sum(1 for _ in self.files.iterdir())}"
        place.mkdir()
        shutil.copy(path, place / path.name)
        return f"{place.name}/{path.name}"

    def events(self, begin: int = 0) -> Iterator[tuple[Event, int]]:
        """From this byte on, with where each ends."""
        if not self._events.exists():
            return
        with self._events.open("rb") as file:
            file.seek(begin)
            for line in file:
                begin += len(line)
                yield json.loads(line), begin

    def left(self) -> Iterator[Event]:
        """What MLflow does not have; each counts as sent once the next is asked for."""
        for event, end in self.events(int(self._sent.read_text()) if self._sent.exists() else 0):
            yield event
            new = self._sent.with_suffix(".new")
            new.write_text(str(end))
            new.replace(self._sent)

    def is_sent(self) -> bool:
        return next(self.left(), None) is None

    def remove(self) -> None:
        shutil.rmtree(self.folder)
