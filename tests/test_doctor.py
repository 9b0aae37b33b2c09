"""The doctor asks real servers, names what is not well with what to do, and never waits long."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests import servers
from tests.conftest import Bucket
from unidoc_rl import doctor
from unidoc_rl.doctor import Finding
from unidoc_rl.params import IndexParams, Params, ServiceParams

HTTP = {"mlflow": "/health", "endpoint": "/v1/models", "kfp": "/apis/v2beta1/healthz"}
SERVERS = ["milvus", *ServiceParams.model_fields]
MLFLOW_KEYS = [f"MLFLOW_TRACKING_{name}" for name in ("TOKEN", "USERNAME", "PASSWORD")]
BASE = {"mlflow": "", "endpoint": "/v1", "kfp": ""}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("OPENAI_API_KEY", "KFP_TOKEN", "KFP_COOKIE", *MLFLOW_KEYS):
        monkeypatch.delenv(name, raising=False)


def named(milvus: str | None = None, **services: str) -> Params:
    return Params(index=IndexParams(uri=milvus), services=ServiceParams(**services))


def key_of(server: str) -> str:
    return "index.uri" if server == "milvus" else f"services.{server}"


def find(subject: str, **addresses: str) -> Finding:
    return next(f for f in doctor.servers(named(**addresses), seconds=3) if f.subject == subject)


def test_this_machine_runs_every_stage() -> None:
    findings = doctor.examine(Params())
    assert not [f.line() for f in findings if f.prevents_all]
    subjects = [f.subject for f in findings]
    assert len(subjects) == len(set(subjects))
    assert subjects[-5:] == SERVERS
    for finding in findings:
        assert re.fullmatch(r"(ok|missing) +.{20}\S.*", finding.line())


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_not_named_is_well_and_says_what_is_used(name: str) -> None:
    finding = find(name)
    assert finding.ok
    assert re.search("not named: .+", finding.line())


@pytest.mark.parametrize("name", HTTP)
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "answers"),
        (401, r"wants a key \(401\)"),
        (403, r"does not allow this \(403\): ask"),
        (500, "answers 500: look"),
    ],
)
def test_a_server_is_asked_at_its_own_path(name: str, status: int, said: str) -> None:
    with servers.http_server({HTTP[name]: status}) as server:
        finding = find(name, **{name: f"{server.url}{BASE[name]}/"})
    assert server.asked == [HTTP[name]]
    assert finding.ok == (status == 200)
    assert bool(finding.prevents) == (status != 200)
    assert re.search(said, finding.line())


def test_milvus_is_well_once_it_accepts_connections() -> None:
    with servers.silent_server() as port:
        assert find("milvus", milvus=f"http://127.0.0.1:{port}").ok


@pytest.mark.parametrize("name", ["milvus", *HTTP])
def test_a_server_that_is_down_is_to_be_started(name: str) -> None:
    with servers.closed_port() as port:
        finding = find(name, **{name: f"http://127.0.0.1:{port}"})
    assert not finding.ok
    assert f"127.0.0.1:{port} refuses connections: start it; or change {key_of(name)}" in finding.line()
    assert finding.prevents in finding.line()


def test_a_database_of_mlflow_is_no_server_and_well() -> None:
    finding = find("mlflow", mlflow="sqlite:///runs/mlflow.db")
    assert finding.ok
    assert "sqlite:///runs/mlflow.db: a sqlite file on this machine" in finding.line()


def test_servers_are_asked_at_the_same_time() -> None:
    """None of them answers before all are asked."""
    all_asked = threading.Barrier(3, timeout=30)

    class Together(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            all_asked.wait()
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with servers.serving(Together) as url:
        found = doctor.servers(named(mlflow=url, endpoint=url, kfp=url), seconds=30)
    assert all(finding.ok for finding in found)


def test_servers_that_never_answer_are_given_up(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.silent_server() as port:
        url = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        found = doctor.servers(named(mlflow=url, endpoint=url, kfp=url, s3="s3://bucket"), seconds=1)
    silent = {f.subject: f.line() for f in found if not f.ok}
    assert set(silent) == {"mlflow", "endpoint", "kfp", "s3"}
    for name in HTTP:
        assert "did not answer within 1 seconds" in silent[name]


@pytest.mark.parametrize(
    ("name", "address"),
    [
        *product(["endpoint", "kfp"], ["host:8000", "file:///etc/passwd", "http://"]),
        *product(["milvus", *HTTP], ["http://host:port", "http://[::1"]),
    ],
)
def test_an_address_that_is_none_is_named(name: str, address: str) -> None:
    assert re.search(f"is none such as http://host:port.*{key_of(name)}", find(name, **{name: address}).line())


@pytest.mark.parametrize("name", ["milvus", *HTTP])
def test_keys_in_an_address_are_refused_and_not_shown(name: str) -> None:
    finding = doctor.server(name, "http://me:hunter2@127.0.0.1:1", key_of(name), seconds=1)
    assert not finding.ok
    assert "hunter2" not in finding.line()


@pytest.mark.parametrize("name", ["milvus", *HTTP])
def test_a_name_that_no_host_can_have_is_told(name: str) -> None:
    assert "cannot be asked" in find(name, **{name: "http://mlflow..svc:5000"}).line()


def test_the_key_of_an_endpoint_is_sent_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    with servers.http_server({"/models": 200}) as server:
        finding = find("endpoint", endpoint=server.url)
    assert server.keys == ["Bearer hunter2"]
    assert "hunter2" not in finding.line()


def test_mlflow_is_given_the_key_that_its_own_client_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with servers.http_server({"/health": 401}) as server:
        for variable in MLFLOW_KEYS:  # until there are both, a name and a password are none
            monkeypatch.setenv(variable, "hunter2")
            line = find("mlflow", mlflow=server.url).line()
            with pytest.raises(MlflowException):
                MlflowClient(server.url).get_experiment("0")
            assert "hunter2" not in line
            assert all(name in line for name in MLFLOW_KEYS)
    assert server.keys[0::2] == server.keys[1::2]
    assert [str(key)[:6] for key in server.keys[0::2]] == ["Bearer", "Bearer", "Basic "]


@pytest.mark.parametrize(
    ("variable", "header", "sent"),
    [("KFP_TOKEN", "Authorization", "Bearer hunter2"), ("KFP_COOKIE", "Cookie", "hunter2")],
)
def test_kubeflow_pipelines_is_given_the_key_that_submitting_gives(
    variable: str, header: str, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without, it leads to a page to log in, which answers too."""

    class Platform(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path != "/login" or self.headers[header] is None  # which may be somebody else's
            known = self.headers[header] == sent or self.path == "/login"
            self.send_response(200 if known else 302)
            self.send_header("Location", "/login")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with servers.serving(Platform) as url:
        without = find("kfp", kfp=f"{url}/pipeline").line()
        assert "leads to another page, perhaps to log in: set KFP_TOKEN or KFP_COOKIE" in without
        monkeypatch.setenv(variable, "hunter2")
        assert find("kfp", kfp=f"{url}/pipeline").ok
        monkeypatch.setenv(variable, "hunter3")
        assert "leads to another page" in find("kfp", kfp=f"{url}/pipeline").line()


@pytest.mark.parametrize(
    ("variable", "name", "of_a_file"),
    [("OPENAI_API_KEY", "endpoint", True), ("KFP_TOKEN", "kfp", True), ("MLFLOW_TRACKING_TOKEN", "mlflow", False)],
)
def test_a_key_that_cannot_be_sent_is_told_and_not_shown(
    variable: str, name: str, of_a_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that is made of a file ends with the end of a line, which MLflow's own client would choke on."""
    with servers.http_server({HTTP[name]: 200}) as server:
        for key, well in {"hunter2\n": of_a_file, "hun\nter2": False, "hunter2…": False}.items():
            monkeypatch.setenv(variable, key)
            finding = find(name, **{name: f"{server.url}{BASE[name]}"})
            assert finding.ok == well
            assert well or variable in finding.line()
            assert "ter2" not in finding.line()


def test_a_server_that_does_not_speak_http_is_no_traceback() -> None:
    with servers.garbage_server() as port:
        assert "cannot be asked" in find("mlflow", mlflow=f"http://127.0.0.1:{port}").line()


def test_s3_is_read(bucket: Bucket) -> None:
    assert find("s3", s3=f"{bucket.uri}/anything").ok
    missing = find("s3", s3="s3://no-such-bucket/x")
    assert "check the bucket's name" in missing.line()
    assert "is no address such as s3://bucket/prefix" in find("s3", s3="http://bucket").line()


def test_packages_are_looked_up_by_version_and_extra() -> None:
    texts = ["numpy>=2", "numpy<1", "no-such-package", "kfp<2; extra == 'cluster'", "x; python_version < '3'"]
    base, cluster, dev = doctor.packages([Requirement(text) for text in texts])
    assert base.prevents_all
    assert re.search(
        r"packages +numpy is \d.*, not <1, no-such-package is not installed; run `make setup`", base.line()
    )
    assert not cluster.prevents_all
    assert re.search(r"kfp is 2.*, not <2; run `make setup`; this prevents compiling and submitting", cluster.line())
    assert dev.ok


def test_a_package_that_is_not_installed_at_all_prevents_everything() -> None:
    (finding,) = doctor.packages(None)
    assert finding.prevents_all
    assert "make setup" in finding.line()


def test_little_disk_and_memory_are_told() -> None:
    assert not doctor.disk(4.9e9).ok
    assert doctor.disk(5.1e9).ok
    assert not doctor.memory(1e9).ok


@pytest.mark.parametrize(("text", "quota"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None)])
def test_a_container_s_share_of_the_cpus(text: str, quota: float | None) -> None:
    assert doctor.cpu_quota(text) == quota


def test_a_broken_driver_is_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Driver/library version mismatch' >&2\nexit 18\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    finding = next(f for f in doctor.examine(Params()) if f.subject == "GPU")
    assert not finding.ok
    assert "Driver/library version mismatch" in finding.line()
