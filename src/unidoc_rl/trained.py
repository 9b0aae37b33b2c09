"""What a training leaves beside the weights: its parameters and figures, as JSON, as a card, and as a curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from unidoc_rl.params import AgentParams, Params

CARD = "README.md"
CURVE = "curve.csv"
CURVES = {"sft": ("loss",), "grpo": ("reward", "eval_accuracy")}  # what is shown of a training, the first one by DVC


def marker(stage: str) -> str:
    return f"{stage}.json"


def markers(stage: str) -> tuple[str, str]:
    """The files by which its policy's folder is known."""
    return marker(stage), CURVE


def marks(folder: Path, stage: str) -> dict[str, float]:
    """How its training went in the end."""
    told: dict[str, float] = json.loads((folder / marker(stage)).read_text(encoding="utf-8"))["marks"]
    return told


def unlike(folder: Path, params: AgentParams) -> list[str]:
    """How the protocol is another than the one that a policy was trained with; of somebody else's, nothing is known.

    Regions may be widened as one likes: the policy has no part in it.
    """
    noted = next((file for stage in CURVES if (file := folder / marker(stage)).is_file()), None)
    if noted is None:
        return []
    learned = json.loads(noted.read_text(encoding="utf-8"))["params"]["agent"]
    now = params.model_dump(mode="json", exclude={"widen"})
    return [
        f"was trained with agent.{name}={learned[name]}, and here it is {value}"
        for name, value in now.items()
        if learned.get(name, value) != value
    ]


def note(
    folder: Path,
    stage: str,
    params: Params,
    marks: Mapping[str, float],
    begun_with: str,
    history: Sequence[Mapping[str, float]],
) -> None:
    """Into a policy's folder. `begun_with` is the policy that it was made of; `history`, what its trainer told."""
    used = params.model_dump(include={stage, "agent", "rewards"})
    noted = {
        "params": used,
        "marks": dict(marks),
        "begun_with": begun_with,
        "version": version("unidoc-rl"),
        "history": list(history),
    }
    (folder / marker(stage)).write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")
    figure = CURVES[stage][0]
    with (folder / CURVE).open("w", encoding="utf-8") as file:
        print("step", figure, sep=",", file=file)
        for row in history:
            if figure in row:
                print(row["step"], row[figure], sep=",", file=file)
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in sorted(marks.items()))
    settings = "\n".join(f"| {stage}.{name} | {value} |" for name, value in used[stage].items())
    (folder / CARD).write_text(
        f"# A document agent, after {stage}\n\n"
        f"Begun with {begun_with}, by unidoc-rl {noted['version']}. The folder speaks by itself: its tokenizer carries "
        f"the rules and the dialect, `{marker(stage)}` the protocol (`agent`) that it is to be played with.\n\n"
        f"| figure | in the end |\n| --- | --- |\n{rows}\n\n| parameter | value |\n| --- | --- |\n{settings}\n",
        encoding="utf-8",
    )
