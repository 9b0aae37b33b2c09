"""Corpora that are there already, the one where the new one will stand first: what need not be made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from unidoc_rl.corpus import REPORT, Corpus
from unidoc_rl.errors import UnidocError

Entry = dict[str, Any]  # what the report says of a document
Versions = tuple[tuple[str, str], ...]  # of files on S3: address and etag


class Former:
    """Former corpora, or none. Their documents are known by the keys of their pages."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._entries: dict[str, tuple[Corpus, Entry]] = {}
        self._sums: dict[Versions, str] = {}
        for folder in folders:
            corpus = Corpus(folder)
            for entry in _documents(folder / REPORT):
                self._entries.setdefault(entry["key"], (corpus, entry))
                self._sums[tuple(entry["versions"].items())] = entry["sha256"]

    def sha256_of(self, versions: Versions) -> str | None:
        """The content of files on S3 that have been looked at before."""
        return self._sums.get(versions) if versions else None

    def has(self, key: str, max_pages: int) -> bool:
        return key in self._entries and self._entries[key][1]["pages"] <= max_pages

    def remarks(self, key: str) -> dict[str, str]:
        return dict(self._entries[key][1]["remarks"])

    def pages(self, key: str) -> Iterator[tuple[pa.Table, list[Path]]]:
        """A document's rows, and the pictures that go with them; its name may have been another."""
        corpus, entry = self._entries[key]
        for rows in corpus.rows(entry["document"]):
            yield rows, [corpus.folder / image for image in rows["image"].to_pylist()]


def _documents(report: Path) -> list[Entry]:
    try:
        return list(json.loads(report.read_text(encoding="utf-8"))["documents"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnidocError(f"{report}: is damaged ({error!r}); remove the corpus that it belongs to") from error
