"""The data set for LLaMA-Factory holds what the agent read, saw and wrote."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small import Small
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.dialect import system_prompt
from unidoc_rl.agent.environment import Environment, conversation
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rollouts import play
from unidoc_rl.agent.scripted import Scripted
from unidoc_rl.curate.sharegpt import export
from unidoc_rl.errors import UnidocError
from unidoc_rl.index.search import Index
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Picture

AGENT = AgentParams()


def test_conversations_and_pictures_are_as_they_were(small: Small, tmp_path: Path) -> None:
    asked = [question for question in small.asked() if question.evidence][:6]
    asked[0] = replace(asked[0], query=f"{asked[0].query} Is that an <image> or a <video>?")
    pictures = Pictures(small.corpus, AGENT)
    with Index(small.index) as search:
        environment = Environment(search, pictures, AGENT)
        played = list(play([(question, 0) for question in asked], environment, Scripted(small.corpus, AGENT), 4))
    trajectories.write(tmp_path / "sft.jsonl", played)
    made = export(tmp_path / "sft.jsonl", small.corpus, tmp_path / "out", AGENT)
    (info,) = json.loads((tmp_path / "out" / "dataset_info.json").read_text()).values()
    lines = [json.loads(line) for line in (tmp_path / "out" / info["file_name"]).read_text().splitlines()]
    assert made == {"trajectories": 6, "pictures": len(list((tmp_path / "out" / "images").iterdir()))}
    assert set(info["columns"].values()) == set(lines[0])
    for one, line in zip(played, lines, strict=True):
        _, *messages = conversation(one, system_prompt(AGENT))
        assert line["system"] == system_prompt(AGENT)
        assert [turn["from"] for turn in line["conversations"]] == ["human", "gpt"] * len(one.turns)
        assert [turn["value"] for turn in line["conversations"][1::2]] == [
            text.reply.text.replace("<image>", "< image>").replace("<video>", "< video>") for text in one.turns
        ]
        text = "".join(turn["value"] for turn in line["conversations"])
        assert Counter(re.findall("<(?:image|video|audio)>", text)) == {"<image>": len(line["images"])}
        seen = [part for message in messages for part in message.content if isinstance(part, Picture)]
        for name, picture in zip(line["images"], seen, strict=True):
            with Image.open(tmp_path / "out" / name) as image:
                assert np.array_equal(np.asarray(image), np.asarray(pictures.show(picture)))


def test_no_trajectories_are_no_data_set(small: Small, tmp_path: Path) -> None:
    (tmp_path / "sft.jsonl").touch()
    with pytest.raises(UnidocError, match="holds no trajectories"):
        export(tmp_path / "sft.jsonl", small.corpus, tmp_path / "out", AGENT)
    assert not (tmp_path / "out").exists()


def test_the_data_sets_of_llama_factory_itself_are_not_replaced(small: Small, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dataset_info.json").write_text("{}")
    with pytest.raises(UnidocError, match=r"data: exists, and holds no sharegpt\.jsonl: not ours"):
        export(tmp_path / "sft.jsonl", small.corpus, tmp_path / "data", AGENT)
