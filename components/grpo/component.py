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
    """`params` is params.yaml as one JSON text; of the questions, validation.json is what it is tried on.

    With `pipeline.nodes`, it is done there.
    """
    from pathlib import Path

    from unidoc_rl import trainjob
    from unidoc_rl.grpo.stage import grpo as run
    from unidoc_rl.params import from_json

    settings = from_json(params)
    if settings.pipeline.nodes:
        inputs = {
            "trajectories": trajectories.path,
            "questions": questions.path,
            "corpus": corpus.path,
            "index": index.path,
            "sft": sft.path,
        }
        arguments = ["{trajectories}/rl.jsonl", "--validation", "{questions}/validation.json"]
        arguments += ["--corpus", "{corpus}", "--index", "{index}", "--policy", "{sft}"]
        trainjob.train("grpo", arguments, inputs, grpo.path, settings)
    else:
        run(
            Path(trajectories.path) / "rl.jsonl",
            Path(questions.path) / "validation.json",
            corpus.path,
            index.path,
            sft.path,
            grpo.path,
            settings,
        )
