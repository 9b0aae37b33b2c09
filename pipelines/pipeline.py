"""The stages as two Kubeflow pipelines: over one's own documents, and over the demonstration world.

Two, and not one with a condition: Kubeflow's local runner cannot hand on an artifact that comes from one of two
branches. What follows on the documents is written once, in `_stages`.

    cluster: unidoc pipeline submit --documents s3://bucket/reports --questions s3://bucket/questions
    laptop:  unidoc pipeline run-local --documents reports --questions questions
"""

from collections.abc import Callable
from typing import Any

from kfp import dsl, kubernetes
from kubernetes.utils import parse_quantity

from components.base import image
from components.curate.component import curate, curate_shard
from components.evaluate.component import evaluate
from components.grpo.component import grpo
from components.index.component import index
from components.ingest.component import ingest, ingest_shard
from components.prerequisites.component import prerequisites
from components.promote.component import promote
from components.report.component import report
from components.sample.component import sample
from components.sft.component import sft
from unidoc_rl import s3, tracking, trainjob
from unidoc_rl.cluster import GPU
from unidoc_rl.params import Params

OWN, DEMO = "unidoc-rl", "unidoc-rl-demo"
FOLDERS = ("documents", "questions")  # the arguments that name one
KEYS = "unidoc-rl-keys"  # the secret of the namespace that has them
KEY_NAMES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",  # of keys that are lent for hours
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MILVUS_TOKEN",
    "OPENAI_API_KEY",
    "HF_TOKEN",
)
RUN = dsl.PIPELINE_JOB_NAME_PLACEHOLDER
RUN_ID = "metadata.labels['pipeline/runid']"  # where a pod has its run's; a parameter would be another one to the cache
SHARED_VOLUME = "unidoc-rl-shared"  # between a task and the nodes that train for it
MEMORY = "2Gi"  # that must be free for a task to begin; it may use more
TRIES, WAIT = 2, "60s"
AGAIN_WITHIN = "604800s"  # a week, after the first try has begun: by itself Kubeflow allows no other after an hour


class _Tasks:
    """What a task is given, for its kind."""

    def __init__(self, params: Params, tag: str | None) -> None:
        self._settings = params.pipeline
        self._encodes = "late" in params.index.retrievers
        self._milvus = params.index.uri is not None
        self._tag = tag
        self.shards = params.pipeline.shards

    def plain(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_container_image(image("cpu", self._tag, self._settings.registry))
        task.set_memory_limit(self._settings.memory)
        task.set_memory_request(min(MEMORY, self._settings.memory, key=parse_quantity))
        kubernetes.use_secret_as_env(task, KEYS, {name: name for name in KEY_NAMES}, optional=True)
        kubernetes.use_field_path_as_env(task, tracking.PIPELINE, RUN_ID)
        return task

    def always(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """What it finds, or whom it tells, may be another one by now."""
        return self.plain(task).set_caching_options(False)

    def looks_ahead(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """At all that the others will be given."""
        return self._shares(self.always(task)) if self._settings.nodes else self.always(task)

    def tries_again(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """A server that restarts is worth another try; a stage that is wrong stays wrong."""
        return task.set_retry(TRIES, backoff_duration=WAIT, backoff_max_duration=AGAIN_WITHIN)

    def indexes(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """Milvus may be away for a moment, or made anew since; multi-vectors of page images are a model's work."""
        task = self.tries_again(self.always(task) if self._milvus else self.plain(task))
        return self._on_gpus(task, 1) if self._encodes else task

    def plays(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """One model on one GPU, however many learn."""
        task = self._on_gpus(self.plain(task), 1)
        if not self._settings.nodes:
            return task
        # What a teacher, a weak policy or a judge has said outlives the pod.
        return self.tries_again(self._shares(task).set_env_variable(s3.CACHE, str(trainjob.SHARED / "cache")))

    def learns(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        """Training again gives another policy: nobody who asks for it means the old one."""
        task = self.always(task)
        if not self._settings.nodes:
            task = self._on_gpus(task, self._settings.gpus)
            # Where memory runs short, those go first that use more than they asked for.
            return task.set_memory_request(self._settings.memory) if self._settings.gpus else task
        kind = "gpu" if self._settings.gpus else "cpu"
        task.set_env_variable(trainjob.IMAGE, image(kind, self._tag, self._settings.registry))
        return self.tries_again(self._shares(task))  # it finds its job at work, or has it go on

    def _shares(self, task: dsl.PipelineTask) -> dsl.PipelineTask:
        kubernetes.mount_pvc(task, pvc_name=SHARED_VOLUME, mount_path=str(trainjob.SHARED))
        return task

    def _on_gpus(self, task: dsl.PipelineTask, count: int) -> dsl.PipelineTask:
        if not self._settings.gpus:
            return task
        task.set_container_image(image("gpu", self._tag, self._settings.registry))
        task.set_accelerator_type(GPU).set_accelerator_limit(count)
        kubernetes.add_toleration(task, key=GPU, operator="Exists", effect="NoSchedule")
        size = self._settings.shared_memory
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=size)
        return task


def _parts(tasks: _Tasks, stage: str, made: str, shard: Callable[[Any], dsl.PipelineTask]) -> dict[str, Any]:
    """What a stage collects, where it is shared out; `shard`: the task that makes one."""
    if tasks.shards == 1:
        return {}
    with dsl.ParallelFor([*range(1, tasks.shards + 1)], name=f"{stage}-shards") as place:
        part = shard(place)
    return {"parts": dsl.Collected(part.outputs[made])}


class _Run:
    """A run's parameters: whole, by the prerequisites, without which nothing begins; and as it was given them."""

    def __init__(self, ready: dsl.PipelineTask, profile: str, params: str) -> None:
        self._ready = ready
        self.params = ready.output
        self.given = {
            "profile": profile,
            "params": params,
        }  # Kubeflow's local runner takes no task's output into a loop

    def begun(self, shard: dsl.PipelineTask) -> dsl.PipelineTask:
        return shard.after(self._ready)


def _corpus(tasks: _Tasks, run: _Run, documents: dsl.Dataset, cached: bool) -> dsl.Dataset:
    def shard(place: Any) -> dsl.PipelineTask:
        part = tasks.plain(ingest_shard(documents=documents, place=place, of=tasks.shards, **run.given))
        return run.begun(part).set_caching_options(cached)

    parts = _parts(tasks, "ingest", "corpus", shard)
    pages = tasks.plain(ingest(documents=documents, params=run.params, **parts))
    return pages.set_caching_options(cached).outputs["corpus"]


def _trajectories(
    tasks: _Tasks, run: _Run, questions: dsl.Dataset, corpus: dsl.Dataset, index: dsl.Artifact
) -> dsl.Dataset:
    from_these = {"questions": questions, "corpus": corpus, "index": index}

    def shard(place: Any) -> dsl.PipelineTask:
        return tasks.plays(curate_shard(place=place, of=tasks.shards, **from_these, **run.given))

    parts = _parts(tasks, "curate", "part", shard)
    collects = tasks.plain if parts else tasks.plays
    return collects(curate(params=run.params, **from_these, **parts)).outputs["trajectories"]


def _stages(tasks: _Tasks, run: _Run, documents: dsl.Dataset, questions: dsl.Dataset, cached: bool) -> None:
    params = run.params
    corpus = _corpus(tasks, run, documents, cached)
    found = tasks.indexes(index(corpus=corpus, params=params)).outputs["index"]
    episodes = _trajectories(tasks, run, questions, corpus, found)
    begun = tasks.learns(sft(trajectories=episodes, corpus=corpus, params=params)).outputs["sft"]
    learned = grpo(trajectories=episodes, corpus=corpus, index=found, sft=begun, params=params)
    policy = tasks.learns(learned).outputs["grpo"]
    shown = tasks.plays(
        evaluate(trajectories=episodes, corpus=corpus, index=found, grpo=policy, sft=begun, params=params)
    )
    # An MLflow that is away for a moment must not cost a policy that has been learned; nothing is registered twice.
    tasks.tries_again(tasks.always(promote(grpo=policy, evaluation=shown.outputs["evaluation"], params=params)))


def pipelines(settings: Params, tag: str | None = None) -> dict[str, Any]:
    """Both, by their names, with these parameters as what a run has by default. `tag`: of the images."""
    tasks = _Tasks(settings, tag)
    given = settings.said()

    def around(params: str) -> dsl.ExitHandler:
        return dsl.ExitHandler(tasks.tries_again(tasks.always(report(run=RUN, params=params))), name="stages")

    @dsl.pipeline(name=OWN)  # type: ignore[untyped-decorator]  # kfp has no types
    def own(documents: str, questions: str, model: str = "", profile: str = "", params: str = given) -> None:
        """From your own documents and questions: addresses of folders that Kubeflow can read.

        `questions` holds train.json, validation.json and test.json; without the first, the teacher writes what is
        missing. `model` is what sft begins with, and `profile` one of profiles/, where they are named; `params` is
        params.yaml as JSON.
        """
        with around(params):
            files = dsl.importer(artifact_uri=documents, artifact_class=dsl.Dataset)
            files.set_display_name("documents")
            asked = dsl.importer(artifact_uri=questions, artifact_class=dsl.Dataset)
            asked.set_display_name("questions")
            ready = tasks.looks_ahead(
                prerequisites(run=RUN, model=model, profile=profile, params=params, questions=asked.output)
            )
            # Kubeflow tells inputs apart by their address, and would not see a new document in the same folder.
            _stages(tasks, _Run(ready, profile, params), files.output, asked.output, cached=False)

    @dsl.pipeline(name=DEMO)  # type: ignore[untyped-decorator]  # kfp has no types
    def demo(model: str = "", profile: str = "", params: str = given) -> None:
        """From the demonstration world, which the first stage makes. The parameters are as of the other pipeline."""
        with around(params):
            ready = tasks.looks_ahead(prerequisites(run=RUN, model=model, profile=profile, params=params))
            made = tasks.plain(sample(params=ready.output))
            run = _Run(ready, profile, params)
            _stages(tasks, run, made.outputs["documents"], made.outputs["questions"], cached=True)

    return {OWN: own, DEMO: demo}
