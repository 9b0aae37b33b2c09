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
from unidoc_rl.agent.pictures import LONGEST
from unidoc_rl.nano.batches import Batch, Rows
from unidoc_rl.nano.glyphs import CLASSES, EMPTY, NOWHERE, PLACES, TURNS, of_patches
from unidoc_rl.nano.looks import UNTOLD
from unidoc_rl.nano.model import MERGE
from unidoc_rl.nano.recipe import Stage
from unidoc_rl.nano.tower import Unmerged, quicken

ROOM = 4 << 30  # bytes for what a frozen tower has seen: a few families of pages
EMPTY_COUNTS = 0.1  # most places are empty
# How much each of the marks counts; letters alone, where nothing is said, count as much as what is said does.
COUNTS = {
    "strokes": 0.5,
    "letters": 0.3,
    "words": 0.5,
    "said": 1.0,
    "pointed": 0.5,
    "placed": 0.2,
    "found": 0.5,
    "recognised": 0.5,
    "related": 0.5,
}
SILENT = COUNTS | {"strokes": 1.0, "letters": 1.0}
# What is known of where a thing stands, and of what was heard of it, is put together before it is pointed to.
RECOGNISING_LAYER, HEARING_LAYER, RELATING_LAYER, POINTING_LAYER = 1, 2, 3, 4
WARM = 100  # steps
LAST = 0.05  # of the highest rate, at a stage's end


@dataclass(frozen=True, slots=True)
class Marks:
    """How a batch went."""

    loss: float
    strokes: float  # share of the letters in pictures that the vision tower's patches know; nan where they are frozen
    letters: float  # likewise, one after the other, the tokens that are made of them; nan where nothing is seen
    words: float  # share of the tokens of their words that it knows where they begin
    said: float  # share of the tokens to be said that come first; nan where nothing is
    pointed: float  # share of the tokens copied from somewhere that are looked for in their place; nan where none is
    placed: float  # share of a picture's tokens whose row and column the middle layer knows; nan where it is not asked
    recognised: float  # share of a picture's tokens that look for their word where it was told; nan where none was
    related: float  # share of a table's values that look for their row's name, their column's head; nan where none is
    found: float  # share of the tokens with evidence that stand out from all others; nan where it is not asked


class Learner(nn.Module):
    """The model, and linear layers that tell what its visual tokens should know, which nobody needs afterwards."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        tower = model.model.visual
        quicken(tower)
        # What makes a token of four patches learns in all stages: which of what they know the text model is told.
        self.merger, tower.merger = tower.merger, Unmerged()
        remember(tower, ROOM)
        # What four patches learn alike is learned four times as soon as by the token that is made of them.
        self.strokes = nn.Linear(model.config.vision_config.hidden_size, PLACES // MERGE**2 * CLASSES)
        self.letters = nn.Linear(model.config.vision_config.out_hidden_size, TURNS * CLASSES)
        self.words = nn.Linear(model.config.vision_config.out_hidden_size, model.config.text_config.hidden_size)
        self.places = nn.Linear(model.config.text_config.hidden_size, 2 * LONGEST)
        self.evidence = nn.Linear(model.config.text_config.hidden_size, 1)
        self._recognising, self._hearing, self._relating, self._pointing = (
            Watched(model.model.language_model, n)
            for n in (RECOGNISING_LAYER, HEARING_LAYER, RELATING_LAYER, POINTING_LAYER)
        )

    def whole(self) -> Any:
        """The model, as others have it."""
        self.model.model.visual.merger = self.merger
        return self.model

    def forward(self, batch: Batch) -> tuple[Tensor, Marks]:
        tallies = {name: Tally() for name in COUNTS}
        features, patches = self._look(batch)
        if patches.requires_grad:
            _know(self.strokes(patches), of_patches(batch.glyphs), tallies["strokes"])
        if len(features):
            _know(self.letters(features), batch.letters, tallies["letters"])
            self._words(features, batch, tallies["words"])
        if batch.rows:
            self._speech(features, batch, tallies)
        counts = COUNTS if batch.rows else SILENT
        total = torch.stack([tally.loss() * counts[name] for name, tally in tallies.items()]).sum()
        return total, Marks(float(total.detach()), **{name: tally.right() for name, tally in tallies.items()})

    def _look(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is told of the squares of all pictures, and what their patches know."""
        if not len(batch.pixels):
            return self.letters.weight.new_zeros(0, self.letters.in_features), torch.empty(0)
        known = self.model.model.visual(batch.pixels, grid_thw=batch.grids).pooler_output
        patches = known.view(-1, self.strokes.in_features)
        return self.merger(patches).float(), patches.float()

    def _words(self, features: Tensor, batch: Batch, words: Tally) -> None:
        """What is seen is to be like what is told: in a square, the tokens of the vocabulary that begin there."""
        squares, row = torch.unique(batch.words[:, 0], return_inverse=True)
        tokens = batch.words[:, 1]
        logits = self.words(features[squares]) @ self.model.get_input_embeddings().weight.detach().T
        there = torch.zeros_like(logits, dtype=torch.bool)
        there[row, tokens] = True
        words.stand_out(logits, there)

    def _speech(self, features: Tensor, batch: Batch, tallies: Mapping[str, Tally]) -> None:
        at, grid = 0, 0
        for rows in batch.rows:
            is_picture = rows.ids == self.model.config.image_token_id
            tokens, pictures = int(is_picture.sum()), _pictures(rows.ids, self.model.config.vision_start_token_id)
            own, grids = features[at : at + tokens], batch.grids[grid : grid + pictures]
            at, grid = at + tokens, grid + pictures
            places = self._say(rows, is_picture, own, grids, tallies["said"])
            first, last, heard = rows.spots[:, 1:].unbind(-1)  # the token before each one looks for it
            for watched, head, spots in (
                (self._hearing, 0, heard),
                (self._pointing, 0, first),
                (self._pointing, -1, last),
            ):
                tallies["pointed"].add(*watched.looked(head, spots))
            self._recognise(rows.told, tallies["recognised"])
            for head, of in ((0, 0), (-1, 1)):
                tallies["related"].add(*self._relating.looked(head, rows.cells[..., of]))
            self._find(rows.shown, rows.evidence, tallies["found"])
            if tokens:
                logits = self.places(self._hearing.hidden[is_picture]).view(-1, LONGEST)
                tallies["placed"].add(logits, (places[1:] - places[0])[:, is_picture].T.reshape(-1))  # row and column

    def _recognise(self, where: Tensor, recognised: Tally) -> None:
        """A word that is seen is looked for where it was told."""
        scores, labels = self._recognising.looked(0, where)
        was_told = labels != UNTOLD
        recognised.add(scores[was_told], labels[was_told])
        untold = cross_entropy(scores[~was_told], labels[~was_told], reduction="sum")
        recognised.cost(untold * EMPTY_COUNTS, EMPTY_COUNTS * int((~was_told).sum()))

    def _find(self, shown: Tensor, evidence: Tensor, found: Tally) -> None:
        """What is asked for stands out, in the pictures of a turn, before it is looked for."""
        scores = self.evidence(self._pointing.hidden)[..., 0]
        turns = int(shown.max()) + 1
        for turn in range(max(1, turns)):  # where nothing is asked too: all learners have gradients of the same weights
            there = evidence == turn
            asked = there.any(-1)
            logits = scores.masked_fill(shown != turn, -math.inf)
            found.stand_out(logits[asked], there[asked])

    def _say(self, rows: Rows, is_picture: Tensor, features: Tensor, grids: Tensor, said: Tally) -> Tensor:
        """What is said in some lessons; returns the places of their tokens: in time, down and across."""
        inner = self.model.model
        embedded = inner.get_input_embeddings()(rows.ids).masked_scatter(is_picture[..., None], features)
        places, _ = inner.get_rope_index(
            rows.ids, mm_token_type_ids=is_picture.int(), image_grid_thw=grids if len(grids) else None
        )
        # What fills a row up stands behind it, where no token looks: no mask is needed.
        hidden = inner.language_model(inputs_embeds=embedded, position_ids=places, use_cache=False).last_hidden_state
        wanted = rows.labels[:, 1:] != UNSAID
        said.add(self.model.lm_head(hidden[:, :-1][wanted]), rows.labels[:, 1:][wanted])
        return torch.as_tensor(places)


class Tally:
    """What was to be known, of one kind."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._right: list[Tensor] = []
        self._beside = 0.0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self._losses.append(cross_entropy(logits.float(), labels, reduction="none"))
        self._right.append(logits.detach().argmax(-1) == labels)

    def stand_out(self, logits: Tensor, there: Tensor) -> None:
        """Each of some in a row, beside all others of it."""
        row, at = there.nonzero(as_tuple=True)
        others = logits.masked_fill(there, -math.inf).logsumexp(-1)
        self.add(torch.stack([logits[row, at], others[row]], dim=-1), torch.zeros_like(at))

    def cost(self, loss: Tensor, counts: float = 0.0) -> None:
        """Something beside it that is to be kept small; and as how many of the known things it counts."""
        self._losses.append(loss[None])
        self._beside += counts

    def loss(self) -> Tensor:
        """A known thing's, on average."""
        total = torch.cat(self._losses).sum() if self._losses else torch.zeros(())
        return total / max(1, sum(map(len, self._right)) + self._beside)

    def right(self) -> float:
        return float(torch.cat(self._right).float().mean()) if sum(map(len, self._right)) else math.nan


class Watched:
    """A layer of which a head is taught where to look."""

    def __init__(self, language_model: Any, layer: int) -> None:
        self._attention = language_model.layers[layer].self_attn
        self._attention.register_forward_pre_hook(self._seen, with_kwargs=True)
        self._inputs: Mapping[str, Any] = {}

    def _seen(self, _module: Any, _args: Any, given: Mapping[str, Any]) -> None:
        self._inputs = given

    @property
    def hidden(self) -> Tensor:
        """What it was given last."""
        hidden: Tensor = self._inputs["hidden_states"]
        return hidden

    def looked(self, head: int, spots: Tensor) -> tuple[Tensor, Tensor]:
        """How much each token that is to look somewhere looks at all tokens, and at which it should."""
        hidden, (cos, sin) = self.hidden, self._inputs["position_embeddings"]
        attention, shape = self._attention, (*hidden.shape[:2], -1, self._attention.head_dim)
        queries, keys = (made(hidden).view(shape).transpose(1, 2) for made in (attention.q_proj, attention.k_proj))
        queries, keys = apply_rotary_pos_emb(queries, keys, cos, sin)
        head %= queries.shape[1]
        group = head * keys.shape[1] // queries.shape[1]
        looking = [(of != NOWHERE).nonzero()[:, 0] for of in spots]
        scores = torch.cat([queries[row, head, at] @ keys[row, group].T for row, at in enumerate(looking)])
        at = torch.cat(looking)
        later = torch.arange(hidden.shape[1], device=hidden.device)
        return scores.float().masked_fill(later > at[:, None], -math.inf) * attention.scaling, spots[spots != NOWHERE]


def _know(logits: Tensor, letters: Tensor, known: Tally) -> None:
    """Of each place, or in each one's turn, which letter there is."""
    logits, labels = logits.view(-1, CLASSES), letters.view(-1)
    is_letter, is_empty = labels > EMPTY, labels == EMPTY
    known.add(logits[is_letter], labels[is_letter])
    known.cost(cross_entropy(logits[is_empty].float(), labels[is_empty], reduction="sum") * EMPTY_COUNTS)


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
