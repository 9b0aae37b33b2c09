"""A policy and questions to a better policy, by its rewards."""

from kfp import dsl

from components.base import component


@component
def grpo(
    trajectories: dsl.Input[dsl.Dataset],
    corpus: dsl.Input[dsl.Dataset],
    index: dsl.Input[dsl.Artifact],
    sft: dsl.Input[dsl.Model],
    params: str,
    grpo: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    card: dsl.Output[dsl.Markdown],
) -> None:
    """`params` is params.yaml as one JSON text; rl.jsonl of the trajectories is learned from, and it is tried on
    validation.json.

    With `pipeline.nodes`, it is done there, else on this task's GPUs.
    """
    import shutil
    from pathlib import Path

    from unidoc_rl import trained, trainjob
    from unidoc_rl.grpo.stage import follows_from
    from unidoc_rl.grpo.stage import grpo as run
    from unidoc_rl.params import from_json

    settings = from_json(params)
    learned, validation = (Path(trajectories.path) / name for name in ("rl.jsonl", "validation.json"))
    if settings.pipeline.nodes or settings.pipeline.gpus > 1:
        inputs = {
            "trajectories": trajectories.path,
            "corpus": corpus.path,
            "index": index.path,
            "sft": sft.path,
        }
        arguments = ["{trajectories}/rl.jsonl", "--validation", "{trajectories}/validation.json"]
        arguments += ["--corpus", "{corpus}", "--index", "{index}", "--policy", "{sft}"]
        if settings.pipeline.nodes:
            known_by = follows_from(learned, validation, Path(corpus.path), index.path, Path(sft.path), settings)
            trainjob.train("grpo", arguments, inputs, known_by, grpo.path, settings)
        else:
            trainjob.here("grpo", arguments, inputs, grpo.path, settings)
    else:
        run(learned, validation, corpus.path, index.path, sft.path, grpo.path, settings)
    for name, value in trained.marks(Path(grpo.path), "grpo").items():
        metrics.log_metric(name, value)
    shutil.copy(Path(grpo.path) / trained.CARD, card.path)
