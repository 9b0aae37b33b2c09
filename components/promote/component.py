"""An evaluated policy to the registry, and past its gates."""

from kfp import dsl

from components.base import component


@component
def promote(
    grpo: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    params: str,
    promotion: dsl.Output[dsl.Artifact],
) -> None:
    """`params` is params.yaml as one JSON text; the task fails where a gate is not passed."""
    from unidoc_rl.errors import UnidocError
    from unidoc_rl.params import from_json
    from unidoc_rl.promote.stage import promote

    made = promote(grpo.path, evaluation.path, promotion.path, from_json(params))
    if not made.promoted:
        failed = "; ".join(f"{gate.name}: {gate.said}" for gate in made.gates if not gate.passed)
        raise UnidocError(f"version {made.version} of {made.name} is registered, and not promoted: {failed}")
