"""Trajectories to a policy that imitates them."""

from kfp import dsl

from components.base import component


@component
def sft(
    trajectories: dsl.Input[dsl.Dataset],
    corpus: dsl.Input[dsl.Dataset],
    params: str,
    sft: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    card: dsl.Output[dsl.Markdown],
) -> None:
    """`params` is params.yaml as one JSON text; with `pipeline.nodes`, it is done there, else on this task's GPUs."""
    import shutil
    from pathlib import Path

    from unidoc_rl import trained, trainjob
    from unidoc_rl.params import from_json
    from unidoc_rl.sft.stage import sft as run

    settings = from_json(params)
    if settings.pipeline.nodes or settings.pipeline.gpus > 1:
        inputs = {"trajectories": trajectories.path, "corpus": corpus.path}
        arguments = ["{trajectories}/sft.jsonl", "--corpus", "{corpus}"]
        by_many = trainjob.train if settings.pipeline.nodes else trainjob.here
        by_many("sft", arguments, inputs, sft.path, settings)
    else:
        run(Path(trajectories.path) / "sft.jsonl", corpus.path, sft.path, settings)
    for name, value in trained.marks(Path(sft.path), "sft").items():
        metrics.log_metric(name, value)
    shutil.copy(Path(sft.path) / trained.CARD, card.path)
