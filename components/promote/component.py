"""An evaluated policy to the registry, and past its gates."""

from kfp import dsl

from components.base import component


@component
def promote(
    grpo: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    params: str,
    promotion: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """`params` is params.yaml as one JSON text; the task fails where a gate is not passed."""
    from pathlib import Path

    from unidoc_rl.errors import UnidocError
    from unidoc_rl.params import from_json
    from unidoc_rl.promote.stage import promote

    made = promote(grpo.path, evaluation.path, promotion.path, from_json(params))
    rows = [f"| {gate.name} | {'passed' if gate.passed else '**not passed**'} | {gate.said} |" for gate in made.gates]
    head = f"Version {made.version} of {made.name}; champion is version {made.champion or '(none)'}."
    Path(summary.path).write_text("\n".join([head, "", "| gate | | |", "| --- | --- | --- |", *rows]) + "\n")
    if not made.promoted:
        failed = "; ".join(f"{gate.name}: {gate.said}" for gate in made.gates if not gate.passed)
        raise UnidocError(f"version {made.version} of {made.name} is registered, and not promoted: {failed}")
