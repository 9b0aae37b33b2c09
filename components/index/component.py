"""Pages to what finds them."""

from kfp import dsl

from components.base import component


@component
def index(
    corpus: dsl.Input[dsl.Dataset], params: str, index: dsl.Output[dsl.Artifact], metrics: dsl.Output[dsl.Metrics]
) -> None:
    """`params` is params.yaml as one JSON text."""
    from unidoc_rl.index.stage import index as run
    from unidoc_rl.params import from_json

    settings = from_json(params)
    for name, count in run(corpus.path, index.path, settings.index, services=settings.services).items():
        metrics.log_metric(name, count)
