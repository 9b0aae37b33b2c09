"""Where stages read and write: a local folder or s3://, and a result that is whole or absent.

A stage fills a new folder beside the one it makes (`.corpus.work/new` beside `corpus`) and exchanges the two at
the end. Killed at any moment, it leaves the former result or none; what it had finished in `.corpus.work` is there
for the next run. On S3 a result is whole once `COMPLETE.json`, which lists its files, stands beside them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidoc_rl import progress
from unidoc_rl.errors import UnidocError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

S3 = "s3://"
COMPLETE = "COMPLETE.json"


@dataclass(frozen=True, slots=True)
class Output:
    """The folders of a stage at work."""

    new: Path  # empty; what is put here becomes the result
    former: Path | None  # the result that stood there before, to take over what has not changed
    work: Path  # survives a kill, and is removed once the result stands


@dataclass(frozen=True, slots=True)
class S3Object:
    uri: str
    size: int
    etag: str


def is_s3(path: str | Path) -> bool:
    return str(path).startswith(S3)


@contextmanager
def writing(out: str | Path, marker: str) -> Iterator[Output]:
    """Gives the folders to work in; leaving it without an error puts `new` in the place of `out`.

    `marker` is the file by which a former result is known: a folder without it is somebody's, and not replaced.
    """
    target = _mirror(str(out)) if is_s3(out) else Path(out).absolute()
    work = target.with_name(f".{target.name}.work")
    with _lock(work, out):
        _recover(target, work)
        if is_s3(out):
            _pull(str(out), target)
        former = _former(target, out, marker)
        new = work / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        yield Output(new, former, work)
        if target.exists():
            target.rename(work / "former")
        new.rename(target)
        if is_s3(out):
            _push(target, str(out))
        shutil.rmtree(work)


@contextmanager
def _lock(work: Path, out: str | Path) -> Iterator[None]:
    """One process at a time: a second one is told, instead of both writing into the same folder."""
    path = work / "lock"
    while True:
        work.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise UnidocError(f"{out}: process {file.read()} is writing it; wait for that one, or end it") from None
            if not (path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino):
                continue  # the one before us finished and removed its folder between our two calls
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
            return


def _recover(target: Path, work: Path) -> None:
    """A run that was killed between the two renames has put the former result aside: bring it back."""
    former = work / "former"
    if former.exists() and not target.exists():
        former.rename(target)
    shutil.rmtree(former, ignore_errors=True)


def _former(target: Path, out: str | Path, marker: str) -> Path | None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return None
    if not (target / marker).is_file():
        raise UnidocError(f"{out}: exists, and holds no {marker}: not ours to replace; name another folder, or remove it")
    return target


# --- S3 -------------------------------------------------------------------------------------------------------------


def local_folder(path: str | Path) -> Path:
    """A stage's input as a folder on this machine; one on S3 is copied into the cache first, changed files only."""
    if not is_s3(path):
        if not Path(path).is_dir():
            raise UnidocError(f"{path}: no such folder")
        return Path(path)
    target = _mirror(str(path))
    if not _pull(str(path), target):
        raise UnidocError(f"{path}: holds no {COMPLETE}: nothing was written there, or not to the end; run that stage again")
    return target


def list_objects(uri: str) -> Iterator[S3Object]:
    """Every object below an s3:// prefix, in the order of their keys."""
    bucket, prefix = _split(uri)
    with _explained(uri):
        for answer in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in answer.get("Contents", []):
                yield S3Object(f"{S3}{bucket}/{item['Key']}", item["Size"], item["ETag"].strip('"'))


def download(uri: str, path: Path) -> None:
    """One object into a file, which is whole or absent; a dropped connection is tried again."""
    bucket, key = _split(uri)
    with _explained(uri):
        _client().download_file(bucket, key, str(path))


def _pull(uri: str, target: Path) -> bool:
    """Makes `target` equal to the result at `uri`; False if there is none."""
    bucket, key = _split(f"{uri.rstrip('/')}/{COMPLETE}")
    with _explained(uri):
        client = _client()
        try:
            text = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except client.exceptions.NoSuchKey:
            return False
    files: dict[str, str] = json.loads(text)["files"]
    target.mkdir(parents=True, exist_ok=True)
    for path in _files(target):
        if path not in files:
            (target / path).unlink()
    stale = [path for path, md5 in files.items() if _md5(target / path) != md5]
    with progress.bar(len(stale), f"fetching {uri}", "file") as bar:
        for path in stale:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            download(f"{uri.rstrip('/')}/{path}", target / path)
            bar.update()
    return True


def _push(folder: Path, uri: str) -> None:
    """Makes `uri` equal to the folder. Without COMPLETE.json in between, so that nobody reads half of it."""
    bucket, prefix = _split(f"{uri.rstrip('/')}/")
    with _explained(uri):
        client = _client()
        there = {item.uri.removeprefix(f"{S3}{bucket}/{prefix}"): item.etag for item in list_objects(f"{uri.rstrip('/')}/")}
        files = {path: _md5(folder / path) for path in _files(folder)}
        client.delete_object(Bucket=bucket, Key=prefix + COMPLETE)
        changed = [path for path, md5 in files.items() if there.get(path) != md5]
        with progress.bar(len(changed), f"sending to {uri}", "file") as bar:
            for path in changed:
                client.upload_file(str(folder / path), bucket, prefix + path)
                bar.update()
        for path in there.keys() - files.keys() - {COMPLETE}:
            client.delete_object(Bucket=bucket, Key=prefix + path)
        client.put_object(Bucket=bucket, Key=prefix + COMPLETE, Body=json.dumps({"files": files}).encode())


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _md5(path: Path) -> str | None:
    """S3's own sum of an object sent in one piece; None for a file that is not there."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _mirror(uri: str) -> Path:
    """The folder of the cache that holds a copy of an s3:// folder; servers are kept apart."""
    cache = Path(os.environ.get("UNIDOC_CACHE") or Path.home() / ".cache" / "unidoc-rl")
    server = hashlib.sha256(_client().meta.endpoint_url.encode()).hexdigest()[:8]
    bucket, prefix = _split(uri)
    return cache / "s3" / server / bucket / (prefix.strip("/") or "root")


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(S3).partition("/")
    if not bucket:
        raise UnidocError(f"{uri}: names no bucket; expected s3://bucket/prefix")
    return bucket, key


def _client() -> S3Client:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3", config=Config(retries={"max_attempts": 5, "mode": "standard"}, connect_timeout=10, read_timeout=60)
    )


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """S3's errors, in words."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        raise UnidocError(f"{uri}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except ClientError as error:
        raise UnidocError(f"{uri}: {_client_error(error.response)}") from error
    except (Boto3Error, BotoCoreError) as error:
        server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        raise UnidocError(f"{uri}: the server ({server}) cannot be reached or broke off: {error}; try again") from error


def _client_error(response: Any) -> str:
    code = response["Error"].get("Code", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied") or status in (401, 403):
        return f"refused ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy"
    if code in ("NoSuchBucket", "NoSuchKey", "404") or status == 404:
        return f"not there ({code}); check the bucket's name and the prefix"
    return f"the server answered {code}: {response['Error'].get('Message', '')}"
