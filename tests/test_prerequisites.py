"""What would fail after hours is told at once, all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.agent.chat import Chat, error, scripted
from tests.conftest import Bucket
from tests.grpo.vllm_server import Served
from tests.small import Small
from tests.trainer_server import Cluster
from tests.trainings import Learnable
from unidoc_rl import prerequisites, s3
from unidoc_rl.cluster import GPU, GPUS
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import Params
from unidoc_rl.types import Split


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize("judge", ["", "mmlongbench+"])
def test_a_judge_that_is_a_model_is_asked_for(judge: str) -> None:
    with servers.closed_port() as port:
        (said,) = missing(Params.model_validate({"rewards": {"judge": f"{judge}http://127.0.0.1:{port}/v1#model"}}))
    assert f" http://127.0.0.1:{port}/v1 refuses connections: start it; or change rewards.judge in params.yaml" in said


def missing(params: Params, asked: Path | None = None, seconds: float = 3, **more: Path) -> list[str]:
    with pytest.raises(UnidocError) as caught:
        prerequisites.check(params, asked, seconds, **more)
    return str(caught.value).splitlines()


def test_where_everything_is_there_nothing_is_said(small: Small, tmp_path: Path) -> None:
    with servers.http_server({"/health": 200}) as server, Chat().running() as chat:
        params = {
            "sft": {"model": str(tmp_path)},
            "rewards": {"judge": f"{chat.url}#judge"},
            "services": {"mlflow": server.url, "endpoint": chat.url},
        }
        prerequisites.check(Params.model_validate(params), small.file(Split.TEST).parent)
    assert (server.asked, chat.listed) == (["/health"], 2)
    assert [(one["model"], one["max_tokens"]) for one in chat.asked] == [("judge", 1)]


def test_a_model_that_its_server_does_not_have_is_told() -> None:
    with scripted(error(404, "The model `8B` does not exist")).running() as chat:
        (said,) = missing(Params.model_validate({"curate": {"teacher": f"{chat.url}#8B"}}))
    assert said.startswith(f"curate.teacher: endpoint {chat.url}: has no model 8B")


def test_a_model_on_s3_must_be_whole_and_is_none_that_a_weak_policy_plays_from(bucket: Bucket, tmp_path: Path) -> None:
    address = f"{bucket.uri}/model"
    begun = Params.model_validate({"sft": {"model": address}})
    for key in ("models/COMPLETE.json", "model/config.json"):
        bucket.put(key)
        (said,) = missing(begun)
        assert said.startswith(
            f"sft.model: {address} is no folder here, and cannot be had ({address}: holds no COMPLETE"
        )
    bucket.delete("model/config.json")
    s3.push(tmp_path, address)
    prerequisites.check(begun)
    (said,) = missing(Params.model_validate({"curate": {"weak": address}}))
    assert said.startswith(f"curate.weak: {address} is no folder here")


def test_a_server_that_plays_for_a_training_must_take_weights_and_be_there_for_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (said,) = missing(Params.model_validate({"grpo": {"server": "rollouts:8000/v1"}}))
    assert said.startswith("grpo.server: endpoint rollouts:8000/v1: not an address of a server")
    with servers.http_server({"/v1/models": 200}) as server:
        params = Params.model_validate({"grpo": {"server": f"{server.url}/v1"}})
        (said,) = missing(params)
        assert said.startswith(
            f"grpo.server: endpoint {server.url}/v1: has no /weight_info, which VLLM_SERVER_DEV_MODE=1"
        )
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        assert any("set pipeline.nodes, or no server" in line for line in missing(params))


def test_a_server_that_plays_and_is_started_without_a_flag_is_told(learnable: Learnable) -> None:
    with Served(learnable.model).running() as served:
        params = Params.model_validate({"grpo": {"server": served.url}})
        prerequisites.check(params)
        served.processed = False
        (said,) = missing(params)
    assert said.startswith(f"grpo.server: endpoint {served.url}: tells other chances than it draws with; start it with")


def test_what_only_several_processes_can_do_is_told_where_there_is_one() -> None:
    sections: dict[str, dict[str, object]] = {"sft": {"deepspeed": "zero3"}, "pipeline": {"gpus": 1}}
    (said,) = missing(Params.model_validate(sections))
    assert said.startswith("sft.deepspeed: zero3 is for several processes")
    prerequisites.check(Params.model_validate({**sections, "pipeline": {"gpus": 8}}))


def test_all_that_is_missing_is_told_at_once(small: Small, tmp_path: Path) -> None:
    for split in Split:
        (tmp_path / f"{split}.json").write_bytes(small.file(split).read_bytes())
    (tmp_path / "validation.json").unlink()
    (tmp_path / "test.json").write_text("[]")
    with servers.closed_port() as port:
        params = {
            "sft": {"model": "/no/such/model"},
            "rewards": {"judge": f"http://127.0.0.1:{port}/v1"},
            "services": {"mlflow": f"http://127.0.0.1:{port}"},
        }
        said = missing(Params.model_validate(params), tmp_path)
    wanted = (
        "services.mlflow",
        "sft.model: /no/such/model is no folder",
        "rewards.judge",
        "test.json: holds no question",
    )
    assert all(any(one in line for line in said) for one in (*wanted, "validation.json"))
    assert len(said) == 5


def test_questions_may_be_missing_where_a_teacher_writes_them(small: Small, tmp_path: Path) -> None:
    with Chat().running() as chat:
        taught = Params.model_validate({"curate": {"teacher": chat.url}})
        prerequisites.check(taught, tmp_path)
        (tmp_path / "train.json").write_bytes(small.file(Split.TRAIN).read_bytes())
        said = missing(taught, tmp_path)
    assert [any(f"{split}.json" in line for line in said) for split in Split] == [False, True, True]


def test_a_kubeflow_that_only_a_person_can_reach_does_not_matter_to_a_task() -> None:
    with servers.closed_port() as port:
        prerequisites.check(Params.model_validate({"services": {"kfp": f"http://127.0.0.1:{port}"}}))


def test_nodes_that_cannot_be_had_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    (said,) = missing(Params.model_validate({"pipeline": {"nodes": 2}}))
    assert said.startswith("pipeline.nodes: no cluster can be asked from here")


@pytest.fixture
def in_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    with Cluster().running() as cluster:
        cluster.write_config(tmp_path / "config")
        yield cluster


def on_gpus(tracking: str, **settings: int) -> Params:
    return Params.model_validate({"pipeline": settings, "services": {"mlflow": tracking}})


def quota(used: int = 0, **spec: object) -> dict[str, object]:
    return {"spec": spec, "status": {"used": {GPUS: str(used)}}}


def pod(name: str, gpus: int, restarts: str = "Always", phase: str = "Running") -> dict[str, object]:
    wanted = {"requests": {GPU: str(gpus)}} if gpus else {}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "one", "resources": wanted}, {"name": "two"}], "restartPolicy": restarts},
        "status": {"phase": phase},
    }


def test_gpus_beyond_the_quota_are_told_before_a_pod_waits_for_them(in_a_cluster: Cluster, tmp_path: Path) -> None:
    of_some = quota(hard={GPUS: "1"}, scopes=["BestEffort"])
    in_a_cluster.quotas = [quota(hard={"pods": "5"}), quota(hard={GPUS: "8", "pods": "100"}), of_some]
    with servers.http_server({"/health": 200}) as server:
        prerequisites.check(on_gpus(server.url, gpus=8))
        prerequisites.check(on_gpus(server.url, nodes=4), shared=tmp_path)
        (said,) = missing(on_gpus(server.url, gpus=4, nodes=4), shared=tmp_path)
        assert said.startswith("pipeline.gpus: 16 are needed at once (4 on each of 4), and a quota")
        in_a_cluster.quotas = []
        prerequisites.check(on_gpus(server.url, gpus=16))
        in_a_cluster.rights -= {("list", "resourcequotas")}
        (said,) = missing(on_gpus(server.url, gpus=1))
        assert "403" in said
        assert "Role unidoc-rl-task" in said


def test_gpus_that_servers_keep_are_not_there_and_those_of_work_that_ends_are_waited_for(
    in_a_cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    in_a_cluster.quotas = [quota(hard={GPUS: "8"}, used=6)]
    in_a_cluster.others = [
        pod("vllm", 2),
        pod("gone", 4, phase="Failed"),  # which the quota does not count
        pod("training", 4, restarts="Never"),
        pod("milvus", 0),
    ]
    with servers.http_server({"/health": 200}) as server:
        prerequisites.check(on_gpus(server.url, gpus=2))
        assert capsys.readouterr().err == ""
        prerequisites.check(on_gpus(server.url, gpus=6))
        assert "6 of the 8 that a quota of the namespace allows are used now" in capsys.readouterr().err
        (said,) = missing(on_gpus(server.url, gpus=7))
        assert (
            "7 are needed at once (7 on each of 1), and a quota of the namespace allows 8, of which vllm keeps 2;"
            in said
        )


def test_a_volume_that_a_task_cannot_write_to_is_told(in_a_cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "shared").touch()
    with servers.http_server({"/health": 200}) as server:
        (said,) = missing(on_gpus(server.url, nodes=2), shared=tmp_path / "shared")
    assert f"{tmp_path}/shared cannot be written to (Not a directory): it is the volume of manifests/" in said


def test_a_cluster_that_is_silent_is_told_in_seconds(in_a_cluster: Cluster, tmp_path: Path) -> None:
    with servers.silent_server() as port, servers.http_server({"/health": 200}) as server:
        in_a_cluster.url = f"http://127.0.0.1:{port}"
        in_a_cluster.write_config(tmp_path / "config")
        of_nodes, of_gpus = missing(on_gpus(server.url, gpus=1, nodes=2), seconds=0.2, shared=tmp_path)
    assert of_nodes.startswith(
        "pipeline.nodes: looking for the TrainingRuntime unidoc-rl: the cluster has not answered"
    )
    assert of_gpus.startswith("pipeline.gpus: looking for the quotas of the namespace: the cluster has not answered")


def test_what_a_pod_would_lose_is_told_in_a_pod_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Params.model_validate({"services": {"mlflow": "sqlite:///mlflow.db"}})
    for params in (Params(), database):
        prerequisites.check(params)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    (said,) = missing(Params())
    assert said.startswith("services.mlflow: names none")
    (said,) = missing(database)
    assert said.startswith("services.mlflow: sqlite:///mlflow.db is lost with its task's pod")
