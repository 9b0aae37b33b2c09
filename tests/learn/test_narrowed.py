"""The scripted policy where the protocol leaves actions out: what it plays can be learned from, or is known not to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.small import Small
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rollouts import play
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import Mistakes, Scripted
from unidoc_rl.agent.trajectories import pictures_of
from unidoc_rl.curate.filters import reason
from unidoc_rl.curate.part import shuffled
from unidoc_rl.index.search import Index
from unidoc_rl.learn.rows import PROTOCOLS
from unidoc_rl.params import AgentParams, Params, RewardParams
from unidoc_rl.questions import gold_pages, gold_regions
from unidoc_rl.types import Answer, Search, Select, Trajectory, Zoom

NO_SELECT = ["search", "zoom", "answer"]
NONE = Mistakes()
ALWAYS = Mistakes(detour=1.0)  # where another page can be kept first


def agent(**changed: Any) -> AgentParams:
    return AgentParams().model_copy(update=changed)


def taught(small: Small, params: AgentParams, mistakes: Mistakes = NONE) -> Iterator[Trajectory]:
    with Index(small.index) as search:
        environment = Environment(shuffled(search, 1), Pictures(small.corpus, params), params)
        teacher = Scripted(small.corpus, params, mistakes)
        yield from score(
            list(play([(one, 0) for one in small.asked()], environment, teacher, 64)), RewardParams(), by_rules
        )


def shares(played: list[Trajectory], params: AgentParams) -> Counter[str | None]:
    return Counter(reason(one, Params(agent=params)) for one in played)


@pytest.mark.parametrize(("protocol", "least"), [("react", 0.9), ("vrag", 0.8)])
def test_what_it_plays_with_less_to_do_is_fit_to_be_learned_from(small: Small, protocol: Any, least: float) -> None:
    params = agent(**PROTOCOLS[protocol])
    played = list(taught(small, params, ALWAYS))
    allowed = {"search": Search, "zoom": Zoom, "answer": Answer}
    kinds = {type(turn.said.action) for one in played for turn in one.turns}
    assert kinds == {allowed[name] for name in params.actions}
    assert shares(played, params)[None] >= least * len(played)


def test_without_select_it_zooms_into_what_stands_first_and_reads_all_that_it_sees(small: Small) -> None:
    params = agent(actions=NO_SELECT)
    zooms = others = 0
    for one in taught(small, params):
        seen: set[str] = set()
        for before, turn in pairwise([None, *one.turns]):
            assert turn is not None
            if isinstance(turn.said.action, Zoom):
                assert before is not None
                (cut,), first = pictures_of(turn), pictures_of(before)[0]
                assert cut.page == first.page
                assert cut.boxes
                assert gold_regions(one.question)[cut.page]
                zooms += 1
            seen |= {picture.page for picture in pictures_of(turn)}
        answered = isinstance(end := one.turns[-1].said.action, Answer) and end.text == one.question.answer
        if one.question.evidence:
            assert answered == (seen >= set(gold_pages(one.question)))
            others += answered and not seen <= set(gold_pages(one.question))
        missing = {page for page, regions in gold_regions(one.question).items() if regions} - {
            picture.page for turn in one.turns for picture in pictures_of(turn) if picture.boxes
        }
        if answered and missing:
            assert reason(one, Params(agent=params)) == "missing_zoom"
    assert zooms > 5
    assert others > 5


def test_one_page_at_a_time_it_searches_on_until_it_is_there(small: Small) -> None:
    played = list(taught(small, agent(**PROTOCOLS["vrag"])))
    later = [one for one in played if one.question.evidence and _searches(one) > len(gold_pages(one.question))]
    assert len(later) > 5
    for one in later:
        shown = [
            picture.page for turn in one.turns if isinstance(turn.said.action, Search) for picture in pictures_of(turn)
        ]
        assert len(set(shown)) == len(shown)


def test_without_zoom_it_selects_as_ever(small: Small) -> None:
    params = agent(actions=["search", "select", "answer"])
    played = list(taught(small, params))
    assert {type(turn.said.action) for one in played for turn in one.turns} == {Search, Select, Answer}
    assert shares(played, params)[None] >= 0.9 * len(played)


@pytest.mark.parametrize("fault", ["missing", "answer"])
def test_faults_are_still_found(small: Small, fault: str) -> None:
    params = agent(**PROTOCOLS["vrag"])
    kept = [one for one in taught(small, params) if reason(one, Params(agent=params)) is None]
    faulty = {one.question.uid: one for one in taught(small, params, Mistakes(**{fault: 1.0}))}
    pairs = [(one, faulty[one.question.uid]) for one in kept]
    changed = [
        other for one, other in pairs if [t.reply.text for t in one.turns] != [t.reply.text for t in other.turns]
    ]
    assert len(changed) > 5
    assert {reason(one, Params(agent=params)) for one in changed} == {
        f"{fault}_zoom" if fault == "missing" else "wrong_answer"
    }


def _searches(one: Trajectory) -> int:
    return sum(isinstance(turn.said.action, Search) for turn in one.turns)
