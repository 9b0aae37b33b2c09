"""A corpus whose pages have regions, and endpoints that are asked without a key and a proxy, and by no test before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.curate import stub
from tests.small import Small
from unidoc_rl.agent.endpoint import KEY


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.setenv("UNIDOC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def with_regions(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub.with_regions(small.corpus, tmp_path_factory.mktemp("regions") / "corpus", small.asked())
