"""The stage `sft`: a policy that imitates trajectories, as a folder, whole or not at all.

The pictures are made again from the pages; the loss is on the agent's own turns. TRL's SFTTrainer does the learning,
alone or on many devices; a run that was killed goes on from its last whole checkpoint, with the same order of data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import SFTConfig, SFTTrainer

from unidoc_rl import storage, tracking, trained
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.dialect import system_prompt
from unidoc_rl.agent.encoding import Encoded, Encoder, batch
from unidoc_rl.agent.environment import conversation
from unidoc_rl.agent.loading import student
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.corpus import PAGES
from unidoc_rl.errors import UnidocError
from unidoc_rl.nano import WEIGHTS
from unidoc_rl.params import AgentParams, Params, SftParams
from unidoc_rl.pretrained import folder_of
from unidoc_rl.provenance import key
from unidoc_rl.types import Picture, Trajectory
from unidoc_rl.watching import finite, last_checkpoint, last_marks, watch

STAGE = "sft"


class Examples:
    """Trajectories as batches, encoded when they are asked for: pictures are many and large."""

    def __init__(
        self, learned: Sequence[Trajectory], encoder: Encoder, pictures: Pictures, params: AgentParams
    ) -> None:
        self._learned = learned
        self._encoder = encoder
        self._pictures = pictures
        self._rules = system_prompt(params)
        self.asked: list[str] = []  # the questions of the last batch

    def __call__(self, rows: Sequence[dict[str, int]]) -> dict[str, Tensor]:
        self.asked = [self._learned[row["number"]].question.uid for row in rows]
        return batch([self.encoded(row["number"]) for row in rows], self._encoder)

    def encoded(self, number: int) -> Encoded:
        messages = conversation(self._learned[number], self._rules)
        pictures = [part for message in messages for part in message.content if isinstance(part, Picture)]
        looked = [self._encoder.look(self._pictures.show(picture)) for picture in pictures]
        told = [(message.role.value, message.content) for message in messages]
        ids, said = self._encoder.conversation(told, [self._encoder.squares(one) for one in looked])
        return Encoded(ids, said, looked)


def sft(learned: Path, corpus: str | Path, out: str | Path, params: Params) -> dict[str, float]:
    """Makes the policy `out` of a file of trajectories; returns how it went in the end."""
    with storage.writing(out, marker=trained.marker(STAGE)) as output:
        read = list(trajectories.read(learned))
        if not read:
            raise UnidocError(f"{learned}: holds no trajectory; nothing can be learned")
        model, folder = _begun_with(params.sft.model), storage.local_folder(corpus)
        output.goes_on_with(key(learned, folder / PAGES, model, params.sft, params.agent))
        network, encoder = student(model, frozen=params.sft.frozen)
        pictures = Pictures(folder, params.agent)
        examples = Examples(read, encoder, pictures, params.agent)
        checkpoints = output.work / "checkpoints"
        trainer = Imitation(
            network,
            _config(params.sft, checkpoints),
            data_collator=examples,
            train_dataset=Dataset.from_dict({"number": range(len(read))}),
            processing_class=encoder.tokenizer,
        )
        trainer.examples = examples
        with tracking.run(STAGE, params.services.mlflow, output.work / "run") as run:
            run.params(params.sft.model_dump())
            watch(trainer, "imitating", run)
            trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))
        trainer.save_model(str(output.new))
        encoder.save(output.new)
        marks = last_marks(trainer, ("loss", "mean_token_accuracy", "entropy"))
        begun_with = params.sft.model or "the nano model of this package"
        trained.note(output.new, STAGE, params, marks, begun_with, trainer.state.log_history)
    return marks


def _begun_with(model: str | None) -> Path:
    return folder_of(model, "sft.model", "a model of the Qwen-VL family") if model else WEIGHTS


class Imitation(SFTTrainer):  # type: ignore[misc]
    """TRL's, which stops where the loss is no number."""

    examples: Examples

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        loss: Tensor = super().training_step(*args, **kwargs)
        return finite(loss, "sft", self.state.global_step + 1, self.examples.asked)


def _config(params: SftParams, checkpoints: Path) -> SFTConfig:
    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=params.epochs,
        per_device_train_batch_size=params.together,
        gradient_accumulation_steps=params.batch // params.together,
        learning_rate=params.rate,
        lr_scheduler_type="cosine",
        warmup_steps=params.warmup,
        seed=params.seed,
        bf16=torch.cuda.is_available(),
        max_length=None,  # a cut conversation has pictures without their tokens
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        activation_checkpointing=torch.cuda.is_available(),
        logging_steps=1,
        save_steps=params.save_steps,
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
    )
