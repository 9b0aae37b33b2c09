"""A policy and questions to a better policy, by its rewards."""

from kfp import dsl

from components.base import component


@component
def grpo(
    trajectories: dsl.Input[dsl.Dataset],
    questions: dsl.Input[dsl.Dataset],
    corpus: dsl.Input[dsl.Dataset],
    index: dsl.Input[dsl.Artifact],
    sft: dsl.Input[dsl.Model],
    params: str,
    grpo: dsl.Output[dsl.Model],
) -> None:
    """`params` is params.yaml as one JSON text; of the questions, validation.json is what it is tried on."""
    from pathlib import Path

    from unidoc_rl.grpo.stage import grpo as run
    from unidoc_rl.params import from_json

    run(
        Path(trajectories.path) / "rl.jsonl",
        Path(questions.path) / "validation.json",
        corpus.path,
        index.path,
        sft.path,
        grpo.path,
        from_json(params),
    )
