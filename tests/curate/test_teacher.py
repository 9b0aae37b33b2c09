"""The teacher behind an endpoint: what it plays can be learned from, and what it gets wrong is rejected by its name."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.agent.chat import Body, Chat, Given, completion
from tests.curate.faults import answered_by_numbers, assert_told_apart, told
from tests.curate.stub import Stub, pictures_of, text_of
from tests.small import Small
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rollouts import play_apart
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import NOT_ANSWERABLE
from unidoc_rl.curate.filters import answer_in_question, reason
from unidoc_rl.curate.part import shuffled
from unidoc_rl.curate.teaching import Teaching
from unidoc_rl.index.search import Index
from unidoc_rl.params import AgentParams, CurateParams, Params, RewardParams
from unidoc_rl.questions import gold_pages, gold_regions
from unidoc_rl.types import Answer, Outcome, Question, Search, Trajectory, Zoom

AGENT = AgentParams()
FAULTS = {  # of the stub, and the filter that names each
    "answer": {"wrong_answer"},
    "select": {"wrong_page"},
    "needless": {"needless_zoom"},
    "missing": {"missing_zoom"},
    "region": {"wrong_region"},
    "broken": {"gave_up"},
    "leak": {"leaked_answer"},
}


def taught(
    small: Small, corpus: Path, stub: Stub, work: Path, answer: Callable[[Body], Given] | None = None
) -> dict[str, Trajectory]:
    """By the question's uid; by a teacher whom nobody has asked before."""
    with Chat(answer or stub).running() as chat, Index(small.index) as search, pytest.MonkeyPatch.context() as environ:
        environ.setenv("UNIDOC_CACHE", str(work / "cache"))
        pictures = Pictures(corpus, AGENT)
        environment = Environment(shuffled(search, 1), pictures, AGENT)
        player = Teaching(corpus, pictures, work, Params(curate=CurateParams(teacher=chat.url))).player()
        played = list(play_apart([(question, 0) for question in stub.asked], environment, player, 8))
    return {one.question.uid: one for one in score(played, RewardParams(), by_rules)}


def asked_thrice(small: Small) -> list[Question]:
    """Each in other words: so many episodes of few pages."""
    asked = [question for question in small.asked() if not answer_in_question(question)]
    return [
        replace(one, uid=f"{one.uid} {n}", query=f"{one.query}{words}")
        for n, (words, several) in enumerate(
            (("", asked), (" Please look it up.", asked), (" Tell me.", answered_by_numbers(asked)))
        )
        for one in several
    ]


def faults_of(asked: Sequence[Question]) -> dict[str, str]:
    """In six of ten episodes one is to be made, of those that can be made there: the crop's, or another one."""
    dice, errs = random.Random(1), dict[str, str]()
    for one in asked:
        crop = ["missing", "region"] if any(gold_regions(one).values()) else ["needless"]
        others = ["select", "leak", "broken", "answer"] if one.evidence else ["broken", "answer"]
        if dice.random() < 0.6:
            errs[one.uid] = dice.choice([dice.choice(crop if one.evidence else others), dice.choice(others)])
    return errs


@pytest.mark.slow
def test_faults_are_found_and_nothing_else(small: Small, with_regions: Path, tmp_path: Path) -> None:
    """Of a teacher who else goes ways round, which are no faults."""
    asked = asked_thrice(small)
    stub = Stub(with_regions, asked, faults_of(asked), wanders=0.2)
    played = taught(small, with_regions, stub, tmp_path)
    assert_told_apart([told(one, stub.made.get(uid, ""), reason(one, Params())) for uid, one in played.items()], FAULTS)


def differs(ones: dict[str, Trajectory], others: dict[str, Trajectory], uid: str) -> bool:
    first, second = ([turn.reply.text for turn in one[uid].turns] for one in (ones, others))
    return first != second


@pytest.mark.slow
def test_it_is_asked_again_at_full_resolution_whether_to_zoom(small: Small, with_regions: Path, tmp_path: Path) -> None:
    asked = [question for question in small.asked() if any(gold_regions(question).values())][:4]
    stub, pictures = Stub(with_regions, asked), Pictures(with_regions, AGENT)
    seen: list[list[tuple[int, int]]] = []

    def answer(body: Body) -> Given:
        if "Would it help to zoom" in text_of(body):
            return completion('{"thought": "It reads well.", "zoom": false}')
        if "Does that show you anything" in text_of(body):
            seen.append([Image.open(io.BytesIO(one)).size for one in pictures_of(body)])
            return completion('{"thought": "I look closer.", "zoom": true}')
        return stub(body)

    played = taught(small, with_regions, stub, tmp_path, answer)
    zooms = [turn for one in played.values() for turn in one.turns if isinstance(turn.said.action, Zoom)]
    assert len(zooms) >= 4
    assert {turn.said.thought for turn in zooms} == {"I look closer."}
    assert {reason(one, Params()) for one in played.values()} == {None}
    agent_s = {(shown.width, shown.height) for page in gold_pages(asked[0]) for shown in [pictures.whole(page)]}
    assert {first for first, _ in seen} >= agent_s
    assert all(first[0] < second[0] for first, second in seen)


@pytest.mark.slow
def test_after_three_searches_it_says_that_the_documents_do_not(
    small: Small, with_regions: Path, tmp_path: Path
) -> None:
    asked = [question for question in small.asked() if question.evidence][:2]
    stub = Stub(with_regions, asked)

    def answer(body: Body) -> Given:
        reply = stub.reply(body)
        return completion(json.dumps({**reply, "answer": None} if "answer" in reply else reply))

    for one in taught(small, with_regions, stub, tmp_path, answer).values():
        assert sum(isinstance(turn.said.action, Search) for turn in one.turns) == 3
        assert one.turns[-1].said.action == Answer(NOT_ANSWERABLE)
        assert reason(one, Params()) == "wrong_answer"


@pytest.mark.slow
def test_replies_dressed_as_models_do_make_the_same_turns(small: Small, with_regions: Path, tmp_path: Path) -> None:
    asked = [question for question in small.asked() if question.evidence][:8]
    plain = taught(small, with_regions, Stub(with_regions, asked), tmp_path / "plain")

    def dress(text: str) -> str:
        reply = json.loads(text)
        if "regions" in reply:
            text = json.dumps({"regions": reply["regions"] * 2})
        return f"<think>{{}}?</think>Voilà :\n```json\n{text}\n```\nもっと{{"

    dressed = Stub(with_regions, asked, dress=dress)
    others = taught(small, with_regions, dressed, tmp_path / "dressed")
    assert not any(differs(plain, others, uid) for uid in plain)
    assert {one.outcome for one in others.values()} == {Outcome.ANSWERED}
