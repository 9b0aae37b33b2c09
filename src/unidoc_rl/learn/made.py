"""What stands already: a folder that was made of the same is not made again."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from unidoc_rl import progress, provenance, storage

NOTE = "made.json"


class Made:
    """The folders below `out`, and what each was made of; `count` of them are to be made."""

    def __init__(self, out: Path, count: int) -> None:
        self._out = out
        self._count = count
        self._number = 0
        self._start = time.monotonic()
        file = out / NOTE
        self._keys: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def folder(
        self, folder: Path, what: str, inputs: Sequence[Path | BaseModel | str], make: Callable[[], object]
    ) -> str:
        """Makes it, unless it stands; returns what it was made of, an input of what is made of it."""
        self._number += 1
        key = provenance.key(version("unidoc-rl"), *inputs)
        name = folder.relative_to(self._out).as_posix()
        if self._keys.get(name) == key and folder.is_dir():
            return key
        start = time.monotonic()
        so_far = f"{(start - self._start) / 60:.0f} min so far"
        progress.tell(f"{what} ({self._number} of {self._count}; {so_far})")
        self._note(name, None)  # until it is whole, it may be of either
        make()
        gc.collect()  # a trainer and its model hold each other: those of all steps would stay in memory
        self._note(name, key)
        progress.tell(f"{what}: done in {time.monotonic() - start:.0f} s")
        return key

    def _note(self, name: str, key: str | None) -> None:
        """What it was made of; None: of nobody knows what."""
        self._keys.pop(name, None)
        if key is not None:
            self._keys[name] = key
        with storage.replacing(self._out / NOTE) as new:
            new.write_text(json.dumps(self._keys, indent=1) + "\n", encoding="utf-8")
