"""Vectors of pages, computed once, and their rows in Milvus.

Vectors are kept in files beside the rows: whatever becomes of Milvus, nothing is computed twice. Milvus Lite's folder
is copied from the former index and changed where pages have changed; on a server, whose collections others may be
searching, a new collection takes the place of the former one.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from unidoc_rl import progress
from unidoc_rl.corpus import Corpus
from unidoc_rl.errors import UnidocError
from unidoc_rl.index import catalogue, manifest
from unidoc_rl.index.catalogue import Catalogue
from unidoc_rl.index.manifest import Collection, Manifest
from unidoc_rl.index.milvus import FOLDER, Milvus, Rows
from unidoc_rl.index.vectors import PAGES_A_FILE, Arrays, Vectors, place, write
from unidoc_rl.params import IndexParams, Retriever
from unidoc_rl.storage import Output


class Encoder(Protocol):
    """What makes the vectors of a retriever."""

    name: str  # of what must encode the queries, too
    store: str  # the folder, below `vectors`, that its vectors are kept in
    dimension: int
    reads: str  # the column of the corpus that it looks at

    def pages(self, values: Sequence[str], corpus: Path) -> list[Arrays]:
        """The arrays of each page; those called `rows` go to Milvus."""


class Build:
    def __init__(
        self, pages: Corpus, listed: Catalogue, output: Output, params: IndexParams, vectors: Path | None
    ) -> None:
        self._pages = pages
        self._listed = listed
        self._output = output
        self._params = params
        self._brought = vectors  # computed elsewhere
        self._former = _undamaged(output.former)
        self._kept: dict[Retriever, Collection] = {}  # in the former index's Milvus Lite
        if self._former is not None and self._former.uri is None:
            self._kept = {key: one for key, one in self._former.collections.items() if one.name is not None}
        self._started = output.work / "collections.json"  # on a server, by a run that may have been killed

    def collections(self) -> dict[Retriever, Collection]:
        """Makes what the chosen retrievers need."""
        chosen: list[Retriever] = [name for name in self._params.retrievers if name != "bm25"]
        if not chosen:
            return {}
        encoders = {name: self._encoder(name) for name in chosen}
        for name, encoder in encoders.items():
            self._compute(name, encoder)
        made: dict[Retriever, Collection] = {}
        if self._params.uri is None and "late" in encoders:
            made["late"] = self._sketches(encoders.pop("late"))
        if encoders:
            with self._milvus() as milvus:
                made |= {name: self._collection(milvus, name, encoder) for name, encoder in encoders.items()}
        return made

    def forget_former(self) -> None:
        """Removes the former index from its server, once the new one stands."""
        if self._former is not None and self._former.uri is not None:
            with Milvus(self._former.uri) as milvus:
                for collection in self._former.collections.values():
                    milvus.drop(str(collection.name))

    def _compute(self, retriever: str, encoder: Encoder) -> None:
        missing = {start for start, stop in self._spans() if not self._take_over(encoder, start)}
        if not missing:
            return
        column = self._pages.column(encoder.reads)
        with progress.bar(len(self._listed), f"encoding ({retriever})", "page") as bar:
            for start, stop in self._spans():
                values = list(islice(column, stop - start))
                if start in missing:
                    kept = self._output.work / self._file(encoder, start)
                    write(kept, encoder.pages(values, self._pages.folder))
                    _link(kept, self._output.new / self._file(encoder, start))
                bar.update(stop - start)

    def _take_over(self, encoder: Encoder, start: int) -> bool:
        """Whether these pages' vectors are there already, from the former index or a run that was broken off."""
        file = self._file(encoder, start)
        for folder in (self._output.former, self._output.work):
            if folder is None or not (folder / file).exists():
                continue
            try:
                Vectors().count(folder / file)
            except UnidocError as error:
                progress.tell(f"{error}: computed again")
                continue
            _link(folder / file, self._output.new / file)
            return True
        return False

    def _spans(self) -> list[tuple[int, int]]:
        return catalogue.spans(self._listed.contents, PAGES_A_FILE)

    def _file(self, encoder: Encoder, start: int) -> Path:
        path, _ = place(self._listed, encoder.store, start)
        return path

    def _sketches(self, encoder: Encoder) -> Collection:
        from unidoc_rl.index import late, sketches

        vectors = Vectors()
        pages = (late.sketch(arrays) for _, arrays in self._arrays(vectors, encoder))
        folder = self._output.new / sketches.FOLDER
        sketches.write(folder, pages, len(self._listed), late.CENTROIDS, encoder.dimension)
        return self._describe("late", None, encoder, len(self._listed) * late.CENTROIDS)

    def _arrays(self, vectors: Vectors, encoder: Encoder) -> Iterator[tuple[int, Arrays]]:
        """The computed arrays of every page, by its number."""
        for start, stop in self._spans():
            file = self._output.new / self._file(encoder, start)
            for number in range(start, stop):
                yield number, vectors.page(file, number - start)

    def _describe(self, retriever: Retriever, name: str | None, encoder: Encoder, rows: int) -> Collection:
        return Collection(
            name=name,
            encoder=encoder.name,
            store=encoder.store,
            source=self._params.encoder if retriever == "dense" else self._params.late_encoder,
            dimension=encoder.dimension,
            rows=rows,
        )

    def _milvus(self) -> Milvus:
        if self._params.uri is not None:
            milvus = Milvus(self._params.uri)
            if self._started.exists():
                for name in json.loads(self._started.read_text()):
                    milvus.drop(name)
            return milvus
        folder = self._output.new / FOLDER
        if self._kept:
            assert self._output.former is not None
            shutil.copytree(self._output.former / FOLDER, folder)
            if not _sound(folder, self._kept.values()):
                progress.tell(f"{self._output.former / FOLDER}: is damaged: made anew")
                shutil.rmtree(folder)
                self._kept = {}
        return Milvus(folder)

    def _collection(self, milvus: Milvus, retriever: Retriever, encoder: Encoder) -> Collection:
        rows, known = self._begin(milvus, retriever, encoder)
        vectors = Vectors()
        counts = []

        def new_pages() -> Iterator[tuple[str, str, NDArray[Any]]]:
            with progress.bar(len(self._listed), f"adding to Milvus ({retriever})", "page") as bar:
                for number, arrays in self._arrays(vectors, encoder):
                    counts.append(len(arrays["rows"]))
                    if self._listed.keys[number] not in known:
                        yield self._listed.keys[number], self._listed.documents[number], arrays["rows"]
                    bar.update()

        rows.add(new_pages())
        rows.finish()
        rows.check(sum(counts))
        return self._describe(retriever, rows.name, encoder, sum(counts))

    def _begin(self, milvus: Milvus, retriever: Retriever, encoder: Encoder) -> tuple[Rows, frozenset[str]]:
        """A collection to add to, and the keys of the pages that it holds."""
        if self._params.uri is not None:
            name = f"unidoc_{retriever}_{uuid.uuid4().hex}"
            started = json.loads(self._started.read_text()) if self._started.exists() else []
            self._started.write_text(json.dumps([*started, name]))
            return milvus.create(name, encoder.dimension), frozenset()
        former = self._kept.get(retriever)
        if former is None or former.store != encoder.store:
            if former is not None:
                milvus.drop(str(former.name))
            return milvus.create(retriever, encoder.dimension), frozenset()
        assert self._output.former is not None
        rows = milvus.open(str(former.name))
        keys = frozenset(catalogue.read(self._output.former).keys)
        rows.remove(sorted(keys - set(self._listed.keys)))
        return rows, keys

    def _encoder(self, retriever: Retriever) -> Encoder:
        if retriever == "dense":
            from unidoc_rl.index.dense import Dense

            return Dense(self._params.encoder)
        from unidoc_rl.index.late import Brought, Computed

        model = self._params.late_encoder
        if model is None:
            raise UnidocError(
                "index.late_encoder: late needs a ColQwen2 or ColPali model; name its folder, or hub name"
            )
        return Computed(model) if self._brought is None else Brought(model, self._brought, self._listed.ids)


def _sound(folder: Path, collections: Iterable[Collection]) -> bool:
    try:
        with Milvus(folder) as milvus:
            return all(milvus.open(str(one.name)).count() == one.rows for one in collections)
    except UnidocError:
        return False


def _undamaged(former: Path | None) -> Manifest | None:
    """What a former index says of itself; one that is damaged is made anew."""
    if former is None:
        return None
    try:
        return manifest.read(former)
    except UnidocError as error:
        progress.tell(f"{error}: made anew")
        return None


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
