"""Vectors of pages, computed once, and their rows where they are searched: in files, or in Milvus.

Vectors are kept in files of their own: whatever becomes of Milvus, nothing is computed twice. In Milvus, whose
collections others may be searching, a new collection takes the place of the former one.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

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


class Placed(NamedTuple):
    """A collection in Milvus, and where."""

    uri: str
    name: str


class Build:
    def __init__(
        self, pages: Corpus, listed: Catalogue, output: Output, params: IndexParams, vectors: Path | None
    ) -> None:
        """Opens the models, the brought vectors and Milvus: what cannot be opened is told before hours of work."""
        self._pages = pages
        self._listed = listed
        self._output = output
        self._params = params
        self.uri = _from_anywhere(params.uri)
        self._brought = vectors  # computed elsewhere
        self._former = _undamaged(output.former)
        self._in_use = _placed(self._former)  # until the new one stands
        self._journal = output.work / "collections.json"  # what was begun in Milvus, by a run that may have been killed
        self._encoders: dict[Retriever, Encoder] = {
            name: self._encoder(name) for name in params.retrievers if name != "bm25"
        }
        if self._encoders and self.uri is not None:
            _milvus(self.uri).close()

    def collections(self) -> dict[Retriever, Collection]:
        """Makes what the chosen retrievers need."""
        self._drop_left_over()
        for name, encoder in self._encoders.items():
            self._compute(name, encoder)
        if not self._encoders:
            return {}
        if self.uri is None:
            return {name: self._in_files(name, encoder) for name, encoder in self._encoders.items()}
        with _milvus(self.uri) as milvus:
            return {name: self._in_milvus(milvus, name, encoder) for name, encoder in self._encoders.items()}

    def forget_former(self) -> None:
        """Removes the former index from Milvus, once the new one stands, which a server that is gone does not harm."""
        _drop(self._in_use)

    def _compute(self, retriever: Retriever, encoder: Encoder) -> None:
        stores = self._stores(retriever, encoder)
        files = {self._file(encoder.store, start): (start, stop) for start, stop in self._spans()}
        missing = {file for file, span in files.items() if not self._take_over(file, span, stores)}
        if not missing:
            return
        column = self._pages.column(encoder.reads)
        with progress.bar(len(self._listed), f"encoding ({retriever})", "page") as bar:
            for start, stop in self._spans():
                values = list(islice(column, stop - start))
                file = self._file(encoder.store, start)
                if file in missing:
                    missing.remove(file)  # a document of the same content has the same file
                    write(self._output.work / file, self._encoded(encoder, start, values))
                    _link(self._output.work / file, self._output.new / file)
                bar.update(stop - start)

    def _encoded(self, encoder: Encoder, start: int, values: Sequence[str]) -> list[Arrays]:
        try:
            return encoder.pages(values, self._pages.folder)
        except ValueError as error:  # by what is not a number, or a picture that a model does not take
            first, last = self._listed.ids[start], self._listed.ids[start + len(values) - 1]
            raise UnidocError(f"{first} to {last}: {encoder.name} makes no vectors of these pages ({error})") from error

    def _stores(self, retriever: Retriever, encoder: Encoder) -> list[str]:
        """Where vectors may be kept: of `late`, those brought in serve the same model when none are brought."""
        former = self._former and self._former.collections.get(retriever)
        if retriever == "late" and self._brought is None and former and former.encoder == encoder.name:
            return [encoder.store, former.store]
        return [encoder.store]

    def _take_over(self, file: Path, span: tuple[int, int], stores: Sequence[str]) -> bool:
        """Whether its pages' vectors are there already, from the former index or a run that was broken off."""
        start, stop = span
        folders = [folder for folder in (self._output.former, self._output.work) if folder is not None]
        for there in (folder / self._file(store, start) for store in stores for folder in folders):
            if not there.exists():
                continue
            try:
                count = Vectors().count(there)
            except UnidocError as error:
                progress.tell(f"{error}: computed again")
                continue
            if count != stop - start:
                progress.tell(f"{there}: has {count} pages instead of {stop - start}: computed again")
                continue
            _link(there, self._output.new / file)
            return True
        return False

    def _spans(self) -> list[tuple[int, int]]:
        """The pages of each file; as `place` does, they are counted from a document's first page."""
        return catalogue.spans(self._listed.documents, PAGES_A_FILE)

    def _file(self, store: str, start: int) -> Path:
        path, _ = place(self._listed, store, start)
        return path

    def _in_files(self, retriever: Retriever, encoder: Encoder) -> Collection:
        counts = [len(rows_of(page).codes) for page in self._arrays(encoder)]
        rows = (rows_of(page) for page in self._arrays(encoder))
        scan.write(self._output.new / retriever, rows, counts, encoder.dimension)
        return self._describe(retriever, None, encoder, sum(counts))

    def _in_milvus(self, milvus: Milvus, retriever: Retriever, encoder: Encoder) -> Collection:
        name = f"unidoc_{retriever}_{uuid.uuid4().hex}"
        self._note([*self._noted(), Placed(milvus.uri, name)])
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

    def _drop_left_over(self) -> None:
        """Removes from Milvus what killed runs began; one killed after the exchange has left the index in use."""
        in_use = {one.name for one in self._in_use}
        noted = self._noted()
        if noted:
            self._note(_drop(one for one in noted if one.name not in in_use))

    def _noted(self) -> list[Placed]:
        if not self._journal.exists():
            return []
        return [Placed(*one) for one in json.loads(self._journal.read_text(encoding="utf-8"))]

    def _note(self, begun: Sequence[Placed]) -> None:
        new = self._journal.with_name(self._journal.name + ".new")
        new.write_text(json.dumps(begun), encoding="utf-8")
        new.rename(self._journal)  # killed here, a run leaves a whole journal

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


def _from_anywhere(uri: str | None) -> str | None:
    """The same Milvus, whichever folder an index is opened or made again from: a Lite folder with its whole path."""
    return uri if uri is None or "://" in uri else str(Path(uri).absolute())


def _milvus(uri: str) -> Milvus:
    from unidoc_rl.index.milvus import Milvus  # slow, and seldom needed

    return Milvus(uri, create=True)


def _placed(index: Manifest | None) -> list[Placed]:
    """The collections of an index that lie in Milvus."""
    if index is None or index.uri is None:
        return []
    return [Placed(index.uri, one.name) for one in index.collections.values() if one.name is not None]


def _drop(collections: Iterable[Placed]) -> list[Placed]:
    """Gives back those that could not be dropped, and tells of them: a server may be gone for good."""
    left: list[Placed] = []
    for uri, placed in groupby(sorted(collections), key=lambda one: one.uri):
        from unidoc_rl.index import milvus

        there = list(placed)
        names = [one.name for one in there]
        try:
            milvus.drop(uri, names)
        except UnidocError as error:
            progress.tell(f"{error}; what is of no more use is left there: {', '.join(names)}")
            left += there
    return left


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
