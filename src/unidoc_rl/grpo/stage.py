"""The stage `grpo`: a policy that learns from what its own episodes earn, as a folder, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig

from unidoc_rl import storage, tracking
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.judging import Judge
from unidoc_rl.agent.loading import student
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.errors import UnidocError
from unidoc_rl.grpo.trainer import AgentTrainer, Game
from unidoc_rl.params import AgentParams, GrpoParams, RewardParams
from unidoc_rl.types import Question, Searcher
from unidoc_rl.watching import last_checkpoint, last_marks, watch

MARKER = "grpo.json"


def grpo(
    questions: Sequence[Question],
    search: Searcher,
    corpus: str | Path,
    model: Path,
    out: str | Path,
    judge: Judge,
    params: GrpoParams,
    agent: AgentParams,
    rewards: RewardParams,
    mlflow: str | None = None,
) -> dict[str, float]:
    """Returns how it went in the end."""
    if not questions:
        raise UnidocError("there is no question to learn from")
    with storage.writing(out, marker=MARKER) as output:
        network, encoder = student(model, frozen=params.frozen)
        pictures = Pictures(storage.local_folder(corpus), agent)

        def policy(playing: Any, seed: int, temperature: float) -> TransformersPolicy:
            return TransformersPolicy(
                playing, encoder, "grpo", pictures.show, agent, temperature=temperature, seed=seed, records=True
            )

        checkpoints = output.work / "checkpoints"
        trainer = AgentTrainer(
            network,
            args=_config(params, checkpoints),
            train_dataset=Dataset.from_dict({"number": range(len(questions))}),
            processing_class=encoder.tokenizer,
            game=Game(
                questions,
                Environment(search, pictures, agent),
                encoder,
                policy,
                lambda played: score(played, rewards, judge),
                rewards,
            ),
            params=params,
        )
        with tracking.run("grpo", mlflow, output.work / "run") as run:
            run.params({**params.model_dump(), "rewards": rewards.of})
            watch(trainer, "learning from rewards", run)
            trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
        trainer.save_model(str(output.new))
        encoder.save(output.new)
        marks = last_marks(trainer, ("reward", "outcome", "kl", "turns"))
        (output.new / MARKER).write_text(json.dumps({"params": params.model_dump(), "marks": marks}) + "\n")
    return marks


def _config(params: GrpoParams, checkpoints: Path) -> GRPOConfig:
    episodes = params.questions * params.group
    return GRPOConfig(
        output_dir=str(checkpoints),
        max_steps=params.steps,
        per_device_train_batch_size=params.together,
        gradient_accumulation_steps=episodes // params.together,
        num_generations=params.group,
        temperature=params.temperature,
        learning_rate=params.rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=params.warmup,
        beta=params.kl,
        epsilon=params.clip,
        loss_type="grpo",
        seed=params.seed,
        bf16=torch.cuda.is_available(),
        activation_checkpointing=torch.cuda.is_available(),
        remove_unused_columns=False,
        log_multimodal=False,
        logging_steps=1,
        save_steps=params.save_steps,
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
    )
