"""A search by where its index is: a folder, which is opened here, or the address of `unidoc serve-index`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from unidoc_rl.index.client import SearchClient
from unidoc_rl.index.search import Index
from unidoc_rl.types import Searcher

TRIES = 12  # that a service is asked: some minutes, in which it may be started anew


@contextmanager
def searching(index: str, *, tries: int = TRIES, documents: Collection[str] = ()) -> Iterator[Searcher]:
    """Only in these documents, where any are named."""
    served = index.startswith(("http://", "https://"))
    only = frozenset(documents) or None
    with closing(SearchClient(index, tries=tries) if served else Index(index)) as opened:
        yield lambda queries, k: opened([replace(query, documents=query.documents or only) for query in queries], k)
