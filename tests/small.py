"""A small sample world, really made, ingested and indexed, for tests of the stages that follow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unidoc_rl import questions
from unidoc_rl.index.stage import index
from unidoc_rl.ingest.stage import ingest
from unidoc_rl.params import IndexParams, IngestParams, SampleParams
from unidoc_rl.sample.stage import sample
from unidoc_rl.types import Question, Split


@dataclass(frozen=True, slots=True)
class Small:
    """Ten documents."""

    folder: Path

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    @property
    def index(self) -> Path:
        return self.folder / "index"

    def file(self, split: Split) -> Path:
        return self.folder / "questions" / f"{split}.json"

    def asked(self) -> list[Question]:
        return [question for split in Split for question in questions.read(self.file(split))]


def make(folder: Path) -> Small:
    made = Small(folder)
    sample(folder / "documents", folder / "questions", SampleParams(documents=10, readable=7))
    ingest(folder / "documents", made.corpus, IngestParams(layout=False, dpi=100))
    index(made.corpus, made.index, IndexParams(retrievers=["bm25"]))
    return made
