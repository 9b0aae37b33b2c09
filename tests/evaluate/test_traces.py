"""An episode as MLflow shows it: what was said to what was shown, and what it came to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.world import QUESTION, World, played
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.evaluate import traces
from unidoc_rl.mlflow_server import opened
from unidoc_rl.params import AgentParams, RewardParams
from unidoc_rl.tracking import run


@pytest.mark.slow
def test_what_was_said_shown_and_earned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world, params = World(tmp_path), AgentParams(candidates=2)
    turns = ("<think>first</think><search>bees</search>", "<select>0</select>", "<answer>honey</answer>")
    (one,) = score([played(world.environment(params), *turns).trajectory("test")], RewardParams(), by_rules)
    with run("evaluate", None) as going:
        going.trace("q1", traces.told(one, Pictures(world.corpus, params)))
    client, experiment = opened(None)
    (found,) = client.search_traces(locations=[experiment])
    judged = {given.name: given.value for given in found.info.assessments}
    assert judged["expected"] == "honey"
    assert (judged["answer"], judged["search"]) == (1.0, 1.0)
    root, *spans = found.data.spans
    assert (root.inputs, root.outputs["answer"]) == ({"question": QUESTION.query}, "honey")
    assert [span.name for span in spans] == ["turn 1", "search", "turn 2", "select", "turn 3"]
    said, seen = spans[0].outputs["content"], spans[2].inputs["messages"][0]["content"]
    assert said == turns[0]
    assert spans[1].outputs["pages"] == ["bees_1", "bees_2"]
    assert [block["type"] for block in seen] == ["text", "text", "image_url", "text", "image_url"]
    assert len(list(tmp_path.glob(".mlflow/artifacts/traces/*/artifacts/attachments/*"))) == 3
