"""A machine that does not tell which cores a process may use."""

from __future__ import annotations

import os

import pytest

from unidoc_rl.cores import cores


def test_where_a_system_cannot_tell_they_are_all_taken_for_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == os.cpu_count()
