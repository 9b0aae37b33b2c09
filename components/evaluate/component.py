"""A policy to how well it answers, with a report to look at."""

from kfp import dsl

from components.base import component


@component
def evaluate(
    trajectories: dsl.Input[dsl.Dataset],
    corpus: dsl.Input[dsl.Dataset],
    index: dsl.Input[dsl.Artifact],
    grpo: dsl.Input[dsl.Model],
    sft: dsl.Input[dsl.Model],
    params: str,
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
) -> None:
    """`params` is params.yaml as one JSON text; test.json, which stands beside the trajectories, is played."""
    import shutil
    from pathlib import Path

    from unidoc_rl.evaluate import report as page
    from unidoc_rl.evaluate.stage import evaluate as run
    from unidoc_rl.evaluate.stage import metrics as main_ones
    from unidoc_rl.params import from_json

    asked, beside = Path(trajectories.path) / "test.json", [sft.path, "scripted", "champion"]
    found = run(asked, corpus.path, index.path, grpo.path, evaluation.path, from_json(params), beside)
    for name, value in main_ones(next(iter(found.values()))).items():
        metrics.log_metric(name, value)
    shutil.copy(Path(evaluation.path) / page.FILE, report.path)
