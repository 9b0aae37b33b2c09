"""The stages as two Kubeflow pipelines: over one's own documents, and over the demonstration world.

Two, and not one with a condition: Kubeflow's local runner cannot hand on an artifact that comes from one of two
branches. What follows on the documents is written once, in `_stages`.

    KFP:     submit pipelines/unidoc-rl.yaml with `documents`, for example s3://bucket/reports
    laptop:  kfp.local.init(runner=local.SubprocessRunner(use_venv=False)); unidoc_rl(documents="my/pdfs")
"""

from kfp import dsl

from components.index.component import index
from components.ingest.component import ingest
from components.sample.component import sample


def _stages(documents: dsl.Dataset, params: str, may_have_changed: bool) -> None:
    pages = ingest(documents=documents, params=params)
    # Kubeflow tells inputs apart by their address, and would not see a new document in the same folder.
    pages.set_caching_options(not may_have_changed)
    index(corpus=pages.outputs["corpus"], params=params)


@dsl.pipeline(name="unidoc-rl")  # type: ignore[untyped-decorator]  # kfp has no types
def unidoc_rl(documents: str, params: str = "{}") -> None:
    """From your own documents: the address of a folder that Kubeflow can read. `params` is params.yaml as JSON."""
    given = dsl.importer(artifact_uri=documents, artifact_class=dsl.Dataset)
    given.set_display_name("documents")
    _stages(given.output, params, may_have_changed=True)


@dsl.pipeline(name="unidoc-rl-demo")  # type: ignore[untyped-decorator]  # kfp has no types
def unidoc_rl_demo(params: str = "{}") -> None:
    """From the demonstration world, which the first stage makes. `params` is params.yaml as JSON."""
    made = sample(params=params)
    _stages(made.outputs["documents"], params, may_have_changed=False)


PIPELINES = (unidoc_rl, unidoc_rl_demo)
