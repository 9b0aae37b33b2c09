"""The nano model in training: what a batch costs it, and one step down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb

from unidoc_rl.agent.encoding import UNSAID
from unidoc_rl.agent.eyes import remember
from unidoc_rl.nano.batches import Batch, Rows
from unidoc_rl.nano.glyphs import CLASSES, EMPTY, NOWHERE, PLACES, UNKNOWN
from unidoc_rl.nano.recipe import Stage

EMPTY_COUNTS = 0.1  # most places are empty
GLYPHS_COUNT = 0.3  # beside what is said
POINTING_COUNTS = 0.5  # likewise
POINTING_LAYER = 2
WARM = 100  # steps
LAST = 0.05  # of the highest rate, at a stage's end


@dataclass(frozen=True, slots=True)
class Marks:
    """How a batch went."""

    loss: float
    letters: float  # share of the letters in pictures that the vision tower knows; nan where it is frozen
    said: float  # share of the tokens to be said that come first; nan where nothing is
    pointed: float  # share of the tokens copied from a picture that are looked for in their place; nan where none is


class Learner(nn.Module):
    """The model, and a linear layer that tells the letters of its visual tokens, which nobody needs afterwards."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        remember(model.model.visual)
        self.letters = nn.Linear(model.config.vision_config.out_hidden_size, PLACES * CLASSES)
        self._pointers = Pointers(model.model.language_model)

    def forward(self, batch: Batch) -> tuple[Tensor, Marks]:
        inner = self.model.model
        features = inner.visual(batch.pixels, grid_thw=batch.grids).pooler_output
        losses, known, said, pointed = [], math.nan, math.nan, math.nan
        if features.requires_grad:
            loss, known = self._letters(features, batch)
            losses.append(loss * GLYPHS_COUNT if batch.rows else loss)
        if batch.rows:
            loss, said, pointed = self._speech(features, batch)
            losses.append(loss)
        total = torch.stack(losses).sum()
        return total, Marks(float(total.detach()), known, said, pointed)

    def _letters(self, features: Tensor, batch: Batch) -> tuple[Tensor, float]:
        logits = self.letters(features).view(-1, CLASSES)
        labels = batch.glyphs.view(-1)
        each = cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="none")
        is_letter = labels > EMPTY
        loss = (each * torch.where(is_letter, 1.0, EMPTY_COUNTS)).sum() / is_letter.sum().clamp(min=1)
        right = (logits.detach().argmax(-1) == labels)[is_letter]
        return loss, float(right.float().mean())

    def _speech(self, features: Tensor, batch: Batch) -> tuple[Tensor, float, float]:
        """The mean over all tokens to be said."""
        total, right, count, at, grid = features.new_zeros(()), 0, 0, 0, 0
        pointed: list[Tensor] = []
        for rows in batch.rows:
            is_picture = rows.ids == self.model.config.image_token_id
            tokens, pictures = int(is_picture.sum()), _pictures(rows.ids, self.model.config.vision_start_token_id)
            logits, labels = self._logits(
                rows, is_picture, features[at : at + tokens], batch.grids[grid : grid + pictures]
            )
            at, grid = at + tokens, grid + pictures
            pointed += self._pointers.losses(rows.places)
            total = total + cross_entropy(logits, labels, reduction="sum")
            right += int((logits.detach().argmax(-1) == labels).sum())
            count += len(labels)
        loss, found = total / count, math.nan
        if sum(map(len, pointed)):
            pointing = torch.cat(pointed)
            loss = loss + POINTING_COUNTS * pointing.mean()
            found = float((pointing.detach() < math.log(2)).float().mean())  # most of what the head looks at
        return loss, right / count, found

    def _logits(self, rows: Rows, is_picture: Tensor, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor]:
        """Of the tokens to be said, and which they are."""
        inner = self.model.model
        embedded = inner.get_input_embeddings()(rows.ids).masked_scatter(is_picture[..., None], features)
        places, _ = inner.get_rope_index(rows.ids, mm_token_type_ids=is_picture.int(), image_grid_thw=grids)
        # What fills a row up stands behind it, where no token looks: no mask is needed.
        hidden = inner.language_model(inputs_embeds=embedded, position_ids=places, use_cache=False).last_hidden_state
        wanted = rows.labels[:, 1:] != UNSAID
        return self.model.lm_head(hidden[:, :-1][wanted]), rows.labels[:, 1:][wanted]


class Pointers:
    """Two heads of a layer that are taught where to look: where the next token's first and last letter stand."""

    def __init__(self, language_model: Any) -> None:
        self._attention = language_model.layers[POINTING_LAYER].self_attn
        self._attention.register_forward_pre_hook(self._seen, with_kwargs=True)
        self._inputs: Mapping[str, Any] = {}

    def _seen(self, _module: Any, _args: Any, given: Mapping[str, Any]) -> None:
        self._inputs = given

    def losses(self, places: Tensor) -> list[Tensor]:
        """Of the tokens that stand somewhere, by the token before each; for both heads."""
        hidden, (cos, sin) = self._inputs["hidden_states"], self._inputs["position_embeddings"]
        self._inputs = {}
        attention, shape = self._attention, (*hidden.shape[:2], -1, self._attention.head_dim)
        queries, keys = (made(hidden).view(shape).transpose(1, 2) for made in (attention.q_proj, attention.k_proj))
        queries, keys = apply_rotary_pos_emb(queries, keys, cos, sin)
        losses = []
        for which, head in enumerate((0, queries.shape[1] - 1)):
            wanted = places[:, 1:, which]
            row, at = (wanted != NOWHERE).nonzero(as_tuple=True)
            group = head * keys.shape[1] // queries.shape[1]
            scores = (queries[row, head, at][:, None] * keys[row, group]).sum(-1) * attention.scaling
            scores = scores.masked_fill(torch.arange(scores.shape[1], device=scores.device) > at[:, None], -math.inf)
            losses.append(cross_entropy(scores, wanted[row, at], reduction="none"))
        return losses


def _pictures(ids: Tensor, start: int) -> int:
    return int((ids == start).sum())


def optimizer(learner: Learner) -> torch.optim.Optimizer:
    """Weights that multiply decay; norms, biases and embeddings do not."""
    plain = [weight for name, weight in learner.named_parameters() if weight.ndim < 2 or "embed_tokens" in name]
    others = {id(weight) for weight in plain}
    decaying = [weight for weight in learner.parameters() if id(weight) not in others]
    groups = [{"params": decaying, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def rate(stage: Stage, step: int) -> float:
    """Warm-up, then a half cosine."""
    share = max(0.0, step - WARM) / max(1, stage.steps - WARM)
    cosine = LAST + (1 - LAST) * (1 + math.cos(math.pi * share)) / 2
    return stage.rate * min(1.0, (step + 1) / WARM) * cosine
