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
    metrics: dsl.Output[dsl.Metrics],
    card: dsl.Output[dsl.HTML],
) -> None:
    """`params` is params.yaml as one JSON text; of the questions, train.json is taken.

    Where there is none, the teacher that `params` names writes questions. The task fails if more questions cannot be
    played than `params` allows.
    """
    import shutil
    from pathlib import Path

    from unidoc_rl.curate.card import FILE
    from unidoc_rl.curate.stage import curate
    from unidoc_rl.errors import UnidocError
    from unidoc_rl.params import from_json

    settings, asked = from_json(params), Path(questions.path) / "train.json"
    given = asked if asked.exists() or settings.curate.teacher is None else None
    made = curate(given, corpus.path, index.path, trajectories.path, settings)
    for name, count in {"sft": made.sft, "rl": made.rl, "played": made.played, **made.rejected}.items():
        metrics.log_metric(name, count)
    shutil.copy(Path(trajectories.path) / FILE, card.path)
    if len(made.left_out) > settings.curate.may_leave_out:
        raise UnidocError(
            f"{len(made.left_out)} questions cannot be played: see report.json; curate.may_leave_out allows it"
        )
