"""The stage `grpo`: a policy that learns from what its own episodes earn, as a folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unidoc_rl import progress, questions, ranks, spread, storage, trained, waited
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.judge import open_judge
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.agent.vllm import Vllm
from unidoc_rl.agent.vllm_policy import VllmPolicy
from unidoc_rl.corpus import PAGES
from unidoc_rl.grpo.players import Here, Player, There
from unidoc_rl.grpo.trainer import STAGE, AgentTrainer, Game
from unidoc_rl.index.searching import known_by, searching
from unidoc_rl.params import Params
from unidoc_rl.provenance import Known, key
from unidoc_rl.types import Trajectory
from unidoc_rl.watching import course, last_marks, watch


def follows_from(learned: Path, validation: Path, corpus: Path, index: str, policy: Path, params: Params) -> str:
    """The same for the same policy."""
    learning = params.grpo.model_copy(update={"server": None})  # which may come back under another address
    return key(learned, validation, corpus / PAGES, known_by(index), policy, learning, params.agent, params.rewards)


@spread.nearly_zero_is_zero()
def grpo(
    learned: Path,
    validation: Path,
    corpus: str | Path,
    index: str,
    policy: str | Path,
    out: str | Path,
    params: Params,
) -> dict[str, float]:
    """Makes the policy `out` of another one and a question file; returns how it went in the end."""
    storage.keep_apart(out, learned, validation, corpus, index, policy)
    spread.check(params.grpo.deepspeed)
    waited.check()
    begun, folder = storage.local_folder(policy), storage.local_folder(corpus)
    (asked, _), (tested, _) = (questions.read_playable(file, folder) for file in (learned, validation))
    questions.refuse_the_same(asked, tested, f"{learned} and {validation}")

    def inputs() -> str:
        return key(follows_from(learned, validation, folder, index, begun, params), ranks.count())

    with ranks.writing(out, STAGE, inputs) as output, searching(index, folder) as search:
        network, encoder = spread.student(begun, params.agent, params.grpo)
        pictures = Pictures(folder, params.agent.learning())

        judge = open_judge(params.rewards.judge)
        environment = Environment(search, pictures, params.agent)

        def judged(played: Sequence[Trajectory]) -> list[Trajectory]:
            return score(played, params.rewards, judge)

        play = _player(encoder, pictures, params, output.work / "handed-over")
        game = Game(asked, tested, environment, encoder, play, judged, params.rewards)
        trainer = AgentTrainer.of(network, params.grpo, game, output.work / "checkpoints")
        with ranks.tracked(STAGE, params.services.mlflow, output.work / "run") as run:
            told = {**params.grpo.model_dump(), "rewards": params.rewards.of}
            given: dict[str, str | Path | Known] = {"questions": learned, "validation": validation, "policy": begun}
            given |= {"corpus": folder / PAGES, "index": known_by(index)}
            watch(trainer, "learning from rewards", run, told, given)
            trainer.go_on()
        spread.save(trainer, output.new)
        marks = last_marks(trainer, ("reward", "outcome", "kl", "turns"))
        marks |= course(trainer, f"eval_{params.grpo.best}")
        if ranks.first():
            _tell_if_it_was_better_before(marks, params.grpo.best)
            encoder.save(output.new)
            trained.note(output.new, STAGE, params, marks, begun_with=str(policy), history=trainer.state.log_history)
    return marks


def _tell_if_it_was_better_before(marks: Mapping[str, float], best: str) -> None:
    before, after = marks[f"eval_{best}_first"], marks[f"eval_{best}_best"]
    if after < before:
        progress.tell(
            f"{STAGE}: {best} on the validation was {before:.3g} before the first step, and {after:.3g} at the best "
            "checkpoint: what it began with is the better one; learn again with a higher grpo.kl or a lower grpo.rate"
        )


def _player(encoder: Encoder, pictures: Pictures, params: Params, folder: Path) -> Player:
    """`folder`: where a server is handed what it is to play with."""

    def here(playing: Any, seed: int, temperature: float) -> TransformersPolicy:
        return TransformersPolicy(
            playing, encoder, STAGE, pictures.show, params.agent, temperature=temperature, seed=seed, records=True
        )

    if params.grpo.server is None:
        return Here(here)
    server = Vllm(params.grpo.server)

    def there(seed: int, temperature: float) -> VllmPolicy:
        return VllmPolicy(
            server, encoder, pictures.show, temperature=temperature, turn_tokens=params.agent.turn_tokens, seed=seed
        )

    return There(server, there, folder, params.agent.longest())
