"""Evaluation: the numbers are those of the episodes, each wrong answer has its cause, and the report shows both.

Killed, it goes on; what is not there, a champion or a server, is told.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.agent.chat import Body, Chat, Given, completion
from tests.agent.models import write_policy
from tests.agent.world import QUESTION
from tests.browser import PHONE, Tab
from tests.conftest import Bucket
from tests.index.test_stage import make_corpus
from tests.servers import closed_port
from tests.small import Small
from unidoc_rl import questions, s3, trained
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rollouts import play
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import Mistakes, Scripted
from unidoc_rl.cli import LEFT_OUT, cli
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate.measures import Cause, Evaluation, evaluation, row_of
from unidoc_rl.evaluate.stage import evaluate, paired
from unidoc_rl.index.search import Index
from unidoc_rl.mlflow_server import PARENT, opened
from unidoc_rl.params import AgentParams, EvaluateParams, Params, PromoteParams, RewardParams, ServiceParams
from unidoc_rl.promote.stage import promote
from unidoc_rl.provenance import identity
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
    none = [one for one in episodes[1:] if not one.question.evidence]
    known = sum(one.scores.parts["answer"] for one in none if one.scores)  # the rules: right is who says so
    precise, complete = found.refusals.values()
    assert precise.count == sum(row.answered_none for row in found.rows)
    assert precise.value == pytest.approx(known / precise.count)
    assert complete.value == pytest.approx(known / len(none))
    assert complete.count == len(none) == found.by["hops"]["0"].count
    same, other = paired(found, evaluation(map(row_of, episodes)))
    assert len(same) == len(other) == len(values)
    assert evaluation(map(row_of, [*reversed(episodes[1:]), void])) == found  # in whatever order they came to end


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
    playing = EvaluateParams(at_once=3, baselines=["rag"], price_read=3.0, price_written=15.0)
    params = Params(agent=agent, evaluate=playing)
    history = [{"step": 1, "reward": 0.1, "eval_accuracy": 0.0}, {"step": 2, "reward": 0.3, "eval_accuracy": 0.5}]
    trained.note(model, "grpo", params, {}, "another", history)
    out = tmp_path / "evaluation"
    asked, index = tmp_path / "test.json", str(small.index)
    found = evaluate(asked, small.corpus, index, str(model), out, params, ["scripted"])
    assert found["tiny"].accuracy.value == 0
    table = json.loads((out / "evaluation.json").read_text())
    assert list(table) == ["tiny", "rag", "scripted"]
    assert table["rag"]["figures"]["recall"]["value"] > 0  # it saw what its question found, whatever it wrote
    assert set(table["tiny"]["rows"]) == {one.uid for one in some}
    assert table["tiny"]["figures"]["cost"]["value"] > 0
    assert (table["scripted"]["compared"]["value"], table["scripted"]["compared"]["p"]) == (-1, 0.125)
    assert (table["scripted"]["compared"]["won"], table["scripted"]["compared"]["lost"]) == ([], [o.uid for o in some])
    assert table["rag"]["inputs"] == table["tiny"]["inputs"] != table["scripted"]["inputs"]
    assert table["rag"]["inputs"]["policy"] == identity(model)
    assert {one["inputs"]["judge"] for one in table.values()} == {"rules"}
    assert json.loads((out / "metrics.json").read_text())["accuracy"] == 0
    assert len(list(trajectories.read(out / "episodes.jsonl"))) == 3
    mlflow, experiment = opened(None)
    runs = {one.info.run_name: one for one in mlflow.search_runs([experiment])}
    run = runs["evaluate"]
    assert {name: one.data.metrics["accuracy"] for name, one in runs.items()} == {
        "evaluate": 0,
        "evaluate rag": 0,
        "evaluate scripted": 1,
    }
    assert [(one.data.tags[PARENT], one.info.status) for one in runs.values() if one is not run] == [
        (run.info.run_id, "FINISHED")
    ] * 2
    assert {"judge": "rules", "turns": "5", "questions": "3"}.items() <= run.data.params.items()
    assert {*runs["evaluate scripted"].data.params.items()} - {*run.data.params.items()} == {("policy", "scripted")}
    assert {one.dataset.name for one in run.inputs.dataset_inputs} == {
        "questions",
        "corpus",
        "index",
        "tiny",
        "scripted",
    }
    sources = {one.dataset.name: json.loads(one.dataset.source)["uri"] for one in run.inputs.dataset_inputs}
    assert sources["index"] == str(small.index)
    assert {file.path for file in mlflow.list_artifacts(run.info.run_id)} == {"report.html", "evaluation.json"}
    traces = mlflow.search_traces(locations=[experiment], run_id=run.info.run_id)
    assert {one.info.request_preview is not None for one in traces} == {True}
    assert len(traces) == 3
    tab.open(out / "report.html")
    assert tab.text("h1") == "tiny: 0.0% right"
    assert tab.text("p.verdict").endswith("scripted (-100.0 points [-100.0, +19.2]).")  # of three
    head = tab.texts("table.plain th")
    assert {"recall", "NDCG", "first gold rank", "region IoU", "turns", "zooms", "cost"} <= {*head}
    assert "cost of a question" in tab.texts("svg.plot text.tick")
    told = tab.texts(".charts h3")
    assert {"by kind", "by source", "by hops", "outcomes", "why it is not right"} <= {*told}
    assert tab.texts("svg.plot circle.own") == [""]  # accuracy against cost
    assert len(tab.texts("svg.plot polyline")) == 2  # what the policy's folder says of its learning
    assert tab.texts("summary")[1:] == ["lost against scripted: 3"]
    frame = "document.querySelector('iframe').contentDocument"
    cases = tab.evaluate(f"[...{frame}.querySelectorAll('#label option')].map(one => one.value)")
    assert {"", "=at random", "=lost against scripted"} <= set(cases)
    assert "=won against scripted" not in cases
    choose = f"{frame}.querySelector('#label').value = '=lost against scripted'"
    tab.evaluate(f"{choose}; {frame}.querySelector('#filters').dispatchEvent(new Event('input'))")
    assert tab.evaluate(f"{frame}.querySelectorAll('#list li').length") == 6  # three questions, by each of both
    assert [row.split("0.0%")[0] for row in tab.texts("table.plain tr")[1:2]] == ["tiny"]
    tab.evaluate(f"{frame}.querySelector('#list li:nth-child(2) a').click()")  # what the ceiling did with the first
    is_painted(tab, small)
    tab.size(*PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE[0]


RIGHT, OWN = (43, 122, 75), (63, 111, 181)  # colours of webpage.html


def is_painted(tab: Tab, small: Small) -> None:
    """What the numbers and the episode that is open say is to be seen on the screen."""
    every, none = (on_screen(tab, f".stacked tr:nth-child({row}) div") for row in (3, 1))
    assert (share_of(every, RIGHT) > 0.7, share_of(none, RIGHT)) == (True, 0)  # of the ceiling, and of the policy
    circle = on_screen(tab, "svg.plot circle.own")
    assert np.abs(circle[circle.shape[0] // 2, circle.shape[1] // 2].astype(int) - OWN).max() < 8
    page = on_screen(tab, ".page img", inside=True)
    shown = tab.evaluate("document.querySelector('iframe').contentDocument.querySelector('.page img').alt")
    (file,) = small.corpus.glob(f"images/*/{shown}.jpg")
    true = Image.open(file).convert("L").resize((page.shape[1], page.shape[0]))
    seen = Image.fromarray(page).convert("L")
    assert np.corrcoef(np.asarray(true).ravel(), np.asarray(seen).ravel())[0, 1] > 0.5


def on_screen(tab: Tab, selector: str, inside: bool = False) -> np.typing.NDArray[np.uint8]:
    """What is painted where an element is; `inside`: the frame with the episodes."""
    x, y, width, height, scale = tab.evaluate(
        f"""(() => {{
            const frame = document.querySelector("iframe"), inside = {json.dumps(inside)};
            const one = (inside ? frame.contentDocument : document).querySelector({json.dumps(selector)});
            one.scrollIntoView({{block: "center", behavior: "instant"}});
            const [r, o] = [one.getBoundingClientRect(), frame.getBoundingClientRect()];
            const [x, y] = inside ? [o.x + frame.clientLeft, o.y + frame.clientTop] : [0, 0];
            return [r.x + x, r.y + y, r.width, r.height, devicePixelRatio];
        }})()"""
    )
    corners = [round(scale * at) for at in (x, y, x + width, y + height)]
    return np.asarray(tab.picture().crop((corners[0], corners[1], corners[2], corners[3])))


def share_of(pixels: np.typing.NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    return float((np.abs(pixels.astype(int) - colour).max(axis=-1) < 24).mean())


@pytest.mark.slow
def test_the_champion_stands_beside_as_soon_as_there_is_another_one(
    small: Small,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    bucket: Bucket,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    questions.write(tmp_path / "test.json", small.asked()[:1])
    params = Params(agent=AGENT.model_copy(update={"turns": 1, "turn_tokens": 16}))
    out = tmp_path / "evaluation"

    def players(policy: str | Path, params: Params = params) -> dict[str, Any]:
        evaluate(tmp_path / "test.json", small.corpus, str(small.index), str(policy), out, params, ["champion"])
        table: dict[str, Any] = json.loads((out / "evaluation.json").read_text())
        return table

    assert list(players(model)) == ["tiny"]
    assert "there is no champion yet to stand beside" in capfd.readouterr().err
    assert promote(model, out, tmp_path / "promotion", params).promoted
    assert list(players(model)) == ["tiny"]
    assert "tiny is the champion" in capfd.readouterr().err
    shutil.copytree(model, tmp_path / "next")
    (tmp_path / "next/README.md").write_text("learned on")
    s3.push(tmp_path / "next", f"{bucket.uri}/next")
    both = players(f"{bucket.uri}/next")
    assert list(both) == ["next", "champion"]
    assert both["champion"]["inputs"]["policy"] == identity(model)  # it comes back as it was
    assert [gate.name for gate in promote(f"{bucket.uri}/next", out, tmp_path / "promotion", params).gates][2] == "gain"
    with closed_port() as port:
        address = f"http://127.0.0.1:{port}"
        away = params.model_copy(update={"services": ServiceParams(mlflow=address)})
        assert list(players(tmp_path / "next", away)) == ["next"]
    told = capfd.readouterr().err
    assert "the registry cannot be asked for its champion, which does not stand beside" in told
    assert f"MLflow at {address} cannot be told" in told
    nobody = params.model_copy(update={"promote": PromoteParams(name="nobody")})
    with pytest.raises(UnidocError, match="champion: is not there to be evaluated"):
        evaluate(tmp_path / "test.json", small.corpus, str(small.index), "champion", out, nobody)


@pytest.mark.slow
def test_killed_it_goes_on_with_what_was_played(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked, out = tmp_path / "test.json", tmp_path / "evaluation"
    questions.write(asked, small.asked()[:8])
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from unidoc_rl.agent import trajectories\nfrom unidoc_rl.evaluate.stage import evaluate\n"
        "from unidoc_rl.params import Params\n"
        "real, written = trajectories.to_line, []\n"
        "def die(one):\n    written.append(one)\n"
        "    return real(one) if len(written) < 5 else os.kill(os.getpid(), signal.SIGKILL)\n"
        "trajectories.to_line = die\n"
        "asked, corpus, index, out = sys.argv[1:]\n"
        "evaluate(Path(asked), corpus, index, 'scripted', out, Params())\n"
    )
    command: list[str | Path] = [sys.executable, "-c", code, asked, small.corpus, small.index, out]
    killed = subprocess.run(command, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    left = list(trajectories.read(tmp_path / ".evaluation.work/scripted.jsonl"))
    assert len(left) == 4
    found = evaluate(asked, small.corpus, str(small.index), "scripted", out, Params())["scripted"]
    assert found.accuracy.count == 8
    kept = {one.question.uid: one for one in trajectories.read(out / "episodes.jsonl")}
    assert [kept[one.question.uid].turns for one in left] == [one.turns for one in left]  # with the very seconds
    client, experiment = opened(None)
    (run,) = client.search_runs([experiment])
    assert (run.info.status, run.data.metrics["accuracy"]) == ("FINISHED", found.accuracy.value)


@pytest.mark.slow
def test_who_was_not_answered_counts_as_void_and_what_was_has_its_cost(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    first, second, *_ = some = small.asked()[:3]
    questions.write(tmp_path / "test.json", some)

    def answer(body: Body) -> Given:
        text = json.dumps(body, ensure_ascii=False)
        return (302, {"Location": "/"}, "") if first.query in text else completion("<answer>so it is</answer>")

    params = Params(evaluate=EvaluateParams(price_read=2.0, price_written=40.0))
    with Chat(answer).running() as chat:
        out = tmp_path / "evaluation"
        (found,) = evaluate(tmp_path / "test.json", small.corpus, str(small.index), chat.url, out, params).values()
    assert (found.void, found.accuracy.count) == (1, 2)
    assert found.outcomes == {"answered": 2}
    assert found.figures["cost"].value == pytest.approx((120 * 2.0 + 5 * 40.0) / 1e6)
    assert second.uid in {row.uid for row in found.rows}
    assert json.loads((out / "metrics.json").read_text())["void"] == 1


@pytest.mark.slow
def test_a_server_is_asked_for_as_many_at_once_as_are_played_together(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    questions.write(tmp_path / "test.json", small.asked()[:20])
    together = threading.Barrier(20)

    def answer(_: Body) -> Given:
        together.wait(10)  # nobody is answered before 20 have asked
        return completion("<answer>so it is</answer>")

    params = Params(evaluate=EvaluateParams(at_once=20))
    with Chat(answer).running() as chat:
        made = evaluate(tmp_path / "test.json", small.corpus, str(small.index), chat.url, tmp_path / "out", params)
    (found,) = made.values()
    assert (found.accuracy.count, found.void, chat.busiest) == (20, 0, 20)


@pytest.mark.slow
def test_run_again_it_plays_what_was_void_alone(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    first, second, third = some = [one for one in small.asked() if one.evidence][:3]
    away = [first.query]
    questions.write(tmp_path / "test.json", some)

    def answer(body: Body) -> Given:
        text = json.dumps(body, ensure_ascii=False)
        return (302, {"Location": "/"}, "") if any(one in text for one in away) else completion("<answer>so</answer>")

    def played(turns: int = 6) -> tuple[Counter[str], list[dict[str, Any]]]:
        """How often each question was asked, and what both have come to."""
        del chat.asked[:]
        params = Params(agent=AgentParams(turns=turns), evaluate=EvaluateParams(baselines=["rag"]))
        evaluate(tmp_path / "test.json", small.corpus, str(small.index), chat.url, out, params)
        texts = [json.dumps(body, ensure_ascii=False) for body in chat.asked]
        asked = Counter(one.uid for one in some for text in texts if one.query in text)
        table = json.loads((out / "evaluation.json").read_text())
        return asked, list(table.values())

    out = tmp_path / "evaluation"
    with Chat(answer).running() as chat:
        assert [one["void"] for one in played()[1]] == [1, 1]
        kept = {one.question.uid: one for one in trajectories.read(out / "episodes.jsonl")}
        away[:] = [second.query]  # which was played
        asked, both = played()
        assert asked == {first.uid: 2}
        assert [(one["void"], one["accuracy"]["count"]) for one in both] == [(0, 3), (0, 3)]
        now = {one.question.uid: one for one in trajectories.read(out / "episodes.jsonl")}
        assert [now[one.uid] for one in (second, third)] == [kept[one.uid] for one in (second, third)]
        assert played()[0] == {first.uid: 2, second.uid: 2, third.uid: 2}  # none was void: all of them anew
        assert played(turns=5)[0] == {first.uid: 2, second.uid: 2, third.uid: 2}  # they play by other rules
        (out / "evaluation.json").write_text("{")
        assert played(turns=5)[0] == {first.uid: 2, second.uid: 2, third.uid: 2}
        assert "evaluation.json: is damaged" in capfd.readouterr().err


@pytest.mark.slow
def test_an_earlier_evaluation_stands_beside_with_what_it_has_played(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    some = small.asked()[:6]
    index, params = str(small.index), Params()
    questions.write(tmp_path / "before.json", some[:4])
    other = Params(agent=AgentParams(turns=9, actions=["search", "zoom", "answer"]))
    monday = evaluate(tmp_path / "before.json", small.corpus, index, "scripted", tmp_path / "monday", other)
    questions.write(tmp_path / "now.json", some[1:])
    beside = [str(tmp_path / "monday")]
    evaluate(tmp_path / "now.json", small.corpus, index, "scripted", tmp_path / "tuesday", params, beside)
    table = json.loads((tmp_path / "tuesday/evaluation.json").read_text())
    assert set(table["monday"]["rows"]) == {one.uid for one in some[1:4]}  # of what is asked now
    told = json.loads((tmp_path / "monday/evaluation.json").read_text())["scripted"]
    assert table["monday"]["key"] == told["key"] != table["scripted"]["key"]
    assert table["monday"]["inputs"] == {**told["inputs"], "questions": table["scripted"]["inputs"]["questions"]}
    assert table["monday"]["actions"] == told["actions"] == ["answer", "search", "zoom"]
    assert table["monday"]["figures"].keys() == table["scripted"]["figures"].keys() - {"reward", "format", "select"}
    client, experiment = opened(None)
    runs = client.search_runs([experiment])
    turns = {run.info.run_name: run.data.params.get("turns") for run in runs if "monday" in str(run.data.params)}
    assert turns == {"evaluate monday": None}  # which were others
    played = {one.question.uid: one.turns for one in trajectories.read(tmp_path / "monday/episodes.jsonl")}
    taken_over = list(trajectories.read(tmp_path / "tuesday/monday.jsonl"))
    assert [one.turns for one in taken_over] == [played[one.question.uid] for one in taken_over]
    assert table["monday"]["compared"]["value"] == 0
    assert table["monday"]["accuracy"]["count"] == 3 == monday["scripted"].accuracy.count - 1
    file = tmp_path / "monday/evaluation.json"
    was = json.loads(file.read_text())["scripted"]  # two of its questions, as if they had been void, played or not
    del was["actions"]
    file.write_text(json.dumps({"scripted": {**was, "void": 2}}))
    left = [one for one in trajectories.read(tmp_path / "monday/episodes.jsonl") if one.question != some[1]]
    void = [replace(one, outcome=Outcome.VOID, scores=None) if one.question == some[2] else one for one in left]
    trajectories.write(tmp_path / "monday/episodes.jsonl", void)
    now = evaluate(tmp_path / "now.json", small.corpus, index, "scripted", tmp_path / "tuesday", params, beside)
    assert (now["monday"].void, now["monday"].accuracy.count) == (2, 1)
    assert "select" in now["monday"].figures  # an older evaluation, measured by the actions of today
    questions.write(tmp_path / "others.json", some[4:])
    with pytest.raises(UnidocError, match=r"monday: has no episode that counts: .* or of another question"):
        evaluate(tmp_path / "others.json", small.corpus, index, "scripted", tmp_path / "wednesday", params, beside)


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
        found = evaluate(tmp_path / "test.json", small.corpus, str(small.index), "scripted", out, params)
        return found["scripted"]

    with Chat(answer).running() as chat:
        judge = f"mmlongbench+{chat.url}"
        found = evaluated("one", RewardParams(judge=judge))
        assert (found.accuracy.value, found.accuracy.count, found.void) == (1, 2, 1)
        (void,) = [one for one in trajectories.read(tmp_path / "one/episodes.jsonl") if one.outcome is Outcome.VOID]
        assert void.failure.endswith("the last: Who knows.")
        assert len(chat.asked) == 4  # once more of what was not understood
        evaluated("two", RewardParams(judge=judge, of="outcome"))
        assert len(chat.asked) == 6


def test_questions_that_cannot_be_played_count_nowhere_and_are_told(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked, out = tmp_path / "test.json", tmp_path / "out"
    first, *_ = (one for one in small.asked() if one.evidence)
    gone = replace(first, uid="gone", evidence=(replace(first.evidence[0], page=99),))
    questions.write(asked, [first, gone, replace(gone, uid="gone too")])
    places = ["--corpus", str(small.corpus), "--index", str(small.index), "--policy", "scripted", "--out", str(out)]
    done = CliRunner().invoke(cli, ["evaluate", str(asked), *places])
    assert done.exit_code == LEFT_OUT, done.output
    page = questions.gold_pages(gone)[0]
    assert f"2 of its 3 questions cannot be played over {small.corpus}, gone first: page {page} is not" in done.output
    assert "100.0% right" in done.output
    assert "scripted: 2 episodes void, counted nowhere" in done.output
    questions.write(asked, [gone])
    with pytest.raises(UnidocError, match=r"1 of its 1 questions cannot .*; is it the corpus of these questions\?"):
        evaluate(asked, small.corpus, str(small.index), "scripted", out, Params())


def test_an_index_of_other_documents_is_refused(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = make_corpus(tmp_path)
    questions.write(tmp_path / "test.json", [QUESTION])
    with pytest.raises(UnidocError, match=r"was made of other documents .*: bees is not in the index\)"):
        evaluate(tmp_path / "test.json", corpus, str(small.index), "scripted", tmp_path / "out", Params())


def test_whoever_is_not_there_is_told_before_anybody_plays(small: Small, tmp_path: Path) -> None:
    asked, index, out = small.file(Split.TEST), str(small.index), tmp_path / "out"
    with pytest.raises(UnidocError, match=r"policy runs/gpro: no such folder"):
        evaluate(asked, small.corpus, index, "scripted", out, Params(), ["runs/gpro"])
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_a_number_that_there_is_none_of_is_left_out(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1, where nothing can be answered, and nothing was."""
    monkeypatch.chdir(tmp_path)
    questions.write(tmp_path / "test.json", [one for one in small.asked() if not one.evidence])
    found = evaluate(tmp_path / "test.json", small.corpus, str(small.index), "scripted", tmp_path / "out", Params())
    assert found["scripted"].accuracy.value == 1
    for name in ("evaluation.json", "metrics.json", "report.html"):
        assert not re.search(r"\bnan\b", (tmp_path / "out" / name).read_text(), re.IGNORECASE)


def test_a_result_around_an_earlier_one_that_it_is_compared_with_is_refused(small: Small, tmp_path: Path) -> None:
    asked, out, old = small.file(Split.TEST), tmp_path / "out", str(tmp_path / "out" / "old")
    with pytest.raises(UnidocError, match=r"out/old: is, or lies inside, .*out; keep what a stage reads"):
        evaluate(asked, small.corpus, str(small.index), "scripted", out, Params(), [old])


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (None, "is no whole evaluation"),
        ("{", "is no whole evaluation"),
        ("{}", "is no whole evaluation"),
        ('{"it": {"inputs": {"corpus": "another"}}}', "was played over another corpus"),
    ],
)
def test_an_earlier_evaluation_that_cannot_stand_beside_is_told_before_anybody_plays(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "monday").mkdir()
    (tmp_path / "monday/episodes.jsonl").touch()
    if told is not None:
        (tmp_path / "monday/evaluation.json").write_text(told)
    asked, out = small.file(Split.TEST), tmp_path / "out"
    with pytest.raises(UnidocError, match=f"monday: {why}"):
        evaluate(asked, small.corpus, str(small.index), "scripted", out, Params(), [str(tmp_path / "monday")])
    assert not [*tmp_path.rglob("scripted.jsonl")]


def test_whoever_cannot_be_evaluated_so_is_refused(small: Small, tmp_path: Path) -> None:
    asked, index, out = small.file(Split.TEST), str(small.index), tmp_path / "out"
    with pytest.raises(UnidocError, match="a policy of the name grpo is evaluated already"):
        evaluate(asked, small.corpus, index, "a/grpo", out, Params(), ["b/grpo"])
    params = Params(evaluate=EvaluateParams(baselines=["rag"]))
    with pytest.raises(UnidocError, match="a policy of the name rag is evaluated already"):
        evaluate(asked, small.corpus, index, "a/rag", out, params)
    with pytest.raises(UnidocError, match="scripted: plays the annotations, and a baseline of it tells nothing"):
        evaluate(asked, small.corpus, index, "scripted", out, params)
    with pytest.raises(UnidocError, match="the name episodes is that of something else in an evaluation"):
        evaluate(asked, small.corpus, index, "scripted", out, Params(), ["a/episodes"])
