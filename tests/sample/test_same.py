"""The same seed is the same world, byte for byte, however and wherever it is made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest
import yaml

from tests.sample.conftest import DOCUMENTS, PARAMS
from tests.sample.reading import World, digests
from unidoc_rl import questions
from unidoc_rl.params import SampleParams
from unidoc_rl.sample.stage import sample
from unidoc_rl.types import Split


@pytest.mark.slow
def test_same_bytes_in_another_process_with_other_settings(world: World, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.antialiased: False\npatch.linewidth: 9\nfigure.facecolor: red\n")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"sample": PARAMS.model_dump()}))
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    command = "from unidoc_rl.cli import main; main()"
    arguments = ["sample", "--documents", "d", "--questions", "q", "--workers", "2"]
    subprocess.run([sys.executable, "-c", command, *arguments], cwd=tmp_path, env=environment, check=True)
    assert digests(tmp_path / "d") == digests(world.documents)
    assert digests(tmp_path / "q") == digests(world.questions)


@pytest.mark.slow
def test_a_small_world_is_the_beginning_of_a_larger_one(world: World, tmp_path: Path) -> None:
    sample(tmp_path / "d", tmp_path / "q", PARAMS.model_copy(update={"documents": 10}), workers=2)
    small, large = digests(tmp_path / "d"), digests(world.documents)
    small.pop(".sample.json")
    assert len(small) == 10
    assert small.items() <= large.items()
    for split in Split:
        few, many = questions.read(tmp_path / "q" / f"{split}.json"), world.split(split)
        assert few  # even of ten documents, every split has some
        assert few == many[: len(few)]


@pytest.mark.slow
def test_another_seed_is_another_world(world: World, tmp_path: Path) -> None:
    sample(tmp_path / "d", tmp_path / "q", SampleParams(documents=10, seed=8), workers=2)
    other, this = digests(tmp_path / "d"), digests(world.documents)
    assert not set(other.values()) & set(this.values())
    assert not (other.keys() & this.keys()) - {".sample.json"}


def test_sizes(world: World) -> None:
    pages = [len(pypdfium2.PdfDocument(path)) for path in world.documents.glob("*.pdf")]
    assert len(pages) == DOCUMENTS
    assert all(3 <= count <= 12 for count in pages)
    by_split = {split.value: len(world.split(split)) for split in Split}
    assert world.counts == {"documents": DOCUMENTS, "pages": sum(pages), **by_split}
    assert 6 * DOCUMENTS <= len(world.all) <= 11 * DOCUMENTS
