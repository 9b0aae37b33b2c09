from __future__ import annotations

from pathlib import Path

import pytest

from tests.sample.reading import World
from unidoc_rl.params import SampleParams
from unidoc_rl.sample.stage import sample

DOCUMENTS = 24


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world of 24 documents, made by one worker."""
    folder: Path = tmp_path_factory.mktemp("world")
    counts = sample(folder / "documents", folder / "questions", SampleParams(documents=DOCUMENTS, seed=7), workers=1)
    return World(folder / "documents", folder / "questions", counts)
