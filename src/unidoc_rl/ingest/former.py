"""The corpus that stands where the new one will: what of it need not be made again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from unidoc_rl.corpus import REPORT, Corpus
from unidoc_rl.errors import UnidocError

Entry = dict[str, Any]  # what the report says of a document
Versions = tuple[tuple[str, str], ...]  # of files on S3: address and etag


class Former:
    """A former corpus, or none. Its documents are known by the keys of their pages."""

    def __init__(self, folder: Path | None) -> None:
        self._corpus = Corpus(folder) if folder else None
        entries = _documents(folder / REPORT) if folder else []
        self._entries: dict[str, Entry] = {entry["key"]: entry for entry in entries}
        self._sums: dict[Versions, str] = {tuple(entry["versions"].items()): entry["sha256"] for entry in entries}

    def sha256_of(self, versions: Versions) -> str | None:
        """The content of files on S3 that have been looked at before."""
        return self._sums.get(versions) if versions else None

    def has(self, key: str, max_pages: int) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry["pages"] <= max_pages

    def remarks(self, key: str) -> dict[str, str]:
        return dict(self._entries[key]["remarks"])

    def pages(self, key: str) -> Iterator[tuple[pa.Table, list[Path]]]:
        """A document's rows, and the pictures that go with them; its name may have been another."""
        assert self._corpus is not None
        for rows in self._corpus.rows(self._entries[key]["document"]):
            yield rows, [self._corpus.folder / image for image in rows["image"].to_pylist()]


def _documents(report: Path) -> list[Entry]:
    try:
        return list(json.loads(report.read_text(encoding="utf-8"))["documents"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnidocError(f"{report}: is damaged ({error!r}); remove the corpus that it belongs to") from error
