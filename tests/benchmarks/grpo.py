"""What a step of GRPO costs, beside TRL's own environment loop: python -m tests.benchmarks.grpo [--steps N].

Both play the same questions of the sample world with the nano model, are made to write the same words (search and
answer, or search, select and zoom first, and again), earn the same and learn by the same loss; eyes frozen. TRL's has
one environment an episode, reads each conversation from its beginning before every turn, makes its pictures anew, and
fills all episodes of a step up to the longest; ours goes on where it was.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.processing_utils import ProcessorMixin
from trl import GRPOConfig, GRPOTrainer

from tests.agent.models import Told
from tests.benchmarks.measure import save, table
from tests.small import Small, make
from unidoc_rl import questions
from unidoc_rl.agent.dialect import ACTING, write
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.loading import student
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.templates import response_template
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.grpo.players import Here
from unidoc_rl.grpo.trainer import AgentTrainer, Game, in_order
from unidoc_rl.index.search import Index
from unidoc_rl.nano import WEIGHTS
from unidoc_rl.nano.model import PROTOCOL
from unidoc_rl.params import GrpoParams, RewardParams
from unidoc_rl.types import (
    Answer,
    Picture,
    Question,
    Reply,
    Said,
    Search,
    Select,
    Split,
    Trajectory,
    Zoom,
)

GROUP, QUESTIONS, TOGETHER = 4, 2, 1
LONG = "/long"
PEER = "TRL's environment loop"
REWARDS = RewardParams(of="outcome")
# TRL tries the template with calls that have other arguments than ours, or none.
ANY_ARGUMENTS = (
    "call.function.arguments.value",
    "call.function.arguments.get('value', call.function.arguments | string)",
)


def script(question: Question) -> list[str]:
    """What is written of it, turn by turn: of every second question more than of the others, as agents do."""
    noted = "The page shows it; what is asked for stands in the upper part."
    look = [
        write(Said("I look for what is asked.", "", Search(question.query))),
        write(Said("The first page fits best.", "", Select(0))),
        write(Said("The print is small, I look closer.", "", Zoom(((40, 40, 300, 200),)))),
    ]
    answer = write(Said("Now I can say it.", noted, Answer(question.answer)))
    return [*look, *look[:2], answer] if question.uid.endswith(LONG) else [look[0], answer]


def earned(played: Sequence[Trajectory]) -> list[Trajectory]:
    return score(played, REWARDS, by_rules)


def ours(world: Small, asked: Sequence[Question], steps: int, out: Path, model: Path = WEIGHTS) -> AgentTrainer:
    network, encoder = student(model, PROTOCOL, frozen=True)
    pictures = Pictures(world.corpus, PROTOCOL)

    def player(model: Any, seed: int, temperature: float) -> TransformersPolicy:
        return Told(
            lambda one: script(one.question),
            model,
            encoder,
            "told",
            pictures.show,
            PROTOCOL,
            temperature=1.0,
            seed=seed,
            records=True,
        )

    environment = Environment(Index(world.index), pictures, PROTOCOL)
    params = GrpoParams(steps=steps, questions=QUESTIONS, group=GROUP, together=TOGETHER, save_steps=10**6)
    game = Game(asked, asked[:1], environment, encoder, Here(player), earned, REWARDS)
    return AgentTrainer.of(network, params, game, out)


def to_ask(world: Small, steps: int) -> tuple[list[Question], list[int]]:
    """Questions, and in which order they are asked: in each step one of which much is written."""
    asked = [one for one in questions.read(world.file(Split.TRAIN)) if one.evidence][: QUESTIONS * steps]
    order = in_order(len(asked), len(asked), GrpoParams().seed)
    for number in order[::QUESTIONS]:
        asked[number] = replace(asked[number], uid=asked[number].uid + LONG)
    return asked, order


# --- TRL's own -------------------------------------------------------------------------------------------------------


class Processor(Qwen2_5_VLProcessor):
    """Without videos, for which torchvision would be needed."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids([self.image_token, self.video_token])
        begin: Callable[..., None] = ProcessorMixin.__init__
        begin(self, image_processor, tokenizer, chat_template=chat_template)


class Stock:
    """An environment as TRL wants it: reset, and a method for each action."""

    def __init__(self, environment: Environment, pictures: Pictures, asked: Sequence[Question]) -> None:
        self._environment = environment
        self._pictures = pictures
        self._asked = asked

    def reset(self, number: int, **_: Any) -> None:
        self._episode = self._environment.reset(self._asked[number])

    def search(self, value: str) -> list[dict[str, Any]]:
        """Searches.

        Args:
            value: What for.
        """
        return self._step(f"<search>{value}</search>")

    def select(self, value: str) -> list[dict[str, Any]]:
        """Selects.

        Args:
            value: The number of a page.
        """
        return self._step(f"<select>{value}</select>")

    def bbox(self, value: str) -> list[dict[str, Any]]:
        """Zooms.

        Args:
            value: The regions.
        """
        return self._step(f"<bbox>{value}</bbox>")

    def _step(self, text: str) -> list[dict[str, Any]]:
        self._environment.step([self._episode], [Reply(text, 1, 1, 0.0)])
        shown = self._episode.turns[-1].observation
        return [
            {"type": "image", "image": self._pictures.show(part)}
            if isinstance(part, Picture)
            else {"type": "text", "text": part}
            for part in shown
        ]

    def _earned(self, answer: str) -> float:
        self._step(answer)
        (scored,) = earned([self._episode.trajectory("told")])
        return scored.scores.total if scored.scores else 0.0


def stock(world: Small, asked: Sequence[Question], order: Sequence[int], steps: int, out: Path) -> GRPOTrainer:
    network, encoder = student(WEIGHTS, PROTOCOL, frozen=True)
    tokenizer = encoder.tokenizer
    tokenizer.response_template = response_template([name for name in ACTING if name != "answer"])  # that ends it
    pictures = Pictures(world.corpus, PROTOCOL)
    environment = Environment(Index(world.index), pictures, PROTOCOL)

    def rewards(completions: Any, environments: Sequence[Stock], **_: Any) -> list[float]:
        last = [one[-1].get("content") or "" for one in completions]
        return [each._earned(text) for each, text in zip(environments, last, strict=True)]

    trainer = GRPOTrainer(
        network,
        reward_funcs=rewards,
        args=GRPOConfig(
            output_dir=str(out),
            max_steps=steps,
            per_device_train_batch_size=TOGETHER,
            gradient_accumulation_steps=QUESTIONS * GROUP // TOGETHER,
            num_generations=GROUP,
            max_completion_length=16_384,
            generation_kwargs={"max_new_tokens": PROTOCOL.turn_tokens},
            learning_rate=GrpoParams().rate,
            beta=GrpoParams().kl,
            loss_type="grpo",
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            activation_checkpointing=torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            shuffle_dataset=False,
            log_multimodal=False,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": [{"role": "user", "content": asked[n].query}], "number": n} for n in order]
        ),
        processing_class=Processor(encoder.processor, tokenizer, tokenizer.chat_template.replace(*ANY_ARGUMENTS)),
        environment_factory=lambda: Stock(environment, pictures, asked),
    )
    network.generate = _told(network.generate, encoder, asked)
    return trainer


def _told(generate: Callable[..., Any], encoder: Encoder, asked: Sequence[Question]) -> Callable[..., Any]:
    """Writes what it is told: of the question that the conversation holds, the turn that it has come to."""
    begin = encoder.tokenizer.convert_tokens_to_ids("<|im_start|>")
    roles = len(encoder.ids("assistant\n", []))
    scripts = {}
    for one in asked:
        beginning = tuple(encoder.ids(f"user\n{one.query}", []))
        scripts[beginning] = [[*encoder.ids(text, []), encoder.end] for text in script(one)]

    def next_token(_: int, ids: Tensor) -> list[int]:
        listed = ids.tolist()
        starts = [at for at, token in enumerate(listed) if token == begin]
        told = next(
            turns for key, turns in scripts.items() if tuple(listed[starts[1] + 1 : starts[1] + 1 + len(key)]) == key
        )
        turn = told[len(starts) // 2 - 1]
        return [turn[min(len(listed) - starts[-1] - 1 - roles, len(turn) - 1)]]

    def told(*args: Any, **kwargs: Any) -> Any:
        return generate(*args, prefix_allowed_tokens_fn=next_token, **kwargs)

    return told


# --- beside each other -----------------------------------------------------------------------------------------------


class Seen:
    """Of a trainer: the tokens it read, log-probabilities of what was said in the first step, and what steps took."""

    def __init__(self, trainer: Any) -> None:
        self.tokens = 0
        self.logps: list[list[float]] = []
        self.wall: defaultdict[int, float] = defaultdict(float)
        self.cpu: defaultdict[int, float] = defaultdict(float)
        self._trainer = trainer
        self._real = trainer.training_step, trainer._compute_loss, trainer._get_per_token_logps_and_entropies
        trainer.training_step, trainer._compute_loss = self._step, self._loss
        trainer._get_per_token_logps_and_entropies = self._computed

    def _step(self, *args: Any, **kwargs: Any) -> Any:
        step, wall, cpu = self._trainer.state.global_step, time.monotonic(), time.process_time()
        made = self._real[0](*args, **kwargs)
        self.wall[step] += time.monotonic() - wall
        self.cpu[step] += time.process_time() - cpu
        return made

    def _loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        self._said = (inputs["completion_mask"] * inputs["tool_mask"]).bool()
        self.tokens += int(inputs["prompt_mask"].sum() + inputs["completion_mask"].sum())
        return self._real[1](model, inputs)

    def _computed(self, *args: Any, **kwargs: Any) -> Any:
        made = self._real[2](*args, **kwargs)
        if self._trainer.state.global_step == 0 and kwargs.get("compute_entropy"):  # of what is learned
            self.logps += [row[said].tolist() for row, said in zip(made[0].detach(), self._said, strict=True)]
        return made

    def figures(self) -> dict[str, float]:
        """Of all steps but the first, in which what is needed once is made."""
        wall, cpu = (median(took[step] for step in sorted(took)[1:]) for took in (self.wall, self.cpu))
        return {"seconds": wall, "cpu_seconds": cpu, "tokens_a_second": self.tokens / len(self.wall) / wall}


def report(steps: int, folder: Path) -> dict[str, Any]:
    world = make(folder / "world")
    seen = beside(world, steps, folder / "float32", torch.float32)
    figures = {name: each.figures() for name, each in seen.items()}
    slowest = figures[PEER]
    rows = []
    for name, one in figures.items():
        times = (f"{slowest[key] / one[key]:.1f}" for key in ("seconds", "cpu_seconds"))
        rows.append((name, *(f"{value:.2f}" for value in one.values()), *times))
    head = ("", "seconds a step", "of a processor", "tokens a second", "times as fast", "of a processor")
    wanted = ("wanted", "", "", "", ">= 2", "")
    table(f"GRPO: {QUESTIONS} questions x {GROUP} episodes, of two turns and of six", [head, *rows, wanted])
    # What rounding has in it: the peer fills batches up, so that its sums are of other length.
    exact = beside(world, 1, folder / "float64", torch.float64)
    apart = {"float32": logps_apart(seen), "float64": logps_apart(exact)}
    told = [(name, f"{one:.1e}", "<= 1e-5") for name, one in apart.items()]
    table("log-probabilities of what was said", [("", "largest difference", "wanted"), *told])
    return {"grpo": figures, "logps_apart": apart}


def beside(world: Small, steps: int, folder: Path, dtype: torch.dtype) -> dict[str, Seen]:
    asked, order = to_ask(world, steps)
    mine = ours(world, asked, steps, folder / "ours")
    trainers = {PEER: stock(world, asked, order, steps, folder / "stock"), "ours": mine}
    seen = {name: Seen(trainer) for name, trainer in trainers.items()}
    for trainer in trainers.values():
        for network in (trainer.model, trainer.ref_model):
            if network is not None:
                network.to(dtype)
        trainer.train()
    return seen


def logps_apart(seen: Mapping[str, Seen]) -> float:
    apart = (
        abs(one - other)
        for pair in zip(*(sorted(each.logps) for each in seen.values()), strict=True)
        for one, other in zip(*pair, strict=True)
    )
    return max(map(float, apart))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    with tempfile.TemporaryDirectory() as folder:
        save("grpo", report(parser.parse_args().steps, Path(folder)))


if __name__ == "__main__":
    main()
