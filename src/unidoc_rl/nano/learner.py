"""The nano model in training: what a batch costs it, and one step down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unidoc_rl.agent.encoding import UNSAID
from unidoc_rl.agent.eyes import remember
from unidoc_rl.nano.batches import Batch, Rows
from unidoc_rl.nano.glyphs import CLASSES, EMPTY, PLACES, UNKNOWN
from unidoc_rl.nano.recipe import Stage

EMPTY_COUNTS = 0.1  # most places are empty
GLYPHS_COUNT = 0.3  # beside what is said
WARM = 100  # steps
LAST = 0.05  # of the highest rate, at a stage's end


@dataclass(frozen=True, slots=True)
class Marks:
    """How a batch went."""

    loss: float
    letters: float  # share of the letters in pictures that the vision tower knows; nan where it is frozen
    said: float  # share of the tokens to be said that come first; nan where nothing is


class Learner(nn.Module):
    """The model, and a linear layer that tells the letters of its visual tokens, which nobody needs afterwards."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        remember(model.model.visual)
        self.letters = nn.Linear(model.config.vision_config.out_hidden_size, PLACES * CLASSES)

    def forward(self, batch: Batch) -> tuple[Tensor, Marks]:
        inner = self.model.model
        features = inner.visual(batch.pixels, grid_thw=batch.grids).pooler_output
        losses, known, said = [], math.nan, math.nan
        if features.requires_grad:
            loss, known = self._letters(features, batch)
            losses.append(loss * GLYPHS_COUNT if batch.rows else loss)
        if batch.rows:
            loss, said = self._speech(features, batch)
            losses.append(loss)
        total = torch.stack(losses).sum()
        return total, Marks(float(total.detach()), known, said)

    def _letters(self, features: Tensor, batch: Batch) -> tuple[Tensor, float]:
        logits = self.letters(features).view(-1, CLASSES)
        labels = batch.glyphs.view(-1)
        each = cross_entropy(logits, labels, ignore_index=UNKNOWN, reduction="none")
        is_letter = labels > EMPTY
        loss = (each * torch.where(is_letter, 1.0, EMPTY_COUNTS)).sum() / is_letter.sum().clamp(min=1)
        right = (logits.detach().argmax(-1) == labels)[is_letter]
        return loss, float(right.float().mean())

    def _speech(self, features: Tensor, batch: Batch) -> tuple[Tensor, float]:
        """The mean over all tokens to be said."""
        total, right, count, at, grid = features.new_zeros(()), 0, 0, 0, 0
        for rows in batch.rows:
            is_picture = rows.ids == self.model.config.image_token_id
            tokens, pictures = int(is_picture.sum()), _pictures(rows.ids, self.model.config.vision_start_token_id)
            logits, labels = self._logits(
                rows, is_picture, features[at : at + tokens], batch.grids[grid : grid + pictures]
            )
            at, grid = at + tokens, grid + pictures
            total = total + cross_entropy(logits, labels, reduction="sum")
            right += int((logits.detach().argmax(-1) == labels).sum())
            count += len(labels)
        return total / count, right / count

    def _logits(self, rows: Rows, is_picture: Tensor, features: Tensor, grids: Tensor) -> tuple[Tensor, Tensor]:
        """Of the tokens to be said, and which they are."""
        inner = self.model.model
        embedded = inner.get_input_embeddings()(rows.ids).masked_scatter(is_picture[..., None], features)
        places, _ = inner.get_rope_index(rows.ids, mm_token_type_ids=is_picture.int(), image_grid_thw=grids)
        # What fills a row up stands behind it, where no token looks: no mask is needed.
        hidden = inner.language_model(inputs_embeds=embedded, position_ids=places, use_cache=False).last_hidden_state
        wanted = rows.labels[:, 1:] != UNSAID
        return self.model.lm_head(hidden[:, :-1][wanted]), rows.labels[:, 1:][wanted]


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
