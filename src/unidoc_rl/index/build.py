"""Vectors of pages, computed once, and their rows where they are searched: in files, or in Milvus.

Vectors are kept in files of their own: whatever becomes of Milvus, nothing is computed twice. In Milvus, whose
collections others may be searching, a new collection takes the place of the former one.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from unidoc_rl import progress
from unidoc_rl.corpus import Corpus
from unidoc_rl.errors import UnidocError
from unidoc_rl.index import catalogue, manifest, scan
from unidoc_rl.index.catalogue import Catalogue
from unidoc_rl.index.manifest import Collection, Manifest
from unidoc_rl.index.maxsim import Floats
from unidoc_rl.index.vectors import PAGES_A_FILE, Arrays, Kept, Vectors, place, rows_of, write
from unidoc_rl.params import IndexParams, Retriever
from unidoc_rl.storage import Output

if TYPE_CHECKING:
    from unidoc_rl.index.milvus import Milvus


class Encoder(Protocol):
    """What makes the vectors of a retriever."""

    name: str  # of what must encode the queries, too
    store: str  # the folder, below `vectors`, that its vectors are kept in
    dimension: int
    reads: str  # the column of the corpus that it looks at

    def pages(self, values: Sequence[str], corpus: Path) -> list[Arrays]:
        """The arrays of each page, as vectors.py names them."""


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
        self._started = output.work / "collections.json"  # in Milvus, by a run that may have been killed

    def collections(self) -> dict[Retriever, Collection]:
        """Makes what the chosen retrievers need."""
        encoders: dict[Retriever, Encoder] = {
            name: self._encoder(name) for name in self._params.retrievers if name != "bm25"
        }
        for name, encoder in encoders.items():
            self._compute(name, encoder)
        if not encoders:
            return {}
        if self._params.uri is None:
            return {name: self._in_files(name, encoder) for name, encoder in encoders.items()}
        with self._milvus(self._params.uri) as milvus:
            return {name: self._in_milvus(milvus, name, encoder) for name, encoder in encoders.items()}

    def forget_former(self) -> None:
        """Removes the former index from Milvus, once the new one stands."""
        if self._former is not None and self._former.uri is not None:
            from unidoc_rl.index.milvus import Milvus

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

    def _in_files(self, retriever: Retriever, encoder: Encoder) -> Collection:
        counts = [len(rows_of(page).codes) for page in self._arrays(encoder)]
        rows = (rows_of(page) for page in self._arrays(encoder))
        scan.write(self._output.new / retriever, rows, counts, encoder.dimension)
        return self._describe(retriever, None, encoder, sum(counts))

    def _in_milvus(self, milvus: Milvus, retriever: Retriever, encoder: Encoder) -> Collection:
        name = f"unidoc_{retriever}_{uuid.uuid4().hex}"
        self._started.write_text(json.dumps([*self._left_over(), name]))
        rows = milvus.create(name, encoder.dimension)
        counts = []

        def pages() -> Iterator[tuple[str, str, Floats]]:
            with progress.bar(len(self._listed), f"adding to Milvus ({retriever})", "page") as bar:
                for number, arrays in enumerate(self._arrays(encoder)):
                    codes, scales = rows_of(arrays)
                    counts.append(len(codes))
                    yield self._listed.keys[number], self._listed.documents[number], codes * scales[:, None]
                    bar.update()

        rows.add(pages())
        rows.finish()
        rows.check(sum(counts))
        return self._describe(retriever, name, encoder, sum(counts))

    def _arrays(self, encoder: Encoder) -> Iterator[Arrays]:
        """Of every page."""
        kept = Kept(self._output.new, self._listed, encoder.store)
        return map(kept.page, range(len(self._listed)))

    def _describe(self, retriever: Retriever, name: str | None, encoder: Encoder, rows: int) -> Collection:
        return Collection(
            name=name,
            encoder=encoder.name,
            store=encoder.store,
            source=self._params.encoder if retriever == "dense" else self._params.late_encoder,
            dimension=encoder.dimension,
            rows=rows,
        )

    def _milvus(self, uri: str) -> Milvus:
        from unidoc_rl.index.milvus import Milvus

        milvus = Milvus(uri)
        for name in self._left_over():
            milvus.drop(name)
        self._started.unlink(missing_ok=True)
        return milvus

    def _left_over(self) -> list[str]:
        names: list[str] = json.loads(self._started.read_text()) if self._started.exists() else []
        return names

    def _encoder(self, retriever: Retriever) -> Encoder:
        if retriever == "dense":
            from unidoc_rl.index.dense import Pieces

            return Pieces(self._params.encoder)
        from unidoc_rl.index.late import Brought, Computed

        model = self._params.late_encoder
        if model is None:
            raise UnidocError(
                "index.late_encoder: late needs a ColQwen2 or ColPali model; name its folder, or hub name"
            )
        return Computed(model) if self._brought is None else Brought(model, self._brought, self._listed.ids)


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
