"""Versions of the pipelines on the server, and their runs.

Whatever is to be made is looked for first, and looked for again where making it did not answer well: so two who submit
at once, or one who does it again after a lost connection, find one and the same version. A run is a new one each time:
where it cannot be seen whether it has begun, the error names it.
"""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api as kfp

from pipelines.compile import write
from pipelines.pipeline import FOLDERS
from pipelines.server import Conflict, Server
from pipelines.version import commit, version
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.mlflow_server import EXPERIMENT
from unidoc_rl.params import Params, of_a_run
from unidoc_rl.prerequisites import lost_with_a_pod

CLUSTER_READS = ("s3://", "gs://", "minio://", "oci://")
ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
POLL_SECONDS = 10.0
LOST_TRIES = 30  # at asking how a run is doing, one after the other


@dataclass(frozen=True, slots=True)
class Submitted:
    version: str
    uploaded: bool  # now, and not before
    run: str
    page: str


def submit(params: Params, pipeline: str, arguments: dict[str, str], server: Server) -> Submitted:
    """Starts a run of this checkout's version, with these parameters. `arguments`: of the pipeline, by their names."""
    for key, address in ((key, arguments[key]) for key in FOLDERS if key in arguments):
        if not address.startswith(CLUSTER_READS):
            raise UnidocError(f"--{key} {address}: the cluster cannot read it; put it where it can: s3://bucket/prefix")
    run = of_a_run(params.said(), arguments.get("model", ""), arguments.get("profile", ""))
    if lost := [*lost_with_a_pod(run)]:
        raise UnidocError("\n".join(lost))
    name = version(params)
    with tempfile.TemporaryDirectory() as folder:
        package = write(Path(folder), params, commit())[pipeline]
        return start(server, pipeline, name, package, arguments)


def start(server: Server, pipeline: str, name: str, package: Path, arguments: dict[str, str]) -> Submitted:
    """A run of the version with this name, which `package` is, where the server has it not yet."""
    pipeline_id, _ = _found_or_made(lambda: _pipeline(server, pipeline), lambda: _make_pipeline(server, pipeline))
    version_id, uploaded = _found_or_made(
        lambda: _version(server, pipeline_id, name), lambda: _upload(server, pipeline_id, name, package)
    )
    experiment_id, _ = _found_or_made(lambda: _experiment(server), lambda: _make_experiment(server))
    called = f"{pipeline} {name} {uuid.uuid4().hex[:8]}"
    run = kfp.V2beta1Run(
        display_name=called,
        experiment_id=experiment_id,
        service_account=server.service_account,
        pipeline_version_reference=kfp.V2beta1PipelineVersionReference(
            pipeline_id=pipeline_id, pipeline_version_id=version_id
        ),
        runtime_config=kfp.V2beta1RuntimeConfig(parameters=arguments),
    )
    try:
        run_id, _ = _found_or_made(
            lambda: _run(server, experiment_id, called),
            lambda: server.call("runs", "run_service_create_run", "starting the run", run=run).run_id,
        )
    except Away as error:
        raise Away(f"{error}; but first look at {server.pages()} for the run {called}: it may have begun") from error
    return Submitted(name, uploaded, run_id, server.page(run_id))


def _found_or_made(find: Callable[[], str | None], make: Callable[[], str]) -> tuple[str, bool]:
    """Its id, and whether it was made now."""
    if found := find():
        return found, False
    try:
        return make(), True
    except (Conflict, Away) as error:
        if found := find():  # made by another one at the same time, or by us though its answer was lost
            return found, isinstance(error, Away)
        raise


def _named(name: str) -> str:
    """The API's filter for one name."""
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _space(server: Server) -> dict[str, str]:
    return {"namespace": server.namespace} if server.namespace else {}


def _pipeline(server: Server, name: str) -> str | None:
    doing = f"looking for the pipeline {name}"
    method = "pipeline_service_list_pipelines"
    found = server.call("pipelines", method, doing, filter=_named(name), **_space(server)).pipelines
    return found[0].pipeline_id if found else None


def _make_pipeline(server: Server, name: str) -> str:
    new = kfp.V2beta1Pipeline(display_name=name, name=name, **_space(server))
    doing = f"making the pipeline {name}"
    return str(server.call("pipelines", "pipeline_service_create_pipeline", doing, pipeline=new).pipeline_id)


def _versions(server: Server, pipeline_id: str, **which: str) -> Iterator[Any]:
    method, doing = "pipeline_service_list_pipeline_versions", "looking for versions"
    token = ""
    while True:
        found = server.call("pipelines", method, doing, pipeline_id, page_size=100, page_token=token, **which)
        yield from found.pipeline_versions or ()
        token = found.next_page_token
        if not token:
            return


def _version(server: Server, pipeline_id: str, name: str) -> str | None:
    return next((one.pipeline_version_id for one in _versions(server, pipeline_id, filter=_named(name))), None)


def _upload(server: Server, pipeline_id: str, name: str, package: Path) -> str:
    method, doing = "upload_pipeline_version", f"uploading version {name}"
    made = server.call("pipeline_uploads", method, doing, str(package), name=name, pipelineid=pipeline_id)
    return str(made.pipeline_version_id)


def _experiment(server: Server) -> str | None:
    doing = f"looking for the experiment {EXPERIMENT}"
    method = "experiment_service_list_experiments"
    found = server.call("experiments", method, doing, filter=_named(EXPERIMENT), **_space(server)).experiments
    return found[0].experiment_id if found else None


def _make_experiment(server: Server) -> str:
    new = kfp.V2beta1Experiment(display_name=EXPERIMENT, **_space(server))
    doing = f"making the experiment {EXPERIMENT}"
    return str(server.call("experiments", "experiment_service_create_experiment", doing, experiment=new).experiment_id)


def _run(server: Server, experiment_id: str, name: str) -> str | None:
    found = server.call(
        "runs", "run_service_list_runs", "looking for the run", experiment_id=experiment_id, filter=_named(name)
    ).runs
    return found[0].run_id if found else None


@dataclass(frozen=True, slots=True)
class Kept:
    name: str
    created: str
    pipeline: str


def versions(server: Server, pipeline: str) -> Iterator[Kept]:
    """Those of a pipeline that the server has, newest first."""
    pipeline_id = _pipeline(server, pipeline)
    if pipeline_id:
        for one in _versions(server, pipeline_id, sort_by="created_at desc"):
            yield Kept(one.display_name, f"{one.created_at:%Y-%m-%d %H:%M}", pipeline)


# --- how a run is doing ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Doing:
    """A run, or one of its tasks."""

    name: str
    state: str
    error: str = ""

    def line(self) -> str:
        return f"{self.state.lower():<10} {self.name}{f': {self.error}' if self.error else ''}"


def status(server: Server, run: str) -> tuple[Doing, list[Doing]]:
    """A run and its tasks, in the order in which they began."""
    found = server.call("runs", "run_service_get_run", f"asking for run {run}", run)
    details = found.run_details.task_details if found.run_details else None
    tasks = sorted(details or (), key=lambda one: str(one.start_time or "9"))
    return _doing(found), [_doing(task) for task in tasks if task.state]


def _doing(thing: Any) -> Doing:
    error = thing.error.message if thing.error else ""
    return Doing(thing.display_name, thing.state or "PENDING", " ".join((error or "").split()))


def follow(
    server: Server, run: str, tell: Callable[[Doing], object], sleep: Callable[[float], object] = time.sleep
) -> None:
    """Waits until a run has ended, and tells of every task that changes; raises unless all of it worked.

    A server that is away for some minutes meanwhile is asked again.
    """
    told: set[Doing] = set()
    whole: Doing | None = None
    lost = 0
    while True:
        try:
            whole, tasks = status(server, run)
        except UnidocError as error:
            lost += 1
            if isinstance(error, Away) and lost < LOST_TRIES:
                sleep(POLL_SECONDS)
                continue
            if whole is None:
                raise
            raise UnidocError(f"{error}; the run goes on: unidoc pipeline status {run} --wait") from error
        lost = 0
        for task in tasks:
            if task not in told:
                tell(task)
                told.add(task)
        if whole.state in ENDED:
            break
        sleep(POLL_SECONDS)
    if whole.state == "CANCELED":
        raise UnidocError(f"run {run} was cancelled; see {server.page(run)}, and submit again")
    if whole.state != "SUCCEEDED":
        failed = "; ".join(f"{task.name}: {task.error or 'see its log'}" for task in tasks if task.state == "FAILED")
        raise UnidocError(f"run {run} has {whole.state.lower()} ({failed or whole.error}); see {server.page(run)}")
