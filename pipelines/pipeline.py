"""The stages as two Kubeflow pipelines: over one's own documents, and over the demonstration world.

Two, and not one with a condition: Kubeflow's local runner cannot hand on an artifact that comes from one of two
branches. What follows on the documents is written once, in `_stages`.

    KFP:     submit pipelines/unidoc-rl.yaml with `documents` and `questions`, for example s3://bucket/reports
    laptop:  kfp.local.init(runner=local.SubprocessRunner(use_venv=False)); unidoc_rl(documents=…, questions=…)
"""

from kfp import dsl

from components.curate.component import curate
from components.evaluate.component import evaluate
from components.grpo.component import grpo
from components.index.component import index
from components.ingest.component import ingest
from components.promote.component import promote
from components.sample.component import sample
from components.sft.component import sft


def _stages(documents: dsl.Dataset, questions: dsl.Dataset, params: str, may_have_changed: bool) -> None:
    pages = ingest(documents=documents, params=params)
    # Kubeflow tells inputs apart by their address, and would not see a new document in the same folder.
    pages.set_caching_options(not may_have_changed)
    corpus = pages.outputs["corpus"]
    found = index(corpus=corpus, params=params).outputs["index"]
    curated = curate(questions=questions, corpus=corpus, index=found, params=params).outputs["trajectories"]
    begun = sft(trajectories=curated, corpus=corpus, params=params).outputs["sft"]
    learned = grpo(trajectories=curated, questions=questions, corpus=corpus, index=found, sft=begun, params=params)
    policy = learned.outputs["grpo"]
    shown = evaluate(questions=questions, corpus=corpus, index=found, grpo=policy, sft=begun, params=params)
    promote(grpo=policy, evaluation=shown.outputs["evaluation"], params=params)


@dsl.pipeline(name="unidoc-rl")  # type: ignore[untyped-decorator]  # kfp has no types
def unidoc_rl(documents: str, questions: str, params: str = "{}") -> None:
    """From your own documents and questions: addresses of folders that Kubeflow can read.

    `questions` holds train.json, validation.json and test.json. `params` is params.yaml as JSON.
    """
    given = dsl.importer(artifact_uri=documents, artifact_class=dsl.Dataset)
    given.set_display_name("documents")
    asked = dsl.importer(artifact_uri=questions, artifact_class=dsl.Dataset)
    asked.set_display_name("questions")
    _stages(given.output, asked.output, params, may_have_changed=True)


@dsl.pipeline(name="unidoc-rl-demo")  # type: ignore[untyped-decorator]  # kfp has no types
def unidoc_rl_demo(params: str = "{}") -> None:
    """From the demonstration world, which the first stage makes. `params` is params.yaml as JSON."""
    made = sample(params=params)
    _stages(made.outputs["documents"], made.outputs["questions"], params, may_have_changed=False)


PIPELINES = (unidoc_rl, unidoc_rl_demo)
