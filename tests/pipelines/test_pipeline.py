"""The Kubeflow pipelines: as committed, and run for real by Kubeflow's local runner."""

from __future__ import annotations

import builtins
import functools
import json
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from kfp import dsl

from components.grpo.component import grpo
from components.ingest.component import ingest
from components.promote.component import promote
from components.report.component import report
from components.sample.component import sample
from components.sft.component import sft
from pipelines import compile as compile_pipelines
from pipelines.local import run
from pipelines.pipeline import DEMO, OWN
from tests.agent.models import write_policy
from tests.promote.test_stage import policy, right
from tests.trainings import Learnable
from unidoc_rl import mlflow_server, tracking, trainjob
from unidoc_rl.cli import cli
from unidoc_rl.errors import UnidocError
from unidoc_rl.mlflow_server import PARENT
from unidoc_rl.params import AgentParams, IndexParams, Params, PipelineParams, SftParams, from_json, of_a_run
from unidoc_rl.pipeline_run import begin
from unidoc_rl.trained import note

# A teacher must be able to say its turns.
AGENT = AgentParams(turns=2, turn_tokens=96, min_pixels=28 * 28, max_pixels=20 * 28 * 28)
SMALL: dict[str, dict[str, Any]] = {
    "sample": {"documents": 10, "seed": 3},
    "ingest": {"dpi": 60, "ocr": False, "layout": False},
    "index": {"retrievers": ["bm25"]},
    "curate": {"attempts": 1},
    "sft": {"epochs": 0.1, "batch": 1, "together": 1},
    "grpo": {"steps": 1, "questions": 1, "group": 2, "together": 2},
    "agent": AGENT.model_dump() | {"turns": 10},
}


def as_json(**ingest_changes: int) -> str:
    return json.dumps({**SMALL, "ingest": {**SMALL["ingest"], **ingest_changes}})


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Parameters of a run from end to end, with a model of the real class at a tiny size."""
    model = write_policy(tmp_path_factory.mktemp("model"), AGENT, "qwen2_5_vl")
    return json.dumps({**SMALL, "sft": {**SMALL["sft"], "model": str(model)}, "pipeline": {"shards": 2}})


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten documents, made by the component's own body."""
    folder = tmp_path_factory.mktemp("sample")
    made = {name: dsl.Dataset(uri=str(folder / name)) for name in ("documents", "questions")}
    sample.python_func(params=as_json(), **made)
    assert len(list((folder / "documents").glob("*.pdf"))) == 10
    assert {"train.json", "validation.json", "test.json"} <= {path.name for path in (folder / "questions").iterdir()}
    return folder / "documents"


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a run on this machine writes, with everything else that it writes beside it."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    own = builtins.print
    yield tmp_path / "out"
    tempfile.tempdir = None
    assert builtins.print is own  # the runner changes it while tasks run


def corpus_in(root: Path) -> Path:
    (corpus,) = root.glob("*/ingest/corpus")
    return corpus


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pages_of(corpus: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(corpus / "pages.parquet").to_pylist()
    assert (corpus / "report.json").is_file()
    return rows


def test_the_committed_files_are_what_the_pipelines_compile_to(tmp_path: Path) -> None:
    names = {file.name for file in compile_pipelines.write(tmp_path, Params()).values()}
    assert names == {file.name for file in compile_pipelines.FOLDER.glob("*.yaml")}, "run `make compile`"
    for name in names:
        committed = _without_versions((compile_pipelines.FOLDER / name).read_text())
        assert _without_versions((tmp_path / name).read_text()) == committed, f"{name} has changed: run `make compile`"


def _without_versions(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.strip().startswith(("sdkVersion:", "image:"))]


def test_nothing_is_installed_when_a_task_starts() -> None:
    for file in compile_pipelines.FOLDER.glob("*.yaml"):
        assert "pip install" not in file.read_text()


Spec = dict[str, Any]


@functools.cache
def compiled(name: str = OWN, tag: str | None = None, **settings: Any) -> tuple[Spec, Spec]:
    """What a pipeline consists of, with its tasks by their names, and what Kubernetes is told of each."""
    return compiled_of(Params(pipeline=PipelineParams(**settings), sft=SftParams(seed=5)), name, tag)


def compiled_of(params: Params, name: str = OWN, tag: str | None = None) -> tuple[Spec, Spec]:
    with tempfile.TemporaryDirectory() as folder:
        written = compile_pipelines.write(Path(folder), params, tag)[name].read_text()
    spec, platform = yaml.safe_load_all(written)
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    spec["tasks"] = {task["taskInfo"]["name"]: task for task in tasks.values()}
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_new_documents_in_the_same_folder_are_not_taken_for_the_old_ones_and_training_is_training() -> None:
    def cached(name: str) -> set[str]:
        tasks = compiled(name)[0]["tasks"]
        return {task for task in tasks if tasks[task]["cachingOptions"].get("enableCache")}

    always = {"index", "curate", "evaluate"}
    assert cached(OWN) - {"documents", "questions"} == always
    assert cached(DEMO) == always | {"sample", "ingest"}


def test_of_an_index_in_milvus_the_cache_cannot_know_whether_it_is_still_there() -> None:
    spec, _ = compiled_of(Params(index=IndexParams(uri="http://milvus:19530")), DEMO)
    assert not spec["tasks"]["index"]["cachingOptions"]
    assert spec["tasks"]["ingest"]["cachingOptions"]


def test_nothing_begins_before_the_prerequisites_and_the_report_comes_after_everything() -> None:
    for name, first in ((OWN, "ingest"), (DEMO, "sample")):
        spec, _ = compiled(name)
        assert "prerequisites" in spec["tasks"][first]["dependentTasks"]
        report = spec["root"]["dag"]["tasks"]["report"]
        assert report["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"


def test_every_task_knows_the_run_that_it_belongs_to_and_the_cache_does_not() -> None:
    spec, kubernetes = compiled()
    for name in spec["deploymentSpec"]["executors"]:
        if not name.startswith("exec-importer"):
            (variable,) = kubernetes[name]["fieldPathAsEnv"]
            assert variable == {"name": "UNIDOC_RUN", "fieldPath": "metadata.labels['pipeline/runid']"}
    named = {name for name, task in spec["tasks"].items() if "run" in task.get("inputs", {}).get("parameters", {})}
    assert named == {"prerequisites"}  # which is never cached; and the report
    report = spec["root"]["dag"]["tasks"]["report"]
    assert report["inputs"]["parameters"]["run"]["runtimeValue"] == {"constant": "{{$.pipeline_job_name}}"}


@pytest.mark.parametrize(("stage", "follows"), [("ingest", "prerequisites"), ("curate", "index")])
def test_each_shard_is_a_task_and_the_stage_takes_over_what_they_have_made(stage: str, follows: str) -> None:
    tasks = compiled(shards=3)[0]["tasks"]
    shards = tasks[f"{stage}-shards"]
    assert shards["parameterIterator"]["items"]["raw"] == "[1, 2, 3]"
    assert follows in shards["dependentTasks"]
    taken_over = tasks[stage]["inputs"]["artifacts"]["parts"]["taskOutputArtifact"]
    assert taken_over["producerTask"].startswith("for-loop")
    assert f"{stage}-shards" not in compiled()[0]["tasks"]


def test_shards_play_on_gpus_and_who_collects_their_parts_needs_none() -> None:
    executors = compiled(shards=3, gpus=2)[0]["deploymentSpec"]["executors"]
    resources = {name: executors[f"exec-{name}"]["container"]["resources"] for name in ("curate-shard", "curate")}
    assert [name for name, told in resources.items() if "accelerator" in told] == ["curate-shard"]


def test_what_kubernetes_is_told_has_no_field_that_the_oldest_release_does_not_know() -> None:
    """It would take none of it then, no key and no volume, and say nothing."""
    for file in compile_pipelines.FOLDER.glob("*.yaml"):
        _, platform = yaml.safe_load_all(file.read_text())
        assert {*platform["platforms"]["kubernetes"]} == {"deploymentSpec"}


def test_a_run_has_the_parameters_that_it_was_compiled_with() -> None:
    inputs = compiled()[0]["root"]["inputDefinitions"]["parameters"]
    assert {*inputs} == {"documents", "questions", "model", "profile", "params"}
    assert from_json(inputs["params"]["defaultValue"]).sft.seed == 5


def test_tasks_that_train_and_play_have_the_gpus_of_the_parameters() -> None:
    spec, kubernetes = compiled(tag="abc", registry="registry/team", gpus=4, memory="64Gi")
    for name, task in spec["deploymentSpec"]["executors"].items():
        if name.startswith("exec-importer"):
            continue
        container, told = task["container"], kubernetes[name]
        on_gpus = name.removeprefix("exec-") in {"curate", "sft", "grpo", "evaluate"}
        assert container["image"] == f"registry/team/unidoc-rl-{'gpu' if on_gpus else 'cpu'}:abc"
        assert container["resources"]["resourceMemoryLimit"] == "64Gi"
        learns = name.removeprefix("exec-") in {"sft", "grpo"}  # one model that plays is on one GPU
        count = container["resources"].get("accelerator", {}).get("resourceCount")
        assert count == ({True: "4", False: "1"}[learns] if on_gpus else None)
        assert ("nvidia.com/gpu" in [one["key"] for one in told.get("tolerations", [])]) == on_gpus
        assert ("/dev/shm" in [one["mountPath"] for one in told.get("emptyDirMounts", [])]) == on_gpus


@pytest.mark.parametrize(
    ("settings", "asked"),
    [({}, {"2Gi"}), ({"memory": "512Mi"}, {"512Mi"}), ({"memory": "160Gi", "nodes": 2, "gpus": 8}, {"2Gi"})],
)
def test_a_task_begins_where_little_memory_is_free(settings: dict[str, Any], asked: set[str]) -> None:
    assert set(requested(**settings).values()) == asked


def test_what_trains_on_gpus_has_its_memory_for_itself() -> None:
    memory = requested(memory="160Gi", gpus=8)
    assert {name for name, asked in memory.items() if asked == "160Gi"} == {"exec-sft", "exec-grpo"}


def requested(**settings: Any) -> dict[str, str]:
    executors = compiled(**settings)[0]["deploymentSpec"]["executors"]
    return {
        name: task["container"]["resources"]["resourceMemoryRequest"]
        for name, task in executors.items()
        if not name.startswith("exec-importer")
    }


def test_what_makes_multi_vectors_of_pictures_has_a_gpu() -> None:
    assert (
        "accelerator" not in compiled(gpus=4)[0]["deploymentSpec"]["executors"]["exec-index"]["container"]["resources"]
    )
    params = Params(pipeline=PipelineParams(gpus=4), index=IndexParams(retrievers=["late"], late_encoder="a/b"))
    spec, _ = compiled_of(params)
    container = spec["deploymentSpec"]["executors"]["exec-index"]["container"]
    assert container["resources"]["accelerator"]["resourceCount"] == "1"
    assert "unidoc-rl-gpu" in container["image"]


@pytest.mark.parametrize(("nodes", "kept"), [(0, set()), (2, {"curate", "sft", "grpo", "evaluate"})])
def test_what_is_tried_again_is_what_a_moment_may_break(nodes: int, kept: set[str]) -> None:
    """Not the prerequisites, which fail at once, nor what would begin from nothing."""
    spec, _ = compiled(nodes=nodes)
    tasks = {**spec["tasks"], "report": spec["root"]["dag"]["tasks"]["report"]}
    policies = {name: task["retryPolicy"] for name, task in tasks.items() if "retryPolicy" in task}
    assert policies.keys() == {"index", "promote", "report"} | kept
    week = 7 * 24 * 3600  # longer than any training may take
    assert {policy["backoffMaxDuration"] for policy in policies.values()} == {f"{week}s"}


def test_tasks_that_train_on_other_nodes_share_a_volume_with_them_and_need_no_gpu() -> None:
    spec, kubernetes = compiled(tag="abc", gpus=4, nodes=2)
    for name in ("sft", "grpo"):
        container = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        assert container["image"] == "unidoc-rl-cpu:abc"
        assert container["env"] == [{"name": "UNIDOC_IMAGE", "value": "unidoc-rl-gpu:abc"}]
        assert "accelerator" not in container["resources"]
    for name in ("prerequisites", "curate", "sft", "grpo", "evaluate"):  # the first looks whether they can write to it
        (volume,) = kubernetes[f"exec-{name}"]["pvcMount"]
        assert (volume["constant"], volume["mountPath"]) == ("unidoc-rl-shared", "/shared")
    for name in ("curate", "evaluate"):
        container = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        assert container["env"] == [{"name": "UNIDOC_CACHE", "value": "/shared/cache"}]


@pytest.mark.parametrize("stage", ["sft", "grpo"])
@pytest.mark.parametrize(("by", "pipeline"), [("train", {"nodes": 2, "gpus": 4}), ("here", {"gpus": 4})])
def test_a_component_gives_many_processes_the_command_that_the_stage_is(
    stage: str,
    by: str,
    pipeline: dict[str, int],
    learnable: Learnable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each argument is one that the command knows, and each folder one that is sent along."""
    asked: list[tuple[list[str], dict[str, str]]] = []

    def learn(_: str, arguments: list[str], inputs: dict[str, str], *more: Any) -> None:
        out, params = more[-2:]
        asked.append((arguments, inputs))
        Path(out).mkdir()
        note(Path(out), stage, params, {"loss": 0.5}, begun_with="nano", history=[])

    monkeypatch.setattr(trainjob, by, learn)
    there = {"trajectories": learnable.folder, "corpus": learnable.corpus}
    there |= {"index": learnable.index, "sft": learnable.model} if stage == "grpo" else {}
    folders = {name: dsl.Artifact(uri=str(place)) for name, place in {**there, stage: tmp_path / stage}.items()}
    shown = {"metrics": dsl.Metrics(uri=str(tmp_path / "metrics")), "card": dsl.Markdown(uri=str(tmp_path / "card"))}
    {"sft": sft, "grpo": grpo}[stage].python_func(**folders, **shown, params=json.dumps({"pipeline": pipeline}))
    assert shown["metrics"].metadata["loss"] == 0.5
    ((arguments, inputs),) = asked
    assert inputs == {name: str(place) for name, place in there.items()}
    command = [argument.format_map(inputs) for argument in arguments] + ["--out", str(tmp_path / stage)]
    given = cli.commands[stage].make_context(stage, command).params
    assert {str(value) for value in given.values() if value} >= {
        inputs[name] for name in inputs if name != "trajectories"
    }


def test_every_task_has_the_keys_by_reference() -> None:
    spec, kubernetes = compiled()
    for name in spec["deploymentSpec"]["executors"]:
        if not name.startswith("exec-importer"):
            (secret,) = kubernetes[name]["secretAsEnv"]
            assert secret["secretName"] == "unidoc-rl-keys"
            assert secret["optional"]


@pytest.mark.slow
def test_a_component_fails_if_more_was_left_out_than_allowed(documents: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(next(documents.glob("*.pdf")), mine)
    (mine / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    given = {"documents": dsl.Dataset(uri=str(mine)), "metrics": dsl.Metrics(uri=str(tmp_path / "metrics"))}
    with pytest.raises(UnidocError, match=r"1 file left out, ingest.may_leave_out is 0: see report.json"):
        ingest.python_func(**given, params=as_json(), corpus=dsl.Dataset(uri=str(tmp_path / "strict")))
    corpus = dsl.Dataset(uri=str(tmp_path / "lenient"))
    ingest.python_func(**given, params=as_json(may_leave_out=1), corpus=corpus)
    assert given["metrics"].metadata["left_out"] == 1
    assert len({page["document"] for page in pages_of(Path(corpus.path))}) == 1


def repro(documents: Path, questions: Path, params: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `dvc repro` makes of them, by the commands of dvc.yaml: all that it is to keep is there."""
    (folder / "artifacts").mkdir(parents=True)
    (folder / "params.yaml").write_text(params)
    stages = yaml.safe_load((Path(__file__).parents[2] / "dvc.yaml").read_text())["stages"]
    with monkeypatch.context() as inside:
        inside.chdir(folder)
        inside.setenv("DVC_ROOT", str(folder))
        for name, stage in stages.items():
            if name != "sample":
                said = stage["cmd"].replace("${documents}", str(documents)).replace("${questions}", str(questions))
                command = shlex.split(said)
                done = CliRunner().invoke(cli, command[1:])
                assert done.exit_code == 0, (done.output, done.exception)
                outs = [one if isinstance(one, str) else next(iter(one)) for one in stage["outs"]]
                assert [one for one in outs if not Path(one).exists()] == []
    return folder / "artifacts"


def without_time(metrics: Path) -> dict[str, float]:
    told: dict[str, float] = json.loads(metrics.read_text())
    return {name: value for name, value in told.items() if name != "seconds"}


def champion_in(root: Path) -> dict[str, Any]:
    (promotion,) = root.glob("*/promote/promotion/promotion.json")
    made: dict[str, Any] = json.loads(promotion.read_text())
    return made


@pytest.mark.slow
def test_one_s_own_documents_and_questions_become_a_champion_by_the_same_numbers_as_with_dvc(
    out: Path, documents: Path, everything: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "my documents"
    shutil.copytree(documents, mine)
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    run(from_json(everything), OWN, {"documents": str(mine), "questions": str(documents.parent / "questions")}, out)
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert len({page["document"] for page in pages_of(corpus_in(out))}) == 10
    here = repro(mine, documents.parent / "questions", everything, tmp_path / "repro", monkeypatch)
    assert content(corpus_in(out)) == content(here / "corpus")
    (evaluated,) = out.glob("*/evaluate/evaluation/metrics.json")
    assert without_time(evaluated) == without_time(here / "evaluation" / "metrics.json")
    assert [len(list(out.glob(f"*/*/{stage}-shard"))) for stage in ("ingest", "curate")] == [2, 2]
    (report,) = out.glob("*/curate/trajectories/report.json")
    asked = json.loads((documents.parent / "questions" / "train.json").read_text())
    assert json.loads(report.read_text())["played"] == len(asked)
    assert champion_in(out)["champion"] == "1"
    for name in ("curate/card", "evaluate/report"):
        (page,) = out.glob(f"*/{name}")
        assert page.read_text().startswith("<!doctype html>")
    (evaluated,) = out.glob("*/evaluate")
    assert (evaluated / "report").read_bytes() == (evaluated / "evaluation/report.html").read_bytes()
    measured = json.loads((evaluated / "executor_output.json").read_text())["artifacts"]["metrics"]["artifacts"][0]
    assert measured["metadata"] == json.loads((evaluated / "evaluation/metrics.json").read_text())
    (gates,) = out.glob("*/promote/summary")
    assert "| minimum | passed |" in gates.read_text()
    for stage, figure in {"ingest": "pages", "index": "pages", "curate": "sft", "sft": "loss", "grpo": "turns"}.items():
        (counted,) = out.glob(f"*/{stage}/executor_output.json")
        assert json.loads(counted.read_text())["artifacts"]["metrics"]["artifacts"][0]["metadata"][figure] > 0
    for stage in ("sft", "grpo"):
        (card,) = out.glob(f"*/{stage}/card")
        assert f"after {stage}" in card.read_text()
    run_of, stages = told()
    assert run_of.info.run_name == next(out.iterdir()).name
    assert run_of.info.status == "FINISHED"
    assert run_of.data.metrics["accuracy"] >= 0
    played = {"questions", "corpus", "index"}
    assert stages == {
        "ingest": {"documents"},
        "index": {"corpus"},
        "curate": played,
        "sft": {"trajectories", "corpus", "model"},
        "grpo": {*played, "validation", "policy"},
        "evaluate": {*played, "grpo", "sft", "scripted"},
        "promote": {"policy", "evaluation"},
    }


@pytest.mark.slow
def test_what_would_fail_hours_later_fails_first_and_is_reported(out: Path, documents: Path, tmp_path: Path) -> None:
    asked = tmp_path / "questions"
    shutil.copytree(documents.parent / "questions", asked)
    (asked / "test.json").write_text("[]")
    with pytest.raises(UnidocError, match=r"Inner task failed: 'prerequisites'.*made lies in"):
        run(from_json(as_json()), OWN, {"documents": str(documents), "questions": str(asked)}, out)
    assert {path.name for path in out.glob("*/*")} == {"report"}
    run_of, stages = told()
    assert (run_of.info.status, stages) == ("FAILED", {})
    assert run_of.data.tags["pipeline.error"]


@pytest.mark.slow
def test_a_gate_that_is_not_passed_fails_the_task_and_a_run_that_is_cancelled_is_told_as_such(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.PIPELINE, "tuesday")
    params = json.dumps({"promote": {"minimum": 0.5}})
    taken = {"grpo": dsl.Model, "evaluation": dsl.Artifact}
    made = {"promotion": dsl.Artifact, "summary": dsl.Markdown}
    places = dict(zip(taken, policy(tmp_path, "weak", right(10)), strict=True)) | {name: out / name for name in made}
    out.mkdir()
    given = {name: kind(uri=str(places[name])) for name, kind in {**taken, **made}.items()}
    with pytest.raises(UnidocError, match=r"version 1 of .* is registered, and not promoted: minimum: accuracy 25"):
        promote.python_func(**given, params=params)
    assert "| minimum | **not passed** |" in (out / "summary").read_text()
    assert json.loads((out / "promotion/promotion.json").read_text())["champion"] == ""
    begin("tuesday", of_a_run(params, profile="paper"))
    ended = dsl.PipelineTaskFinalStatus("CANCELLED", "job", "stages", None, "by somebody")
    report.python_func(run="tuesday", params=params, status=ended)
    client, experiment = mlflow_server.opened(None)
    (whole,) = client.search_runs([experiment], "attributes.run_name = 'tuesday'")
    assert (whole.info.status, whole.data.tags["pipeline.error"]) == ("KILLED", "by somebody")
    noted = json.loads(Path(client.download_artifacts(whole.info.run_id, "params.json")).read_text())
    assert noted["grpo"]["deepspeed"] == "zero3"  # of the profile, which the last task is not told


def told() -> tuple[Any, dict[str, set[str]]]:
    """What MLflow was told of the one run of a pipeline, and of each stage below it what it was made from."""
    client, experiment = mlflow_server.opened(None)
    runs = client.search_runs([experiment])
    (whole,) = (one for one in runs if PARENT not in one.data.tags)
    assert [file.path for file in client.list_artifacts(whole.info.run_id)] == ["params.json"]
    below = [one for one in runs if one.data.tags.get(PARENT) == whole.info.run_id]
    stages = {one.info.run_name: one.inputs.dataset_inputs for one in below}
    return whole, {name: {given.dataset.name for given in inputs} for name, inputs in stages.items()}


def test_a_folder_that_is_not_there_is_named_before_anything_runs(out: Path) -> None:
    with pytest.raises(UnidocError, match="--documents nowhere: no such folder"):
        run(Params(), OWN, {"documents": "nowhere", "questions": "nowhere"}, out)
    assert not out.exists()
