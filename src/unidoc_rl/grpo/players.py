"""Who plays what is learned from: the model that learns, here; or a vLLM server, which is handed its weights before."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from accelerate.utils import is_peft_model
from trl.models.utils import unwrap_model_for_generation

from unidoc_rl import ranks, spread
from unidoc_rl.agent.encoding import Encoded
from unidoc_rl.agent.environment import Environment, Episode
from unidoc_rl.agent.rollouts import play_on, take_turn
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.agent.vllm import Vllm
from unidoc_rl.agent.vllm_policy import VllmPolicy
from unidoc_rl.errors import UnidocError
from unidoc_rl.many import as_made


class Player(Protocol):
    def __call__(
        self, trainer: Any, episodes: Sequence[Episode], environment: Environment, seed: int, temperature: float
    ) -> list[Encoded]:
        """Plays them to their ends, with what the trainer's model has learned; gives their tokens."""


class Here:
    """Turn by turn, all together; `policy` is one of a model, a seed and a temperature."""

    def __init__(self, policy: Callable[[Any, int, float], TransformersPolicy]) -> None:
        self._policy = policy

    def __call__(
        self, trainer: Any, episodes: Sequence[Episode], environment: Environment, seed: int, temperature: float
    ) -> list[Encoded]:
        rounded = trainer.accelerator.autocast()  # around it all: weights are rounded once, and not for every token
        gathered = trainer.args.ds3_gather_for_generation
        with (
            rounded,
            unwrap_model_for_generation(
                trainer.model_wrapped, trainer.accelerator, gather_deepspeed3_params=gathered
            ) as model,
        ):
            model.eval()
            playing = model.get_base_model() if is_peft_model(model) else model
            policy = self._policy(playing, seed, temperature)
            while going := [episode for episode in episodes if episode.outcome is None]:
                take_turn(going, environment, policy)
        return [policy.recorded(episode) for episode in episodes]


class There:
    """Each in its own time; `policy` is one of a seed and a temperature.

    `folder`: where weights are handed over. `longest`: tokens of a conversation that it must be able to read.
    """

    def __init__(self, server: Vllm, policy: Callable[[int, float], VllmPolicy], folder: Path, longest: int) -> None:
        self._server = server
        self._policy = policy
        self._folder = folder
        self._longest = longest
        self._step = -1  # of which the server has the weights
        self._version = ""

    def __call__(
        self, trainer: Any, episodes: Sequence[Episode], environment: Environment, seed: int, temperature: float
    ) -> list[Encoded]:
        with trainer.seconds.of("hand_over"):
            self._hand_over(trainer)
        policy = self._policy(seed, temperature)
        together = max(1, len(episodes))
        for _ in as_made(lambda episode: play_on(episode, environment, policy), episodes, together):
            pass
        trainer.accelerator.wait_for_everyone()  # whoever plays longest may be the one whom it left
        if ranks.first():
            self._refuse_other_weights()
        return [policy.recorded(episode) for episode in episodes]

    def _hand_over(self, trainer: Any) -> None:
        """Where it has learned since. All processes are needed, and one of them asks the server."""
        if self._step == trainer.state.global_step:
            return
        if ranks.first():
            if self._version:
                self._refuse_other_weights()  # with which other processes may have played longer than this one
            else:
                self._server.refuse_to_play_shorter(self._longest)
                self._server.refuse_other_chances()
            shutil.rmtree(self._folder, ignore_errors=True)  # of a run that was killed
        self._step = trainer.state.global_step
        self._version = f"{self._step}-{uuid.uuid4().hex}"
        learned = self._folder / self._version
        spread.hand_over(trainer, learned)
        if ranks.first():
            self._server.take(learned.resolve(), self._version)
            shutil.rmtree(learned)
        trainer.accelerator.wait_for_everyone()

    def _refuse_other_weights(self) -> None:
        version = self._server.version()
        if version != self._version:
            raise UnidocError(
                f"grpo.server: plays with the weights {version!r}, not with those that it was handed "
                f"({self._version!r}): it was started anew, or serves another training too; run again to go on from "
                "the last checkpoint"
            )
