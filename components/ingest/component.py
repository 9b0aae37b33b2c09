"""Documents to pages: pictures, words with boxes, regions."""

from kfp import dsl

from components.base import component


@component
def ingest(documents: dsl.Input[dsl.Dataset], params: str, corpus: dsl.Output[dsl.Dataset]) -> None:
    """`params` is params.yaml as one JSON text; the task fails if more files were left out than it allows."""
    from unidoc_rl.errors import UnidocError
    from unidoc_rl.ingest.stage import ingest
    from unidoc_rl.params import from_json

    settings = from_json(params).ingest
    left_out = ingest(documents.path, corpus.path, settings)["left_out"]
    if left_out > settings.may_leave_out:
        raise UnidocError(
            f"{left_out} files left out, ingest.may_leave_out is {settings.may_leave_out}: see report.json"
        )
