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
    from unidoc_rl.sft.stage import follows_from
    from unidoc_rl.sft.stage import sft as run

    settings, learned = from_json(params), Path(trajectories.path) / "sft.jsonl"
    if settings.pipeline.nodes or settings.pipeline.gpus > 1:
        inputs = {"trajectories": trajectories.path, "corpus": corpus.path}
        arguments = ["{trajectories}/sft.jsonl", "--corpus", "{corpus}"]
        if settings.pipeline.nodes:
            known_by = follows_from(learned, Path(corpus.path), settings)
            trainjob.train("sft", arguments, inputs, known_by, sft.path, settings)
        else:
            trainjob.here("sft", arguments, inputs, sft.path, settings)
    else:
        run(learned, corpus.path, sft.path, settings)
    for name, value in trained.marks(Path(sft.path), "sft").items():
        metrics.log_metric(name, value)
    shutil.copy(Path(sft.path) / trained.CARD, card.path)
