"""A reader that the system ends, as told in the folder MORTAL: python -m tests.ingest.mortal_worker SOCKET SETTINGS.

A file there is named after a document's and says at what (Count or Read), and how often; it grows by a line each time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from unidoc_rl.ingest import worker
from unidoc_rl.ingest.tasks import Count, Read

Ending = tuple[str, str, int]  # the document, at what, and how often


def tell(folder: Path, endings: list[Ending]) -> None:
    folder.mkdir()
    for document, moment, times in endings:
        (folder / document).write_text(f"{moment} {times}\n")


def ended(folder: Path, document: str) -> int:
    """How often the system has."""
    return len((folder / document).read_text().splitlines()) - 1


class Mortal(worker.Reader):
    _task: Count | Read

    def answer(self, task: Count | Read, step: Callable[[], None]) -> Any:
        self._task = task
        if isinstance(task, Count) and self._must_end():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().answer(task, step)

    def _write(self, pixels: NDArray[Any], path: Path) -> None:
        """Of the third page of those that are asked for, half is written."""
        super()._write(pixels, path)
        if int(path.stem) % 16 == 3 and self._must_end():
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def _must_end(self) -> bool:
        told = Path(os.environ["MORTAL"]) / self._task.source.paths[0].stem
        if not told.exists():
            return False
        first, *before = told.read_text().splitlines()
        moment, times = first.split()
        if moment != type(self._task).__name__ or len(before) == int(times):
            return False
        with told.open("a") as file:
            file.write("ended\n")
        return True


if __name__ == "__main__":
    worker.Reader = Mortal  # type: ignore[misc]
    worker.main()
