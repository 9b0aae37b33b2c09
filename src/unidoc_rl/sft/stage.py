"""The stage `sft`: a policy that imitates trajectories, as a folder, whole or not at all.

The pictures are made again from the pages; the loss is on the agent's own turns. TRL's SFTTrainer does the learning,
alone or on many devices; a run that was killed goes on from its last whole checkpoint, with the same order of data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import SFTConfig, SFTTrainer

from unidoc_rl import ranks, s3, spread, storage, trained, waited
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.dialect import system_prompt
from unidoc_rl.agent.encoding import Encoded, Encoder, batch, with_a_picture
from unidoc_rl.agent.environment import conversation
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.trajectories import pictures_of
from unidoc_rl.checkpoints import Resuming
from unidoc_rl.corpus import PAGES
from unidoc_rl.errors import UnidocError
from unidoc_rl.nano import WEIGHTS
from unidoc_rl.params import AgentParams, Params, SftParams
from unidoc_rl.pretrained import folder_of
from unidoc_rl.provenance import key
from unidoc_rl.types import Picture, Trajectory
from unidoc_rl.warmup import Warming
from unidoc_rl.watching import finite, last_marks, watch

STAGE = "sft"
NUMBERS = "numbers"  # of a batch's trajectories


class Examples:
    """Trajectories as batches, encoded when they are asked for: pictures are many and large."""

    def __init__(
        self, learned: Sequence[Trajectory], encoder: Encoder, pictures: Pictures, params: AgentParams
    ) -> None:
        self._learned = learned
        self._encoder = encoder
        self._pictures = pictures
        self._rules = system_prompt(params)

    def __call__(self, rows: Sequence[dict[str, int]]) -> dict[str, Tensor]:
        numbers = [row["number"] for row in rows]
        made = with_a_picture(batch([self.encoded(number) for number in numbers], self._encoder), self._encoder)
        return made | {NUMBERS: torch.tensor(numbers)}

    def asked(self, numbers: Tensor) -> list[str]:
        return [self._learned[number].question.uid for number in numbers.tolist()]

    def encoded(self, number: int) -> Encoded:
        messages = conversation(self._learned[number], self._rules)
        pictures = [part for message in messages for part in message.content if isinstance(part, Picture)]
        looked = [self._encoder.look(self._pictures.show(picture)) for picture in pictures]
        told = [(message.role.value, message.content) for message in messages]
        ids, said = self._encoder.conversation(told, [self._encoder.squares(one) for one in looked])
        return Encoded(ids, said, looked)


def follows_from(learned: Path, corpus: Path, params: Params, model: Path | None = None) -> str:
    """The same for the same policy. `model`: the folder that it begins with, where that is here already."""
    begun_with = model or _known(params.sft.model)
    return key(trajectories.digest(learned), corpus / PAGES, begun_with, params.sft, params.agent)


def _known(model: str | None) -> Path | str:
    """What a model is told from others by, without it being fetched: on the hub, its name alone."""
    if model is None:
        return WEIGHTS
    return json.dumps(s3.sums(model)) if s3.is_s3(model) else Path(model)


@spread.nearly_zero_is_zero()
def sft(learned: Path, corpus: str | Path, out: str | Path, params: Params) -> dict[str, float]:
    """Makes the policy `out` of a file of trajectories; returns how it went in the end."""
    storage.keep_apart(out, learned, corpus)
    spread.check(params.sft.deepspeed)
    waited.check()
    read = list(trajectories.read(learned))
    if not read:
        raise UnidocError(f"{learned}: holds no trajectory; nothing can be learned")
    model, folder = _begun_with(params.sft.model), storage.local_folder(corpus)

    def inputs() -> str:
        return key(follows_from(learned, folder, params, model), ranks.count())

    with ranks.writing(out, STAGE, inputs) as output:
        network, encoder = spread.student(model, params.agent, params.sft)
        pictures = Pictures(folder, params.agent)
        _refuse_what_cannot_be_shown(learned, read, pictures, encoder)
        examples = Examples(read, encoder, pictures, params.agent)
        trainer = Imitation(
            network,
            _config(params.sft, output.work / "checkpoints"),
            data_collator=examples,
            train_dataset=Dataset.from_dict({"number": range(len(read))}),
            processing_class=encoder.tokenizer,
            peft_config=spread.adapter(network, params.sft.lora, frozen=params.sft.frozen),
        )
        trainer.examples, trainer.asked = examples, []
        with ranks.tracked(STAGE, params.services.mlflow, output.work / "run") as run:
            given = {"trajectories": learned, "corpus": folder / PAGES, "model": model}
            watch(trainer, "imitating", run, params.sft.model_dump(), given)
            trainer.go_on()
        spread.save(trainer, output.new)
        marks = last_marks(trainer, ("loss", "mean_token_accuracy", "entropy"))
        if ranks.first():
            encoder.save(output.new)
            begun_with = params.sft.model or "the nano model of this package"
            trained.note(output.new, STAGE, params, marks, begun_with, trainer.state.log_history)
    return marks


def _refuse_what_cannot_be_shown(
    learned: Path, read: Sequence[Trajectory], pictures: Pictures, encoder: Encoder
) -> None:
    """Before the first step, and not in that in which its turn comes."""
    for one in read:
        if not one.turns:
            raise UnidocError(f"{learned}: {one.question.uid}: has no turn; nothing can be learned from it, remove it")
        for picture in (picture for turn in one.turns for picture in pictures_of(turn)):
            try:
                pictures.whole(picture.page)
            except UnidocError as error:
                raise UnidocError(f"{learned}: {one.question.uid}: {error}") from error
            if picture.width % encoder.square or picture.height % encoder.square:
                raise UnidocError(
                    f"{learned}: {one.question.uid}: a picture is {picture.width} x {picture.height} pixels, and a "
                    f"token of the model {encoder.square} wide; curate again with agent.patch={encoder.square}"
                )


def _begun_with(model: str | None) -> Path:
    return folder_of(model, "sft.model", "a model of the Qwen-VL family") if model else WEIGHTS


class Imitation(Resuming, Warming, SFTTrainer):  # type: ignore[misc]
    """TRL's, which goes on, and stops where the loss is no number."""

    examples: Examples
    asked: list[str]  # questions of the step, so far

    def carried(self) -> dict[str, int]:
        return {"tokens": int(self._total_train_tokens)}

    def take_up(self, carried: Mapping[str, Any]) -> None:
        self._total_train_tokens = carried["tokens"]

    def training_step(self, model: Any, inputs: dict[str, Tensor], *args: Any, **kwargs: Any) -> Tensor:
        asked = self.examples.asked(inputs.pop(NUMBERS))
        loss: Tensor = super().training_step(model, inputs, *args, **kwargs)
        finite("loss", loss, STAGE, self.state.global_step + 1, asked)
        self.asked += asked
        return loss

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        norm = super()._get_grad_norm(*args, **kwargs)
        finite("gradient", norm, STAGE, self.state.global_step + 1, self.asked)
        self.asked = []
        return norm


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
        max_length=None,  # a cut conversation has pictures without their tokens
        dataset_kwargs={"skip_prepare_dataset": True},
        save_steps=params.save_steps,
        **spread.arguments(params.deepspeed, rounded=True),
    )
