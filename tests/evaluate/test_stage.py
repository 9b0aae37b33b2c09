"""Evaluation: the numbers are those of the episodes, each wrong answer has its cause, and the report shows both."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.agent.chat import Body, Chat, Given, completion
from tests.agent.models import write_policy
from tests.browser import PHONE, Tab
from tests.small import Small
from unidoc_rl import questions
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rollouts import play
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import Mistakes, Scripted
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate.measures import Cause, Evaluation, evaluation, row_of
from unidoc_rl.evaluate.stage import evaluate, paired
from unidoc_rl.index.search import Index
from unidoc_rl.mlflow_server import opened
from unidoc_rl.params import AgentParams, EvaluateParams, Params, RewardParams
from unidoc_rl.promote.stage import promote
from unidoc_rl.types import AnswerFormat, Outcome, Split, Trajectory

AGENT = AgentParams()
CAUSES = {"select": Cause.WRONG_PAGE, "region": Cause.WRONG_REGION, "missing": Cause.WRONG_REGION}


def played(small: Small, mistakes: Mistakes, wrong: bool = False) -> list[Trajectory]:
    """All questions; `wrong`: whatever was done, the answer is taken for wrong."""
    with Index(small.index) as search:
        environment = Environment(search, Pictures(small.corpus, AGENT), AGENT)
        teacher = Scripted(small.corpus, AGENT, mistakes)
        ended = list(play([(one, 0) for one in small.asked()], environment, teacher, 16))
    scored = score(ended, RewardParams(), by_rules)
    if not wrong:
        return scored
    return [
        replace(one, scores=replace(one.scores, parts={**one.scores.parts, "answer": 0.0}))
        for one in scored
        if one.scores
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "why"), CAUSES.items())
def test_a_wrong_answer_has_the_first_thing_that_went_wrong_as_its_cause(small: Small, kind: str, why: Cause) -> None:
    faultless = {one.question.uid: one for one in played(small, Mistakes())}
    found: Counter[Cause | None] = Counter()
    for one in played(small, replace(Mistakes(), **{kind: 1}), wrong=True):
        same = [turn.reply.text for turn in one.turns] == [
            turn.reply.text for turn in faultless[one.question.uid].turns
        ]
        row = row_of(one)
        if not same and row is not None:
            found[row.cause] += 1
    assert found
    assert why in found
    assert set(found) <= {why, Cause.NOT_FOUND}


@pytest.mark.slow
def test_numbers_are_those_of_the_episodes(small: Small) -> None:
    episodes = played(small, Mistakes(answer=0.3))
    void = replace(episodes[0], outcome=Outcome.VOID, scores=None)
    found = evaluation(map(row_of, [void, *episodes[1:]]))
    values = [one.scores.parts["answer"] for one in episodes[1:] if one.scores]
    assert found.void == 1
    assert found.accuracy.value == pytest.approx(sum(values) / len(values))
    assert found.accuracy.count == len(values)
    assert sum(found.causes.values()) == values.count(0.0)
    assert sum(one.count for one in found.by["kind"].values()) == len(values)
    answerable = [one for one in episodes[1:] if one.question.answer_format is not AnswerFormat.NONE]
    right = sum(one.scores.parts["answer"] for one in answerable if one.scores)
    answered = sum(not row.answered_none for row in found.rows)
    recall, precision = right / len(answerable), right / answered
    assert found.f1.value == pytest.approx(2 * recall * precision / (recall + precision))
    assert 0 < found.f1.low < found.f1.value < found.f1.high < 1
    unanswerable = found.refusals["of what is unanswerable, it says so"]
    assert unanswerable.count == sum(not one.question.evidence for one in episodes[1:])
    same, other = paired(found, evaluation(map(row_of, episodes)))
    assert len(same) == len(other) == len(values)


# --- the stage --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("model") / "tiny", AGENT, "qwen2_5_vl")


@pytest.mark.slow
def test_a_policy_beside_the_ceiling(
    small: Small, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tab: Tab
) -> None:
    monkeypatch.chdir(tmp_path)
    some = [one for one in questions.read(small.file(Split.TEST)) if len(one.evidence) == 1][:3]
    questions.write(tmp_path / "test.json", some)
    agent = AGENT.model_copy(update={"turns": 5, "turn_tokens": 16})
    params = Params(agent=agent, evaluate=EvaluateParams(at_once=3, baselines=["rag"]))
    history = [{"step": 1, "reward": 0.1, "eval_accuracy": 0.0}, {"step": 2, "reward": 0.3, "eval_accuracy": 0.5}]
    (model / "grpo.json").write_text(json.dumps({"history": history}))
    out = tmp_path / "evaluation"
    asked, index = tmp_path / "test.json", str(small.index)
    found = evaluate(asked, small.corpus, index, str(model), out, params, ["scripted"])
    assert found.accuracy.value == 0
    table = json.loads((out / "evaluation.json").read_text())
    assert list(table) == ["tiny", "rag", "scripted"]
    assert table["rag"]["figures"]["recall"]["value"] > 0  # it saw what its question found, whatever it wrote
    assert set(table["tiny"]["rows"]) == {one.uid for one in some}
    assert json.loads((out / "metrics.json").read_text())["accuracy"] == 0
    assert len(list(trajectories.read(out / "episodes.jsonl"))) == 3
    mlflow, experiment = opened(None)
    (run,) = mlflow.search_runs([experiment])
    assert run.data.metrics["accuracy"] == 0
    assert {one.dataset.name for one in run.inputs.dataset_inputs} == {
        "questions",
        "corpus",
        "index",
        "tiny",
        "scripted",
    }
    traces = mlflow.search_traces(locations=[experiment], run_id=run.info.run_id)
    assert {one.info.request_preview is not None for one in traces} == {True}
    assert len(traces) == 3
    tab.open(out / "report.html")
    assert tab.text("h1") == "tiny: 0.0% right"
    assert tab.text("p.verdict").endswith("Worse than scripted (-100.0% [-100.0%, -100.0%]).")
    assert tab.texts("svg.plot circle.own") == [""]  # accuracy against cost
    assert len(tab.texts("svg.plot polyline")) == 2  # what the policy's folder says of its learning
    assert tab.texts("summary")[1:] == ["lost against scripted: 3"]
    frame = "document.querySelector('iframe').contentDocument"
    cases = tab.evaluate(f"[...{frame}.querySelectorAll('#label option')].map(one => one.value)")
    assert {"", "=lost against scripted"} <= set(cases)
    assert "=won against scripted" not in cases
    choose = f"{frame}.querySelector('#label').value = '=lost against scripted'"
    tab.evaluate(f"{choose}; {frame}.querySelector('#filters').dispatchEvent(new Event('input'))")
    assert tab.evaluate(f"{frame}.querySelectorAll('#list li').length") == 6  # three questions, by each of both
    assert [row.split("0.0%")[0] for row in tab.texts("table.plain tr")[1:2]] == ["tiny"]
    tab.size(*PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE[0]


@pytest.mark.slow
def test_the_champion_stands_beside_as_soon_as_there_is_one(
    small: Small, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIDOC_CACHE", str(tmp_path / "cache"))
    questions.write(tmp_path / "test.json", small.asked()[:1])
    params = Params(agent=AGENT.model_copy(update={"turns": 1, "turn_tokens": 16}))

    def players() -> list[str]:
        out = tmp_path / "evaluation"
        evaluate(tmp_path / "test.json", small.corpus, str(small.index), str(model), out, params, ["champion"])
        return list(json.loads((out / "evaluation.json").read_text()))

    assert players() == ["tiny"]
    assert "there is no champion yet to stand beside" in capfd.readouterr().err
    assert promote(model, tmp_path / "evaluation", tmp_path / "promotion", params).promoted
    assert players() == ["tiny", "champion"]


def test_what_was_once_judged_is_not_asked_for_by_another_evaluation(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNIDOC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    first, *_ = some = list({one.answer: one for one in small.asked() if one.evidence}.values())[:3]
    questions.write(tmp_path / "test.json", some)

    def answer(body: Body) -> Given:
        text = body["messages"][1]["content"]
        if first.query in str(text):
            return completion("Who knows.")
        return completion("ANSWER: " + re.findall(r"<answer \w+>\n(.*)\n</answer", text)[0])

    def evaluated(name: str, rewards: RewardParams) -> Evaluation:
        out, params = tmp_path / name, Params(rewards=rewards)
        return evaluate(tmp_path / "test.json", small.corpus, str(small.index), "scripted", out, params)

    with Chat(answer).running() as chat:
        judge = f"mmlongbench+{chat.url}"
        found = evaluated("one", RewardParams(judge=judge))
        assert (found.accuracy.value, found.accuracy.count, found.void) == (1, 2, 1)
        (void,) = [one for one in trajectories.read(tmp_path / "one/episodes.jsonl") if one.outcome is Outcome.VOID]
        assert void.failure.endswith("the last: Who knows.")
        assert len(chat.asked) == 4  # once more of what was not understood
        evaluated("two", RewardParams(judge=judge, of="outcome"))
        assert len(chat.asked) == 6


def test_two_policies_of_one_name_are_refused(small: Small, tmp_path: Path) -> None:
    asked, index, out = small.file(Split.TEST), str(small.index), tmp_path / "out"
    with pytest.raises(UnidocError, match="a policy of the name grpo is evaluated already"):
        evaluate(asked, small.corpus, index, "a/grpo", out, Params(), ["b/grpo"])
    params = Params(evaluate=EvaluateParams(baselines=["rag"]))
    with pytest.raises(UnidocError, match="a policy of the name rag is evaluated already"):
        evaluate(asked, small.corpus, index, "a/rag", out, params)
