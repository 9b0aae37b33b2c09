"""Questions to trajectories that are worth learning from."""

from kfp import dsl

from components.base import component


@component
def curate(
    questions: dsl.Input[dsl.Dataset],
    corpus: dsl.Input[dsl.Dataset],
    index: dsl.Input[dsl.Artifact],
    params: str,
    trajectories: dsl.Output[dsl.Dataset],
) -> None:
    """`params` is params.yaml as one JSON text; of the questions, train.json is taken."""
    from pathlib import Path

    from unidoc_rl.curate.stage import curate
    from unidoc_rl.params import from_json

    curate(Path(questions.path) / "train.json", corpus.path, index.path, trajectories.path, from_json(params))
