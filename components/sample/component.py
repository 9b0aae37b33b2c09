"""The demonstration world: documents, and questions about them."""

from kfp import dsl

from components.base import component


@component
def sample(params: str, documents: dsl.Output[dsl.Dataset], questions: dsl.Output[dsl.Dataset]) -> None:
    """`params` is params.yaml as one JSON text; what it leaves out is as by default."""
    from unidoc_rl.params import from_json
    from unidoc_rl.sample.stage import sample

    settings = from_json(params)
    sample(documents.path, questions.path, settings.sample, services=settings.services)
