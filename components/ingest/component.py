"""Documents to pages: pictures, words with boxes, regions. By one task; or by several, and one that takes theirs."""

from typing import List, Optional  # noqa: UP035  # kfp's

from kfp import dsl

from components.base import component


@component
def ingest(
    documents: dsl.Input[dsl.Dataset],
    params: str,
    corpus: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    parts: Optional[dsl.Input[List[dsl.Dataset]]] = None,  # noqa: UP006, UP045  # kfp's
) -> None:
    """`params` is params.yaml as one JSON text; `parts` are of the shards, where there are some.

    The task fails if more files were left out than `params` allows.
    """
    from unidoc_rl.errors import UnidocError
    from unidoc_rl.ingest.stage import ingest
    from unidoc_rl.params import from_json
    from unidoc_rl.plural import counted

    settings, taken_over = from_json(params), [part.path for part in parts or ()]
    made = ingest(documents.path, corpus.path, settings.ingest, parts=taken_over, services=settings.services)
    for name, count in made.items():
        metrics.log_metric(name, count)
    if made["left_out"] > (may := settings.ingest.may_leave_out):
        raise UnidocError(
            f"{counted(made['left_out'], 'file')} left out, ingest.may_leave_out is {may}: see report.json"
        )


@component
def ingest_shard(
    documents: dsl.Input[dsl.Dataset], place: int, of: int, profile: str, params: str, corpus: dsl.Output[dsl.Dataset]
) -> None:
    """The shard in this place, from 1, of so many. How much may be left out is asked of all together."""
    from unidoc_rl.ingest.stage import ingest
    from unidoc_rl.params import of_a_run
    from unidoc_rl.shards import Shard

    ingest(documents.path, corpus.path, of_a_run(params, profile=profile).ingest, shard=Shard(place, of))
