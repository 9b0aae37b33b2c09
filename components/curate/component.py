"""Questions to trajectories that are worth learning from. By one task; or by several, and one that collects theirs."""

from typing import List, Optional  # noqa: UP035  # kfp's

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
    parts: Optional[dsl.Input[List[dsl.Dataset]]] = None,  # noqa: UP006, UP045  # kfp's
) -> None:
    """`params` is params.yaml as one JSON text; `parts` are of the shards, where there are some.

    Beside the trajectories stand the validation.json and test.json of the questions. Where there is no train.json, the
    teacher that `params` names writes what is missing. The task fails if more questions cannot be played than `params`
    allows.
    """
    import shutil
    from pathlib import Path

    from unidoc_rl.curate.card import FILE
    from unidoc_rl.curate.stage import curate
    from unidoc_rl.errors import UnidocError
    from unidoc_rl.params import from_json

    settings, there = from_json(params), [part.path for part in parts or ()]
    made = curate(Path(questions.path), corpus.path, index.path, trajectories.path, settings, parts=there)
    for name, count in {"sft": made.sft, "rl": made.rl, "played": made.played, **made.rejected}.items():
        metrics.log_metric(name, count)
    shutil.copy(Path(trajectories.path) / FILE, card.path)
    if len(made.left_out) > settings.curate.may_leave_out:
        raise UnidocError(
            f"{len(made.left_out)} questions cannot be played: see report.json; curate.may_leave_out allows it"
        )


@component
def curate_shard(
    questions: dsl.Input[dsl.Dataset],
    corpus: dsl.Input[dsl.Dataset],
    index: dsl.Input[dsl.Artifact],
    place: int,
    of: int,
    profile: str,
    params: str,
    part: dsl.Output[dsl.Dataset],
) -> None:
    """The shard in this place, from 1, of so many. How many may be unplayable is asked of all together."""
    from pathlib import Path

    from unidoc_rl.curate.stage import curate
    from unidoc_rl.params import of_a_run
    from unidoc_rl.shards import Shard

    settings, shard = of_a_run(params, profile=profile), Shard(place, of)
    curate(Path(questions.path), corpus.path, index.path, part.path, settings, shard=shard)
