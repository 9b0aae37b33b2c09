"""TRL's GRPOTrainer over our episodes: what is played, what it earns and who has earned it are ours, the loss is TRL's.

A step plays its questions in one batch of episodes, with the keys and values of each kept from turn to turn, and learns
from the very tokens that were drawn. TRL's own methods move between its versions: only those named here are replaced,
and a test compares the log-probabilities with those of an independent forward pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor
from torch.nn.functional import pad
from transformers import TrainerCallback, TrainerControl, TrainerState
from trl import GRPOConfig, GRPOTrainer
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.utils import split_pixel_values_by_grid, split_tensor_dict, unsplit_pixel_values_by_grid

from unidoc_rl import progress, spread
from unidoc_rl.agent.encoding import Encoded, Encoder, batch, with_a_picture
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.eyes import remember
from unidoc_rl.agent.rewards import contributions
from unidoc_rl.agent.trajectories import pictures_of
from unidoc_rl.checkpoints import Resuming
from unidoc_rl.errors import UnidocError
from unidoc_rl.grpo import credit
from unidoc_rl.grpo.players import Player
from unidoc_rl.grpo.seconds import Seconds
from unidoc_rl.params import GrpoParams, RewardParams
from unidoc_rl.types import Outcome, Question, Search, Trajectory, Zoom
from unidoc_rl.warmup import Warming
from unidoc_rl.watching import finite

STAGE = "grpo"
NAN = float("nan")
AT_ONCE = 16  # episodes of the validation
SHOWN = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
PARTS = ("answer", "search", "select", "region", "format")
TRUSTED = 2.0  # times that a token counts, at most, which is likelier by what learns than by what drew it


@dataclass(frozen=True, slots=True)
class Game:
    """What is played, by whom, and for what."""

    questions: Sequence[Question]
    validation: Sequence[Question]  # played now and then, to see how far it has come
    environment: Environment
    encoder: Encoder
    play: Player
    score: Callable[[Sequence[Trajectory]], list[Trajectory]]
    rewards: RewardParams


class AgentTrainer(Resuming, Warming, GRPOTrainer):  # type: ignore[misc]
    def __init__(self, *args: Any, game: Game, params: GrpoParams, **kwargs: Any) -> None:
        super().__init__(*args, reward_funcs=_never_asked, **kwargs)
        self._game = game
        self._params = params
        if self.ref_model is not None and params.deepspeed != spread.ZERO3:
            self._spare_its_eyes(self.accelerator.unwrap_model(self.ref_model).requires_grad_(False).model)
        self._running = credit.RunningDeviation()
        self._asked: list[str] = []  # questions of the step
        self._played_a_known = 1.0  # how many of its episodes there are to each that is not void
        self.seconds = Seconds()  # of its parts: play, hand_over, score, compare and learn

    @classmethod
    def of(cls, network: Any, params: GrpoParams, game: Game, checkpoints: Path) -> AgentTrainer:
        args = _config(params, checkpoints)
        order = in_order(len(game.questions), params.steps * params.questions * args.world_size, params.seed)
        return cls(
            network,
            args=args,
            train_dataset=Dataset.from_dict({"number": order}),
            eval_dataset=Dataset.from_dict({"number": range(len(game.validation))}),
            processing_class=game.encoder.tokenizer,
            callbacks=[_TriesTheLast()],
            peft_config=spread.adapter(network, params.lora, frozen=params.frozen),
            game=game,
            params=params,
        )

    def carried(self) -> Mapping[str, Any]:
        return {"moments": self._running.moments}

    def take_up(self, carried: Mapping[str, Any]) -> None:
        self._running.moments = dict(carried["moments"])

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        asked = [self._game.questions[row["number"]] for row in inputs]
        played, recorded = self._play(asked, self._params.temperature)
        self.model.train()
        advantages = self._advantages(played)
        self._tell(played, "train")
        if not self._metrics["train"].get("reward"):
            raise UnidocError(f"grpo: step {self.state.global_step + 1}: {_all_void(played)}")
        return self._tensors(recorded, played, advantages)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        with self.seconds.of("learn"):
            loss: Tensor = super().training_step(*args, **kwargs)
            finite("loss", loss, STAGE, self.state.global_step + 1, self._asked)
        return loss

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        """TRL's is a mean over all episodes; those that are void are nothing in it, and neither count nor are told."""
        told = {name: len(values) for name, values in self._metrics["train"].items()}
        loss: Tensor = super()._compute_loss(model, inputs)
        if not self.accelerator.gather(inputs["tool_mask"].sum()).any():
            for name, values in self._metrics["train"].items():
                del values[told.get(name, 0) :]
        return loss * self._played_a_known

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:  # of a step
            for part, spent in self.seconds.take().items():
                self._metrics["train"][f"seconds/{part}"].append(spent)
        super().log(logs, *args, **kwargs)

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        norm = super()._get_grad_norm(*args, **kwargs)
        finite("gradient", norm, STAGE, self.state.global_step + 1, self._asked)
        return norm

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Plays the validation questions, each once and as in earnest; every process its share."""
        self.model.eval()  # by which TRL knows whose figures are told; who plays elsewhere leaves it as it is
        whole, share = self._game.validation, self.accelerator.process_index
        mine = whole[share :: self.accelerator.num_processes]
        longest = -(-len(whole) // self.accelerator.num_processes)  # as often for all: they play in step
        played: list[Trajectory] = []
        with progress.bar(len(mine) if share == 0 else 0, "trying it on the validation", "episode") as bar:
            for at in range(0, longest, AT_ONCE):
                played += self._play(mine[at : at + AT_ONCE], 0.0)[0]
                bar.update(len(played) - at)
        self.seconds.take()  # no step's
        self._tell(played, "eval")
        if not self._metrics["eval"].get("reward"):
            raise UnidocError(f"grpo: validation: {_all_void(played)}")
        told = self._metrics["eval"]
        known = 1 - told["outcome/void"][-1]  # the rest is worth nothing: none is best by what nobody could judge
        metrics = {"eval_accuracy": told["reward/answer"][-1] * known, "eval_reward": told["reward"][-1] * known}
        self.log({"eval_accuracy": metrics["eval_accuracy"]})
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.model.train()
        return metrics

    # --- playing ------------------------------------------------------------------------------------------------------

    def _play(self, questions: Sequence[Question], temperature: float) -> tuple[list[Trajectory], list[Encoded]]:
        """Each question once, all together; and the tokens. The model may then be no more in training."""
        self._asked = list(dict.fromkeys(question.uid for question in questions))
        samples: Counter[str] = Counter()
        episodes = []
        for question in questions:
            first = self.accelerator.process_index * len(questions)  # other processes may play the same question
            episodes.append(self._game.environment.reset(question, first + samples[question.uid]))
            samples[question.uid] += 1
        seed = self._params.seed + self.state.global_step
        with self.seconds.of("play"):
            recorded = self._game.play(self, episodes, self._game.environment, seed, temperature)
        with self.seconds.of("score"):
            return self._game.score([episode.trajectory(STAGE) for episode in episodes]), recorded

    # --- credit -------------------------------------------------------------------------------------------------------

    def _advantages(self, played: Sequence[Trajectory]) -> list[list[float]]:
        """Of every turn of this process's episodes; groups may be spread over several."""
        rewards = self._gathered([[one.scores.total if one.scores else NAN] for one in played])[:, 0]
        self._played_a_known = len(rewards) / max(1, np.isfinite(rewards).sum())
        groups = np.arange(len(rewards)) // self.num_generations
        by_parts = self._params.credit == "turn"
        earned = self._gathered([self._contributions(one) for one in played]) if by_parts else rewards[:, None]
        self._metrics["train"]["groups_without_signal"].append(credit.without_signal(earned, groups))
        mine = slice(self.accelerator.process_index * len(played), (self.accelerator.process_index + 1) * len(played))
        if self._params.scale == "rank":
            whole = np.nan_to_num(credit.ranked(rewards, groups))[mine]
            return [[float(one)] * len(trajectory.turns) for one, trajectory in zip(whole, played, strict=True)]
        scale = self._scale(rewards, groups, played)
        if by_parts:
            return credit.of_turns(credit.of_parts(earned, groups, scale)[mine], PARTS, played)
        whole = np.nan_to_num(credit.centred(rewards, groups) / scale)[mine]
        return [[float(one)] * len(trajectory.turns) for one, trajectory in zip(whole, played, strict=True)]

    def _contributions(self, trajectory: Trajectory) -> list[float]:
        if trajectory.scores is None:
            return [NAN] * len(PARTS)
        earned = contributions(trajectory.scores.parts, self._game.rewards)
        return [earned.get(name, 0.0) for name in PARTS]

    def _scale(self, rewards: credit.Floats, groups: credit.Ints, played: Sequence[Trajectory]) -> credit.Floats:
        match self._params.scale:
            case "group":
                return credit.by_group(rewards, groups)
            case "kind":
                kinds = list(gather_object([one.question.kind for one in played]))
                return self._running(rewards, kinds)
            case _:
                return np.ones(len(rewards))

    def _gathered(self, rows: list[list[float]]) -> credit.Floats:
        """Of all processes, in their order."""
        told = torch.tensor(rows, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.gather(told).cpu().numpy()  # type: ignore[no-any-return]

    # --- what the loss is made of -------------------------------------------------------------------------------------

    def _tensors(
        self, recorded: Sequence[Encoded], played: Sequence[Trajectory], advantages: Sequence[Sequence[float]]
    ) -> dict[str, Any]:
        starts = [one.said.index(True) if any(one.said) else len(one.ids) - 1 for one in recorded]
        prompt, begun = max(starts), [max(starts) - start for start in starts]
        made = batch(recorded, self._game.encoder)
        ids = _shifted(made["input_ids"], begun, self._game.encoder.end)
        real = _shifted(made["attention_mask"], begun, 0)
        kinds = _shifted(made["mm_token_type_ids"], begun, 0)
        said = torch.zeros_like(real)
        worth = torch.zeros(real.shape)
        for row, (one, start, turns, trajectory) in enumerate(zip(recorded, begun, advantages, played, strict=True)):
            if trajectory.outcome is not Outcome.VOID:  # of one that broke off, the last that was drawn is no turn
                said[row, start : start + len(one.ids)] = torch.tensor(one.said).long()
                worth[row, start : start + len(one.ids)] = _spread(one.said, turns)
        output: dict[str, Any] = {
            "prompt_ids": ids[:, :prompt],
            "prompt_mask": real[:, :prompt],
            "completion_ids": ids[:, prompt:],
            "completion_mask": real[:, prompt:],
            "tool_mask": said[:, prompt:],
            "advantages": worth[:, prompt:],
            "mm_token_type_ids": kinds,
            "num_images": [len(one.looked) for one in recorded],
        }
        output |= {name: made[name] for name in ("pixel_values", "image_grid_thw") if name in made}
        output = {name: self._placed(value) for name, value in output.items()}
        if recorded[0].chances is not None:
            self._trust(output, _chances(recorded, begun, real.shape)[:, prompt:])
        output["num_items_in_batch"] = self.accelerator.gather(output["tool_mask"].sum()).sum()
        if self.beta:
            output["ref_per_token_logps"] = self._reference(output)
        return output

    def _placed(self, value: Any) -> Any:
        return value.to(self.accelerator.device) if isinstance(value, Tensor) else value

    def _reference(self, output: dict[str, Any]) -> Tensor:
        """What the model that it all began with gives the tokens."""
        model = self.ref_model or self.model
        before_lora = nullcontext() if self.ref_model else self.accelerator.unwrap_model(model).disable_adapter()
        with before_lora:
            return self._given_by(model, output)

    def _trust(self, output: dict[str, Any], chances: Tensor) -> None:
        """Of tokens that another program drew, whose numbers are rounded otherwise: each counts as often as it would
        have been drawn by what learns, within bounds; one that was not drawn as it stands teaches nothing."""
        gaps = self._given_by(self.model, output) - self._placed(chances)
        said, drawn = output["tool_mask"], output["tool_mask"] * ~gaps.isnan()
        output["tool_mask"] = drawn
        output["advantages"] *= gaps.clamp(max=math.log(TRUSTED)).exp().nan_to_num(0.0)
        told = [[float(gaps[drawn.bool()].abs().sum()), float(drawn.sum()), float(said.sum())]]
        gap, known, in_all = self._gathered(told).sum(axis=0)
        if known:
            self._metrics["train"]["server/gap"].append(gap / known)
        self._metrics["train"]["server/read_otherwise"].append(1 - known / max(1.0, in_all))

    def _given_by(self, model: Any, output: dict[str, Any]) -> Tensor:
        """The log-probabilities that a model gives the tokens."""
        parts = split_tensor_dict(split_pixel_values_by_grid(output), self.args.steps_per_generation)
        unchecked = disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs)
        with self.seconds.of("compare"), torch.no_grad(), unchecked:
            return torch.cat([self._logps(model, unsplit_pixel_values_by_grid(part)) for part in parts])

    def _logps(self, model: Any, part: dict[str, Any]) -> Tensor:
        logps, _, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([part["prompt_ids"], part["completion_ids"]], dim=1),
            torch.cat([part["prompt_mask"], part["completion_mask"]], dim=1),
            part["completion_ids"].size(1),
            **{name: part.get(name) for name in SHOWN},
        )
        return logps  # type: ignore[no-any-return]

    def _get_per_token_logps_and_entropies(
        self, model: Any, ids: Tensor, mask: Tensor, length: int, *args: Any, **told: Any
    ) -> Any:
        """TRL's, of a batch that shows something, and without the columns in which nothing stands."""
        used = mask.any(dim=0).nonzero()[:, 0]
        first, end = int(used[0]), int(used[-1]) + 1
        empty = ids.size(1) - end
        shown = {name: told[name] for name in SHOWN if told.get(name) is not None}
        shown["mm_token_type_ids"] = shown["mm_token_type_ids"][:, first:end]
        given = {"input_ids": ids[:, first:end], "attention_mask": mask[:, first:end], **shown}
        made: dict[str, Any] = with_a_picture(given, self._game.encoder)
        if made is not given:
            made["num_images"] = [1] + [0] * (len(ids) - 1)
        told |= {name: made[name] for name in SHOWN}
        logps, entropies, other = super()._get_per_token_logps_and_entropies(
            model, made["input_ids"], made["attention_mask"], length - empty, *args, **told
        )
        return pad(logps, (0, empty)), None if entropies is None else pad(entropies, (0, empty)), other

    def _spare_its_eyes(self, compared: Any) -> None:
        """What it is compared with looks at no picture twice; and at none at all, where what learns sees the same."""
        learning = self.accelerator.unwrap_model(self.model).model
        if any(weight.requires_grad for weight in learning.visual.parameters()):
            remember(compared.visual)
        else:
            compared.visual = learning.visual

    # --- what is told -------------------------------------------------------------------------------------------------

    def _tell(self, played: Sequence[Trajectory], mode: str) -> None:
        """Means over all processes; of what is not void, but for the share that is."""
        known = [one for one in played if one.scores is not None]
        scores = [one.scores for one in known if one.scores is not None]
        rows: dict[str, list[float]] = {
            "reward": [one.total for one in scores],
            "turns": [float(len(one.turns)) for one in known],
            "searches": [float(_count(one, Search)) for one in known],
            "zooms": [float(_count(one, Zoom)) for one in known],
            "pictures": [float(sum(len(pictures_of(turn)) for turn in one.turns)) for one in known],
            "tokens_written": [float(sum(turn.reply.tokens for turn in one.turns)) for one in known],
            "tokens_in_all": [float(one.turns[-1].reply.context) for one in known if one.turns],
        }
        for part in PARTS:
            rows[f"reward/{part}"] = [one.parts[part] for one in scores if part in one.parts]
        for outcome in Outcome:
            rows[f"outcome/{outcome.value}"] = [float(one.outcome is outcome) for one in played]
        for name, values in rows.items():
            total, count = self._gathered([[math.fsum(values), float(len(values))]]).sum(axis=0)
            if count:
                self._metrics[mode][name].append(float(total / count))


class _TriesTheLast(TrainerCallback):
    """On the validation, as it is saved: it may be the best."""

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True


def in_order(known: int, wanted: int, seed: int) -> list[int]:
    """So many of the known numbers, every one of them once before any comes again; whoever goes on has the same."""
    dice = np.random.default_rng(seed)
    rounds = [dice.permutation(known) for _ in range(-(-wanted // known))]
    return [int(number) for number in np.concatenate(rounds)[:wanted]]


def _config(params: GrpoParams, checkpoints: Path) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(checkpoints),
        max_steps=params.steps,
        per_device_train_batch_size=params.together,
        gradient_accumulation_steps=params.questions * params.group // params.together,
        num_generations=params.group,
        temperature=params.temperature,
        learning_rate=params.rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=params.warmup,
        beta=params.kl,
        use_bias_correction_kl=True,  # k3, and of the divergence the gradient too, which k3's is not
        epsilon=params.clip,
        loss_type="dr_grpo" if params.scale == "none" else "grpo",  # an episode by a constant, or by its length
        seed=params.seed,
        shuffle_dataset=False,  # it is in order
        log_multimodal=False,
        save_steps=params.save_steps,
        eval_strategy="steps",
        eval_steps=params.save_steps,
        eval_on_start=True,
        per_device_eval_batch_size=1,  # these two TRL wants to come out even; the validation is played by ours
        num_generations_eval=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{params.best}",
        greater_is_better=True,
        **spread.arguments(params.deepspeed, rounded=False),
    )


def _all_void(played: Sequence[Trajectory]) -> str:
    why = next((f": {one.failure}" for one in played if one.failure), "")
    return f"every episode is void{why}; the last checkpoint is kept, run again once that is mended"


def _never_asked(**_: Any) -> list[float]:
    """The reward function that TRL wants to be given."""
    raise AssertionError("episodes are scored where they are played")


def _count(trajectory: Trajectory, kind: type) -> int:
    return sum(isinstance(turn.said.action, kind) for turn in trajectory.turns)


def _shifted(rows: Tensor, by: Sequence[int], fill: int) -> Tensor:
    """Each row so far to the right, so that all that was said begins in one column."""
    shifted = torch.full((len(rows), rows.shape[1] + max(by)), fill, dtype=rows.dtype)
    for row, (values, start) in enumerate(zip(rows, by, strict=True)):
        shifted[row, start : start + len(values)] = values
    return shifted


def _chances(recorded: Sequence[Encoded], by: Sequence[int], shape: torch.Size) -> Tensor:
    """Those that the tokens were drawn with, each row so far to the right."""
    rows = torch.full(shape, NAN)
    for row, (one, start) in enumerate(zip(recorded, by, strict=True)):
        if one.chances is not None:
            rows[row, start : start + len(one.ids)] = torch.tensor(one.chances)
    return rows


def _spread(said: Sequence[bool], turns: Sequence[float]) -> Tensor:
    """Each turn's advantage on its tokens."""
    worth, turn, former = [], -1, False
    for one in said:
        turn += one and not former
        worth.append(turns[turn] if one else 0.0)
        former = one
    return torch.tensor(worth)
