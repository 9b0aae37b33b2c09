from __future__ import annotations

from pathlib import Path

import pytest

from tests.sample.reading import World
from unidoc_rl.params import SampleParams
from unidoc_rl.sample.stage import sample
from unidoc_rl.sample.style import SMALL_PRINT

DOCUMENTS = 24
PARAMS = SampleParams(documents=DOCUMENTS, seed=7, readable=SMALL_PRINT)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world of 24 documents, made by one worker, for a reader of all but small print."""
    folder: Path = tmp_path_factory.mktemp("world")
    counts = sample(folder / "documents", folder / "questions", PARAMS, workers=1)
    return World(folder / "documents", folder / "questions", counts)
