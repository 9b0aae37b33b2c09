"""Which documents are the same, and what each is called: by their content, not by their place."""

from __future__ import annotations

import errno
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from unidoc_rl import progress, s3
from unidoc_rl.ingest.discover import File, Found
from unidoc_rl.ingest.former import Former, Versions
from unidoc_rl.ingest.problems import Problem
from unidoc_rl.ingest.tasks import Settings, Source, Stamp, stamps
from unidoc_rl.names import document_name
from unidoc_rl.params import IngestParams

FORMAT = 4  # raised when the same file would give other pages than before
READERS = ("pypdfium2", "pillow", "opencv-python-headless", "rapidocr", "rapid-layout")
FETCHING = 8  # objects at once


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
    found: Sequence[Found], params: IngestParams, former: Former, cache: Path
) -> tuple[list[Document], list[Problem]]:
    """The documents, in the order of their names.

    What lies on S3 is fetched into `cache` to look at it, unless the former corpus has the pages of this version.
    """
    problems: list[Problem] = []
    same: dict[str, list[_Looked]] = defaultdict(list)
    with ThreadPoolExecutor(FETCHING) as pool, progress.bar(len(found), "looking", "document") as bar:
        for looked in pool.map(lambda one: _look(one, params, former, cache), found):
            bar.update()
            if isinstance(looked, Problem):
                problems.append(looked)
            else:
                same[looked.sha256].append(looked)
    for places in same.values():  # a copy that is put beside it, "report (1)", must not give it another name
        places.sort(key=lambda one: (len(one.found.stem), one.found.stem))
    names = _names(same, problems)
    documents = [
        Document(
            name=names[sha256],
            sha256=sha256,
            key=_key(sha256, params),
            files=tuple(place.found.files[0].name for place in places),
            versions=_versions(places[0].found),
            source=places[0].source,
        )
        for sha256, places in same.items()
    ]
    return sorted(documents, key=lambda document: document.name), problems


@dataclass(frozen=True, slots=True)
class _Looked:
    found: Found
    sha256: str  # of a PDF's bytes; of pictures' bytes and page numbers
    source: Source


def _look(found: Found, params: IngestParams, former: Former, cache: Path) -> _Looked | Problem:
    sha256 = former.sha256_of(_versions(found))
    if sha256 is not None and former.has(_key(sha256, params), params.max_pages):
        return _Looked(found, sha256, Source(found.kind, (), (), ()))  # nobody will open it
    sums: list[str] = []
    paths: list[Path] = []
    times: list[Stamp] = []
    for file in found.files:
        try:
            path = _local(file, cache)
            times += stamps([path])  # before it is read: a change while it is being read must be noticed
            with path.open("rb") as content:
                sums.append(hashlib.file_digest(content, "sha256").hexdigest())
        except s3.NotGiven as error:
            return Problem(file.name, "was listed, and cannot be fetched", str(error))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # what is fetched does not fit: not the document's fault
            return Problem(file.name, f"cannot be read ({error.strerror})", "check its permissions and the disk")
        paths.append(path)
    source = Source(found.kind, tuple(paths), found.numbers, tuple(times))
    if found.kind == "pdf":
        return _Looked(found, sums[0], source)
    return _Looked(found, hashlib.sha256(json.dumps([sums, found.numbers]).encode()).hexdigest(), source)


def _versions(found: Found) -> Versions:
    places = [file.place for file in found.files]
    return tuple((place.uri, place.etag) for place in places if isinstance(place, s3.Object))


def _local(file: File, cache: Path) -> Path:
    if isinstance(file.place, Path):
        return file.place
    digest = hashlib.sha256(f"{file.place.uri} {file.place.etag}".encode()).hexdigest()[:32]
    path = cache / digest / PurePosixPath(file.name).name  # its own name, since the worker may have to tell it
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        s3.download(file.place.uri, path)
    return path


def _key(sha256: str, params: IngestParams) -> str:
    recipe = [FORMAT, sha256, asdict(Settings.of(params)), _software()]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:32]


@cache
def _software() -> list[str]:
    return [version(package) for package in READERS]


def _names(same: Mapping[str, Sequence[_Looked]], problems: list[Problem]) -> dict[str, str]:
    """A name for every content. Where names would become one, each gets its content's number: which of them came
    first must not matter, else a page id would one day mean another page. More of the number, where others have that
    name already."""
    wanted = {sha256: document_name(places[0].found.stem) for sha256, places in same.items()}
    names = dict(wanted)
    digits = 0
    while several := _claimed_by_several(names):
        digits += 8
        names |= {sha256: f"{wanted[sha256]}-{sha256[:digits]}" for sha256 in several}
    for sha256, name in names.items():
        if name != wanted[sha256]:
            reason = f"has the name of another document: called {name}"
            problems.append(Problem(same[sha256][0].found.files[0].name, reason, "rename one of them", left_out=False))
    return names


def _claimed_by_several(names: Mapping[str, str]) -> list[str]:
    """The contents whose names are one, on a disk that does not tell capitals from small letters."""
    claims = Counter(name.casefold() for name in names.values())
    return [sha256 for sha256, name in names.items() if claims[name.casefold()] > 1]
