"""Trajectories to a policy that imitates them."""

from kfp import dsl

from components.base import component


@component
def sft(
    trajectories: dsl.Input[dsl.Dataset], corpus: dsl.Input[dsl.Dataset], params: str, sft: dsl.Output[dsl.Model]
) -> None:
    """`params` is params.yaml as one JSON text."""
    from pathlib import Path

    from unidoc_rl.params import from_json
    from unidoc_rl.sft.stage import sft as run

    run(Path(trajectories.path) / "sft.jsonl", corpus.path, sft.path, from_json(params))
