"""A search by where its index is: a folder, which is opened here, or the address of `unidoc serve-index`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from unidoc_rl import storage
from unidoc_rl.index import manifest
from unidoc_rl.index.client import SearchClient
from unidoc_rl.index.search import Index
from unidoc_rl.provenance import Known
from unidoc_rl.types import Searcher

TRIES = 12  # that a service is asked: some minutes, in which it may be started anew


def known_by(index: str) -> str | Known:
    """What tells one index from another: what is in a folder, or an address."""
    return index if _served(index) else Known(index, manifest.content(storage.local_folder(index)))


@contextmanager
def searching(index: str, corpus: Path, *, tries: int = TRIES, documents: Collection[str] = ()) -> Iterator[Searcher]:
    """Only in these documents, where any are named. `corpus`: what a folder must have been made of."""
    only = frozenset(documents) or None
    with closing(SearchClient(index, tries=tries) if _served(index) else Index(index, corpus=corpus)) as opened:
        yield lambda queries, k: opened([replace(query, documents=query.documents or only) for query in queries], k)


def _served(index: str) -> bool:
    return index.startswith(("http://", "https://"))
