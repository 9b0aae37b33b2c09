"""Whether anybody still waits for a training on nodes: the task that does touches a file of theirs while it lives.

A run that is cancelled ends its tasks just as a lost node does, and none is sure to tell the nodes before. They see it
here, and do not keep their GPUs until `pipeline.hours` are over.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from unidoc_rl.errors import Abandoned

FILE = "UNIDOC_WAITED_FOR"  # the variable that names it, on the nodes
TOUCHED_EVERY = 60.0  # seconds
PATIENCE = 3600.0  # seconds, in which a task whose node was lost is back


@contextmanager
def waiting(file: Path) -> Iterator[None]:
    file.touch()
    over = Event()

    def touch() -> None:
        while not over.wait(TOUCHED_EVERY):
            with suppress(OSError):  # a volume that is away for a moment: it is touched again
                file.touch()

    touching = Thread(target=touch, daemon=True)
    touching.start()
    try:
        yield
    finally:
        over.set()
        touching.join()


def check() -> None:
    """Raises where nobody waits any more; nothing where a training has no task that would."""
    if FILE not in os.environ:
        return
    try:
        silence = silent(Path(os.environ[FILE]))
    except OSError:  # likewise: asked again after the next step
        return
    if silence > PATIENCE:
        raise Abandoned(
            f"nobody has waited for this training for {silence / 60:.0f} minutes: its run was cancelled, or its task "
            "is gone; tried again, the task goes on from the last checkpoint"
        )


def silent(file: Path) -> float:
    """Seconds, since somebody waited."""
    return time.time() - file.stat().st_mtime
