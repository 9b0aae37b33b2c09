"""The stage `grpo`: a policy that learns from what its own episodes earn, as a folder, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig

from unidoc_rl import questions, storage, tracking, trained
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.judge import open_judge
from unidoc_rl.agent.loading import student
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.transformers_policy import TransformersPolicy
from unidoc_rl.corpus import PAGES
from unidoc_rl.errors import UnidocError
from unidoc_rl.grpo.trainer import AgentTrainer, Game
from unidoc_rl.index.searching import place_of, searching
from unidoc_rl.params import GrpoParams, Params
from unidoc_rl.provenance import key
from unidoc_rl.watching import course, last_checkpoint, last_marks, watch

STAGE = "grpo"


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
    asked, tested = questions.read(learned), questions.read(validation)
    for file, read in ((learned, asked), (validation, tested)):
        if not read:
            raise UnidocError(f"{file}: holds no question")
    begun, folder = storage.local_folder(policy), storage.local_folder(corpus)
    with storage.writing(out, marker=trained.marker(STAGE)) as output, searching(index) as search:
        sections = (params.grpo, params.agent, params.rewards)
        output.goes_on_with(key(learned, validation, folder / PAGES, place_of(index), begun, *sections))
        network, encoder = student(begun, frozen=params.grpo.frozen)
        pictures = Pictures(folder, params.agent)

        def player(playing: Any, seed: int, temperature: float) -> TransformersPolicy:
            return TransformersPolicy(
                playing, encoder, "grpo", pictures.show, params.agent, temperature=temperature, seed=seed, records=True
            )

        judge = open_judge(params.rewards.judge, output.work / "verdicts")
        checkpoints = output.work / "checkpoints"
        trainer = AgentTrainer(
            network,
            args=_config(params.grpo, checkpoints),
            train_dataset=Dataset.from_dict({"number": range(len(asked))}),
            eval_dataset=Dataset.from_dict({"number": range(len(tested))}),
            processing_class=encoder.tokenizer,
            game=Game(
                asked,
                tested,
                Environment(search, pictures, params.agent),
                encoder,
                player,
                lambda played: score(played, params.rewards, judge),
                params.rewards,
            ),
            params=params.grpo,
        )
        with tracking.run(STAGE, params.services.mlflow, output.work / "run") as run:
            run.params({**params.grpo.model_dump(), "rewards": params.rewards.of})
            watch(trainer, "learning from rewards", run)
            trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
        trainer.save_model(str(output.new))
        encoder.save(output.new)
        marks = last_marks(trainer, ("reward", "outcome", "kl", "turns"))
        marks |= course(trainer, f"eval_{params.grpo.best}")
        trained.note(output.new, STAGE, params, marks, begun_with=str(policy), history=trainer.state.log_history)
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
        dataloader_pin_memory=torch.cuda.is_available(),
        log_multimodal=False,
        logging_steps=1,
        save_steps=params.save_steps,
        save_total_limit=2,
        eval_strategy="steps",
        eval_steps=params.save_steps,
        eval_on_start=True,
        per_device_eval_batch_size=1,  # these two TRL wants to come out even; the validation is played by ours
        num_generations_eval=1,
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{params.best}",
        greater_is_better=True,
        report_to=[],
        disable_tqdm=True,
    )
