"""What several tests share: a real S3 server on this machine, a bucket in it for each test, a small world, Chromium."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from hypothesis import settings

from tests import servers
from tests.browser import Chromium, Tab, chromium_running
from tests.small import Small
from tests.small import make as make_small

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.trainings import Learnable


# The same examples every time, however slow the machine is.
settings.register_profile("unidoc-rl", derandomize=True, deadline=None)
settings.load_profile("unidoc-rl")


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, which AWS_* point at while the test runs."""

    name: str
    port: int

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"

    def objects(self) -> dict[str, datetime]:
        """The keys, and when each was written."""
        found = self._client().list_objects_v2(Bucket=self.name).get("Contents", [])
        return {item["Key"]: item["LastModified"] for item in found}

    def put(self, key: str, body: bytes = b"") -> None:
        self._client().put_object(Bucket=self.name, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self._client().delete_object(Bucket=self.name, Key=key)

    def create(self) -> None:
        self._client().create_bucket(Bucket=self.name)

    def _client(self) -> S3Client:
        """One that knows the server and the keys by itself, whatever a test has done to AWS_*."""
        session = boto3.Session(servers.S3_KEY, servers.S3_SECRET, region_name="us-east-1")
        return session.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}")


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Each of pytest-xdist's workers has a server of its own."""
    with servers.s3_server(tmp_path_factory.mktemp("s3")) as port:
        yield port


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and cache of the test alone."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.S3_SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # else boto3 looks for keys on the network
    monkeypatch.setenv("UNIDOC_CACHE", str(tmp_path / "cache"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_MAX_ATTEMPTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bucket(aws: None, s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3_port}")
    made = Bucket(f"test-{uuid.uuid4().hex}", s3_port)
    made.create()
    return made


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A sample world of ten documents."""
    return make_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> Learnable:
    """What a training of a second or two needs."""
    from tests import trainings  # here, since it takes seconds to import

    return trainings.make(tmp_path_factory.mktemp("learnable"))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    programs = [found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))]
    if not programs:
        pytest.skip("no Chromium here: apt-get install chromium")
    with chromium_running(programs[0], tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def tab(chromium: Chromium) -> Iterator[Tab]:
    """In which nothing may go wrong."""
    opened = Tab(chromium)
    yield opened
    assert opened.wrong() == []
