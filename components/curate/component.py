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
    """`params` is params.yaml as one JSON text; of the questions, train.json is taken.

    Where there is none, the teacher that `params` names writes questions. The task fails if more questions cannot be
    played than `params` allows.
    """
    from pathlib import Path

    from unidoc_rl.curate.stage import curate
    from unidoc_rl.errors import UnidocError
    from unidoc_rl.params import from_json

    settings, asked = from_json(params), Path(questions.path) / "train.json"
    given = asked if asked.exists() or settings.curate.teacher is None else None
    left_out = curate(given, corpus.path, index.path, trajectories.path, settings).left_out
    if len(left_out) > settings.curate.may_leave_out:
        raise UnidocError(
            f"{len(left_out)} questions cannot be played: see report.json; curate.may_leave_out allows it"
        )
