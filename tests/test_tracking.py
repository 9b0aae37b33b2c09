"""Runs in MLflow, in a database of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.conftest import Bucket
from tests.promote.test_stage import policy
from tests.servers import closed_port, free_port, mlflow_server
from unidoc_rl import cli, cluster, tracking
from unidoc_rl.errors import UnidocError
from unidoc_rl.journal import Journal
from unidoc_rl.mlflow_server import KEY, PARENT, opened
from unidoc_rl.params import Params, SampleParams, ServiceParams
from unidoc_rl.promote.registry import Registry
from unidoc_rl.promote.stage import promote
from unidoc_rl.provenance import identity

pytestmark = pytest.mark.slow  # MLflow takes seconds to import
BEGIN = "from unidoc_rl import tracking\nwith tracking.run('sft', None): pass"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def client(address: str | None = None) -> Any:
    return opened(address)[0]


def stored(run: tracking.Run, address: str | None = None) -> Any:
    """The one run in MLflow that has this key."""
    found, experiment = opened(address)
    (one,) = found.search_runs([experiment], f"tags.`{KEY}` = '{run.key}'")
    return one


def test_what_a_run_tells_can_be_read_back(tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("# a card")
    inputs: dict[str, str | Path] = {"questions": tmp_path / "card.md", "index": "http://127.0.0.1:8002"}
    with tracking.run("sft", None) as run:
        run.params({"seed": 1, "long": "x" * 10_000})
        run.metrics([(step, {"loss": 1 / (step + 1), "reward": 0.5}) for step in range(1200)])
        run.file(tmp_path / "card.md")
        assert run.inputs(inputs).keys() == inputs.keys()
        assert run.last_step() == 1199
    found = stored(run)
    assert found.info.status == "FINISHED"
    assert found.data.params["seed"] == "1"
    assert found.data.metrics["loss"] == pytest.approx(1 / 1200)
    given = {one.dataset.name: one.dataset.digest for one in found.inputs.dataset_inputs}
    assert given == {name: identity(one) for name, one in inputs.items()}
    assert len(found.data.tags["mlflow.source.git.commit"]) >= 12
    assert {"platform", "python", "unidoc-rl", "torch", "transformers"} <= found.data.tags.keys()
    assert list((tmp_path / ".mlflow").rglob("card.md"))
    assert not list((tmp_path / ".mlflow/unsent").iterdir())


def test_a_run_that_failed_is_gone_on_with(tmp_path: Path) -> None:
    note = tmp_path / "run"

    def failing() -> None:
        with tracking.run("sft", None, note) as run:
            run.metrics([(7, {"loss": 3.0})])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    with tracking.run("sft", None, note) as again:
        assert stored(again).info.status == "RUNNING"
        assert again.last_step() == 7
        again.metrics([(8, {"loss": 2.0})])
    found = stored(again)
    assert found.info.status == "FINISHED"
    assert [mark.value for mark in client().get_metric_history(found.info.run_id, "loss")] == [3.0, 2.0]


def measured(tmp_path: Path, params: SampleParams, figures: dict[str, int]) -> None:
    """A stage that fails where it has no figures."""
    with tracking.stage("sample", ServiceParams(), tmp_path, params, {"documents": tmp_path / "card.md"}) as found:
        found |= figures
        if not figures:
            raise ZeroDivisionError


def test_a_stage_that_was_killed_goes_on_with_its_run_where_its_parameters_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.PIPELINE, "nightly")
    (tmp_path / "card.md").write_text("# a card")
    for seed in (1, 2):
        with pytest.raises(ZeroDivisionError):
            measured(tmp_path, SampleParams(seed=seed), {})
    measured(tmp_path, SampleParams(seed=1), {"pages": 3})
    found, experiment = opened(None)
    runs = found.search_runs([experiment], "attributes.run_name = 'sample'")
    by_seed = {one.data.params["seed"]: one for one in runs}
    assert {seed: one.info.status for seed, one in by_seed.items()} == {"1": "FINISHED", "2": "FAILED"}
    assert by_seed["1"].data.metrics == {"pages": 3}
    (given,) = by_seed["1"].inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("documents", identity(tmp_path / "card.md"))


def test_a_run_that_is_in_no_database_any_more_begins_anew(tmp_path: Path) -> None:
    note = tmp_path / "run"
    note.write_text("0" * 32)
    with tracking.run("sft", None, note) as run:
        pass
    assert stored(run).info.status == "FINISHED"


def test_a_note_that_a_full_disk_has_left_empty_is_none(tmp_path: Path) -> None:
    """As a key it would name the folder of all runs' journals."""
    other = Journal(tmp_path / ".mlflow/unsent/other")
    with other.held():
        other.note({"what": "begin"})
    note = tmp_path / "run"
    note.touch()
    with tracking.run("sft", None, note) as run:
        pass
    assert note.read_text() == run.key
    assert [event for event, _ in other.events()] == [{"what": "begin"}]


def test_stages_of_a_pipeline_stand_below_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIDOC_RUN", "tuesday")
    for name in ("sft", "evaluate"):
        with tracking.run(name, None) as run:
            run.result({"accuracy": 0.5})
    runs = everything()
    assert set(runs) == {"tuesday", "sft", "evaluate"}
    parent = runs["tuesday"]
    assert parent.data.metrics["accuracy"] == 0.5
    assert parent.info.status == "FINISHED"
    assert runs["sft"].data.tags[PARENT] == runs["evaluate"].data.tags[PARENT] == parent.info.run_id


def test_a_dvc_repro_is_a_pipeline(tmp_path: Path) -> None:
    """Each of its stages is a process of its own, behind a shell or not, or that of a torchrun."""
    code = "from unidoc_rl.tracking import pipeline; print(pipeline()['key'])"
    stage = f'{sys.executable} -c "{code}" >> {tmp_path}/keys'
    torchrun = f"{Path(sys.executable).with_name('torchrun')} --standalone --no-python {stage}"
    stages = {"one": {"cmd": stage}, "two": {"cmd": f"{stage} && true"}, "many": {"cmd": torchrun}}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    dvc = Path(sys.executable).with_name("dvc")
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    for command in (["init", "--no-scm", "-q"], ["repro", "-q"], ["repro", "-q", "-f"]):
        subprocess.run([dvc, *command], check=True, env=environment, start_new_session=True)
    keys = (tmp_path / "keys").read_text().split()
    first, second = {*keys[:3]}, {*keys[3:]}
    assert len(first) == len(second) == 1
    assert first != second


def test_a_stage_that_dvc_brings_back_has_the_run_that_made_it(tmp_path: Path) -> None:
    stage = {"cmd": f"{sys.executable} begin.py", "deps": ["begin.py"], "outs": ["artifacts/runs/sft"]}
    (tmp_path / "begin.py").write_text(BEGIN)
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"sft": stage}}))
    dvc = Path(sys.executable).with_name("dvc")
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    subprocess.run([dvc, "init", "--no-scm", "-q"], check=True, env=environment)
    kept = []
    for _ in range(2):
        subprocess.run([dvc, "repro", "-q"], check=True, env=environment)
        kept.append((tmp_path / "artifacts/runs/sft").read_text().strip())
        shutil.rmtree(tmp_path / "artifacts")
    found, experiment = opened(None)
    (run,) = (one for one in found.search_runs([experiment]) if PARENT in one.data.tags)
    assert kept == [run.data.tags[KEY]] * 2


def test_processes_that_begin_together_make_one_database(tmp_path: Path) -> None:
    together = [subprocess.Popen([sys.executable, "-c", BEGIN], cwd=tmp_path) for _ in range(3)]
    assert [process.wait() for process in together] == [0, 0, 0]


def test_a_database_whose_maker_was_killed_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / ".mlflow/new/mlflow.db"
    with subprocess.Popen([sys.executable, "-c", BEGIN], cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (half.exists() and half.stat().st_size):
            os.sched_yield()
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with tracking.run("sft", None) as run:
        pass
    assert stored(run).info.status == "FINISHED"
    assert not half.parent.exists()


def test_a_damaged_database_is_named_and_left(tmp_path: Path) -> None:
    database = tmp_path / ".mlflow/mlflow.db"
    database.parent.mkdir()
    database.write_bytes(b"no database" * 100)
    with pytest.raises(UnidocError, match=r"\.mlflow/mlflow\.db: is damaged \(file is not a database\); bring a copy"):
        opened(None)
    assert database.read_bytes() == b"no database" * 100


# --- a server that is away --------------------------------------------------------------------------------------------

TRACE = {
    "inputs": {"question": "Who?"},
    "outputs": {"answer": "Nobody"},
    "spans": [{"name": "turn 1", "type": "CHAT_MODEL", "inputs": {}, "outputs": {"content": "…"}, "seconds": 0.5}],
    "expected": "Nobody",
    "feedback": {"answer": 1.0, "reward": 0.9},
    "why": "the same text",
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(tracking, "PATIENCE", 0)


def told(address: str, tmp_path: Path) -> tracking.Run:
    (tmp_path / "card.md").write_text("# a card")
    with tracking.run("evaluate", address, tmp_path / "run") as run:
        run.params({"seed": 1})
        run.inputs({"questions": tmp_path / "card.md"})
        run.metrics([(step, {"loss": 1 / (step + 1)}) for step in range(3)])
        run.file(tmp_path / "card.md")
        run.trace("q1", TRACE)
        run.result({"accuracy": 0.5})
        run.beside("evaluate sft", {"policy": "sft"}, {"accuracy": 0.4})
    return run


def stands_once(run: tracking.Run, address: str) -> None:
    found, experiment = opened(address)
    one = stored(run, address)
    (beside,) = (other for other in found.search_runs([experiment]) if other.info.run_id != one.info.run_id)
    assert (beside.data.tags[PARENT], beside.info.status) == (one.info.run_id, "FINISHED")
    assert [mark.value for mark in found.get_metric_history(beside.info.run_id, "accuracy")] == [0.4]
    assert one.info.status == "FINISHED"
    assert [mark.step for mark in found.get_metric_history(one.info.run_id, "loss")] == [0, 1, 2]
    assert [mark.value for mark in found.get_metric_history(one.info.run_id, "accuracy")] == [0.5]
    assert [file.path for file in found.list_artifacts(one.info.run_id)] == ["card.md"]
    assert len(one.inputs.dataset_inputs) == 1
    (trace,) = found.search_traces(locations=[experiment], run_id=one.info.run_id)
    assert sorted(judged.name for judged in trace.info.assessments) == ["answer", "expected", "reward"]
    assert [span.name for span in trace.data.spans] == ["q1", "turn 1"]


def test_a_question_may_have_any_name(tmp_path: Path) -> None:
    names = ["it's", '"quoted"', "q1"]
    with tracking.run("evaluate", None) as run:
        for name in names:
            run.trace(name, TRACE)
    found, experiment = opened(None)
    traces = found.search_traces(locations=[experiment], run_id=stored(run).info.run_id)
    assert {one.data.spans[0].name for one in traces} == {*names}
    assert len(traces) == len(names)
    assert not list((tmp_path / ".mlflow/unsent").iterdir())


@pytest.mark.usefixtures("impatient")
def test_what_a_server_that_is_away_is_not_told_is_kept_and_sent_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], bucket: Bucket
) -> None:
    """It keeps its files on S3."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    run = told(address, tmp_path)  # the server is down, and the stage is not held up
    ended = time.time()
    assert capfd.readouterr().err.count("`unidoc track --retry` sends it") == 1
    with pytest.raises(UnidocError, match=rf"{address} cannot be told .* is kept"):
        tracking.retry()
    kept = tmp_path / ".mlflow/unsent"
    shutil.copytree(kept, tmp_path / "copy")
    with mlflow_server(tmp_path / "server", port, f"{bucket.uri}/mlflow"):
        assert tracking.retry() == (1, 0)
        stands_once(run, address)
        info = stored(run, address).info
        assert info.start_time <= info.end_time <= ended * 1000  # whenever it is told
        assert not list(kept.iterdir())
        assert tracking.retry() == (0, 0)
        shutil.copytree(tmp_path / "copy", kept, dirs_exist_ok=True)  # as if it had died before it could note a thing
        assert tracking.retry() == (1, 0)
        stands_once(run, address)
        is_on_s3(address, bucket, tmp_path)


def is_on_s3(address: str, bucket: Bucket, tmp_path: Path) -> None:
    """What was told of, and what the registry is given besides."""
    place, measured = policy(tmp_path, "first", {"q1": 1.0})
    made = promote(place, measured, tmp_path / "promotion", Params(services=ServiceParams(mlflow=address)))
    assert made.champion == "1"
    registry = Registry(made.name, address)
    champion = registry.alias("champion")
    assert champion is not None
    assert registry.evaluation(champion)["grpo"]["rows"]["q1"]["value"] == 1
    assert identity(registry.policy(champion)) == identity(place)
    names = {Path(key).name for key in bucket.objects()}
    assert {"card.md", "model.safetensors", "evaluation.json", "promotion.json"} <= names


def test_a_process_that_is_killed_as_it_notes_loses_nothing_that_was_noted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "unsent" / "key")
    with journal.held():
        journal.note({"what": "one"})
        journal.note({"what": "two"})
    events = journal.folder / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-3])
    with journal.held() as held:
        assert held
        journal.note({"what": "three"})
        left = journal.left()
        assert [next(left)["what"], next(left)["what"]] == ["one", "three"]  # `three` is under way
    with journal.held():
        assert [event["what"] for event in journal.left()] == ["three"]
        assert journal.is_sent()


def test_an_event_for_which_there_was_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "unsent" / "key")
    with journal.held():
        journal.note({"what": "one"})
        code = (
            "import resource, sys; from pathlib import Path; from unidoc_rl.journal import Journal\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
            "Journal(Path(sys.argv[1])).note({'what': 'x' * 9000})"
        )
        done = subprocess.run([sys.executable, "-c", code, journal.folder], capture_output=True, text=True, check=False)
        assert "File too large" in done.stderr
        journal.note({"what": "two"})
        assert [event["what"] for event in journal.left()] == ["one", "two"]


def test_a_run_that_is_at_work_sends_by_itself() -> None:
    with tracking.run("sft", None):
        code = "from unidoc_rl import tracking; print(tracking.retry())"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "(0, 1)"


def begun(key: str, address: str | None = None) -> None:
    """A run that has begun, of which MLflow knows nothing yet."""
    journal = Journal(Path(".mlflow/unsent") / key)
    with journal.held():
        journal.note({"what": "begin", "name": "sft", "address": address, "pipeline": None, "tags": {}, "at": 1})


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("returns", [True, False])
def test_a_task_whose_disk_goes_with_its_pod_waits_for_a_server_that_is_away(
    returns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv(tracking.PIPELINE, "tuesday")
    monkeypatch.setenv(cluster.IN_A_POD, "10.0.0.1")
    with ExitStack() as servers, pytest.MonkeyPatch.context() as sleeping:

        def come(_: float) -> None:
            sleeping.undo()
            if returns:
                servers.enter_context(mlflow_server(tmp_path / "server", port))

        sleeping.setattr(time, "sleep", come)
        with tracking.run("sft", address):
            pass
        assert ("is lost" in capfd.readouterr().err) == (not returns)
        if returns:
            found, experiment = opened(address)
            statuses = {one.info.run_name: one.info.status for one in found.search_runs([experiment])}
            assert statuses == {"sft": "FINISHED", "tuesday": "FINISHED"}


@pytest.mark.usefixtures("impatient")
def test_runs_that_cannot_be_sent_hold_no_other_up(tmp_path: Path) -> None:
    with closed_port() as port:
        for key, address in {"1": f"http://127.0.0.1:{port}", "2": None, "3": f"http://localhost:{port}"}.items():
            begun(key, address)
        with pytest.raises(UnidocError) as caught:
            tracking.retry()
    first, *why = str(caught.value).splitlines()
    assert first == "1 runs sent, and 2 not:"
    where = [line.partition(" cannot be told")[0] for line in why]
    assert where == [f"MLflow at http://{host}:{port}" for host in ("127.0.0.1", "localhost")]
    assert sorted(path.name for path in (tmp_path / ".mlflow/unsent").iterdir()) == ["1", "3"]


def test_the_command_tells_how_many_runs_were_sent(tmp_path: Path) -> None:
    begun("key")
    done = CliRunner().invoke(cli.cli, ["track", "--retry"])
    assert done.stdout == "1 runs sent\n"
    found, experiment = opened(None)
    (one,) = found.search_runs([experiment])
    assert (one.info.run_name, one.info.status) == ("sft", "KILLED")  # nobody has the journal, and it tells of no end
    (tmp_path / "run").write_text("key")
    with tracking.run("sft", None, tmp_path / "run") as again:
        assert stored(again).info.status == "RUNNING"


@pytest.mark.parametrize(("goes_on", "status"), [(True, "FINISHED"), (False, "KILLED")])
def test_a_stage_that_was_killed_ends_its_pipeline_unless_that_has_ended(
    monkeypatch: pytest.MonkeyPatch, goes_on: bool, status: str
) -> None:
    killed(monkeypatch, "tuesday")
    if goes_on:
        with tracking.run("evaluate", None):
            pass
    assert tracking.retry() == (1, 0)
    statuses = {name: one.info.status for name, one in everything().items()}
    assert (statuses["sft"], statuses["tuesday"]) == ("KILLED", status)


def test_a_stage_that_was_killed_goes_on_below_the_pipeline_that_takes_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(monkeypatch, "monday")
    assert everything()["monday"].info.status == "RUNNING"
    monkeypatch.setenv(tracking.PIPELINE, "tuesday")
    with tracking.run("sft", None, tmp_path / "run") as again:
        again.result({"loss": 0.5})
    runs = everything()
    assert runs["sft"].data.tags[PARENT] == runs["tuesday"].info.run_id
    statuses = {name: one.info.status for name, one in runs.items()}
    assert statuses == {"monday": "KILLED", "tuesday": "FINISHED", "sft": "FINISHED"}
    assert (runs["monday"].data.metrics, runs["tuesday"].data.metrics) == ({}, {"loss": 0.5})


def killed(monkeypatch: pytest.MonkeyPatch, pipeline: str) -> None:
    """A stage of this pipeline, in the midst of its run."""
    monkeypatch.setenv(tracking.PIPELINE, pipeline)
    code = "import os; from pathlib import Path\n" + BEGIN.replace("None", "None, Path('run')")
    code = code.replace("pass", "os.kill(os.getpid(), 9)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL


def everything() -> dict[str, Any]:
    """The runs in the database of this folder, by their names."""
    found, experiment = opened(None)
    return {one.info.run_name: one for one in found.search_runs([experiment])}
