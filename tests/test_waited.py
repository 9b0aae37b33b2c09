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
        _until_touched(file)
        waited.check()
    _age(file)
    with pytest.raises(UnidocError, match=r"nobody has waited .* for 6[01] minutes: its run was cancelled"):
        waited.check()


def _age(file: Path) -> None:
    long_ago = time.time() - waited.PATIENCE - 30
    os.utime(file, (long_ago, long_ago))


def _until_touched(file: Path) -> None:
    end = time.monotonic() + 60
    while file.stat().st_mtime < time.time() - waited.PATIENCE and time.monotonic() < end:
        pass


def test_whoever_waits_is_seen_again_once_the_volume_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waited, "TOUCHED_EVERY", 0.01)
    volume = tmp_path / "volume"
    volume.mkdir()
    file = volume / "waited-for"
    monkeypatch.setenv(waited.FILE, str(file))
    with waited.waiting(file):
        volume.rename(tmp_path / "away")
        time.sleep(0.2)
        (tmp_path / "away").rename(volume)
        _age(file)
        _until_touched(file)
        waited.check()


def test_a_volume_that_is_away_for_a_moment_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(waited.FILE, str(tmp_path / "away" / "waited-for"))
    waited.check()
