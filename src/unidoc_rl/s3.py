"""Folders on S3: listing, fetching and sending them, with errors in words.

A result is whole once `COMPLETE.json`, which lists its files, stands beside them; while it is being sent,
`WRITING.json` tells which objects are ours. The server and the keys come from AWS_*.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from unidoc_rl import progress
from unidoc_rl.errors import UnidocError

if TYPE_CHECKING:
    from boto3.s3.transfer import S3Transfer
    from mypy_boto3_s3 import S3Client

SCHEME = "s3://"
AT_ONCE = 8  # files on their way: most are small, and wait for the server longer than they travel
COMPLETE = "COMPLETE.json"
WRITING = "WRITING.json"
CACHE = "UNIDOC_CACHE"  # the variable that names another folder of copies than ~/.cache/unidoc-rl


@dataclass(frozen=True, slots=True)
class Object:
    uri: str
    size: int
    etag: str


def is_s3(path: str | Path) -> bool:
    return str(path).startswith(SCHEME)


def list_objects(uri: str) -> Iterator[Object]:
    """The object at an s3:// address, or every object below it, in the order of their keys.

    Below it as in a folder: s3://bucket/report has nothing to do with s3://bucket/reports/2024.pdf.
    """
    bucket, prefix = _split(uri)
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    with _explained(uri):
        for answer in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in answer.get("Contents", []):
                if item["Key"] == prefix or item["Key"].startswith(folder):
                    yield Object(f"{SCHEME}{bucket}/{item['Key']}", item["Size"], item["ETag"].strip('"'))


def download(uri: str, path: Path) -> None:
    """One object into a file, which is whole or absent; a dropped connection is tried again."""
    bucket, key = _split(uri)
    with _explained(uri):
        _client().download_file(bucket, key, str(path))


def ask(uri: str, seconds: float) -> None:
    """Raises the reason for which nothing could be read below an s3:// address, within about this time."""
    bucket, prefix = _split(uri)
    with _explained(uri):
        _client(seconds).list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)


def sums(uri: str, seconds: float | None = None) -> dict[str, str]:
    """Of the files of the result at an s3:// address; raises the reason for which none can be had there.

    With `seconds`, within about that time for each question to the server.
    """
    bucket, prefix = _folder(uri)
    with _explained(uri):
        files = _listing(_client(seconds), bucket, prefix + COMPLETE)
    if files is None:
        raise not_whole(uri)
    return files


def not_whole(uri: str) -> UnidocError:
    return UnidocError(
        f"{uri}: holds no {COMPLETE}: nothing was written there, or not to the end; run that stage again"
    )


def refuse_foreign(uri: str) -> None:
    """Objects that no stage of ours has put there are somebody's, and not mixed with a result, let alone removed."""
    bucket, prefix = _folder(uri)
    with _explained(uri):
        client = _client()
        if any(_listing(client, bucket, prefix + name) is not None for name in (COMPLETE, WRITING)):
            return
        answer = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=2)
    if any(item["Key"] != prefix for item in answer.get("Contents", [])):  # some tools mark a folder by its bare name
        raise UnidocError(f"{uri}: holds objects, and no {COMPLETE}: not ours to replace; name another prefix")


def _listing(client: S3Client, bucket: str, key: str) -> dict[str, str] | None:
    """The files that COMPLETE.json or WRITING.json lists; None where there is no such object."""
    found = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
    if not any(item["Key"] == key for item in found):
        return None
    text = io.BytesIO()
    client.download_fileobj(bucket, key, text)  # unlike get_object, it reads on after a dropped connection
    try:
        files: dict[str, str] = dict(json.loads(text.getvalue())["files"])
        safe = all(path and ".." not in path.split("/") and not path.startswith("/") for path in files)
    except (ValueError, KeyError, TypeError, AttributeError):
        safe = False
    if not safe:
        raise UnidocError(
            f"{SCHEME}{bucket}/{key}: is no list of files that a stage has written; remove it, or name another prefix"
        )
    return files


def pull(uri: str, target: Path, half: Path) -> bool:
    """Makes `target` equal to the result at `uri`; False if there is none.

    The file `half` stands while a copy is being made, and after one that was broken off.
    """
    bucket, prefix = _folder(uri)
    with _explained(uri):
        client = _client()
        files = _listing(client, bucket, prefix + COMPLETE)
        if files is None:
            if half.exists():  # an earlier copy broke off, and there is nothing any more to finish it from
                if target.exists():  # it may have broken off before its first file
                    shutil.rmtree(target)
                half.unlink()
            return False
        half.touch()
        _keep_only(target, set(files))
        stale = [path for path, md5 in files.items() if _md5(target / path) != md5]

        def fetch(transfer: S3Transfer, path: str) -> None:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            transfer.download_file(bucket, prefix + path, str(target / path))
            if _md5(target / path) != files[path]:
                raise UnidocError(f"{uri}: {path} was changed while it was read; run again once it is written")

        _at_once(client, fetch, stale, f"fetching {uri}")
    half.unlink()
    return True


def push(folder: Path, uri: str) -> None:
    """Makes `uri` equal to the folder. Without COMPLETE.json in between, so that nobody reads half of it."""
    bucket, prefix = _folder(uri)
    with _explained(uri):
        client = _client()
        there = {
            item.uri.removeprefix(f"{SCHEME}{bucket}/{prefix}"): item.etag
            for item in list_objects(f"{SCHEME}{bucket}/{prefix}")
        }
        files = {path: _md5(folder / path) for path in _files(folder)}
        ours = dict(files)
        for name in (COMPLETE, WRITING):
            ours |= _listing(client, bucket, prefix + name) or {}
        client.put_object(Bucket=bucket, Key=prefix + WRITING, Body=json.dumps({"files": ours}).encode())
        client.delete_object(Bucket=bucket, Key=prefix + COMPLETE)
        changed = [path for path, md5 in files.items() if there.get(path) != md5]
        gone = there.keys() & (ours.keys() - files.keys())

        def send(transfer: S3Transfer, path: str) -> None:
            transfer.upload_file(str(folder / path), bucket, prefix + path)

        def remove(_: S3Transfer, path: str) -> None:
            client.delete_object(Bucket=bucket, Key=prefix + path)

        _at_once(client, send, changed, f"sending to {uri}")
        _at_once(client, remove, gone, f"removing from {uri}")
        client.put_object(Bucket=bucket, Key=prefix + COMPLETE, Body=json.dumps({"files": files}).encode())
        client.delete_object(Bucket=bucket, Key=prefix + WRITING)


def _at_once(client: S3Client, move: Callable[[S3Transfer, str], None], paths: Collection[str], what: str) -> None:
    """Does it to every file, some at once. After an error, or Ctrl-C, none is begun, and those on their way are let go.

    They share one S3Transfer: each of its own would begin threads and connections for every file.
    """
    from boto3.s3.transfer import S3Transfer

    waiting = iter(paths)
    with (
        ThreadPoolExecutor(AT_ONCE) as pool,
        S3Transfer(client) as transfer,
        progress.bar(len(paths), what, "file") as bar,
    ):
        moving = {pool.submit(move, transfer, path) for path in islice(waiting, AT_ONCE)}
        while moving:
            done, moving = wait(moving, return_when=FIRST_COMPLETED)
            for one in done:
                one.result()
                bar.update()
            moving |= {pool.submit(move, transfer, path) for path in islice(waiting, len(done))}


def _keep_only(folder: Path, files: set[str]) -> None:
    """Removes every other file, and the folders that are left empty."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder comes before the folder
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif not path.is_dir() and path.relative_to(folder).as_posix() not in files:
            path.unlink()


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _md5(path: Path) -> str | None:
    """S3's own sum of an object sent in one piece; None for a file that is not there."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def mirror(uri: str) -> Path:
    """The folder of the cache that holds a copy of an s3:// folder; servers, and folders within folders, kept apart."""
    bucket, prefix = _folder(uri)
    with _explained(uri):
        server = _client().meta.endpoint_url
    address = hashlib.sha256(f"{server} {bucket} {prefix}".encode()).hexdigest()[:16]
    return copies() / "s3" / address / (PurePosixPath(prefix).name or bucket)


def copies() -> Path:
    """The folder of copies of what lies elsewhere."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "unidoc-rl")


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise UnidocError(f"{uri}: names no bucket; expected s3://bucket/prefix")
    return bucket, key


def _folder(uri: str) -> tuple[str, str]:
    """The bucket, and what the keys of everything in an s3:// folder begin with: nothing, or a path and a slash."""
    bucket, key = _split(uri)
    return bucket, f"{key.strip('/')}/" if key.strip("/") else ""


def _client(seconds: float | None = None) -> S3Client:
    """With `seconds`, one try that takes no longer than about that."""
    aws = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _client_of(aws, seconds)


@cache
def _client_of(aws: tuple[tuple[str, str], ...], seconds: float | None) -> S3Client:
    """One for each setting of AWS_*: a client takes longer to make than an object to fetch."""
    import boto3
    from botocore.config import Config

    retries: Any = {"mode": "standard"}
    if seconds is not None or "AWS_MAX_ATTEMPTS" not in dict(aws):
        retries["total_max_attempts"] = 5 if seconds is None else 1
    config = Config(retries=retries, connect_timeout=seconds or 10, read_timeout=seconds or 60)
    try:
        return boto3.session.Session().client("s3", config=config)
    except ValueError as error:
        raise UnidocError(f"{error}; check the AWS_* variables: AWS_ENDPOINT_URL is http://host:port") from error


class NotGiven(UnidocError):
    """The server answered, and what was asked for is not there, or not for us."""


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """S3's errors, in words."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
        ProfileNotFound,
    )

    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise UnidocError(f"{uri}: no keys ({error}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        kind = NotGiven if status in (401, 403, 404) else UnidocError
        raise kind(f"{uri}: {_client_error(error.response)}") from error
    except ParamValidationError as error:
        raise UnidocError(f"{uri}: is no address such as s3://bucket/prefix ({error})") from error
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
