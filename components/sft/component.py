"""Trajectories to a policy that imitates them."""

from kfp import dsl

from components.base import component


@component
def sft(
    trajectories: dsl.Input[dsl.Dataset], corpus: dsl.Input[dsl.Dataset], params: str, sft: dsl.Output[dsl.Model]
) -> None:
    """`params` is params.yaml as one JSON text; with `pipeline.nodes`, it is done there."""
    from pathlib import Path

    from unidoc_rl import trainjob
    from unidoc_rl.params import from_json
    from unidoc_rl.sft.stage import sft as run

    settings = from_json(params)
    if settings.pipeline.nodes:
        inputs = {"trajectories": trajectories.path, "corpus": corpus.path}
        arguments = ["{trajectories}/sft.jsonl", "--corpus", "{corpus}"]
        trainjob.train("sft", arguments, inputs, sft.path, settings)
    else:
        run(Path(trajectories.path) / "sft.jsonl", corpus.path, sft.path, settings)
