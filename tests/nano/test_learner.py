"""The vision tower learns as it would by transformers' own way, and is told of squares and patches where they lie."""

from __future__ import annotations

from itertools import islice
from random import Random

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2_5_VLForConditionalGeneration

from unidoc_rl.nano import lessons, pages
from unidoc_rl.nano.batches import Maker
from unidoc_rl.nano.glyphs import ACROSS, DOWN, EMPTY, PLACES, of_patches
from unidoc_rl.nano.learner import Learner
from unidoc_rl.nano.model import MERGE, PROTOCOL, configuration, make_tokenizer
from unidoc_rl.nano.tower import quicken


@given(st.integers(0, DOWN - 1), st.integers(0, ACROSS - 1))
def test_a_patch_has_the_places_of_its_quarter_of_a_square(row: int, column: int) -> None:
    glyphs = torch.full((2, PLACES), EMPTY)
    glyphs[1, row * ACROSS + column] = 7
    down, across = DOWN // MERGE, ACROSS // MERGE
    ((patch, place),) = (of_patches(glyphs) == 7).nonzero().tolist()
    assert divmod(patch - MERGE**2, MERGE) == (row // down, column // across)
    assert divmod(place, across) == (row % down, column % across)


def test_tokens_are_told_as_transformers_tells_them_and_patches_four_to_each() -> None:
    torch.manual_seed(1)
    model = Qwen2_5_VLForConditionalGeneration(configuration(make_tokenizer(PROTOCOL)))
    taken = list(islice(lessons.of("looking", Random(3), [pages.family(pages.UNASKED, 1)]), 3))
    batch = Maker().collated("looking", taken)
    usual = model.model.visual(batch.pixels, grid_thw=batch.grids).pooler_output
    learner = Learner(model)
    features, patches = learner._look(batch)
    assert len(patches) == MERGE**2 * len(features)
    torch.testing.assert_close(features, usual, rtol=1e-4, atol=1e-5)
    whole = learner.whole().model.visual(batch.pixels, grid_thw=batch.grids).pooler_output
    torch.testing.assert_close(whole, usual, rtol=1e-4, atol=1e-5)


def test_what_makes_tokens_of_patches_learns_while_the_tower_is_frozen() -> None:
    torch.manual_seed(1)
    learner = Learner(Qwen2_5_VLForConditionalGeneration(configuration(make_tokenizer(PROTOCOL))))
    tower = learner.model.model.visual.requires_grad_(False)
    loss, _ = learner(
        Maker().collated("rows", list(islice(lessons.of("rows", Random(3), [pages.family(pages.UNASKED, 1)]), 1)))
    )
    loss.backward()
    assert all(weight.grad is None for weight in tower.parameters())
    assert all(weight.grad is not None and weight.grad.any() for weight in learner.merger.parameters())


def test_the_tower_learns_what_it_would_by_transformers_own_way() -> None:
    torch.manual_seed(1)
    tower = Qwen2_5_VLForConditionalGeneration(configuration(make_tokenizer(PROTOCOL))).model.visual
    taken = list(islice(lessons.of("looking", Random(3), [pages.family(pages.UNASKED, 1)]), 3))
    batch = Maker().collated("looking", taken)

    def learned() -> list[torch.Tensor]:
        tower.zero_grad()
        seen = tower(batch.pixels, grid_thw=batch.grids).pooler_output
        seen.square().sum().backward()
        return [seen.detach(), *(weight.grad for weight in tower.parameters())]

    usual = learned()
    quicken(tower)
    for one, other in zip(learned(), usual, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))
