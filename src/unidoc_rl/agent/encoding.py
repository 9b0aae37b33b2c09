"""Conversations as a model of the Qwen-VL family takes them: tokens, so many for each square of a picture.

A policy that plays, and everything that learns, encode here, so that what is learned from is what was played.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unidoc_rl.errors import UnidocError
from unidoc_rl.types import Role

IMAGE = "<|image_pad|>"  # in the chat templates of the family, once a picture
END = "<|im_end|>"  # of a turn
UNSAID = -100  # the label of a token that nothing is learned from


class Looked(NamedTuple):
    """A picture as the model takes it."""

    pixels: Tensor
    grid: Tensor


class Encoded(NamedTuple):
    """A conversation up to the last that the agent wrote."""

    ids: list[int]
    said: list[bool]  # by the agent; the rest was told
    looked: list[Looked]
    chances: list[float] | None = None  # log-probability of each token where another program drew it; NaN: it did not


def batch(encoded: Sequence[Encoded], encoder: Encoder) -> dict[str, Tensor]:
    """Conversations as a model takes them together, filled up on the right; only what the agent said has labels."""
    longest = max(len(one.ids) for one in encoded)
    shape = (len(encoded), longest)
    ids, labels = torch.full(shape, encoder.end), torch.full(shape, UNSAID)
    real = torch.zeros(shape, dtype=torch.long)
    for row, one in enumerate(encoded):
        length, told = len(one.ids), torch.tensor(one.ids)
        ids[row, :length], real[row, :length] = told, 1
        labels[row, :length] = torch.where(torch.tensor(one.said), told, UNSAID)
    made = {
        "input_ids": ids,
        "attention_mask": real,
        "labels": labels,
        "mm_token_type_ids": (ids == encoder.image).int(),
    }
    looked = [picture for one in encoded for picture in one.looked]
    if looked:
        made["pixel_values"] = torch.cat([one.pixels for one in looked])
        made["image_grid_thw"] = torch.stack([one.grid for one in looked])
    return made


def with_a_picture(made: dict[str, Tensor], encoder: Encoder) -> dict[str, Tensor]:
    """A batch that shows something: where it held no picture, one of a single token on the left, which nobody sees.

    The processes of a training have to go the same way through the model, its eyes included.
    """
    if len(made.get("pixel_values", ())):
        return made
    seen = encoder.look(Image.new("RGB", (encoder.square, encoder.square)))
    first = {
        "input_ids": encoder.image,
        "mm_token_type_ids": 1,
    }  # in the first row; in others, and else, it is filled up
    fill = {"input_ids": encoder.end, "mm_token_type_ids": 0, "attention_mask": 0, "labels": UNSAID}
    widened = {}
    for name in fill.keys() & made.keys():
        column = torch.full_like(made[name][:, :1], fill[name])
        column[0] = first.get(name, fill[name])
        widened[name] = torch.cat([column, made[name]], dim=1)
    device = made["input_ids"].device
    return made | widened | {"pixel_values": seen.pixels.to(device), "image_grid_thw": seen.grid[None].to(device)}


class Encoder:
    def __init__(self, tokenizer: Any, processor: Qwen2VLImageProcessorPil) -> None:
        unknown = [token for token in (END, IMAGE) if token not in tokenizer.get_vocab()]
        if unknown:
            raise ValueError(f"its tokenizer does not know {' and '.join(unknown)}")
        self.tokenizer = tokenizer
        self.processor = processor
        self.image: int
        self.end: int
        self.image, self.end = tokenizer.convert_tokens_to_ids([IMAGE, END])

    @classmethod
    def of(cls, folder: Path) -> Encoder:
        """Of a policy's folder. An OSError or a ValueError says what is wrong with it."""
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return cls(tokenizer, Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True))

    @property
    def square(self) -> int:
        """Pixels on each side of what is one token."""
        return int(self.processor.patch_size * self.processor.merge_size)

    def refuse_other_patches(self, patch: int, name: str) -> None:
        if patch % self.square:
            raise UnidocError(
                f"agent.patch: a token of {name} is {self.square} pixels wide; set agent.patch={self.square}"
            )

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)
        self.processor.save_pretrained(folder)

    def look(self, image: Image.Image) -> Looked:
        made = self.processor(images=[image], do_resize=False, return_tensors="pt")
        return Looked(made["pixel_values"], made["image_grid_thw"][0])

    def write(self, messages: Sequence[tuple[str, Sequence[Any]]], *, begin_turn: bool) -> str:
        """What the chat template makes of roles and parts; a part that is no text is a picture."""
        told = [{"role": role, "content": [_block(part) for part in parts]} for role, parts in messages]
        text: str = self.tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=begin_turn)
        return text

    def ids(self, text: str, squares: Sequence[int]) -> list[int]:
        """The tokens of a text; each of its pictures has so many."""
        first, *others = text.split(IMAGE)
        ids = self._tokens(first)
        for count, other in zip(squares, others, strict=True):
            ids += [self.image] * count + self._tokens(other)
        return ids

    def conversation(
        self, messages: Sequence[tuple[str, Sequence[Any]]], squares: Sequence[int]
    ) -> tuple[list[int], list[bool]]:
        """The tokens of a whole one, up to the last that the agent wrote, and which of them the agent wrote.

        `squares`: of its pictures, in their order.
        """
        ids: list[int] = []
        said: list[bool] = []
        read, seen = "", 0
        for at, (role, parts) in enumerate(messages):
            if role == Role.ASSISTANT:
                text = self.write(messages[:at], begin_turn=True)
                pictures = sum(not isinstance(part, str) for _, told in messages[:at] for part in told)
                told_ids = self.ids(text[len(read) :], squares[seen:pictures])
                (reply,) = parts
                reply_ids = [*self.ids(reply, []), self.end]
                ids += told_ids + reply_ids
                said += [False] * len(told_ids) + [True] * len(reply_ids)
                read, seen = f"{text}{reply}{END}", pictures
        return ids, said

    def squares(self, looked: Looked) -> int:
        return int(looked.grid.prod()) // int(self.processor.merge_size) ** 2

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def _block(part: Any) -> dict[str, str]:
    return {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
