"""Training by many processes: on the GPUs of this task; or on nodes, as a TrainJob of Kubeflow Trainer that it watches.

The nodes cannot see the task's folders, nor it theirs. So what goes in and what comes out lies on a volume that they
share, in a folder under the job's name, which follows from the inputs. A task that is started anew, or that of a run
that is submitted again, finds its job still running, or has it go on from its last checkpoint, or takes the policy
again, which may have been lost on its way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidoc_rl import cluster, provenance, s3, storage, tracking, waited
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.params import Params, PipelineParams
from unidoc_rl.trained import marker, markers

if TYPE_CHECKING:
    from kubeflow.common.types import KubernetesBackendConfig

    from unidoc_rl.trainer_client import Client

RUNTIME = "unidoc-rl"  # of manifests/base/training.yaml
SHARED = Path("/shared")
# In a job's folder:
WAITED_FOR = "waited-for"
BEGUN = "begun"  # when its task began, for the first time
TAKEN = "taken"  # a copy of its policy
KEPT = 86_400.0  # seconds that it stays then, at least
IMAGE = "UNIDOC_IMAGE"  # the variable that has the one of the nodes
FIRST = "node-0"  # whose log is told
COMPLETE, FAILED = "Complete", "Failed"
POLL_SECONDS = 10.0
LOST_TRIES = 30  # at asking how the job is doing, one after the other


def ready(backend: KubernetesBackendConfig | None = None, seconds: float = cluster.SECONDS) -> None:
    """Raises what would keep a job from being started."""
    client = cluster.connected(backend, seconds)
    with cluster.explained(f"looking for the TrainingRuntime {RUNTIME}"):
        client.get_runtime(RUNTIME)


def train(
    stage: str,
    arguments: Sequence[str],
    inputs: Mapping[str, str],
    follows_from: str,
    out: str | Path,
    params: Params,
    *,
    shared: Path = SHARED,
    backend: KubernetesBackendConfig | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Does what `unidoc STAGE ARGUMENTS --out OUT` does, on the nodes.

    `arguments`: with {name} for the folder of that name in `inputs`. `follows_from`: what the policy is known by.
    """
    client = cluster.connected(backend)
    digest = provenance.key(os.environ.get(IMAGE, ""), follows_from)  # another image may learn otherwise
    job = f"unidoc-{stage}-{digest[:12]}"
    folder = shared / job
    if not (folder / TAKEN).exists():
        for name, source in inputs.items():
            _put(Path(source), folder / name)
        file = folder / "params.yaml"
        new = _half(file)
        new.write_text(params.model_dump_json(), encoding="utf-8")
        new.replace(file)  # which nodes may be reading that were started by another run
        there = {name: str(folder / name) for name in inputs}
        command = ["torchrun", *_work(stage, arguments, there, folder / "out", file)]
        _run(client, folder, command, params.pipeline, sleep)
        if not _has_policy(folder):
            raise UnidocError(
                f"{folder}: TrainJob {job} is complete, and no policy is there: see that its nodes have the volume, "
                "and run again"
            )
    with storage.writing(out, *markers(stage)) as output:
        shutil.copytree(folder / "out", output.new, dirs_exist_ok=True)
    (folder / TAKEN).touch()
    _remove(client, job)
    _clear(folder, inputs)


def here(stage: str, arguments: Sequence[str], inputs: Mapping[str, str], out: str | Path, params: Params) -> None:
    """Does the same on this machine, by a process for each of its GPUs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(params.model_dump_json(), encoding="utf-8")
        spread = ["--standalone", "--nproc-per-node", str(params.pipeline.gpus), "--max-restarts", "3"]
        command = ["torchrun", *spread, *_work(stage, arguments, inputs, Path(out), file)]
        status = subprocess.run(command, check=False).returncode
    if status:
        raise UnidocError(f"{stage}: its processes have ended with status {status}: what they said is above")


def _work(stage: str, arguments: Sequence[str], inputs: Mapping[str, str], out: Path, params: Path) -> list[str]:
    """What each process of torchrun is to do."""
    told = [argument.format_map(inputs) for argument in arguments]
    return ["--no-python", "unidoc", stage, *told, "--out", str(out), "--params", str(params)]


def _put(source: Path, target: Path) -> None:
    """A copy that is whole or absent, whoever else puts it there at the same time."""
    if target.exists():
        return
    half = _half(target)
    shutil.copytree(source, half)
    try:
        half.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(half)  # another run was quicker


def _half(target: Path) -> Path:
    return target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.half")


def _run(
    client: Client, folder: Path, command: list[str], settings: PipelineParams, sleep: Callable[[float], object]
) -> None:
    """The job that has this folder, to its end."""
    seconds = _left(folder, settings.hours)
    with waited.waiting(folder / WAITED_FOR):
        _started(client, folder, command, settings, seconds, sleep)
        _followed(client, folder, seconds, sleep)


def _left(folder: Path, hours: float) -> float:
    """Seconds that the job may take: less what it took before its task was tried again."""
    begun, waiting = folder / BEGUN, folder / WAITED_FOR
    if not waiting.exists() or waited.silent(waiting) > waited.PATIENCE:
        begun.touch()
    left = hours * 3600 - waited.silent(begun)
    if left <= 0:
        raise UnidocError(
            f"TrainJob {folder.name} took longer than pipeline.hours allows, with all tries at it; "
            "set that higher to go on at once, or run again in an hour"
        )
    return left


def _clear(folder: Path, inputs: Mapping[str, str]) -> None:
    """What a policy was made of; and policies that were taken long ago, by whatever run."""
    for name in inputs:
        shutil.rmtree(folder / name, ignore_errors=True)
    stage = folder.name.rpartition("-")[0]
    for note in folder.parent.glob(f"{stage}-*/{TAKEN}"):
        if note.parent != folder and waited.silent(note) > KEPT:
            shutil.rmtree(note.parent, ignore_errors=True)


def _started(
    client: Client,
    folder: Path,
    command: list[str],
    settings: PipelineParams,
    seconds: float,
    sleep: Callable[[float], object],
) -> None:
    """Unless it runs already; one that was in vain is begun again, and goes on from its last checkpoint."""
    from kubeflow.trainer import CustomTrainerContainer
    from kubeflow.trainer.options import ActiveDeadlineSeconds, Name, TrainerCommand

    job = folder.name
    status = _status_if_there(client, job)
    if (folder / TAKEN).exists():  # by another run, while this one put
        return
    if _in_vain(status, folder):
        _remove(client, job)
        while _in_vain(_status_if_there(client, job), folder):  # until its pods are gone, its name is taken
            sleep(POLL_SECONDS)
    elif status is not None:
        return
    # Another run may start the same at the same time: then this one follows that.
    with suppress(cluster.There), cluster.explained(f"starting the TrainJob {job}"):
        runtime = client.get_runtime(RUNTIME)
        resources = {"memory": settings.memory}
        if settings.gpus:
            resources[cluster.GPU] = str(settings.gpus)
        image = os.environ.get(IMAGE, runtime.trainer.image)
        given = {name: os.environ[name] for name in (tracking.PIPELINE,) if name in os.environ}
        given[s3.CACHE] = str(folder.parent / "cache")  # what a judge has said outlives node and job
        given[waited.FILE] = str(folder / WAITED_FOR)
        trainer = CustomTrainerContainer(image, num_nodes=settings.nodes, resources_per_node=resources, env=given)
        options = [Name(job), TrainerCommand(command), ActiveDeadlineSeconds(max(1, round(seconds)))]
        client.train(runtime=runtime, trainer=trainer, options=options)


def _in_vain(status: str | None, folder: Path) -> bool:
    return status == FAILED or (status == COMPLETE and not _has_policy(folder))


def _has_policy(folder: Path) -> bool:
    _, stage, _ = folder.name.split("-")
    return (folder / "out" / marker(stage)).is_file()


def _status_if_there(client: Client, job: str) -> str | None:
    try:
        with cluster.explained(f"looking for the TrainJob {job}"):
            return str(client.get_job(job).status)
    except cluster.NotThere:
        return None


def _remove(client: Client, job: str) -> None:
    with suppress(cluster.NotThere), cluster.explained(f"removing the TrainJob {job}"):
        client.delete_job(job)


def _followed(client: Client, folder: Path, seconds: float, sleep: Callable[[float], object]) -> None:
    """Tells the first node's log until the job has ended; one that takes longer is ended."""
    job = folder.name
    end = time.monotonic() + seconds
    log = _Log(client)
    lost = 0
    while True:
        try:
            with cluster.explained(f"asking for the TrainJob {job}"):
                found = client.get_job(job)
                lost = 0
                if found.status in (COMPLETE, FAILED):
                    with suppress(Away):  # its last words, if they can be had
                        log.tell(found)
                    break
                log.tell(found)
        except cluster.NotThere as error:
            if (folder / TAKEN).exists():  # by the task of another run, which waited for the same
                return
            raise UnidocError(f"TrainJob {job} has been removed, not by this task: run again to go on") from error
        except Away:
            lost += 1
            if lost == LOST_TRIES:
                raise
        if time.monotonic() > end:
            _remove(client, job)
            raise UnidocError(
                f"TrainJob {job} took longer than pipeline.hours allows, and was ended; "
                "set that higher to go on at once, or run again in an hour"
            )
        sleep(POLL_SECONDS)
    if found.status == FAILED:
        raise UnidocError(f"TrainJob {job} has failed: its log is above, `kubectl describe trainjob {job}` tells more")


class _Log:
    """The first node's. One that breaks off, ends before its pod, or has nothing to say for long, is taken up where it
    was."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told: Counter[str] = Counter()  # lines of each pod: one that was lost is followed by another
        self._ended: set[str] = set()  # pods

    def tell(self, job: Any) -> None:
        first = next((step for step in job.steps if step.name == FIRST), None)
        if first is None or first.status in (None, "Pending") or first.pod_name in self._ended:
            return
        try:
            with cluster.explained(f"reading the log of {first.pod_name}"):
                lines = self._client.get_job_logs(job.name, step=FIRST, follow=True)
                for line in islice(lines, self._told[first.pod_name], None):
                    print(line, flush=True)
                    self._told[first.pod_name] += 1
        except cluster.NotThere:  # the pod, in whose place another one comes; or the job, which is seen next
            return
        if first.status != "Running":
            self._ended.add(first.pod_name)
