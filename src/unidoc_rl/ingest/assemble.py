"""The corpus folder, from what this run has read and from what the former corpus already held."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from unidoc_rl import columns, progress
from unidoc_rl.corpus import IMAGES, PAGE_SCHEMA, PAGES, write_pages
from unidoc_rl.errors import UnidocError
from unidoc_rl.ingest.former import Entry, Former
from unidoc_rl.ingest.identify import Document
from unidoc_rl.ingest.pieces import Pieces
from unidoc_rl.names import page_id
from unidoc_rl.params import IngestParams


def assemble(
    documents: Sequence[Document], former: Former, pieces: Pieces, new: Path, params: IngestParams
) -> list[Entry]:
    """Fills `new` with the pages and pictures of the documents; returns the report's entry of each."""
    entries: list[Entry] = []
    with progress.bar(len(documents), "writing", "document") as bar:

        def tables() -> Iterator[pa.Table]:
            for document in documents:
                taken_over = former.has(document.key, params.max_pages)
                parts = former.pages(document.key) if taken_over else _fresh(document, pieces, params.image_format)
                entry = _entry(document, former.remarks(document.key) if taken_over else {})
                for rows, pictures in parts:
                    if "note" in rows.column_names:
                        entry["remarks"].update(_remarks(rows))
                    yield _placed(rows, document.name, pictures, new)
                    entry["pages"] += len(rows)
                    entry["text"].update(rows["text_source"].to_pylist())
                entry["text"] = dict(sorted(entry["text"].items()))
                entries.append(entry)
                bar.update()

        write_pages(new / PAGES, tables())
    return entries


def _fresh(document: Document, pieces: Pieces, image_format: str) -> Iterator[tuple[pa.Table, list[Path]]]:
    folder = pieces.of(document.key)
    for rows in pieces.tables(document.key):
        yield rows, [folder / f"{n}.{image_format}" for n in rows["n"].to_pylist()]


def _entry(document: Document, remarks: dict[str, str]) -> Entry:
    return {
        "document": document.name,
        "files": list(document.files),
        "sha256": document.sha256,
        "key": document.key,
        "versions": dict(document.versions),
        "pages": 0,
        "text": Counter(),
        "remarks": remarks,
    }


def _remarks(rows: pa.Table) -> dict[str, str]:
    pairs = zip(rows["n"].to_pylist(), rows["note"].to_pylist(), strict=True)
    return {f"page {n}": note for n, note in pairs if note}


def _placed(rows: pa.Table, name: str, pictures: Sequence[Path], new: Path) -> pa.Table:
    """The rows under the document's name, their pictures put in their place."""
    (new / IMAGES / name).mkdir(parents=True, exist_ok=True)
    ids = [page_id(name, n) for n in rows["n"].to_pylist()]
    images = [f"{IMAGES}/{name}/{page}{picture.suffix}" for page, picture in zip(ids, pictures, strict=True)]
    for image, picture in zip(images, pictures, strict=True):
        _link(picture, new / image)
    named = {"id": ids, "document": [name] * len(ids), "image": images}
    whole = [columns.texts(named[field]) if field in named else rows[field] for field in PAGE_SCHEMA.names]
    return pa.table(whole, schema=PAGE_SCHEMA)


def _link(source: Path, target: Path) -> None:
    """The same bytes at another place, at no cost where the file system can."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise UnidocError(f"{source}: is missing; remove the corpus that it belongs to, and run again") from None
    except FileExistsError:
        raise  # a copy would go through the link, and change another page's picture
    except OSError:
        shutil.copyfile(source, target)
