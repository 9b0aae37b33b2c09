"""Baselines: the same policy, which may do less and is told so, and what it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.agent.world import QUESTION, World, reply
from unidoc_rl.agent.dialect import parse
from unidoc_rl.agent.environment import Episode
from unidoc_rl.agent.judging import Verdict
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policy import Failed
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rollouts import play
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.trajectories import pictures_of
from unidoc_rl.evaluate.baselines import BASELINES, play_as
from unidoc_rl.evaluate.measures import ALL_ACTIONS, Cause, cause, evaluation, region_iou, row_of
from unidoc_rl.params import AgentParams, BaselineName, EvaluateParams, RewardParams
from unidoc_rl.types import Answer, AnswerFormat, Box, Malformed, Message, Question, Reply, Search, Trajectory

PARAMS = AgentParams(candidates=2)
NONE = replace(QUESTION, uid="q2", query="Who built the ship?", answer_format=AnswerFormat.NONE, evidence=())


class Reciting:
    """Writes these turns, one after the other, and keeps what it was told."""

    name = "reciting"

    def __init__(self, *texts: str) -> None:
        self._texts = texts
        self.told: list[list[Message]] = []

    def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
        self.told += [list(episode.messages) for episode in episodes]
        return [reply(self._texts[sum(bool(turn.reply.tokens) for turn in one.turns)]) for one in episodes]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def played(world: World, name: BaselineName, policy: Reciting, question: Question = QUESTION) -> Trajectory:
    pictures = Pictures(world.corpus, PARAMS)
    environment, player = play_as(BASELINES[name], policy, [QUESTION, NONE], world.search, pictures, PARAMS)
    (ended,) = play([(question, 0)], environment, player, 1)
    return ended


def shown(one: Trajectory) -> list[list[str]]:
    return [[picture.page for picture in pictures_of(turn)] for turn in one.turns]


def told(policy: Reciting) -> str:
    """The rules."""
    return str(policy.told[0][0].content[0])


def test_rag_shows_what_the_question_finds_and_takes_an_answer(world: World) -> None:
    policy = Reciting("<answer>honey</answer>")
    one = played(world, "rag", policy)
    assert [type(turn.said.action) for turn in one.turns] == [Search, Answer]
    assert shown(one) == [["bees_1", "bees_2"], []]
    assert one.turns[0].said.action == Search(QUESTION.query)
    assert len(policy.told) == 1  # it was asked once, when the pages were there
    assert "<search>" not in told(policy)
    assert played(world, "rag", Reciting("<search>more</search>")).outcome == "out_of_turns"


def test_oracle_shows_the_gold_pages_and_gives_nothing_away(world: World) -> None:
    right = "<answer>honey</answer>"
    elsewhere = replace(QUESTION, evidence=(replace(QUESTION.evidence[0], file_name="steel", page=2),))
    pictures = Pictures(world.corpus, PARAMS)
    environment, player = play_as(BASELINES["oracle"], Reciting(right), [elsewhere], world.search, pictures, PARAMS)
    (one,) = play([(elsewhere, 0)], environment, player, 1)
    assert shown(one)[0] == ["steel_2"]
    assert shown(played(world, "oracle", Reciting(right), NONE)) == shown(played(world, "rag", Reciting(right), NONE))


def test_react_searches_on_behind_what_it_has_seen_and_cannot_select_or_zoom(world: World) -> None:
    turns = ("<search>bees</search>", "<select>0</select>", "<bbox>[[0,0,9,9]]</bbox>", "<search>bees</search>")
    policy = Reciting(*turns, "<answer>honey</answer>")
    one = played(world, "react", policy)
    found, selected, zoomed, again, _ = one.turns
    assert selected.said.action == Malformed("There is no <select> here.")
    assert zoomed.said.action == Malformed("There is no <bbox> here.")
    assert "<select>" not in str(selected.observation[0]).partition("here.")[2]
    assert not {picture.page for picture in pictures_of(found)} & {picture.page for picture in pictures_of(again)}
    assert "<select>" not in told(policy)
    assert "<bbox>" not in told(policy)


def test_vrag_sees_one_page_a_search_and_zooms_into_it(world: World) -> None:
    policy = Reciting("<search>bees</search>", "<bbox>[[0, 0, 90, 90]]</bbox>", "<answer>honey</answer>")
    one = played(world, "vrag", policy)
    assert shown(one)[:2] == [["bees_1"], ["bees_1"]]
    assert pictures_of(one.turns[1])[0].boxes
    assert "<bbox>" in told(policy)


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ({"search", "answer"}, Cause.MISREAD),
        ({"search", "zoom", "answer"}, Cause.WRONG_REGION),
        (ALL_ACTIONS, Cause.WRONG_REGION),  # the page that stands first is selected
    ],
)
def test_nobody_is_blamed_for_what_was_not_allowed(world: World, actions: set[str], why: Cause) -> None:
    one = played(world, "rag", Reciting("<answer>wax</answer>"))
    (scored,) = score([one], RewardParams(), by_rules)
    assert cause(scored, frozenset(actions)) is why  # type: ignore[arg-type]


SEARCH = f"<search>{QUESTION.query}</search>"
LOOKED = (SEARCH, "<select>0</select>", "<bbox>[[100, 60, 500, 90]]</bbox>")


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        (("<search>steel</search>", "<answer>wax</answer>"), Cause.NOT_FOUND),
        ((SEARCH, "<select>1</select>", "<answer>wax</answer>"), Cause.WRONG_PAGE),
        ((SEARCH, "<answer>wax</answer>"), Cause.WRONG_REGION),  # what stands first is selected
        (("<search>steel</search>", "<bbox>[[0, 0, 90, 90]]</bbox>", *LOOKED, "<answer>wax</answer>"), Cause.MISREAD),
        ((SEARCH, "<select>0</select>", "<answer>wax</answer>"), Cause.WRONG_REGION),
        ((*LOOKED, "<answer>wax</answer>"), Cause.MISREAD),
        ((*LOOKED, "<answer>The report does not say.</answer>"), Cause.GAVE_UP),
        ((*LOOKED, "~"), Cause.GAVE_UP),
    ],
)
def test_what_went_wrong_first_is_the_cause(world: World, turns: tuple[str, ...], why: Cause) -> None:
    params = AgentParams(candidates=2, turns=len(turns), coordinates="thousandths")
    one = play([(QUESTION, 0)], world.environment(params), Reciting(*turns), 1)
    (row,) = map(row_of, score(list(one), RewardParams(), by_rules))
    assert row
    assert row.cause is why


def test_what_was_not_allowed_is_not_measured(world: World) -> None:
    (one,) = score([played(world, "rag", Reciting("<answer>wax</answer>"))], RewardParams(), by_rules)
    little, all_of_it = row_of(one, {"search", "answer"}), row_of(one)
    assert little
    assert all_of_it
    judged = {"select", "region", "region_iou", "format", "reward"}
    assert all_of_it.figures.keys() - little.figures.keys() == judged


def test_who_is_shown_one_of_two_gold_pages_has_recalled_a_half(world: World) -> None:
    (bees,) = QUESTION.evidence
    question = replace(QUESTION, evidence=(bees, replace(bees, file_name="steel")))
    (one,) = score([played(world, "rag", Reciting("<answer>wax</answer>"), question)], RewardParams(), by_rules)
    row = row_of(one)
    assert row
    assert row.figures["recall"] == 0.5
    assert (row.hops, row.cause) == (2, Cause.NOT_FOUND)


@pytest.mark.parametrize("refuses", [None, False, True])
def test_a_judge_that_has_read_whether_there_is_an_answer_is_believed(world: World, refuses: bool | None) -> None:
    """The rules take "not clear" for an answer."""
    one = played(world, "oracle", Reciting("<answer>It is not clear to me.</answer>"))
    (judged,) = score([one], RewardParams(), lambda asked: [Verdict(0.0, "", refuses)] * len(asked))
    row = row_of(judged, {"answer"})
    assert row
    assert row.answered_none is bool(refuses)
    assert row.cause is (Cause.GAVE_UP if refuses else Cause.MISREAD)


def test_who_is_right_has_answered_though_it_sounds_like_a_refusal(world: World) -> None:
    question = replace(QUESTION, query="Is wax included?", answer="No")
    one = played(world, "oracle", Reciting("<answer>No, wax is not included.</answer>"), question)
    (judged,) = score([one], RewardParams(), lambda asked: [Verdict(1.0, "")] * len(asked))
    row = row_of(judged, {"answer"})
    assert row
    assert not row.answered_none


@pytest.mark.parametrize(
    ("reference", "answer", "f1", "why"),
    [
        ("Not answerable", "The report does not say.", 1, None),
        ("Not answerable", "wax", 2 / 3, Cause.INVENTED),
        ("None", "None", 1, None),  # of the exceptions that a page lists
        ("None", "The report does not say.", 2 / 3, Cause.GAVE_UP),
    ],
)
def test_a_text_may_be_a_reference_that_says_there_is_none(
    world: World, reference: str, answer: str, f1: float, why: Cause | None
) -> None:
    question = replace(QUESTION, uid="q3", answer=reference)
    recited = [(QUESTION, "honey"), (question, answer)]
    episodes = [played(world, "oracle", Reciting(f"<answer>{text}</answer>"), one) for one, text in recited]
    rows = [row_of(one, {"answer"}) for one in score(episodes, RewardParams(), by_rules)]
    assert [row.cause for row in rows if row] == [None, why]
    assert evaluation(rows).f1.value == pytest.approx(f1)


@pytest.mark.parametrize(
    ("drawn", "overlap"),
    [
        ((), 0),
        (((100, 60, 500, 90),), 1),
        (((100, 60, 300, 90), (300, 60, 500, 90)), 1),
        (((100, 60, 300, 90), (200, 60, 500, 90)), 1),
        (((100, 60, 500, 120),), 0.5),
        (((300, 75, 700, 105),), 1 / 7),
        (((600, 600, 700, 700),), 0),
    ],
)
def test_region_iou_is_of_all_that_was_drawn(world: World, drawn: tuple[Box, ...], overlap: float) -> None:
    one = played(world, "rag", Reciting("<answer>honey</answer>"))
    whole = pictures_of(one.turns[0])[0]
    zoom = replace(one.turns[0], said=parse("<bbox>[[1,1,2,2]]</bbox>"))
    zoom = replace(zoom, observation=(replace(whole, boxes=tuple(Box(*box) for box in drawn)),))
    assert region_iou(replace(one, turns=(*one.turns, zoom))) == pytest.approx(overlap)


def test_figures_are_those_of_the_episode(world: World) -> None:
    question = replace(QUESTION, evidence=(replace(QUESTION.evidence[0], page=2),))
    turns = (f"<search>{question.query}</search>", "<select>1</select>", "<bbox>[[100, 60, 500, 90]]</bbox>")
    policy = Reciting(*turns, "<answer>honey</answer>")
    (one,) = score(list(play([(question, 0)], world.environment(PARAMS), policy, 1)), RewardParams(), by_rules)
    row = row_of(one, params=EvaluateParams(price_read=3.0, price_written=15.0))
    assert row
    assert (row.value, row.hops, row.cause) == (1, 1, None)
    told = {"turns": 4, "searches": 1, "zooms": 1, "pictures": 4, "tokens": 40, "context": 100, "first_gold_rank": 2}
    assert {**told, "recall": 1, "select": 1}.items() <= row.figures.items()
    assert row.figures["cost"] == (4 * 90 * 3 + 40 * 15) / 1e6
    assert row.figures["seconds"] >= 0.4
    assert row.figures["ndcg"] < 1
