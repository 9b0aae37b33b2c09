"""Which documents are the same, and what each is called: by their content, not by their place."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from unidoc_rl import progress, s3
from unidoc_rl.ingest.discover import File, Found
from unidoc_rl.ingest.problems import Problem
from unidoc_rl.ingest.tasks import Source
from unidoc_rl.names import document_name
from unidoc_rl.params import IngestParams

FORMAT = 1  # raised when the same file would give other pages than before
READERS = ("pypdfium2", "pillow", "opencv-python-headless", "rapidocr", "rapid-layout")
FETCHING = 8  # objects at once

Versions = tuple[tuple[str, str], ...]  # of files on S3: address and etag


@dataclass(frozen=True, slots=True)
class Document:
    """A document of the corpus to be."""

    name: str
    sha256: str
    key: str  # of its pages: of content, settings and software
    files: tuple[str, ...]  # every place where this content was found
    versions: Versions
    source: Source


def identify(
    found: Sequence[Found], params: IngestParams, known: Mapping[Versions, str], cache: Path
) -> tuple[list[Document], list[Problem]]:
    """The documents, in the order of their names.

    What lies on S3 is fetched into `cache` to look at it, unless `known` tells the content of just these versions.
    """
    problems: list[Problem] = []
    same: dict[str, list[Found]] = defaultdict(list)
    with ThreadPoolExecutor(FETCHING) as pool, progress.bar(len(found), "looking", "document") as bar:
        for document, content in zip(found, pool.map(lambda one: _content(one, known, cache), found), strict=True):
            bar.update()
            if isinstance(content, Problem):
                problems.append(content)
            else:
                same[content].append(document)
    names = _names(same, problems)
    documents = [
        Document(
            name=names[sha256],
            sha256=sha256,
            key=_key(sha256, params),
            files=tuple(one.files[0].name for one in places),
            versions=_versions(places[0]),
            source=_source(places[0], cache),
        )
        for sha256, places in same.items()
    ]
    return sorted(documents, key=lambda document: document.name), problems


def _content(found: Found, known: Mapping[Versions, str], cache: Path) -> str | Problem:
    """A document's sum: of its bytes, and for pictures of their page numbers too."""
    if found.files and (sha256 := known.get(_versions(found))):
        return sha256
    sums = []
    for file in found.files:
        try:
            with _local(file, cache).open("rb") as bytes_:
                sums.append(hashlib.file_digest(bytes_, "sha256").hexdigest())
        except OSError as error:
            return Problem(file.name, f"cannot be read ({error.strerror})", "check its permissions and the disk")
    if found.kind == "pdf":
        return sums[0]
    return hashlib.sha256(json.dumps([sums, found.numbers]).encode()).hexdigest()


def _versions(found: Found) -> Versions:
    places = [file.place for file in found.files]
    return tuple((place.uri, place.etag) for place in places if isinstance(place, s3.Object))


def _local(file: File, cache: Path) -> Path:
    path = _place(file, cache)
    if isinstance(file.place, s3.Object) and not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        s3.download(file.place.uri, path)
    return path


def _place(file: File, cache: Path) -> Path:
    if isinstance(file.place, Path):
        return file.place
    digest = hashlib.sha256(f"{file.place.uri} {file.place.etag}".encode()).hexdigest()[:32]
    return cache / (digest + PurePosixPath(file.name).suffix)


def _source(found: Found, cache: Path) -> Source:
    return Source(found.kind, tuple(_place(file, cache) for file in found.files), found.numbers)


def _key(sha256: str, params: IngestParams) -> str:
    settings = params.model_dump(include={"dpi", "image_format", "ocr", "layout"})
    recipe = [FORMAT, sha256, settings, [version(package) for package in READERS]]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:32]


def _names(same: Mapping[str, Sequence[Found]], problems: list[Problem]) -> dict[str, str]:
    """A name for every content. Where names would become one, each gets its content's number: which of them came
    first must not matter, else a page id would one day mean another page."""
    wanted = {sha256: document_name(places[0].stem) for sha256, places in same.items()}
    claims: dict[str, list[str]] = defaultdict(list)
    for sha256, name in wanted.items():
        claims[name.casefold()].append(sha256)
    for claimants in (several for several in claims.values() if len(several) > 1):
        for sha256 in claimants:
            wanted[sha256] = f"{wanted[sha256]}-{sha256[:8]}"
            reason = f"has the name of another document: called {wanted[sha256]}"
            problems.append(Problem(same[sha256][0].files[0].name, reason, "rename one of them", left_out=False))
    return wanted
