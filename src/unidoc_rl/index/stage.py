"""The stage `index`: a corpus to what finds its pages.

index/index.json       what is in here
index/pages.parquet    the pages, in the order that gives them their numbers
index/bm25/            postings of every term
index/dense/           rows of every page, compared with a query first; in Milvus instead, where it is named
index/late/            likewise
index/vectors/         computed vectors, a file a piece of a document, kept when the index is made again
"""

from __future__ import annotations

from pathlib import Path

from unidoc_rl import progress, storage, tracking
from unidoc_rl.corpus import PAGES, Corpus
from unidoc_rl.errors import UnidocError
from unidoc_rl.index import bm25, catalogue, manifest
from unidoc_rl.index.build import Build
from unidoc_rl.index.manifest import Manifest
from unidoc_rl.index.terms import terms
from unidoc_rl.params import IndexParams, ServiceParams


def index(
    corpus: str | Path,
    out: str | Path,
    params: IndexParams,
    *,
    vectors: Path | None = None,
    services: ServiceParams | None = None,
) -> dict[str, int]:
    """Makes the index `out` of a corpus, and tells what is in it.

    `vectors`: late's, computed elsewhere. `services`: whose MLflow is told of it; none where None.
    """
    storage.keep_apart(out, corpus)
    if vectors is not None and "late" not in params.retrievers:
        raise UnidocError(f"{vectors}: only `late` takes vectors; add it to index.retrievers")
    folder = storage.local_folder(corpus)
    pages = Corpus(folder)
    if len(pages) == 0:
        raise UnidocError(f"{corpus}: has no pages to be found")
    inputs = {"corpus": folder / PAGES, **({"vectors": vectors} if vectors is not None else {})}
    with (
        storage.writing(out, manifest.FILE, catalogue.PAGES) as output,
        tracking.stage("index", services, output.work, params, inputs) as figures,
    ):
        listed = catalogue.of_corpus(folder)
        listed.write(output.new)
        build = Build(pages, listed, output, params, vectors)
        if "bm25" in params.retrievers:
            _count_terms(pages, output.new / bm25.FOLDER)
        collections = build.collections()
        files = [output.new / catalogue.PAGES]
        for name in params.retrievers:
            files += output.new.glob(f"{name}/*")
        made = Manifest(
            format=manifest.FORMAT,
            pages=len(listed),
            retrievers=params.retrievers,
            fusion=params.fusion,
            weights={"bm25": params.weight_bm25, "dense": params.weight_dense, "late": params.weight_late},
            uri=build.uri,
            collections=collections,
            files=manifest.checksums(output.new, files),
        )
        made.write(output.new)
        figures |= {"pages": len(listed), **{f"rows_{name}": one.rows for name, one in collections.items()}}
    build.forget_former()
    return figures


def _count_terms(pages: Corpus, folder: Path) -> None:
    builder = bm25.Builder()
    with progress.bar(len(pages), "counting words", "page") as bar:
        for text in pages.column("text"):
            builder.add(terms(text))
            bar.update()
    builder.write(folder)
