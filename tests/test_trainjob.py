"""Training on other nodes, with the real client of Kubeflow Trainer, in a cluster that allows what manifests/ allow."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kubeflow.trainer.types.types import Runtime, RuntimeKind, RuntimeTrainer, TrainerType

from tests import servers
from tests.trainer_server import Cluster, granted
from unidoc_rl import trainer_client, trainjob
from unidoc_rl.cluster import GPUS, connected, explained, gpus
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.params import GrpoParams, Params, PipelineParams, load

PARAMS = Params(grpo=GrpoParams(rate=1e-6), pipeline=PipelineParams(nodes=2, gpus=4, memory="64Gi", hours=2))
RUNTIME = Runtime(
    "unidoc-rl", RuntimeTrainer(TrainerType.CUSTOM_TRAINER, "torch", "image"), RuntimeKind.TRAINING_RUNTIME
)
NODES_WRITE = {"sft.json": "{}", "curve.csv": "step,loss", "model.safetensors": "weights"}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(train=write).running() as running:
        yield running


def write(command: list[str]) -> None:
    """A policy, as `unidoc sft` leaves it."""
    out = Path(command[command.index("--out") + 1])
    out.mkdir(exist_ok=True)
    for name, text in NODES_WRITE.items():
        (out / name).write_text(text)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    for name in ("trajectories", "corpus"):
        (tmp_path / name).mkdir()
    (tmp_path / "trajectories" / "sft.jsonl").write_text("episodes")
    (tmp_path / "shared").mkdir()
    return {name: str(tmp_path / name) for name in ("trajectories", "corpus")}


def train(
    cluster: Cluster,
    inputs: dict[str, str],
    params: Params = PARAMS,
    follows_from: str = "episodes",
    out: str = "sft",
    **more: Any,
) -> Path:
    folder = Path(inputs["corpus"]).parent
    options = {"sleep": lambda _: None, "shared": folder / "shared", "backend": cluster.config(), **more}
    arguments = ["{trajectories}/sft.jsonl", "--corpus", "{corpus}"]
    trainjob.train("sft", arguments, inputs, follows_from, folder / out, params, **options)
    return folder / out


def test_a_job_runs_the_stage_on_the_nodes_and_the_policy_comes_back(
    cluster: Cluster,
    inputs: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNIDOC_IMAGE", "registry/team/unidoc-rl-gpu:abc")
    monkeypatch.setenv("UNIDOC_RUN", "tuesday")
    seen: list[tuple[str, Params]] = []

    def look(command: list[str]) -> None:
        folder = Path(command[command.index("--out") + 1]).parent
        seen.append(((folder / "trajectories/sft.jsonl").read_text(), load(folder / "params.yaml")))
        write(command)

    cluster.train = look
    made = train(cluster, inputs)
    assert {path.name: path.read_text() for path in made.iterdir()} == NODES_WRITE
    (job,) = cluster.made
    trainer, name = job["spec"]["trainer"], job["metadata"]["name"]
    folder = tmp_path / "shared" / name
    assert trainer["command"] == (
        f"torchrun --no-python unidoc sft {folder}/trajectories/sft.jsonl --corpus {folder}/corpus "
        f"--out {folder}/out --params {folder}/params.yaml"
    ).split(" ")
    assert (trainer["image"], trainer["numNodes"]) == ("registry/team/unidoc-rl-gpu:abc", 2)
    assert trainer["env"] == [
        {"name": "UNIDOC_RUN", "value": "tuesday"},  # below whose run the stage's stands
        {"name": "UNIDOC_CACHE", "value": str(tmp_path / "shared/cache")},
        {"name": "UNIDOC_WAITED_FOR", "value": str(folder / "waited-for")},
    ]
    assert trainer["resourcesPerNode"]["limits"] == {"nvidia.com/gpu": "4", "memory": "64Gi"}
    assert job["spec"]["activeDeadlineSeconds"] == 7200
    assert job["spec"]["runtimeRef"] == {"name": "unidoc-rl", "kind": "TrainingRuntime"}
    assert seen == [("episodes", PARAMS)]
    assert capsys.readouterr().out == f"step 1 of {name}-node-0-1\nstep 2 of {name}-node-0-1\n"
    assert cluster.removed == [name]
    assert {path.name for path in folder.iterdir()} == {"begun", "out", "params.yaml", "taken", "waited-for"}


def test_the_role_allows_what_is_asked_and_no_more(cluster: Cluster, inputs: dict[str, str]) -> None:
    train(cluster, inputs)
    cluster.quotas = [{"spec": {"hard": {GPUS: "8"}}}]
    gpus(cluster.config())
    assert cluster.used == granted()


@pytest.mark.parametrize(
    "right", sorted(granted() - {("get", "pods/log"), ("list", "pods"), ("list", "resourcequotas")})
)
def test_a_right_that_is_missing_is_named(cluster: Cluster, inputs: dict[str, str], right: tuple[str, str]) -> None:
    cluster.rights = granted() - {right}
    with pytest.raises(UnidocError, match=r"403 .*apply manifests/, whose Role unidoc-rl-task"):
        train(cluster, inputs)


def test_a_lost_pod_is_followed_by_the_next(
    cluster: Cluster, inputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.states = ["", "", "lost", "", "Complete"]
    train(cluster, inputs)
    pods = [line.rpartition("-")[2] for line in capsys.readouterr().out.splitlines()]
    assert pods == ["1", "1", "2", "2"]


def test_a_task_that_is_started_anew_finds_its_job(cluster: Cluster, inputs: dict[str, str]) -> None:
    cluster.states = [""]
    with pytest.raises(KeyboardInterrupt):
        train(cluster, inputs, sleep=_killed)
    cluster.states = ["", "Complete"]
    train(cluster, inputs)
    assert len(cluster.made) == 1


def _killed(_: float) -> None:
    raise KeyboardInterrupt


def test_a_job_that_has_failed_is_begun_again_with_what_it_left(cluster: Cluster, inputs: dict[str, str]) -> None:
    cluster.states = ["", "Failed"]
    with pytest.raises(UnidocError, match=r"TrainJob unidoc-sft-\w+ has failed: its log is above"):
        train(cluster, inputs)
    (folder,) = (Path(inputs["corpus"]).parent / "shared").iterdir()
    (folder / "out" / "checkpoint").write_text("step 8")
    cluster.states = ["Failed", "Complete"]
    made = train(cluster, inputs)
    assert len(cluster.made) == 2
    assert (made / "checkpoint").exists()


def test_a_policy_that_was_lost_on_its_way_is_taken_again(cluster: Cluster, inputs: dict[str, str]) -> None:
    """Kubeflow stores it after the task has ended well."""
    shutil.rmtree(train(cluster, inputs))
    assert {path.name: path.read_text() for path in train(cluster, inputs).iterdir()} == NODES_WRITE
    assert len(cluster.made) == 1


def test_policies_that_were_taken_long_ago_are_removed(
    cluster: Cluster, inputs: dict[str, str], tmp_path: Path
) -> None:
    train(cluster, inputs)
    (first,) = (tmp_path / "shared").iterdir()
    for age, left in ((trainjob.KEPT - 60, 2), (trainjob.KEPT + 60, 2)):
        os.utime(first / "taken", (time.time() - age,) * 2)
        cluster.states = ["", "Complete"]
        train(cluster, inputs, follows_from=f"others, {age}")
        assert len(list((tmp_path / "shared").iterdir())) == left
    assert not first.exists()


def test_all_tries_together_take_no_longer_than_is_allowed(
    cluster: Cluster, inputs: dict[str, str], tmp_path: Path
) -> None:
    def begun(seconds: float) -> None:
        (folder,) = (tmp_path / "shared").iterdir()
        os.utime(folder / "begun", (time.time() - seconds,) * 2)

    for took, said in ((0, "has failed"), (5400, "has failed"), (7260, "took longer than pipeline.hours allows")):
        if took:
            begun(took)
        cluster.states = ["Failed" if took else "", "Failed"]
        with pytest.raises(UnidocError, match=said):
            train(cluster, inputs)
    assert [job["spec"]["activeDeadlineSeconds"] for job in cluster.made] == [7200, 1800]
    os.utime(next((tmp_path / "shared").iterdir()) / "waited-for", (0, 0))  # another day, not another try
    cluster.states = ["Failed", "Complete"]
    train(cluster, inputs)


def test_other_inputs_are_another_job(cluster: Cluster, inputs: dict[str, str]) -> None:
    train(cluster, inputs)
    cluster.states = ["", "Complete"]
    train(cluster, inputs, follows_from="others")
    assert len({job["metadata"]["name"] for job in cluster.made}) == 2


def test_two_runs_that_wait_for_the_same_both_have_its_policy(
    cluster: Cluster, inputs: dict[str, str], tmp_path: Path
) -> None:
    """The one that sees it complete removes the job from under the other."""
    cluster.states, cluster.lingers = ["", "", "Complete"], 0

    other = tmp_path / "of the other"

    def meanwhile(_: float) -> None:
        if not other.exists():
            train(cluster, inputs).rename(other)

    made = train(cluster, inputs, sleep=meanwhile)
    assert {path.name: path.read_text() for path in made.iterdir()} == NODES_WRITE
    assert len(cluster.made) == len(cluster.removed) == 1


def test_two_runs_that_begin_at_the_same_time_put_what_goes_in_there_once(
    cluster: Cluster, inputs: dict[str, str], tmp_path: Path
) -> None:
    for number in range(2000):  # which take a while to copy
        (tmp_path / "corpus" / str(number)).touch()
    both = threading.Barrier(2, timeout=30)
    seen: list[int] = []

    def look(command: list[str]) -> None:
        (job,) = (tmp_path / "shared").glob("unidoc-*")
        seen.append(len(list((job / "corpus").iterdir())))
        write(command)

    cluster.train = look
    cluster.states = [*[""] * 40, "Complete"]

    def run(out: str) -> Path:
        both.wait()
        return train(cluster, inputs, out=out)

    with ThreadPoolExecutor(2) as pool:
        for made in pool.map(run, ("one", "two")):
            assert {path.name: path.read_text() for path in made.iterdir()} == NODES_WRITE
    assert seen == [2000]
    (job,) = (tmp_path / "shared").glob("unidoc-*")
    assert {path.name for path in job.iterdir()} == {"begun", "out", "params.yaml", "taken", "waited-for"}


def test_a_job_that_somebody_removes_is_told(cluster: Cluster, inputs: dict[str, str]) -> None:
    cluster.states = [""]

    def remove(_: float) -> None:
        cluster.jobs.clear()

    with pytest.raises(UnidocError, match=r"TrainJob unidoc-sft-\w+ has been removed, not by this task"):
        train(cluster, inputs, sleep=remove)


def test_nodes_that_write_elsewhere_are_told(cluster: Cluster, inputs: dict[str, str]) -> None:
    cluster.train = lambda _: None
    with pytest.raises(UnidocError, match=r"is complete, and no policy is there: see that its nodes have the volume"):
        train(cluster, inputs)
    cluster.train, cluster.states = write, ["Complete", "", "Complete"]
    assert {path.name: path.read_text() for path in train(cluster, inputs).iterdir()} == NODES_WRITE
    assert len(cluster.made) == 2  # another one, and not that which has left nothing


def test_a_job_that_takes_too_long_is_ended(cluster: Cluster, inputs: dict[str, str]) -> None:
    cluster.states = [""]
    with pytest.raises(UnidocError, match=r"took longer than pipeline.hours allows, and was ended"):
        train(cluster, inputs, Params(pipeline=PipelineParams(nodes=1, hours=1 / 3600)))
    assert len(cluster.removed) == 1


def test_a_cluster_that_is_away_for_a_while_is_asked_again(cluster: Cluster, inputs: dict[str, str]) -> None:
    def away(command: list[str]) -> None:
        write(command)
        cluster.fail = [500, 503, 500]

    cluster.train = away
    train(cluster, inputs)


def test_a_cluster_that_stays_away_is_given_up(cluster: Cluster, inputs: dict[str, str]) -> None:
    def away(command: list[str]) -> None:
        cluster.fail = [500] * 1000

    cluster.train = away
    with pytest.raises(UnidocError, match=r"asking for the TrainJob .*500 .*see that the cluster is well"):
        train(cluster, inputs)


def test_an_account_that_the_cluster_does_not_know_is_told(cluster: Cluster, inputs: dict[str, str]) -> None:
    cluster.token = "of-another-cluster"
    with pytest.raises(UnidocError, match=r"401 .*this task's account is not known there") as caught:
        train(cluster, inputs)
    assert cluster.token not in str(caught.value)
    assert cluster.made == []


def test_a_job_that_another_run_starts_at_the_same_time_is_followed(cluster: Cluster, inputs: dict[str, str]) -> None:
    cluster.states = [""]
    with pytest.raises(KeyboardInterrupt):
        train(cluster, inputs, sleep=_killed)
    cluster.fail = [404]  # when it looks for it
    cluster.states = ["", "Complete"]
    train(cluster, inputs)
    assert len(cluster.made) == 1


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get_runtime("unidoc-rl"),
        lambda client: client.get_job("job"),
        lambda client: client.delete_job("job"),
        lambda client: client.train(RUNTIME),
        lambda client: client.backend.core_api.list_namespaced_pod("team"),
    ],
    ids=["get_runtime", "get_job", "delete_job", "train", "core_api"],
)
def test_a_cluster_that_accepts_and_is_silent_is_told(ask: Callable[[Any], object]) -> None:
    with servers.silent_server() as port:
        client = connected(Cluster(url=f"http://127.0.0.1:{port}").config(), seconds=0.1)
        with pytest.raises(Away, match="looking for it: the cluster has not answered"), explained("looking for it"):
            ask(client)


def test_a_cluster_that_dribbles_is_told() -> None:
    with pytest.raises(Away, match="looking for it: the cluster has not answered"), explained("looking for it"):
        raise TimeoutError  # the SDK's, after two minutes


def test_a_log_that_stops_is_taken_up_where_it_was(
    cluster: Cluster, inputs: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_client, "LOG_SECONDS", 0.1)
    cluster.states, cluster.log_stops = [*[""] * 6, "Complete"], 2
    train(cluster, inputs)
    assert [line[:6] for line in capsys.readouterr().out.splitlines()] == ["step 1", "step 2"]


@pytest.mark.parametrize("log", ["there", "gone", "broken"])
def test_a_job_that_fails_at_once_has_its_log_above(
    cluster: Cluster,
    inputs: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    log: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer_client, "LOG_SECONDS", 0.1)
    cluster.states, cluster.log_gone, cluster.log_stops = ["Failed"], 99 * (log == "gone"), 99 * (log == "broken")
    with pytest.raises(UnidocError, match="has failed: its log is above"):
        train(cluster, inputs)
    told = [line[:6] for line in capsys.readouterr().out.splitlines()]
    assert told == {"there": ["step 1", "step 2"], "gone": [], "broken": ["step 1"]}[log]


@pytest.mark.parametrize("how", ["log_ends", "log_gone"])
def test_a_log_that_ends_before_its_pod_or_whose_pod_is_replaced_is_taken_up(
    cluster: Cluster, inputs: dict[str, str], capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """The API server is restarted, and ends every stream well; a node is drained."""
    cluster.states = [*[""] * 6, "Complete"]
    setattr(cluster, how, 2)
    train(cluster, inputs)
    assert [line[:6] for line in capsys.readouterr().out.splitlines()] == ["step 1", "step 2"]


def test_on_the_gpus_of_a_task_there_is_a_process_for_each(
    tmp_path: Path, inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is called torchrun; another status than 0 is an error."""
    stub = tmp_path / "bin" / "torchrun"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/told\ncp "${{@: -1}}" {tmp_path}/params\nexit $STATUS\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(stub.parent), prepend=":")
    monkeypatch.setenv("STATUS", "0")
    trainjob.here("sft", ["{trajectories}/sft.jsonl"], inputs, tmp_path / "sft", PARAMS)
    told = (tmp_path / "told").read_text().split()
    assert told[told.index("--nproc-per-node") + 1] == "4"
    assert told[told.index("--no-python") + 1 : -1] == [
        *("unidoc", "sft", f"{inputs['trajectories']}/sft.jsonl", "--out", f"{tmp_path}/sft", "--params")
    ]
    assert load(tmp_path / "params") == PARAMS
    monkeypatch.setenv("STATUS", "1")
    with pytest.raises(UnidocError, match="sft: its processes have ended with status 1"):
        trainjob.here("sft", [], inputs, tmp_path / "sft", PARAMS)


def test_what_keeps_a_job_from_being_started_is_told_at_once(cluster: Cluster) -> None:
    trainjob.ready(cluster.config())
    cluster.runtime = False
    with pytest.raises(UnidocError, match=r"TrainingRuntime unidoc-rl: 403 .*apply manifests/"):
        trainjob.ready(cluster.config())
    with servers.closed_port() as port:
        cluster.url = f"http://127.0.0.1:{port}"
        with pytest.raises(UnidocError, match="the cluster cannot be reached"):
            trainjob.ready(cluster.config())
