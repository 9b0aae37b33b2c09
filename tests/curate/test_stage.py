"""Curation: what is wrong is left out with its reason, what is kept can be learned from, and a killed run goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.agent.chat import Body, Chat, Given, completion, error
from tests.browser import PHONE, Tab
from tests.curate.faults import answered_by_numbers, assert_told_apart, otherwise, told
from tests.curate.stub import text_of
from tests.small import Small
from unidoc_rl import questions
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.dialect import write
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rollouts import play
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import NOT_ANSWERABLE, STARTS, Mistakes, Scripted, keywords
from unidoc_rl.agent.trajectories import pictures_of
from unidoc_rl.cli import LEFT_OUT, cli
from unidoc_rl.curate import part
from unidoc_rl.curate.filters import REASONS, Traits, answer_in_question, leaked_answer, reason, repetition, surplus
from unidoc_rl.curate.part import shuffled
from unidoc_rl.curate.stage import curate
from unidoc_rl.errors import UnidocError
from unidoc_rl.index.search import Index
from unidoc_rl.params import AgentParams, CurateParams, Params, RewardParams
from unidoc_rl.questions import gold_pages, gold_regions
from unidoc_rl.shards import Shard
from unidoc_rl.types import (
    Answer,
    AnswerFormat,
    Evidence,
    Outcome,
    Picture,
    Query,
    Question,
    Reply,
    Said,
    Search,
    Select,
    Split,
    Trajectory,
    Turn,
    Zoom,
)

AGENT = AgentParams()
TWICE = Params(curate=CurateParams(attempts=2))
WIDE = TWICE.model_copy(update={"agent": AgentParams(widen=28)})  # which is not for those that learn
ASKED = Question("q", "How many?", "1", AnswerFormat.INT, "", "", "report", (Evidence("report", 1, (), None),))
FAULTS = {  # of the teacher, and the filters that name them
    "answer": {"wrong_answer"},
    "select": {"wrong_page"},
    "needless": {"needless_zoom"},
    "missing": {"missing_zoom"},
    "region": {"wrong_region"},
    "format": {"broken_format"},
    "leak": {"leaked_answer"},
}


@pytest.fixture(scope="module")
def environment(small: Small) -> Iterator[Environment]:
    with Index(small.index) as search:
        yield Environment(shuffled(search, 1), Pictures(small.corpus, AGENT), AGENT)


def taught(small: Small, environment: Environment, asked: Sequence[Question], mistakes: Mistakes) -> list[Trajectory]:
    teacher = Scripted(small.corpus, AGENT, mistakes)
    played = play([(question, sample) for question in asked for sample in range(2)], environment, teacher, 16)
    scored = score(list(played), RewardParams(), by_rules)
    return sorted(scored, key=lambda one: (one.question.uid, one.sample))


def written(one: Trajectory) -> list[str]:
    return [turn.reply.text for turn in one.turns]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_faults_are_found_and_nothing_else(small: Small, environment: Environment, kind: str) -> None:
    """Of a teacher who makes this mistake every other time, whatever it meets beside that."""
    asked, as_asked = small.asked(), dict[str, Question]()
    if kind == "leak":  # whoever repeats the question names its answer
        asked = [question for question in asked if not answer_in_question(question)]
        asked += [replace(one, uid=f"{one.uid} by number") for one in answered_by_numbers(asked)]
        as_asked = {f"{one.uid} otherwise": one for one in asked if otherwise(one) != one}
        asked += [replace(otherwise(one), uid=uid) for uid, one in as_asked.items()]
    faultless = taught(small, environment, asked, Mistakes())
    faulty = taught(small, environment, asked, replace(Mistakes(), **{kind: 0.5}))
    assert_told_apart(
        [
            told(asked_for, kind if written(one) != written(other) else "", reason(asked_for, Params()))
            for one, other in zip(faulty, faultless, strict=True)
            for asked_for in [replace(one, question=as_asked.get(one.question.uid, one.question))]
        ],
        {kind: FAULTS[kind]},
    )


@pytest.mark.slow
def test_a_faultless_teacher_is_believed(small: Small, environment: Environment) -> None:
    played = taught(small, environment, small.asked(), Mistakes(search=0.2, detour=0.2))
    kept = [one for one in played if reason(one, Params()) is None]
    assert len(kept) / len(played) >= 0.9


@pytest.mark.slow
def test_the_teacher_searches_in_the_question_s_words_alone(small: Small, environment: Environment) -> None:
    for one in taught(small, environment, small.asked(), Mistakes(search=0.5)):
        known = set("".join(char if char.isalnum() else " " for char in one.question.query).split())
        for turn in one.turns:
            if isinstance(turn.said.action, Search):
                words = "".join(char if char.isalnum() else " " for char in turn.said.action.query).split()
                assert set(words) <= known


@pytest.mark.slow
def test_places_among_candidates_teach_nothing(small: Small) -> None:
    with Index(small.index) as search:
        asked = [question for question in small.asked() if question.evidence]
        found = shuffled(search, 1)([Query(question.query) for question in asked], 3)
    places = [
        [hit.page for hit in hits].index(gold_pages(question)[0])
        for question, hits in zip(asked, found, strict=True)
        if gold_pages(question)[0] in [hit.page for hit in hits]
    ]
    assert min(places.count(place) for place in range(3)) > len(places) / 5


@pytest.mark.slow
def test_small_print_is_not_known_before_it_is_enlarged(small: Small, environment: Environment) -> None:
    asked = [one for one in small.asked() if len(one.evidence) == 1 and any(gold_regions(one).values())]
    played = taught(small, environment, [one for one in asked if not answer_in_question(one)][:6], Mistakes())
    kept = [one for one in played if reason(one, Params()) is None]
    assert len(kept) >= 6
    for one in kept:
        (at,) = (at for at, turn in enumerate(one.turns) if isinstance(turn.said.action, Zoom))
        told = f"It says {one.question.answer}."
        assert reason(thinking(one, at, told), Params()) == "leaked_answer"
        assert reason(thinking(one, at + 1, told), Params()) is None


def thinking(one: Trajectory, at: int, thought: str) -> Trajectory:
    """With another thought at this turn."""
    turn = one.turns[at]
    said = replace(turn.said, thought=thought)
    turn = replace(turn, said=said, reply=replace(turn.reply, text=write(said)))
    return replace(one, turns=(*one.turns[:at], turn, *one.turns[at + 1 :]))


@pytest.mark.parametrize(
    ("thought", "leaks"),
    [
        ("Page 1 it is, not page 0.", False),
        ("Pages 0 and 1 are of 2021, pages 0, 1, and 2 of Acme; I keep page 1.", False),
        ("It should be 1.", True),
        ("Page 1 says 1.", True),
        ("Page 0, 1 of them.", True),
    ],
)
def test_the_number_of_a_page_is_no_answer(thought: str, leaks: bool) -> None:
    said = Said(thought, "", Search("branches"))
    one = Trajectory(ASKED, 0, "agent", (Turn(Reply(write(said), 1, 1, 0), said, (), 0),), Outcome.ANSWERED, "", None)
    assert leaked_answer(one, Params()) == leaks


@pytest.mark.parametrize(
    ("form", "answer", "thought", "leaks"),
    [
        (AnswerFormat.INT, "52230", "It should be 52,230.", True),
        (AnswerFormat.INT, "52230", "Some 52 230 of them?", True),
        (AnswerFormat.INT, "230", "It should be 52,230.", False),
        (AnswerFormat.INT, "1", "This is the one.", False),
        (AnswerFormat.FLOAT, "12.5", "It was 12.50 EUR.", True),
        (AnswerFormat.FLOAT, "12.5", "It was 12.45 EUR.", False),
        (AnswerFormat.STR, "12.5%", "A share of 12.50 percent.", True),
        (AnswerFormat.STR, "12 million", "That makes 12,000,000.", True),
        (AnswerFormat.STR, "12 million", "The last 12 months.", False),
        (AnswerFormat.STR, "52230 people", "There are 52,230 people.", True),
        (AnswerFormat.STR, "2015-03-14", "It was on March 14, 2015.", True),
        (AnswerFormat.LIST, "Acme, Borealis", "Borealis, then Acme.", True),
        (AnswerFormat.LIST, "Acme, Borealis", "I look for Borealis.", False),
        (AnswerFormat.STR, "Bank One", "It must be Bank One.", True),
        (AnswerFormat.STR, "No", "I have no page yet, so I look for one.", False),
        (AnswerFormat.STR, "No", "The answer is no.", True),
        (AnswerFormat.STR, "Yes", "Yes, they have.", True),
    ],
)
def test_an_answer_is_known_however_it_is_written(form: AnswerFormat, answer: str, thought: str, leaks: bool) -> None:
    question = replace(ASKED, answer=answer, answer_format=form)
    for said in (Said(thought, "", Search("branches")), Said("I look for it.", "", Search(thought))):
        turn = Turn(Reply(write(said), 1, 1, 0), said, (), 0)
        one = Trajectory(question, 0, "agent", (turn,), Outcome.ANSWERED, "", None)
        assert leaked_answer(one, Params()) == leaks


def test_a_question_without_words_to_search_for_is_searched_as_it_is(small: Small, environment: Environment) -> None:
    bare = replace(next(one for one in small.asked() if one.evidence), query="What does it show?")
    for played in taught(small, environment, [bare], Mistakes(search=1.0)):
        assert played.turns[0].said.action == Search("What does it show?")


def test_a_question_that_is_keywords_alone_is_put_in_other_words_after_a_detour(
    small: Small, environment: Environment
) -> None:
    asked = [replace(one, query=keywords(one.query)) for one in small.asked() if len(one.evidence) == 1][:3]
    for one in taught(small, environment, asked, Mistakes(detour=1.0)):
        assert sum(isinstance(turn.said.action, Search) for turn in one.turns) > 1
        assert not repetition(one, Params())


def test_a_wrong_answer_to_what_a_text_says_there_is_none_of_is_a_value(small: Small, environment: Environment) -> None:
    none = next(one for one in small.asked() if not one.evidence)
    for form in (AnswerFormat.NONE, AnswerFormat.STR):
        for one in taught(small, environment, [replace(none, answer_format=form)], Mistakes(answer=1.0)):
            assert reason(one, Params()) == "wrong_answer"


@pytest.mark.parametrize(
    ("thought", "noted", "shown", "leaks"),
    [
        ("It should be 4711.", "It speaks of 2021.", ("report_1",), True),
        ("It should be 4711.", "4711 in 2021.", ("report_1",), False),  # where it stood
        ("It should be 4711.", "4711 in 2021.", ("report_3",), True),
        ("It should be 4711.", "", ("report_1", "report_2"), False),
    ],
)
def test_of_several_pages_all_must_be_read_before_the_answer_is_known(
    thought: str, noted: str, shown: Sequence[str], leaks: bool
) -> None:
    pages = tuple(Evidence("report", n, (), None) for n in (1, 2))
    question = replace(ASKED, answer="4711", evidence=pages)
    turns = [
        Turn(Reply(write(said), 1, 1, 0), said, tuple(Picture(page, 10, 10) for page in pictures), 0)
        for said, pictures in (
            (Said("I look for it.", "", Search("branches")), shown),
            (Said(thought, noted, Search("branches again")), ("report_2",)),
        )
    ]
    one = Trajectory(question, 0, "agent", tuple(turns), Outcome.ANSWERED, "", None)
    assert leaked_answer(one, Params()) == leaks


@pytest.mark.slow
def test_who_does_the_same_twice_or_goes_on_for_too_long_is_rejected(small: Small, environment: Environment) -> None:
    asked = [one for one in small.asked() if any(gold_regions(one).values())]
    one = next(one for one in taught(small, environment, asked[:3], Mistakes()) if reason(one, Params()) is None)
    assert not repetition(one, Params())
    for kind in (Search, Zoom):
        at = next(at for at, turn in enumerate(one.turns) if isinstance(turn.said.action, kind))
        again = replace(one, turns=(*one.turns[: at + 1], one.turns[at], *one.turns[at + 1 :]))
        assert repetition(again, Params())
    written_in_all = sum(turn.reply.tokens for turn in one.turns)
    for less, why in ((0, None), (1, "too_long")):
        assert reason(one, Params(curate=CurateParams(tokens=written_in_all - less))) == why
        assert reason(one, Params(curate=CurateParams(turns=len(one.turns) - less))) == why
        longest = max(turn.reply.tokens for turn in one.turns)
        assert reason(one, Params(agent=AgentParams(turn_tokens=longest - less))) == why


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.ANSWERED])
def test_what_came_to_no_answer_is_rejected_by_how_it_ended(outcome: Outcome) -> None:
    named = {Outcome.VOID: "void", Outcome.GAVE_UP: "gave_up"}
    one = Trajectory(ASKED, 0, "agent", (), outcome, "", None)
    assert reason(one, Params()) == named.get(outcome, "unanswered")


def test_no_value_has_more_than_its_share() -> None:
    rng = random.Random(1)
    kept = [Traits(rng.choice("aaaaaab"), rng.choice("xyz"), rng.choice([0, 1, 2, None])) for _ in range(300)]
    left = [one for number, one in enumerate(kept) if number not in surplus(kept, 1.2)]
    kinds = [one.kind for one in left]
    assert kinds.count("a") <= 1.2 * 300 / 2
    assert kinds.count("b") == [one.kind for one in kept].count("b")
    assert not surplus(kept, 1000)


def test_places_come_out_even_whatever_the_balance() -> None:
    kept = [Traits("kind", "document", max(0, number % 5 - 2)) for number in range(300)]  # 180, 60 and 60
    left = [one.position for number, one in enumerate(kept) if number not in surplus(kept, 3)]
    assert [left.count(place) for place in range(3)] == [120, 60, 60]


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("Page 0: the annual report of Acme for 2021. Page 1: the annual report of Acme for 2022. "
         "Page 2: the annual report of Acme for 2023. Page 2 it is.", False),
        ("I look at the table. " * 2 + "It says 4.", False),
        ("So. " + "I look at the table again. " * 3, True),
        ("no " * 15, True),
        ("", False),
    ],
)  # fmt: skip
def test_who_goes_round_in_circles_is_told_from_who_compares(text: str, loops: bool) -> None:
    said = Said(text, "", Answer("4"))
    turn = Turn(Reply(write(said), 1, 1, 0), said, (), 0)
    one = Trajectory(ASKED, 0, "agent", (turn,), Outcome.ANSWERED, "", None)
    assert repetition(one, Params()) == loops


# --- the stage --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curate")
    before = Path.cwd()
    os.chdir(folder)
    try:
        report = curate(small.file(Split.TRAIN), small.corpus, str(small.index), folder / "trajectories", WIDE)
    finally:
        os.chdir(before)
    assert report.sft + sum(report.rejected.values()) == report.played == 2 * report.questions
    return folder / "trajectories"


@pytest.mark.slow
def test_what_is_kept_is_right_and_what_is_not_says_why(made: Path) -> None:
    kept = list(trajectories.read(made / "sft.jsonl"))
    assert kept
    assert all(one.scores is not None and one.scores.parts["answer"] == 1 for one in kept)
    assert all(isinstance(one.turns[-1].said.action, Answer) for one in kept)
    rejected = [json.loads(line) for line in (made / "rejected.jsonl").read_text().splitlines()]
    report = json.loads((made / "report.json").read_text())
    assert {one["reason"] for one in rejected} <= {*REASONS}
    assert len(rejected) == sum(report["rejected"].values())
    assert len({(one.question.uid, *written(one)) for one in kept}) == len(kept)
    assert report["rejected"]["twin"]
    assert {one.uid for one in questions.read(made / "rl.jsonl")} >= {one.question.uid for one in kept}
    zoomed = [picture for one in kept for turn in one.turns for picture in pictures_of(turn) if picture.boxes]
    assert {picture.margin for picture in zoomed} == {0}


@pytest.mark.slow
def test_what_is_kept_varies_recovers_and_says_what_the_documents_do_not(made: Path) -> None:
    kept = list(trajectories.read(made / "sft.jsonl"))
    assert {one.turns[0].said.thought for one in kept} == {*STARTS}
    refusals = [one for one in kept if not one.question.evidence]
    assert refusals
    assert all(one.turns[-1].said.action == Answer(NOT_ANSWERABLE) for one in refusals)
    answered = [one for one in kept if len(one.question.evidence) == 1]
    assert any(len(places_kept(one)) > 1 for one in answered)  # a wrong page, left again
    poor = [one for one in answered if len(searches(one)[0].split()) <= len(one.question.query.split()) / 3]
    assert any(len(searches(one)) > 1 for one in poor)


def places_kept(one: Trajectory) -> list[int]:
    return [turn.said.action.number for turn in one.turns if isinstance(turn.said.action, Select)]


def searches(one: Trajectory) -> list[str]:
    return [turn.said.action.query for turn in one.turns if isinstance(turn.said.action, Search)]


@pytest.mark.slow
def test_the_card_shows_counts_and_episodes(made: Path, tab: Tab) -> None:
    tab.open(made / "card.html")
    report = json.loads((made / "report.json").read_text())
    assert f"{report['sft']} trajectories to imitate" in tab.text("p")
    assert {"kind", "turns", "action", "place chosen", "size of a region", "tokens written"} <= {*tab.texts("h3")}
    told, idle = "\n".join(tab.texts("th")), "\n".join(tab.texts("details code"))
    assert all((f"− {count} {why}" in told) == bool(count) for why, count in report["rejected"].items())
    assert all((why in idle) == (not count) for why, count in report["rejected"].items())
    inside = "document.querySelector('iframe').contentDocument"
    assert tab.evaluate(f"{inside}.images.length") > 0
    shown = tab.evaluate(f"[...{inside}.querySelectorAll('.query')].map(one => one.textContent)")
    kept = [one.question.query for one in trajectories.read(made / "sft.jsonl")]
    assert len(shown) == 10
    assert {*kept[:10]} != {*shown} <= {*kept}  # drawn by chance
    tab.size(*PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE[0]


@pytest.mark.slow
def test_questions_that_cannot_be_played_are_listed(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    some = [one for one in questions.read(small.file(Split.TRAIN)) if one.evidence][:5]
    gone = replace(some[1], evidence=(replace(some[1].evidence[0], page=99),))
    strange = replace(some[4], evidence=(replace(some[4].evidence[0], file_name="elsewhere.pdf", page=1),))
    empty, nowhere = replace(some[2], answer=" "), replace(some[3], evidence=())
    (none, *_) = (one for one in small.asked() if not one.evidence)
    unknown = replace(none, uid="unknown", file_name="elsewhere.pdf")
    silent = replace(some[0], uid="silent", query=" ")
    as_text = replace(none, uid="as text", answer_format=AnswerFormat.STR)  # which says that there is none
    asked = [some[0], gone, empty, nowhere, strange, none, as_text, unknown, silent]
    questions.write(tmp_path / "asked.jsonl", asked)
    done = unidoc_curate(tmp_path / "asked.jsonl", small)
    assert done.exit_code == LEFT_OUT
    assert "6 questions that cannot be played; out/report.json names each, and why" in done.output
    assert "exit status 3, since curate.may_leave_out allows 0" in done.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["questions"] == 9
    assert report["left_out"] == {
        "silent": "its question is empty",
        some[1].uid: f"page {gold_pages(gone)[0]} is not in the corpus",
        some[2].uid: "its answer is empty",
        some[3].uid: "nobody has said on which page its answer stands",
        some[4].uid: "page elsewhere_1 is not in the corpus",
        "unknown": "document elsewhere is not in the corpus",
    }
    assert unidoc_curate(tmp_path / "asked.jsonl", small, "--set=curate.may_leave_out=6").exit_code == 0
    questions.write(tmp_path / "asked.jsonl", [gone])
    with pytest.raises(UnidocError, match="none of its 1 questions can be played"):
        curate(tmp_path / "asked.jsonl", small.corpus, str(small.index), tmp_path / "other", Params())
    questions.write(tmp_path / "asked.jsonl", [])
    with pytest.raises(UnidocError, match=r"asked\.jsonl: holds no question"):
        curate(tmp_path / "asked.jsonl", small.corpus, str(small.index), tmp_path / "other", Params())


@pytest.mark.slow
def test_of_a_folder_what_nothing_is_learned_from_is_handed_on(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "test.json").write_bytes(small.file(Split.TEST).read_bytes())
    with pytest.raises(UnidocError, match=r"mine: holds no train\.json: .* \(curate\.teacher"):
        curate(mine, small.corpus, str(small.index), tmp_path / "out", Params())
    questions.write(mine / "train.json", [one for one in small.asked() if one.evidence][:1])
    assert curate(mine, small.corpus, str(small.index), tmp_path / "out", Params()).questions == 1
    assert (tmp_path / "out" / "test.json").read_bytes() == (mine / "test.json").read_bytes()
    assert not (tmp_path / "out" / "validation.json").exists()


def test_a_corpus_is_never_replaced_by_trajectories(small: Small, tmp_path: Path) -> None:
    """Both hold a report.json."""
    other = shutil.copytree(small.corpus, tmp_path / "corpus")
    for out, why in (other, "exists, and holds no sft.jsonl: not ours"), (small.corpus, "is, or lies inside"):
        with pytest.raises(UnidocError, match=why):
            curate(small.file(Split.TRAIN), small.corpus, str(small.index), out, TWICE)
        assert (out / "pages.parquet").exists()


def test_what_is_measured_by_is_not_learned_from(small: Small, tmp_path: Path) -> None:
    one, other = small.asked()[:2]
    questions.write(tmp_path / "train.json", [one, other])
    questions.write(tmp_path / "test.json", [replace(other, uid="another")])
    with pytest.raises(UnidocError, match=rf"train\.json and .*test\.json: {other.uid} and another ask the same"):
        curate(tmp_path, small.corpus, str(small.index), tmp_path / "out", Params())
    (tmp_path / "train.json").rename(tmp_path / "validation.json")
    questions.write(tmp_path / "train.json", small.asked()[2:4])
    with pytest.raises(UnidocError, match=rf"validation\.json and .*test\.json: {other.uid} and another ask the same"):
        curate(tmp_path, small.corpus, str(small.index), tmp_path / "out", Params())


def test_a_weak_policy_that_is_not_there_is_told_before_anybody_plays(small: Small, tmp_path: Path) -> None:
    params = Params(curate=CurateParams(weak="grpoo"))
    with pytest.raises(UnidocError, match="policy grpoo: no such folder"):
        curate(small.file(Split.TRAIN), small.corpus, str(small.index), tmp_path / "out", params)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
def test_what_nobody_could_judge_since_the_judge_was_away_is_left_out(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    asked = [one for one in small.asked() if one.evidence][:3]
    questions.write(tmp_path / "asked.json", asked)

    def judged(body: Body) -> Given:
        if asked[0].query in text_of(body):
            return error(302, "elsewhere")
        return completion("perhaps" if asked[1].query in text_of(body) else "RIGHT")

    with Chat(judged).running() as judge:
        params = Params(rewards=RewardParams(judge=judge.url))
        report = curate(tmp_path / "asked.json", small.corpus, str(small.index), tmp_path / "out", params)
    assert list(report.left_out) == [asked[0].uid]  # who mumbles says the same another time
    assert "302: elsewhere" in report.left_out[asked[0].uid]
    assert report.sft


@pytest.mark.slow
def test_what_nothing_is_learned_from_is_handed_on_as_far_as_it_can_be_played(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine, out = tmp_path / "mine", tmp_path / "out"
    mine.mkdir()
    some = [one for one in small.asked() if one.evidence][:5]
    gone = replace(some[2], evidence=(replace(some[2].evidence[0], page=99),))
    said_nowhere = replace(some[3], evidence=())  # an answer is known, and that is enough to measure one by
    questions.write(mine / "train.json", some[:1])
    questions.write(mine / "validation.json", [some[1], gone, said_nowhere])
    questions.write(mine / "test.json", some[4:])
    done = unidoc_curate(mine, small)
    assert done.exit_code == LEFT_OUT
    assert "1 question that cannot be played; out/report.json names each, and why" in done.output
    report = json.loads((out / "report.json").read_text())
    assert report["left_out"] == {f"validation.json: {gone.uid}": f"page {gold_pages(gone)[0]} is not in the corpus"}
    assert (report["questions"], report["played"]) == (1, Params().curate.attempts)
    assert questions.read(out / "validation.json") == [some[1], said_nowhere]
    assert (out / "test.json").read_bytes() == (mine / "test.json").read_bytes()
    parts = [tmp_path / f"part{place}" for place in (1, 2)]
    for place, folder in enumerate(parts, start=1):
        assert not curate(mine, small.corpus, str(small.index), folder, Params(), shard=Shard(place, 2)).left_out
    together = curate(mine, small.corpus, str(small.index), tmp_path / "together", Params(), parts=parts)
    assert together.left_out == report["left_out"]
    assert (tmp_path / "together" / "validation.json").read_bytes() == (out / "validation.json").read_bytes()
    questions.write(mine / "test.json", [gone])
    with pytest.raises(UnidocError, match=r"test\.json: none of its 1 questions can be played .*: page .* is not in"):
        curate(mine, small.corpus, str(small.index), out, Params())


@pytest.mark.slow
def test_shards_one_of_them_killed_together_make_what_one_machine_makes(
    small: Small, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from unidoc_rl.agent import rollouts as r\nfrom unidoc_rl.curate.stage import curate\n"
        "from unidoc_rl.params import CurateParams, Params\nfrom unidoc_rl.shards import Shard\n"
        "real, written = r.trajectories.to_line, []\n"
        "def die(one):\n    written.append(one)\n"
        "    return real(one) if len(written) < 10 else os.kill(os.getpid(), signal.SIGKILL)\n"
        "if sys.argv[5] == 'dies':\n    r.trajectories.to_line = die\n"
        "curate(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], "
        "Params(curate=CurateParams(attempts=2)), shard=Shard(1, 3))\n"
    )
    asked, parts = small.file(Split.TRAIN), [tmp_path / f"part{place}" for place in (1, 2, 3)]
    command: list[str | Path] = [sys.executable, "-c", code, asked, small.corpus, small.index, parts[0]]
    killed = subprocess.run([*command, "dies"], cwd=tmp_path, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not parts[0].exists()
    assert len(list(trajectories.read(tmp_path / ".part1.work" / "played.jsonl"))) == 9
    again = subprocess.run([*command, "lives"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert again.stderr.count("playing") == 1
    for place in (2, 3):
        curate(asked, small.corpus, str(small.index), parts[place - 1], TWICE, shard=Shard(place, 3))
    monkeypatch.chdir(tmp_path)
    collect = unidoc_curate(asked, small, *[f"--part={part}" for part in reversed(parts)], "--set=curate.attempts=2")
    assert collect.exit_code == 0, collect.output
    assert_same(tmp_path / "out", made)
    assert (tmp_path / "out" / "report.json").read_bytes() == (made / "report.json").read_bytes()


def assert_same(folder: Path, other: Path) -> None:
    """Line by line, but for the time that it took."""
    for name in ("sft.jsonl", "rl.jsonl", "rejected.jsonl"):
        assert [*map(without_times, (folder / name).open())] == [*map(without_times, (other / name).open())]


def unidoc_curate(asked: Path, small: Small, *options: str) -> Result:
    command = ["curate", str(asked), "--corpus", str(small.corpus), "--index", str(small.index), "--out", "out"]
    return CliRunner().invoke(cli, [*command, *options])


@pytest.mark.slow
def test_parts_that_do_not_make_a_whole_are_named(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked, params = tmp_path / "asked.jsonl", Params()
    questions.write(asked, [one for one in questions.read(small.file(Split.TRAIN)) if one.evidence][:1])
    one, two, three = Shard(1, 2), Shard(2, 2), Shard(3, 3)  # the second has no question
    for shard in (one, two, three):
        curate(asked, small.corpus, str(small.index), f"part{shard.place}", params, shard=shard)

    def collected(*parts: str | Path, params: Params = params) -> str:
        with pytest.raises(UnidocError) as raised:
            curate(asked, small.corpus, str(small.index), "out", params, parts=parts)
        return str(raised.value)

    assert collected("part1").startswith("shard 2/2 is not among the parts")
    assert collected("part1", "part2", "part1").startswith("part1: is shard 1/2, and part1 is too")
    assert "part1 is 1/2, part3 is 3/3" in collected("part1", "part3")
    assert collected("part2", params=TWICE).startswith("part2: was made of other questions, pages or parameters")
    assert collected(small.corpus).startswith(f"{small.corpus}: holds no part.json")
    (tmp_path / "part3" / "part.json").write_text("{}")
    assert collected("part3").startswith("part3/part.json: is damaged")
    assert not (tmp_path / "out").exists()
    assert curate(asked, small.corpus, str(small.index), "out", params, parts=["part1", "part2"]).sft == 1
    for wrong, why in (("--shard=3/2", "3/2 is none of several"), ("--shard=1/2", "name --shard")):
        done = unidoc_curate(asked, small, wrong, "--part=part1")
        assert done.exit_code == 2
        assert why in done.output


@pytest.mark.slow
def test_a_part_is_known_by_all_that_changes_what_is_made_and_by_nothing_else(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the weights of the weak policy, not by how much is asked at the same time, nor by what else is in a folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(part, "open_policy", lambda *_, **__: Scripted(small.corpus, AGENT))
    asked, weights = tmp_path / "asked", tmp_path / "weak" / "weights"
    asked.mkdir()
    weights.parent.mkdir()
    weights.write_text("1")
    questions.write(asked / "train.json", [one for one in questions.read(small.file(Split.TRAIN)) if one.evidence][:1])
    curating = CurateParams(weak="weak", sft_most=1)
    curate(asked, small.corpus, str(small.index), "part", Params(curate=curating), shard=part.WHOLE)
    (asked / "NOTES.txt").write_text("of the first part")
    for changed in ({"at_once": 1}, {"per_minute": 9.0}, {"may_leave_out": 5}):
        params = Params(curate=curating.model_copy(update=changed))
        assert curate(asked, small.corpus, str(small.index), "out", params, parts=["part"]).sft == 1
    for other in ({"agent": AgentParams(turns=9)}, {"rewards": RewardParams(of="gated")}, {}):
        if not other:
            weights.write_text("2")
        params = Params.model_validate({"curate": curating, **other})
        with pytest.raises(UnidocError, match="part: was made of other"):
            curate(asked, small.corpus, str(small.index), "out", params, parts=["part"])


def without_times(line: str) -> str:
    read = json.loads(line)
    for turn in read.get("trajectory", read).get("turns", []):
        turn["seconds"] = turn["reply"]["seconds"] = 0
    return json.dumps(read, sort_keys=True)
