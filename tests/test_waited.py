"""A training on nodes sees whether the task that waits for it still lives."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from unidoc_rl import waited
from unidoc_rl.errors import UnidocError


def test_whoever_waits_is_seen_until_it_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waited, "TOUCHED_EVERY", 0.01)
    file = tmp_path / "waited-for"
    monkeypatch.setenv(waited.FILE, str(file))
    with waited.waiting(file):
        _age(file)
        end = time.monotonic() + 60
        while file.stat().st_mtime < time.time() - waited.PATIENCE and time.monotonic() < end:
            pass
        waited.check()
    _age(file)
    with pytest.raises(UnidocError, match=r"nobody has waited .* for 6[01] minutes: its run was cancelled"):
        waited.check()


def _age(file: Path) -> None:
    long_ago = time.time() - waited.PATIENCE - 30
    os.utime(file, (long_ago, long_ago))


def test_a_volume_that_is_away_for_a_moment_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(waited.FILE, str(tmp_path / "away" / "waited-for"))
    waited.check()
