"""Submitting, with the real client of Kubeflow Pipelines, to a server that checks what it is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.server import Server
from pipelines.submit import Doing, follow, start, status, submit, versions
from pipelines.version import commit, version
from tests import servers
from tests.pipelines import checkout
from tests.pipelines.kfp_server import Fault, Kfp
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import Params, PipelineParams, SampleParams, ServiceParams

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "pipelines" / "unidoc-rl.yaml"
ARGUMENTS = {"documents": "s3://bucket/reports", "questions": "s3://bucket/questions"}
NAME = "0123456789ab-cdef01234567"


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key of the person who runs the tests, and no home folder of theirs."""
    for name in ("KFP_TOKEN", "KFP_COOKIE", "KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def kfp() -> Iterator[Kfp]:
    with Kfp().running() as running:
        yield running


def at(kfp: Kfp, namespace: str | None = None, seconds: int = 20) -> Server:
    return Server(
        Params(services=ServiceParams(kfp=f"{kfp.url}/"), pipeline=PipelineParams(namespace=namespace)), seconds
    )


def submitted(kfp: Kfp) -> str:
    return start(at(kfp), "unidoc-rl", NAME, PACKAGE, ARGUMENTS).run


# --- versions -------------------------------------------------------------------------------------------------------


def test_the_first_submission_makes_pipeline_version_experiment_and_run(kfp: Kfp) -> None:
    made = start(at(kfp), "unidoc-rl", NAME, PACKAGE, ARGUMENTS)
    assert made.uploaded
    assert made.page == f"{kfp.url}/#/runs/details/{made.run}"
    (pipeline,), (uploaded,), (experiment,), (run,) = kfp.pipelines, kfp.versions, kfp.experiments, kfp.runs
    assert (pipeline["display_name"], uploaded["name"], experiment["display_name"]) == ("unidoc-rl", NAME, "unidoc-rl")
    assert uploaded["pipeline_spec"]["pipelineInfo"]["name"] == "unidoc-rl"
    assert run["runtime_config"] == {"parameters": ARGUMENTS}
    assert NAME in run["display_name"]


def test_the_tasks_run_as_the_account_that_is_named(kfp: Kfp) -> None:
    params = Params(services=ServiceParams(kfp=kfp.url), pipeline=PipelineParams(service_account="trainer"))
    start(Server(params), "unidoc-rl", NAME, PACKAGE, ARGUMENTS)
    submitted(kfp)
    assert [run["service_account"] for run in kfp.runs] == ["trainer", None]


def test_the_second_finds_all_of_it_and_starts_a_run(kfp: Kfp) -> None:
    submitted(kfp)
    again = start(at(kfp), "unidoc-rl", NAME, PACKAGE, ARGUMENTS)
    assert not again.uploaded
    start(at(kfp), "unidoc-rl", f"{NAME}0", PACKAGE, ARGUMENTS)
    assert [one["name"] for one in kfp.versions] == [NAME, f"{NAME}0"]
    assert (len(kfp.pipelines), len(kfp.experiments), len(kfp.runs)) == (1, 1, 3)


def test_two_at_the_same_time_make_one_version(kfp: Kfp) -> None:
    kfp.two = True
    with ThreadPoolExecutor(2) as pool:
        runs = [*pool.map(lambda _: submitted(kfp), range(2))]
    assert kfp.asked.count("POST /pipelines/upload_version") == 2
    assert (len(kfp.pipelines), len(kfp.versions), len(kfp.experiments)) == (1, 1, 1)
    assert len({*runs}) == len(kfp.runs) == 2


@pytest.mark.parametrize("what", ["pipelines", "pipelines/upload_version", "experiments", "runs"])
@pytest.mark.parametrize("fault", [0, -1], ids=["before", "after"])
def test_a_lost_connection_makes_nothing_twice(kfp: Kfp, what: str, fault: int) -> None:
    """Lost before the work is done it is an error, and done again it works; lost after it, it is found."""
    kfp.faults = [Fault(f"POST /{what}", fault, times=1)]
    if fault == 0:
        with pytest.raises(UnidocError, match=r"broke off .*do it again"):
            submitted(kfp)
        assert kfp.runs == []
    submitted(kfp)
    assert [len(things) for things in (kfp.pipelines, kfp.versions, kfp.experiments, kfp.runs)] == [1, 1, 1, 1]


def test_a_run_that_may_have_begun_is_named(kfp: Kfp) -> None:
    kfp.faults = [Fault("POST /runs", 500)]
    called = rf"unidoc-rl {NAME} [0-9a-f]{{8}}"
    with pytest.raises(
        UnidocError, match=rf"then do it again; but first look at {kfp.url}/#/runs for the run {called}:"
    ):
        submitted(kfp)


def test_the_versions_that_are_there_are_listed_over_all_pages(kfp: Kfp) -> None:
    assert [*versions(at(kfp), "unidoc-rl")] == []
    submitted(kfp)
    kfp.versions += [{**kfp.versions[0], "display_name": f"v{n}"} for n in range(120)]
    found = [*versions(at(kfp), "unidoc-rl")]
    assert len(found) == 121
    assert (found[0].name, found[0].created) == (NAME, "2026-11-25 09:30")


def test_a_version_is_named_after_its_commit_and_its_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.version.CHECKOUT", checkout.make(tmp_path / "checkout"))
    name = version(Params())
    assert re.fullmatch(rf"{commit()}-[0-9a-f]{{12}}", name)
    assert version(Params()) == name
    assert version(Params(sample=SampleParams(seed=8))) != name


@pytest.mark.parametrize("file", ["src/code.py", "components/new/component.py", "images/cpu/Dockerfile"])
def test_code_that_is_not_committed_has_no_version(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout.make(tmp_path / "checkout")
    monkeypatch.setattr("pipelines.version.CHECKOUT", folder)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text("two")
    with pytest.raises(UnidocError, match=rf"{file.split('/')[0]}/.* is not committed.*commit first"):
        version(Params())


@pytest.mark.parametrize("key", [*ARGUMENTS])
def test_what_the_cluster_cannot_read_is_refused_before_it_is_asked(kfp: Kfp, key: str) -> None:
    server = at(kfp)
    kfp.asked.clear()
    with pytest.raises(UnidocError, match=f"--{key} my/folder: the cluster cannot read it"):
        submit(Params(), "unidoc-rl", {**ARGUMENTS, key: "my/folder"}, server)
    assert kfp.asked == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "services.mlflow: names none"),
        ({"services": {"mlflow": "sqlite:///my.db"}}, "services.mlflow: sqlite:///my.db is lost with its task's pod"),
        ({"index": {"uri": "my.db"}}, "index.uri: my.db is lost with its task's pod"),
    ],
)
def test_what_would_be_lost_with_a_pod_is_refused_before_it_is_asked(
    kfp: Kfp, params: dict[str, Any], said: str
) -> None:
    server = at(kfp)
    kfp.asked.clear()
    with pytest.raises(UnidocError, match=said):
        submit(Params.model_validate(params), "unidoc-rl", ARGUMENTS, server)
    assert kfp.asked == []


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["token", "cookie", "service account"])
def test_a_key_is_sent_with_every_request_and_shown_in_no_error(
    kfp: Kfp, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"

    def give(secret: str) -> None:
        file.write_text(f"{secret}\n")
        names = {"token": "KFP_TOKEN", "cookie": "KFP_COOKIE", "service account": "KF_PIPELINES_SA_TOKEN_PATH"}
        value = {"token": secret, "cookie": f"authservice_session={secret}", "service account": str(file)}
        monkeypatch.setenv(names[kind], value[kind])

    if kind == "cookie":
        kfp.cookie = "authservice_session=hunter2"
    else:
        kfp.key = "Bearer hunter2"
    give("hunter2")
    submitted(kfp)
    give("hunter3")
    with pytest.raises(UnidocError, match=r"asking whether it is well: 401 .*it wants a key.*KFP_TOKEN") as caught:
        at(kfp)
    assert "hunter" not in str(caught.value)
    assert kfp.asked[-1:] == ["GET /healthz"]


@pytest.mark.parametrize("variable", ["KFP_TOKEN", "KFP_COOKIE"])
def test_a_key_that_cannot_be_sent_is_told_and_not_shown(
    kfp: Kfp, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "hun\nter2")
    with pytest.raises(UnidocError, match=rf"^{variable}: holds characters that no key has; set it again$"):
        at(kfp)


def test_a_service_account_s_token_that_changes_meanwhile_is_read_again(
    kfp: Kfp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("one")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    kfp.key = "Bearer one"
    server = at(kfp)
    kfp.key = "Bearer two"
    (tmp_path / "token").write_text("two")
    start(server, "unidoc-rl", NAME, PACKAGE, ARGUMENTS)


def test_what_kfp_keeps_of_another_server_in_the_home_folder_is_not_sent(
    kfp: Kfp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "context.json"
    kept.write_text(json.dumps({"namespace": "another", "client_authentication_cookie": "of=another"}))
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(kept))
    monkeypatch.setenv("KFP_COOKIE", "of=this")
    kfp.cookie = "of=this"
    submitted(kfp)
    monkeypatch.delenv("KFP_COOKIE")
    kfp.cookie = "of=another"
    with pytest.raises(UnidocError, match="401"):
        at(kfp)


def test_a_token_s_file_that_is_not_there_is_named(kfp: Kfp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", "/nowhere/token")
    with pytest.raises(UnidocError, match=r"KF_PIPELINES_SA_TOKEN_PATH: /nowhere/token is no file"):
        at(kfp)


def test_where_it_serves_several_users_their_namespace_goes_along(kfp: Kfp, tmp_path: Path) -> None:
    kfp.multi_user = True
    with pytest.raises(UnidocError, match=r"serves several users: set pipeline.namespace"):
        at(kfp)
    start(at(kfp, namespace="team"), "unidoc-rl", NAME, PACKAGE, ARGUMENTS)
    assert (kfp.pipelines[0]["namespace"], kfp.experiments[0]["namespace"]) == ("team", "team")
    assert not (tmp_path / ".config").exists()


# --- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status_", "said"),
    [
        (302, r"302 .*it wants a key"),
        (307, r"307 .*it wants a key"),
        (400, r"400 .*its words say why"),
        (403, r"403 .*ask its administrator for the right"),
        (404, r"404 .*look at the name"),
        (409, r"409 .*see whether it is archived"),
        (500, r"500 \(InternalServerError: told to answer 500\); look at its log, then do it again"),
    ],
)
def test_what_it_refuses_is_said_in_words_and_its_own(kfp: Kfp, status_: int, said: str) -> None:
    kfp.faults = [Fault("POST /pipelines/upload_version", status_)]
    with pytest.raises(UnidocError, match=rf"{kfp.url}: uploading version {NAME}: {said}") as caught:
        submitted(kfp)
    assert "\n" not in str(caught.value)


PAGES = {"of a login": b"<html>Sign in</html>", "half": b'{"run_id": "r', "of another time": "zurück".encode("latin-1")}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("what", ["GET /pipelines", "POST /pipelines/upload_version", "GET /experiments", "POST /runs"])
def test_a_page_that_comes_instead_of_an_answer_makes_nothing(kfp: Kfp, what: str, page: bytes) -> None:
    kfp.faults = [Fault(what, 200, times=100, page=page)]
    with pytest.raises(UnidocError, match="something else than Kubeflow Pipelines answers there"):
        submitted(kfp)
    assert kfp.runs == []


def test_a_refusal_that_is_a_page_of_an_older_proxy_is_said_in_words(kfp: Kfp) -> None:
    kfp.faults = [Fault("GET /pipelines", 403, page="Zugriff für Sie gesperrt".encode("latin-1"))]
    with pytest.raises(UnidocError, match=r"403 \(Zugriff f.r Sie gesperrt\); your key does not allow this"):
        submitted(kfp)


def test_a_server_that_says_nothing_is_given_up() -> None:
    with servers.silent_server() as port, pytest.raises(UnidocError, match="no answer within 1 seconds"):
        at(Kfp(url=f"http://127.0.0.1:{port}"), seconds=1)


def test_a_server_that_is_down_is_named() -> None:
    with servers.closed_port() as port, pytest.raises(UnidocError, match=rf"127.0.0.1:{port}: .*cannot be reached"):
        at(Kfp(url=f"http://127.0.0.1:{port}"))


def test_a_certificate_of_one_s_own_authority_is_trusted_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = tmp_path / "certificate.pem"
    servers.write_certificate(certificate)
    with Kfp(certificate=certificate).running() as kfp:
        with pytest.raises(UnidocError, match=r"no safe connection \(.*self-signed.*\); .*SSL_CERT_FILE"):
            at(kfp)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        submitted(kfp)


def test_a_page_to_log_in_is_not_taken_for_the_api(kfp: Kfp) -> None:
    with (
        servers.http_server({"/apis/v2beta1/healthz": 200}) as other,
        pytest.raises(UnidocError, match="something else than Kubeflow Pipelines answers there"),
    ):
        at(Kfp(url=other.url))


@pytest.mark.parametrize("status_", [200, 302, 401, 404])
@pytest.mark.parametrize("path", ["", "/pipeline"])
def test_an_address_that_lacks_the_platform_s_path_is_told(status_: int, path: str) -> None:
    with (
        servers.http_server({f"{path}/apis/v2beta1/healthz": status_}) as other,
        pytest.raises(UnidocError) as caught,
    ):
        at(Kfp(url=f"{other.url}{path}"))
    assert ("below /pipeline: end the address so" in str(caught.value)) == (not path)


@pytest.mark.parametrize(
    ("release", "taken"),
    [("2.5.0", False), ("v2.13.1", False), ("2.14.0", True), ("3.0", True), ("2.17.0-rc.1", True), ("unknown", True)],
)
def test_a_release_that_cannot_run_the_pipelines_is_told_before_anything_is_made(
    kfp: Kfp, release: str, taken: bool
) -> None:
    kfp.release = release
    if taken:
        submitted(kfp)
        return
    with pytest.raises(UnidocError, match=rf"is Kubeflow Pipelines {release}, and 2\.14 is needed at least"):
        submitted(kfp)
    assert kfp.asked == ["GET /healthz"]


@pytest.mark.parametrize("address", ["localhost:8888", "http://", "http://host/pipeline/#/runs", " http://host"])
def test_an_address_that_is_none_of_the_api_is_told(address: str) -> None:
    with pytest.raises(UnidocError, match=r"services.kfp: .* is no address such as http://host:8888"):
        Server(Params(services=ServiceParams(kfp=address)))


def test_no_address_is_an_error() -> None:
    with pytest.raises(UnidocError, match=r"services.kfp: names no Kubeflow Pipelines"):
        Server(Params())


# --- runs -----------------------------------------------------------------------------------------------------------


def task(name: str, state: str, error: str = "") -> dict[str, Any]:
    told: dict[str, Any] = {"display_name": name, "state": state, "start_time": "2026-11-25T09:31:00Z"}
    return {**told, "error": {"code": 9, "message": error}} if error else told


def stage(state: str, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"state": state, "run_details": {"task_details": [*tasks]}, **more}


def test_a_run_is_followed_to_its_end_over_a_server_that_restarts(kfp: Kfp) -> None:
    run = submitted(kfp)
    kfp.states = [
        stage("PENDING"),
        stage("RUNNING", task("ingest", "RUNNING")),
        stage("RUNNING", task("ingest", "SUCCEEDED"), task("index", "RUNNING")),
        stage("SUCCEEDED", task("ingest", "SUCCEEDED"), task("index", "SUCCEEDED")),
    ]
    kfp.faults = [Fault("GET /runs/", 503, times=3)]
    told: list[Doing] = []
    waits: list[float] = []
    follow(at(kfp), run, told.append, waits.append)
    assert [one.line().split() for one in told] == [
        ["running", "ingest"],
        ["succeeded", "ingest"],
        ["running", "index"],
        ["succeeded", "index"],
    ]
    assert len(waits) == 6


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            stage("FAILED", task("grpo", "FAILED", "out of memory")),
            r"has failed \(grpo: out of memory\); see http.*run",
        ),
        (stage("FAILED", error={"code": 9, "message": "no node"}), r"has failed \(no node\)"),
        (stage("CANCELED"), "was cancelled; see http.*submit again"),
    ],
)
def test_a_run_that_does_not_succeed_is_an_error(kfp: Kfp, last: dict[str, Any], said: str) -> None:
    run = submitted(kfp)
    kfp.states = [stage("RUNNING"), stage("CANCELING"), last]
    with pytest.raises(UnidocError, match=said):
        follow(at(kfp), run, lambda _: None, lambda _: None)


def test_a_server_that_stays_away_is_given_up_in_the_end(kfp: Kfp) -> None:
    run = submitted(kfp)
    kfp.faults = [Fault("GET /runs/", 503, times=1000)]
    waits: list[float] = []
    with pytest.raises(UnidocError, match="503"):
        follow(at(kfp), run, lambda _: None, waits.append)
    assert sum(waits) > 240


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("GET /runs/", 401, times=1000), "401 .*yours has run out.*"),
        (Fault("GET /runs/", 200, times=1000, page=b"<html>Sign in</html>"), "perhaps a page to log in.*"),
    ],
)
def test_a_key_that_runs_out_while_a_run_is_followed_leaves_how_to_go_on(kfp: Kfp, fault: Fault, said: str) -> None:
    run = submitted(kfp)
    kfp.states = [stage("RUNNING")]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        kfp.faults = [fault]
        waits.append(seconds)

    with pytest.raises(UnidocError, match=f"{said}; the run goes on: unidoc pipeline status {run} --wait"):
        follow(at(kfp), run, lambda _: None, wait)
    assert len(waits) <= 30


def test_the_state_of_a_run_and_its_tasks(kfp: Kfp) -> None:
    run = submitted(kfp)
    kfp.states = [json.loads(json.dumps(stage("RUNNING", task("sft", "RUNNING"))))]
    whole, tasks = status(at(kfp), run)
    assert (whole.state, [one.line() for one in tasks]) == ("RUNNING", ["running    sft"])
    with pytest.raises(UnidocError, match="asking for run no-such: 404"):
        status(at(kfp), "no-such")
