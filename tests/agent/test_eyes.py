"""A frozen tower looks at a picture once and sees what it would have seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText

from tests.agent.models import write_policy
from unidoc_rl.agent.encoding import Encoder
from unidoc_rl.agent.eyes import remember
from unidoc_rl.agent.loading import load
from unidoc_rl.params import AgentParams

PARAMS = AgentParams(max_pixels=60 * 28 * 28, min_pixels=28 * 28)


class Tower:
    """A real one, with a count of the patches that it looked at."""

    def __init__(self, folder: Path, kind: str, room: int = 1 << 30) -> None:
        write_policy(folder, PARAMS, kind)
        encoder = Encoder.of(folder)
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder).requires_grad_(False)
        self.pictures = [encoder.look(Image.new("RGB", (56, 28 * n), (40 * n, 90, 10))) for n in (1, 2, 3)]
        self.looked = 0
        self._look = self.model.model.visual.forward
        self.model.model.visual.forward = self._counted
        self.plain = [self(n) for n in range(3)]
        self.looked = 0
        remember(self.model.model.visual, room)

    def _counted(self, hidden_states: Tensor, grid_thw: Tensor, **others: Any) -> Any:
        self.looked += len(hidden_states)
        return self._look(hidden_states, grid_thw=grid_thw, **others)

    def __call__(self, *numbers: int) -> list[Tensor]:
        """The tensors that the language model gets."""
        pixels = torch.cat([self.pictures[n].pixels for n in numbers])
        seen = self.model.get_image_features(pixels, torch.stack([self.pictures[n].grid for n in numbers]))
        inner = getattr(seen, "deepstack_features", None) or []
        return [torch.cat(list(layer)) for layer in (seen.pooler_output, *inner)]


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_it_sees_the_same_and_looks_once(tmp_path: Path, kind: str) -> None:
    tower = Tower(tmp_path, kind)
    for numbers in [(0,), (1, 0, 1), (2, 1, 0)]:
        expected = [torch.cat(layer) for layer in zip(*(tower.plain[n] for n in numbers), strict=True)]
        seen = tower(*numbers)
        assert len(seen) == len(expected) == (1 if kind == "qwen2_5_vl" else 2)
        assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(seen, expected, strict=True))
    assert tower.looked == sum(len(picture.pixels) for picture in tower.pictures)


def test_a_tower_that_learns_looks_every_time(tmp_path: Path) -> None:
    tower = Tower(tmp_path, "qwen2_5_vl")
    before = tower(0)[0]
    tower.model.model.visual.requires_grad_(True)
    first, second = tower(0)[0], tower(0)[0]
    assert tower.looked == 3 * len(tower.pictures[0].pixels)
    assert first.requires_grad
    assert torch.equal(first, second)
    with torch.no_grad():
        tower.model.model.visual.merger.ln_q.weight.mul_(2)
    tower.model.model.visual.requires_grad_(False)
    assert not torch.allclose(tower(0)[0], before)  # what it learned, it sees by


def test_what_was_not_seen_for_long_makes_room(tmp_path: Path) -> None:
    tower = Tower(tmp_path, "qwen2_5_vl", room=3 * 2 * 32 * 4 + 1)  # for six tokens
    tower(0)
    tower(1)
    tower(0)
    assert tower.looked == len(tower.pictures[0].pixels) + len(tower.pictures[1].pixels)
    tower(2)
    tower(0)
    assert tower.looked == sum(len(picture.pixels) for picture in tower.pictures) + len(tower.pictures[0].pixels)


def test_what_was_seen_in_play_can_be_learned_from(tmp_path: Path) -> None:
    tower = Tower(tmp_path, "qwen2_5_vl")
    with torch.inference_mode():
        tower(0, 1)
    weight = torch.ones(32, requires_grad=True)
    torch.autograd.backward((tower(0, 1)[0] * weight).sum())
    assert weight.grad is not None
    assert tower.looked == len(tower.pictures[0].pixels) + len(tower.pictures[1].pixels)


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_no_policy_that_is_loaded_takes_pictures_in_by_a_convolution(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = Tower(tmp_path, kind)
    quick, _ = load(tmp_path, PARAMS)
    cuts = [model.model.visual.patch_embed.proj for model in (tower.model, quick)]
    pixels = tower.pictures[2].pixels.view(-1, 3, *cuts[0].kernel_size)
    for cut in cuts:
        if cut.bias is not None:
            cut.bias.data = torch.linspace(0, 1, len(cut.bias))
    expected = cuts[0](pixels)
    monkeypatch.delattr(torch.nn.Conv3d, "_conv_forward")
    assert torch.allclose(cuts[1](pixels), expected.flatten(1), atol=1e-5)
