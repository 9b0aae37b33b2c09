"""Rows of vectors in Milvus: on a server, or in a folder of this machine (Milvus Lite), behind the same calls.

A row belongs to a page: its id is the page's key, a colon and a number.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient, MilvusException

from unidoc_rl.errors import Away, UnidocError

FLOATS_AT_ONCE = 2_000_000  # in one call
ROWS_AT_MOST = 16_384  # that a server gives back for a query
SECONDS = 60  # that a search may take, or a call that adds rows: for so long a server that is away is asked again
LONG_SECONDS = 900  # likewise, what finishes or loads a collection
NOT_FOUND = 100  # what is said of a collection that was dropped
NOT_LOADED = 101  # what a server says that was begun anew
logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)  # tracebacks of what is told in words here
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
# A call of over three minutes would be broken off and sent again.
_KEEP_ALIVE = {"grpc.keepalive_time_ms": 2_147_483_647}
_ID, _PAGE, _DOCUMENT, _VECTOR = "id", "page", "document", "vector"


class Milvus:
    """One database. Milvus Lite belongs to one process at a time: close it."""

    def __init__(self, uri: str, create: bool = False) -> None:
        """Of a server, http://host:19530, or Milvus Lite's folder, whose name ends in .db; `create` makes that one."""
        self.uri = uri
        self._is_lite = _is_lite(uri)
        if self._is_lite:
            _check_folder(Path(uri).absolute(), create)
        with self.explained("opened"):
            token = os.environ.get("MILVUS_TOKEN", "")
            self.client = MilvusClient(uri, token=token, timeout=SECONDS, grpc_options=_KEEP_ALIVE)

    def __enter__(self) -> Milvus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()
        if self._is_lite:
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(self.uri)

    def create(self, name: str, dimension: int) -> Rows:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(_ID, DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field(_PAGE, DataType.VARCHAR, max_length=32)
        schema.add_field(_DOCUMENT, DataType.VARCHAR, max_length=512)
        schema.add_field(_VECTOR, DataType.FLOAT_VECTOR, dim=dimension)
        index = MilvusClient.prepare_index_params()
        if self._is_lite:
            index.add_index(_VECTOR, index_type="FLAT", metric_type="IP")
        else:  # nested, else pymilvus does not send them
            params = {"params": {"M": 16, "efConstruction": 128}}
            index.add_index(_VECTOR, index_type="HNSW", metric_type="IP", params=params)
        with self.explained("written"):
            self.client.create_collection(name, schema=schema, index_params=index, timeout=LONG_SECONDS)
        return Rows(self, name)

    def open(self, name: str) -> Rows:
        with self.explained("read"):
            if not self.client.has_collection(name, timeout=SECONDS):
                raise UnidocError(f"{self.uri}: holds no collection {name}; run `unidoc index` again")
            self.client.load_collection(name, timeout=LONG_SECONDS)
        return Rows(self, name)

    @contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """Milvus' errors, in words."""
        try:
            yield
        except grpc.RpcError as error:  # what pymilvus lets through: a server that is silent
            raise Away(f"{self.uri}: cannot be {what} ({error}); see whether the server is well") from error
        except MilvusException as error:
            said = f"{self.uri}: cannot be {what} ({error.message.strip()})"
            if not self._is_lite:
                raise Away(f"{said}; check that the server is there, and MILVUS_TOKEN") from error
            holder = _holder(Path(self.uri) / "LOCK")
            if holder is not None:
                said = f"{self.uri}: process {holder} has it open"
                raise UnidocError(f"{said}; end that one, or ask it, if it is `unidoc serve-index`") from error
            raise UnidocError(f"{said}; run `unidoc index` again") from error


def drop(uri: str, names: Sequence[str]) -> None:
    """Of collections that are not there, none is missed."""
    if _is_lite(uri) and not Path(uri).exists():
        return
    with Milvus(uri) as milvus, milvus.explained("written"):
        for name in names:
            milvus.client.drop_collection(name, timeout=LONG_SECONDS)


def _is_lite(uri: str) -> bool:
    return "://" not in uri


def _check_folder(folder: Path, create: bool) -> None:
    if folder.is_file():
        raise UnidocError(f"{folder}: is a file, and Milvus Lite keeps a folder; name another one in index.uri")
    if not create and not folder.exists():
        raise UnidocError(f"{folder}: holds no collections; run `unidoc index` again")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnidocError(f"{folder}: cannot be made ({error}); name another folder in index.uri") from error


def _holder(lock: Path) -> int | None:
    """The process that has locked this file, if another one has."""
    table = Path("/proc/locks")
    if not lock.exists() or not table.exists():
        return None
    inode = str(lock.stat().st_ino)
    held = (line.split() for line in table.read_text().splitlines())
    pids = [int(fields[4]) for fields in held if fields[5].rpartition(":")[2] == inode]
    return next((pid for pid in pids if pid != os.getpid()), None)


class Rows:
    """One collection."""

    def __init__(self, milvus: Milvus, name: str) -> None:
        self.name = name
        self._milvus = milvus
        self._client = milvus.client

    def add(self, pages: Iterable[tuple[str, str, NDArray[np.floating[Any]]]]) -> None:
        """Rows of pages: key, document and vectors of each."""
        waiting: list[dict[str, Any]] = []
        for key, document, vectors in pages:
            for number, vector in enumerate(vectors.astype(np.float32)):
                waiting.append({_ID: f"{key}:{number}", _PAGE: key, _DOCUMENT: document, _VECTOR: vector})
            if len(waiting) * vectors.shape[1] >= FLOATS_AT_ONCE:
                self._send(waiting)
                waiting = []
        if waiting:
            self._send(waiting)

    def _send(self, rows: list[dict[str, Any]]) -> None:
        with self._milvus.explained("written"):
            self._client.insert(self.name, rows, timeout=SECONDS)

    def finish(self) -> None:
        """Everything that was added is on disk, and found quickly."""
        with self._milvus.explained("written"):
            self._client.flush(self.name, timeout=LONG_SECONDS)
            self._client.load_collection(self.name, timeout=LONG_SECONDS)

    def count(self) -> int:
        with self._milvus.explained("read"):
            answer = self._client.query(self.name, filter="", output_fields=["count(*)"], timeout=SECONDS)
            return int(answer[0]["count(*)"])

    def check(self, rows: int) -> None:
        """Milvus Lite opens a damaged folder without a word, and finds nothing in it."""
        found = self.count()
        if found != rows:
            raise UnidocError(
                f"{self._milvus.uri}: {self.name} has {found} rows instead of {rows}: the index is damaged; "
                "run `unidoc index` again"
            )

    def nearest(
        self, vectors: NDArray[np.float32], rows: int, documents: Iterable[str] | None = None
    ) -> list[list[str]]:
        """For each vector the ids of the nearest rows, of these documents only."""
        condition = "" if documents is None else f"{_DOCUMENT} in {json.dumps(sorted(documents), ensure_ascii=False)}"
        with self._milvus.explained("searched"):
            try:
                found = self._search(vectors, min(rows, ROWS_AT_MOST), condition)
            except MilvusException as error:
                if error.code == NOT_FOUND:
                    raise UnidocError(
                        f"{self._milvus.uri}: holds no collection {self.name} any more: the index was made again; "
                        "open it again, or restart `unidoc serve-index`"
                    ) from error
                if error.code != NOT_LOADED:
                    raise
                self._client.load_collection(self.name, timeout=LONG_SECONDS)
                found = self._search(vectors, min(rows, ROWS_AT_MOST), condition)
        return [[str(hit[_ID]) for hit in hits] for hits in found]

    def _search(self, vectors: NDArray[np.float32], rows: int, condition: str) -> Any:
        return self._client.search(
            self.name,
            data=vectors.tolist(),
            anns_field=_VECTOR,
            limit=rows,
            filter=condition,
            output_fields=[_ID],
            search_params={"metric_type": "IP", "params": {"ef": rows + 64}},
            timeout=SECONDS,
        )


def key_of(row: str) -> str:
    """The page's key, of a row's id."""
    return row.rpartition(":")[0]
