"""The stage with a teacher behind an endpoint: with questions and without, and killed in the middle."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.agent.chat import Body, Chat, Given, completion, error
from tests.browser import Tab
from tests.curate.stub import Stub, pictures_of, step_of, text_of
from tests.curate.test_stage import assert_same
from tests.small import Small
from unidoc_rl import questions
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.dialect import write
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.hearing import AT_ONCE
from unidoc_rl.agent.judge import RULES
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import NOT_ANSWERABLE
from unidoc_rl.cli import LEFT_OUT, cli
from unidoc_rl.curate.aims import Aim, Plan, plans
from unidoc_rl.curate.layout import Layout
from unidoc_rl.curate.stage import HELD_OUT, curate
from unidoc_rl.curate.teaching import Teaching
from unidoc_rl.curate.writing import AWAY, REASONS, Draft, together
from unidoc_rl.errors import UnidocError
from unidoc_rl.names import document_name, split_page_id
from unidoc_rl.params import AgentParams, CurateParams, Params, RewardParams
from unidoc_rl.plural import counted
from unidoc_rl.questions import gold_regions
from unidoc_rl.shards import Shard
from unidoc_rl.types import Answer, AnswerFormat, Box, Question, Region, Said, Search, Split


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In which all stages of these tests are started: MLflow's database is made there once."""
    return tmp_path_factory.mktemp("here")


@pytest.fixture(autouse=True)
def _here(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)


@pytest.mark.slow
def test_what_the_teacher_finds_out_is_learned_from(small: Small, with_regions: Path, tmp_path: Path) -> None:
    """With answers and gold pages alone: where one must zoom in comes out of the episodes."""
    of_one_page = [question for question in small.asked() if len(question.evidence) == 1]
    small_print = [question for question in of_one_page if any(gold_regions(question).values())]
    annotated = [*small_print[:5], *[question for question in of_one_page if question not in small_print][:5]]
    some = tmp_path / "asked.json"
    bare = [questions.to_json(question) for question in annotated]
    for example in bare:
        del example["evidence"]
    some.write_text(json.dumps(bare))
    with Chat(Stub(with_regions, annotated)).running() as chat:
        params = Params(curate=CurateParams(teacher=chat.url))
        report = curate(some, with_regions, str(small.index), tmp_path / "out", params)
        count = len(chat.asked)
        assert report.cost["requests"] == count
        stricter = Params(curate=CurateParams(teacher=chat.url, turns=3, balance=1))
        again = curate(some, with_regions, str(small.index), tmp_path / "stricter", stricter)
    assert len(chat.asked) == count
    assert again.cost == report.cost
    assert again.rejected["too_long"] > report.rejected["too_long"]
    assert again.rejected["surplus"] > report.rejected["surplus"]
    assert again.sft + sum(again.rejected.values()) == again.played
    assert report.rl >= 8
    truth = {question.uid: gold_regions(question) for question in annotated}
    found = {question.uid: gold_regions(question) for question in questions.read(tmp_path / "out" / "rl.jsonl")}
    for uid, regions in found.items():
        assert regions.keys() == truth[uid].keys()
        for page, boxes in regions.items():
            assert np.array(sorted(boxes or ())) == pytest.approx(np.array(sorted(truth[uid][page] or ())), abs=2)


@pytest.mark.slow
@pytest.mark.parametrize(("curating", "killed_at", "at_once"), [
    (CurateParams(at_once=4), 45, 4),
    (CurateParams(plays=2), 25, AT_ONCE),  # of 18 plays, all of which are under way
], ids=["teacher", "weak"])  # fmt: skip
def test_killed_it_asks_nothing_twice_and_loses_nothing(
    small: Small, with_regions: Path, tmp_path: Path, curating: CurateParams, killed_at: int, at_once: int
) -> None:
    """Whether the teacher plays, or a weak policy that rates."""
    some = tmp_path / "asked.json"
    asked = [question for question in small.asked() if question.evidence][:9]
    questions.write(some, asked)
    code = (
        "import sys\nfrom pathlib import Path\nfrom unidoc_rl.curate.stage import curate\n"
        "from unidoc_rl.params import from_json\n"
        "curate(Path(sys.argv[1]), *sys.argv[2:5], from_json(sys.argv[5]))\n"
    )
    stub, answered, running = Stub(with_regions, asked), Counter[str](), list[subprocess.Popen[bytes]]()
    rates, answers = curating.plays == 2, {question.query: question.answer for question in asked}

    def answer(body: Body) -> Given:
        answered[json.dumps(body)] += 1
        if answered.total() == killed_at:
            running[0].kill()
        if not rates:
            return stub(body)
        query = body["messages"][1]["content"]
        action = Search(query) if len(body["messages"]) == 2 else Answer([answers[query], "?"][body["seed"] % 2])
        return completion(write(Said("So it is.", "", action)))

    def run(params: Params) -> int:
        given = [some, with_regions, small.index, tmp_path / "out", params.to_json()]
        command = [sys.executable, "-c", code, *map(str, given)]
        running[:] = [subprocess.Popen(command, stderr=subprocess.DEVNULL)]
        return running[0].wait()

    with Chat(answer).running() as chat:
        named = {"weak" if rates else "teacher": f"{chat.url}#served"}
        params = Params(curate=curating.model_copy(update=named))
        assert run(params) == -signal.SIGKILL
        before = list(trajectories.read(tmp_path / ".out.work" / "played.jsonl"))
        assert run(params) == 0
        assert answered.total() - len(answered) <= at_once  # whose answers were under way
        count = answered.total()
        report = curate(some, with_regions, str(small.index), tmp_path / "whole", params)
        assert answered.total() == count
    assert 0 < len(before) <= len(asked)
    assert_same(tmp_path / "out", tmp_path / "whole")
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == asdict(report)


@pytest.mark.slow
def test_what_an_endpoint_will_not_answer_is_listed(small: Small, with_regions: Path, tmp_path: Path) -> None:
    asked = [question for question in small.asked() if question.evidence][:6]
    questions.write(tmp_path / "asked.json", asked)
    stub, busy = Stub(with_regions, asked), [error(429, "slow down")]

    def answer(body: Body) -> Given:
        match next(number for number, one in enumerate(asked) if one.query in text_of(body)):
            case 0:
                return error(302, "elsewhere")
            case 1 if any(pictures_of(body)):
                return error(400, "no such pictures")
            case 2:
                return completion(json.dumps(stub.reply(body))[:-5])
            case 3 if busy:
                return busy.pop()
        return stub(body)

    with Chat(answer).running() as chat:
        params = Params(curate=CurateParams(teacher=chat.url))
        report = curate(tmp_path / "asked.json", with_regions, str(small.index), tmp_path / "out", params)
    assert list(report.left_out) == [asked[0].uid]
    assert "302: elsewhere" in report.left_out[asked[0].uid]
    rejected = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert {line["reason"] for line in rejected} == {"gave_up"}
    why = {line["trajectory"]["question"]["uid"]: line["trajectory"]["failure"] for line in rejected}
    assert why.keys() == {asked[1].uid, asked[2].uid}
    assert "no such pictures" in why[asked[1].uid]
    assert "no JSON object" in why[asked[2].uid]
    assert report.sft == 3
    assert busy == []


@pytest.mark.slow
def test_a_question_that_was_played_once_is_not_left_out(small: Small, with_regions: Path, tmp_path: Path) -> None:
    """Of several attempts, at some of which the endpoint was away."""
    asked = [question for question in small.asked() if question.evidence][:2]
    questions.write(tmp_path / "asked.json", asked)
    stub, first = Stub(with_regions, asked), [error(302, "elsewhere")]

    def answer(body: Body) -> Given:
        if asked[0].query in text_of(body) and first:
            return first.pop()
        return error(302, "elsewhere") if asked[1].query in text_of(body) else stub(body)

    with Chat(answer).running() as chat:
        params = Params(curate=CurateParams(teacher=chat.url, attempts=3))
        report = curate(tmp_path / "asked.json", with_regions, str(small.index), tmp_path / "out", params)
    assert list(report.left_out) == [asked[1].uid]
    assert report.played == 2


_APART = (*REASONS, *HELD_OUT)  # of what is written, this is not learned from


@pytest.mark.slow
def test_questions_are_written_and_checked(small: Small, with_regions: Path, tmp_path: Path, tab: Tab) -> None:
    asked, none = small.asked(), [question for question in small.asked() if not question.evidence]
    faults = ["known", "unconfirmed", "", "vague", ""] * 99
    errs = {question.uid: fault for question, fault in zip(asked, faults, strict=False)}
    errs |= {question.uid: fault for question, fault in zip(none, ["answered", ""] * 99, strict=False)}
    stub = Stub(with_regions, asked, errs)
    first: list[str] = []

    def answer(body: Body) -> Given:
        if step_of(body) != "write":
            return stub(body)
        drawn = hashlib.sha256(next(pictures_of(body))).hexdigest()
        first[:] = first or [drawn]
        return completion("I am sorry.") if drawn == first[0] else stub(body)

    with Chat(answer).running() as chat:
        params = Params(curate=CurateParams(teacher=chat.url, questions=80, unanswerable=0.2, seed=4))
        report = curate(None, with_regions, str(small.index), tmp_path / "out", params)
        count = len(chat.asked)
        parts = [tmp_path / f"part{place}" for place in (1, 2)]
        for place, part in enumerate(parts, start=1):
            curate(None, with_regions, str(small.index), part, params, shard=Shard(place, 2))
        twins = sum(step_of(body) == "search" for body in chat.asked[count:])
        together = curate(None, with_regions, str(small.index), tmp_path / "together", params, parts=parts)
    assert twins <= report.written["twin"]  # whom a shard does not know for such, and plays
    assert replace(together, cost={}) == replace(report, cost={})
    assert_same(tmp_path / "together", tmp_path / "out")
    for name in ("questions.json", "dropped.jsonl"):
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert report.written["written"] == 80 == report.questions + sum(report.written[name] for name in _APART)
    assert all(report.written[reason] for reason in REASONS if reason != AWAY)
    assert 1 <= report.written["given_up"] <= 3  # whoever asks about that page
    wrote = questions.read(tmp_path / "out" / "questions.json")
    known = {question.query: question for question in asked}
    for question in wrote:
        true = known[question.query]
        assert by_rules([(true, question.answer)])[0].value == 1
        assert gold_regions(question).keys() == gold_regions(true).keys()
        assert errs[true.uid] == ""
    assert any(not question.evidence for question in wrote)
    sets = [wrote, *(questions.read(tmp_path / "out" / f"{split}.json") for split in HELD_OUT)]
    assert [len(one) for one in sets[1:]] == [report.written[split] for split in HELD_OUT]
    documents = [{document_name(question.file_name) for question in one} for one in sets]
    assert [len(one) for one in documents[1:]] == [1, 1]
    assert not documents[0] & documents[1] | documents[0] & documents[2] | documents[1] & documents[2]
    played = trajectories.read(tmp_path / "out" / "sft.jsonl")
    assert {document_name(one.question.file_name) for one in played} <= documents[0]
    dropped = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert Counter(one["reason"] for one in dropped) == Counter({name: report.written[name] for name in REASONS})
    vague = {one["told"] for one in dropped if one["reason"] == "too_vague"}
    assert vague == {"it does not say what it is about", "not among the first 10 pages that it finds"}
    assert not any(any(pictures_of(body)) for body in chat.asked if step_of(body) == "guess")
    assert report.sft > 0
    tab.open(tmp_path / "out" / "card.html")
    assert "Questions that the teacher wrote" in tab.texts("h2")


@pytest.mark.slow
def test_what_was_never_written_since_an_endpoint_was_away_is_left_out_and_asked_for_again(
    small: Small, with_regions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the teacher was away, or the judge of what it wrote; by one machine, and by shards."""
    monkeypatch.chdir(tmp_path)
    stub, first, away = Stub(with_regions, small.asked()), list[str](), [True]

    def answer(body: Body) -> Given:
        if step_of(body) != "write":
            return stub(body)
        drawn = hashlib.sha256(next(pictures_of(body))).hexdigest()
        first[:] = first or [drawn]
        return error(302, "elsewhere") if away[0] and drawn == first[0] else stub(body)

    def judged(body: Body) -> Given:
        return error(302, "elsewhere") if away[0] else completion("RIGHT")

    def unidoc_curate(*options: str) -> Result:
        where = ["--corpus", str(with_regions), "--index", str(small.index)]
        limits = [f"--set=curate.teacher={chat.url}", "--set=curate.questions=20", "--set=curate.unanswerable=0"]
        return CliRunner().invoke(cli, ["curate", *where, *limits, *options])

    with Chat(answer).running() as chat, Chat(judged).running() as judge:
        done = unidoc_curate("--out=out")
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        lost = report["written"]["away"]
        assert done.exit_code == LEFT_OUT
        assert f"{lost} others are lost: an endpoint was away; run again to have them written" in done.output
        assert f"{counted(lost, 'question')} that cannot be played; out/report.json names each, and why" in done.output
        assert len(report["left_out"]) == lost > 0 == report["written"]["given_up"]
        assert all("302: elsewhere" in why for why in report["left_out"].values())
        assert unidoc_curate("--out=out", f"--set=curate.may_leave_out={lost}").exit_code == 0
        for place in (1, 2):
            unidoc_curate(f"--out=part{place}", f"--shard={place}/2")
        assert unidoc_curate("--out=together", "--part=part1", "--part=part2").exit_code == LEFT_OUT
        assert json.loads((tmp_path / "together" / "report.json").read_text())["left_out"] == report["left_out"]
        unjudged = unidoc_curate("--out=unjudged", f"--set=rewards.judge={judge.url}").exception
        assert re.search(r"none is fit: \d+ away", str(unjudged))
        away[0] = False
        with Chat(lambda _: completion("Hm.")).running() as mumbles:  # another time it says the same
            unheard = unidoc_curate("--out=unheard", f"--set=rewards.judge={mumbles.url}").exception
        assert re.search(r"none is fit: \d+ given_up", str(unheard))
        assert unidoc_curate("--out=out").exit_code == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["left_out"] == {}


@pytest.mark.slow
def test_nothing_is_written_about_documents_of_questions_that_are_given(
    small: Small, with_regions: Path, tmp_path: Path
) -> None:
    """Whether one machine writes, or each shard does."""
    mine, parts = tmp_path / "mine", [tmp_path / f"part{place}" for place in (1, 2)]
    mine.mkdir()
    given = [question for question in small.asked() if question.evidence][:3]
    given[0] = replace(given[0], file_name="", evidence=given[0].evidence[:1])
    questions.write(mine / "test.json", given)
    apart = {about for question in given for about in questions.documents(question)}
    with Chat(Stub(with_regions, small.asked())).running() as chat:
        params = Params(curate=CurateParams(teacher=chat.url, questions=40, unanswerable=0.2))
        curate(mine, with_regions, str(small.index), tmp_path / "alone", params)
        for place, part in enumerate(parts, start=1):
            curate(mine, with_regions, str(small.index), part, params, shard=Shard(place, 2))
        curate(mine, with_regions, str(small.index), tmp_path / "together", params, parts=parts)
    for out in (tmp_path / "alone", tmp_path / "together"):
        wrote = [*questions.read(out / "questions.json"), *questions.read(out / "validation.json")]
        assert {about for question in wrote for about in questions.documents(question)}
        assert not apart & {about for question in wrote for about in questions.documents(question)}
        dropped = [json.loads(line)["pages"] for line in (out / "dropped.jsonl").read_text().splitlines()]
        assert not apart & {split_page_id(page)[0] for pages in dropped for page in pages}
        assert (out / "test.json").read_bytes() == (mine / "test.json").read_bytes()


def test_where_questions_are_given_about_all_documents_none_are_written(small: Small, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    questions.write(mine / "test.json", small.asked())
    params = Params(curate=CurateParams(teacher="http://127.0.0.1:1/v1"))
    with pytest.raises(UnidocError, match=r"test\.json: about all documents of .*, and none is left"):
        curate(mine, small.corpus, str(small.index), tmp_path / "out", params)
    assert os.listdir(tmp_path) == ["mine"]


@pytest.mark.slow
def test_what_a_weak_policy_always_or_never_gets_is_not_learned_from(small: Small, tmp_path: Path) -> None:
    """Neither imitated, nor for rewards, whether one machine asks it, or each shard does."""
    asked = [question for question in small.asked() if question.evidence][:9]
    questions.write(tmp_path / "asked.jsonl", asked)
    times, away = Counter[int](), set[str]()

    def answer(body: Body) -> Given:
        number = next(number for number, one in enumerate(asked) if one.query in text_of(body))
        if asked[number].uid in away:
            return error(302, "elsewhere")
        times[number] += 1
        right = [True, False, bool(times[number] % 2)][number % 3]
        return completion(write(Said("I know it.", "", Answer(asked[number].answer if right else NOT_ANSWERABLE))))

    with Chat(answer).running() as chat:
        params = Params(curate=CurateParams(weak=chat.url, plays=2))
        parts = [tmp_path / f"part{place}" for place in (1, 2)]
        for place, part in enumerate(parts, start=1):
            curate(tmp_path / "asked.jsonl", small.corpus, str(small.index), part, params, shard=Shard(place, 2))
        assert {*times.values()} == {2}
        easy, hard, between = (
            [asked[number].uid for number in sorted(times) if number % 3 == kind] for kind in range(3)
        )
        assert easy
        assert hard
        assert between
        for out, several in (("together", parts), ("alone", [])):
            made = curate(
                tmp_path / "asked.jsonl", small.corpus, str(small.index), tmp_path / out, params, parts=several
            )
            assert (made.too_easy, made.too_hard) == (len(easy), len(hard))
            assert [one.uid for one in questions.read(tmp_path / out / "rl.jsonl")] == between
            assert (made.rejected["too_easy"], made.rejected["too_hard"]) == (len(easy), 0)
            assert made.rated == dict.fromkeys(easy, 1.0) | dict.fromkeys(hard, 0.0) | dict.fromkeys(between, 0.5)
            assert not {*easy} & {one.question.uid for one in trajectories.read(tmp_path / out / "sft.jsonl")}
        assert {*times.values()} == {2}  # by the shards: nothing is asked twice
        away.add(between[0])
        other = Params(curate=CurateParams(weak=chat.url, plays=2, sft_least=0.5, sft_most=1.0, rl_most=1.0, seed=2))
        made = curate(tmp_path / "asked.jsonl", small.corpus, str(small.index), tmp_path / "other", other)
    assert (made.rejected["too_easy"], made.rejected["too_hard"]) == (0, len(hard))
    assert {one.uid for one in questions.read(tmp_path / "other" / "rl.jsonl")} == {*easy, *between[1:]}
    assert list(made.left_out) == [between[0]]


def test_shards_share_out_what_a_teacher_may_be_asked_at_once(small: Small, with_regions: Path, tmp_path: Path) -> None:
    """And a weak policy at its address."""
    asked = [question for question in small.asked() if question.evidence][:8]
    questions.write(tmp_path / "asked.json", asked)
    stub, rates = Stub(with_regions, asked), AgentParams().turn_tokens

    def answer(body: Body) -> Given:
        return completion(write(Said("", "", Answer("?")))) if body["max_tokens"] == rates else stub(body)

    with Chat(answer).running() as chat:
        params = Params(curate=CurateParams(teacher=chat.url, at_once=4, weak=chat.url, plays=2))
        curate(tmp_path / "asked.json", with_regions, str(small.index), tmp_path / "out", params, shard=Shard(1, 2))
    assert any(body["max_tokens"] == rates for body in chat.asked)
    assert chat.busiest <= 2


def test_without_questions_and_teacher_nothing_begins(small: Small, tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match=r"curate\.teacher"):
        curate(None, small.corpus, str(small.index), tmp_path / "out", Params())
    assert os.listdir(tmp_path) == []


def test_a_teacher_that_may_not_select_is_told_before_it_is_asked(small: Small, tmp_path: Path) -> None:
    params = Params(
        agent=AgentParams(actions=["search", "answer"]), curate=CurateParams(teacher="http://127.0.0.1:9/v1#model")
    )
    with pytest.raises(UnidocError, match=r"curate\.teacher: a teacher selects pages"):
        curate(small.file(Split.TRAIN), small.corpus, str(small.index), tmp_path / "out", params)


def test_a_judge_at_the_teacher_s_address_shares_its_limits_and_is_asked_once(
    with_regions: Path, small: Small, tmp_path: Path
) -> None:
    (question, *_), pictures = small.asked(), Pictures(with_regions, AgentParams())
    asked = [(question, str(n)) for n in range(6)]
    together = threading.Barrier(6)

    def at_once(_: Body) -> Given:
        together.wait(4)
        return completion("RIGHT")

    def teaching(judge: str, name: str) -> Teaching:
        curating = CurateParams(teacher=f"{chat.url}#large", at_once=2, per_minute=60 / 0.05)
        return Teaching(
            with_regions, pictures, tmp_path / name, Params(curate=curating, rewards=RewardParams(judge=judge))
        )

    with Chat(lambda _: completion("RIGHT")).running() as chat, Chat(at_once).running() as other:
        start, both = time.monotonic(), teaching(f"{chat.url}#small", "both")
        both.player().reply([Episode(question, 0, "the rules")])  # who is asked three times for what can be read
        assert [verdict.value for verdict in both.judge()(asked)] == [1] * 6
        assert time.monotonic() - start >= 8 * 0.05
        teaching(f"{chat.url}/#small", "again").judge()(asked)
        assert len(chat.asked) == 9
        teaching(f"mmlongbench+{chat.url}#small", "scored").judge()(asked)
        assert chat.busiest <= 2
        assert [verdict.value for verdict in teaching(other.url, "apart").judge()(asked)] == [1] * 6


@pytest.mark.parametrize("kind", ["", "mmlongbench+"])
def test_a_judge_at_the_teacher_s_address_is_another_model_that_is_asked_as_few_things_at_once(
    with_regions: Path, small: Small, tmp_path: Path, kind: str
) -> None:
    never = threading.Event()

    def slowly(_: Body) -> Given:
        never.wait(0.1)
        return completion("RIGHT")

    with Chat(slowly).running() as chat:
        curating = CurateParams(teacher=f"{chat.url}#large", at_once=2)
        params = Params(curate=curating, rewards=RewardParams(judge=f"{kind}{chat.url}#small"))
        teaching = Teaching(with_regions, Pictures(with_regions, AgentParams()), tmp_path / "work", params)
        teaching.judge()([(small.asked()[0], str(n)) for n in range(6)])
    assert chat.busiest == 2
    assert {body["model"] for body in chat.asked} == {"small"}
    assert (chat.asked[0]["messages"][0]["content"] == RULES) == (not kind)


@pytest.mark.slow
def test_twins_are_known_by_their_meaning() -> None:
    none = NOT_ANSWERABLE
    asked = [
        ("What were the net sales of Acme Holdings in 2023?", "12 million"),
        ("How high were Acme Holdings' net sales in 2023?", "12,000,000"),  # the first
        ("What were the net sales of Acme Holdings in 2022?", "12 million"),
        ("What were the net sales of Borealis Group in 2023?", "12 million"),
        ("What were the net sales of Acme Holdings in 2031?", none),
        ("In 2031, what net sales did Acme Holdings report?", none),  # the one before
        ("What were the net sales of Acme Holdings in 2032?", none),
    ]
    drafts = [
        Draft(
            Plan(number, (Aim("acme_1", None),), answer != none, Split.TRAIN),
            Question(
                f"{number}",
                query,
                answer,
                AnswerFormat.NONE if answer == none else AnswerFormat.STR,
                "",
                "",
                "acme",
                (),
            ),
        )
        for number, (query, answer) in enumerate(asked)
    ]
    twins = {draft.plan.number: draft.told for draft in together([drafts[::2], drafts[1::2]], None) if draft.reason}
    assert twins == {1: "0", 5: "4"}


class _Drawn(Layout):
    """Documents of several pages, with tables on some of them alone."""

    def __init__(self) -> None:
        self.pages_of = {f"d{n}": [f"d{n}_{page}" for page in range(1, 2 + n)] for n in range(1, 6)}

    def regions(self, page: str) -> list[Region]:
        kinds = ["text"] * 9 + ["table"] * page.endswith("_1") + ["header"]
        return [Region(kind, Box(0, 10 * n, 100, 10 * n + 9), 1.0) for n, kind in enumerate(kinds)]


def test_documents_pages_kinds_and_hops_have_their_share() -> None:
    layout = _Drawn()
    planned = list(plans(layout, 300, 0.1, 1))
    assert planned == list(plans(layout, 300, 0.1, 1)) != list(plans(layout, 300, 0.1, 2))
    assert sum(not plan.answerable for plan in planned) == 30
    assert all(len(plan.aims) == 1 for plan in planned if not plan.answerable)
    drawn = [plan.aims for plan in planned]
    pages = Counter(aim.page for several in drawn for aim in several)
    for document, own in layout.pages_of.items():
        assert sum(several[0].page in own for several in drawn) == 60, document
        assert sum(plan.aims[0].page in own for plan in planned if not plan.answerable) == 6, document
        assert max(pages[page] for page in own) - min(pages[page] for page in own) <= 1
    kinds = Counter(layout.regions(aim.page)[(aim.region or 0) - 1].kind for several in drawn for aim in several)
    assert kinds["table"] >= 0.9 * sum(pages[page] for page in pages if page.endswith("_1"))
    assert kinds["header"] == 0
    assert 70 <= sum(len(several) == 2 for several in drawn) <= 110
    assert all(len({aim.page for aim in several}) == len(several) for several in drawn)


def test_who_is_evaluated_is_asked_about_documents_of_which_nothing_was_learned() -> None:
    layout = _Drawn()
    for held_out in ((Split.TEST,), HELD_OUT):
        documents: dict[Split, set[str]] = {}
        for plan in plans(layout, 300, 0.1, 1, held_out):
            about = {document for document, own in layout.pages_of.items() for aim in plan.aims if aim.page in own}
            documents.setdefault(plan.split, set()).update(about)
        assert {split: len(own) for split, own in documents.items()} == {
            Split.TRAIN: 5 - len(held_out),
            **dict.fromkeys(held_out, 1),
        }
        assert len(set.union(*documents.values())) == 5


def test_documents_that_are_set_apart_are_aimed_at_by_no_plan() -> None:
    layout = _Drawn()
    aimed = {aim.page for plan in plans(layout, 300, 0.1, 1, HELD_OUT, {"d2", "d5"}) for aim in plan.aims}
    assert {page.split("_")[0] for page in aimed} == {"d1", "d3", "d4"}
