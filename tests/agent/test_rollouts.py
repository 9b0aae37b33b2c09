"""Rollouts of the scripted policy over the sample world: what is written, resumed, made again, and earned."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from statistics import fmean
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small import Small
from unidoc_rl import questions
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment, Episode
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policy import Failed
from unidoc_rl.agent.rewards import score
from unidoc_rl.agent.rollouts import play, rollouts
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import Mistakes, Scripted
from unidoc_rl.errors import UnidocError
from unidoc_rl.index.search import Index
from unidoc_rl.params import AgentParams, RewardParams
from unidoc_rl.types import Outcome, Picture, Question, Reply, Trajectory

PARAMS = AgentParams()
COSTS: dict[str, set[str]] = {  # what each mistake costs, of an episode's rewards
    "search": {"search"},
    "detour": {"select"},
    "select": {"select"},
    "region": {"region"},
    "needless": {"region"},
    "missing": {"region"},
    "answer": {"answer"},
    "format": {"format"},
    "leak": set(),  # for which there are filters
}


@pytest.fixture(scope="module")
def folder(small: Small) -> Path:
    return small.folder


@pytest.fixture(scope="module")
def asked(small: Small) -> list[Question]:
    return small.asked()


@pytest.fixture(scope="module")
def environment(folder: Path) -> Iterator[Environment]:
    with Index(folder / "index") as search:
        yield Environment(search, Pictures(folder / "corpus", PARAMS), PARAMS)


def scored(folder: Path, environment: Environment, asked: Sequence[Question], mistakes: Mistakes) -> list[Trajectory]:
    policy = Scripted(folder / "corpus", PARAMS, mistakes)
    return score(list(play([(one, 0) for one in asked], environment, policy, 16)), RewardParams(), by_rules)


def means(episodes: Sequence[Trajectory]) -> dict[str, float]:
    kept = [episode.scores for episode in episodes if episode.scores is not None]
    assert len(kept) == len(episodes)
    return {
        **{name: fmean(one.parts[name] for one in kept) for name in ("answer", "search", "select", "region", "format")},
        "total": fmean(one.total for one in kept),
    }


def test_what_each_mistake_costs_is_written_down() -> None:
    assert set(COSTS) == {field.name for field in fields(Mistakes)}


@pytest.fixture(scope="module")
def answerable(asked: list[Question]) -> list[Question]:
    return [question for question in asked if question.evidence]


@pytest.mark.slow
def test_playing_gold_earns_nearly_everything(
    folder: Path, environment: Environment, asked: list[Question], answerable: list[Question]
) -> None:
    played = scored(folder, environment, answerable, Mistakes())
    found = [one for one in played if one.scores and one.scores.parts["search"] > 0]
    assert len(found) >= 0.9 * len(played)  # it searches in the question's words, which are not always the page's
    earned = means(found)
    assert earned["total"] >= 0.95, earned
    assert min(earned[name] for name in ("select", "region", "format")) >= 0.95, earned
    refused = [question for question in asked if not question.evidence]
    totals = [one.scores.total for one in scored(folder, environment, refused, Mistakes()) if one.scores]
    assert totals == [1.0] * len(refused)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "costs"), COSTS.items())
def test_each_mistake_costs_its_own_reward_and_no_other(
    folder: Path, environment: Environment, answerable: list[Question], kind: str, costs: set[str]
) -> None:
    right = means(scored(folder, environment, answerable, Mistakes()))
    wrong = means(scored(folder, environment, answerable, replace(Mistakes(), **{kind: 1})))
    fallen = {name for name in right if name != "total" and wrong[name] < right[name] - 0.1}
    assert fallen == costs
    assert not costs or wrong["total"] < right["total"]


def test_an_episode_that_has_ended_is_forgotten(folder: Path, environment: Environment, asked: list[Question]) -> None:
    policy = Scripted(folder / "corpus", PARAMS)
    ended = [ref(episode) for episode in _play_to_the_end(environment, policy, asked[:3])]
    gc.collect()
    assert [episode() for episode in ended] == [None] * 3


def _play_to_the_end(environment: Environment, policy: Scripted, asked: Sequence[Question]) -> list[Episode]:
    episodes = [environment.reset(question) for question in asked]
    while playing := [episode for episode in episodes if episode.outcome is None]:
        environment.step(playing, [reply for reply in policy.reply(playing) if isinstance(reply, Reply)])
    return episodes


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def episodes(folder: Path, environment: Environment, asked: list[Question]) -> list[Trajectory]:
    return scored(folder, environment, asked[:12], Mistakes(search=0.5, region=0.5))


def test_a_trajectory_is_read_as_it_was_written(episodes: list[Trajectory], tmp_path: Path) -> None:
    trajectories.write(tmp_path / "episodes.jsonl", episodes)
    assert list(trajectories.read(tmp_path / "episodes.jsonl")) == episodes


def test_a_trajectory_holds_no_pixels_and_every_picture_can_be_made_again(
    folder: Path, episodes: list[Trajectory]
) -> None:
    lines = [trajectories.to_line(episode) for episode in episodes]
    assert max(map(len, lines)) < 20_000
    before, after = (
        Pictures(folder / "corpus", params) for params in (PARAMS, AgentParams(widen=28, max_pixels=10**6))
    )
    for line, episode in zip(lines, episodes, strict=True):
        shown = [part for turn in episode.turns for part in turn.observation if isinstance(part, Picture)]
        read = [
            part
            for turn in trajectories.from_line(line).turns
            for part in turn.observation
            if not isinstance(part, str)
        ]
        assert [before.show(one).tobytes() for one in shown] == [after.show(one).tobytes() for one in read]


def test_what_is_no_trajectory_is_told_with_file_and_line(episodes: list[Trajectory], tmp_path: Path) -> None:
    good = trajectories.to_line(episodes[0])
    for bad, what in [
        (b"{}\n", "format is None"),
        (good.replace(b'"format": 1', b'"format": 9'), "format is 9; this version reads 1"),
        (good.replace(b'"outcome": "answered"', b'"outcome": "bored"'), "outcome"),
        (good[:50] + b"\n", "is no trajectory"),
    ]:
        (tmp_path / "episodes.jsonl").write_bytes(good + bad)
        with pytest.raises(UnidocError, match=rf"episodes\.jsonl: line 2.*{what}"):
            list(trajectories.read(tmp_path / "episodes.jsonl"))


@given(cut=st.integers(0, 10_000), seed=st.integers(0, 3))
@settings(max_examples=20)
def test_a_run_that_was_broken_off_anywhere_goes_on_from_what_is_whole(
    folder: Path,
    environment: Environment,
    asked: list[Question],
    tmp_path_factory: pytest.TempPathFactory,
    cut: int,
    seed: int,
) -> None:
    out = tmp_path_factory.mktemp("run") / "episodes.jsonl"
    policy = Scripted(folder / "corpus", PARAMS, Mistakes(search=0.5), seed)
    some = asked[:4]
    rollouts(some, 2, environment, policy, 3, out)
    whole = sorted(out.read_bytes().splitlines(), key=_without_times)
    os.truncate(out, min(cut, out.stat().st_size))
    rollouts(some, 2, environment, policy, 3, out)
    again = sorted(out.read_bytes().splitlines(), key=_without_times)
    assert list(map(_without_times, again)) == list(map(_without_times, whole))


def _without_times(line: bytes) -> str:
    episode = trajectories.from_line(line)
    return repr(replace(episode, turns=tuple(replace(turn, seconds=0) for turn in episode.turns)))


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(
    folder: Path, environment: Environment, asked: list[Question], tmp_path: Path
) -> None:
    out = tmp_path / "episodes.jsonl"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from unidoc_rl import questions\nfrom unidoc_rl.agent import rollouts as r\n"
        "from unidoc_rl.agent.environment import Environment\nfrom unidoc_rl.agent.pictures import Pictures\n"
        "from unidoc_rl.agent.scripted import Scripted\nfrom unidoc_rl.index.search import Index\n"
        "from unidoc_rl.params import AgentParams\n"
        "folder, out = map(Path, sys.argv[1:])\nparams = AgentParams()\n"
        "real, written = r.trajectories.to_line, []\n"
        "def die(one):\n    written.append(one)\n"
        "    return real(one) if len(written) < 5 else os.kill(os.getpid(), signal.SIGKILL)\n"
        "r.trajectories.to_line = die\n"
        "env = Environment(Index(folder / 'index'), Pictures(folder / 'corpus', params), params)\n"
        "asked = questions.read(folder / 'questions/train.json')\n"
        "r.rollouts(asked, 1, env, Scripted(folder / 'corpus', params), 4, out)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, folder, out], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(trajectories.read(out))) == 4
    train = questions.read(folder / "questions/train.json")
    rollouts(train, 1, environment, Scripted(folder / "corpus", PARAMS), 4, out)
    assert sorted(one.question.uid for one in trajectories.read(out)) == sorted(one.uid for one in train)


def test_what_was_void_is_played_again_and_other_policies_are_refused(
    folder: Path, environment: Environment, asked: list[Question], tmp_path: Path
) -> None:
    out = tmp_path / "new/folder/episodes.jsonl"
    policy = Scripted(folder / "corpus", PARAMS)
    assert rollouts(asked[:3], 1, environment, policy, 2, out)["answered"] == 3
    unjudged = [replace(one, outcome=Outcome.VOID, failure="judge away") for one in trajectories.read(out)]
    trajectories.write(out, unjudged[:1] + list(trajectories.read(out))[1:])
    assert rollouts(asked[:3], 1, environment, policy, 2, out)["answered"] == 3
    assert [one.outcome for one in trajectories.read(out)].count(Outcome.ANSWERED) == 3
    changed = [replace(asked[0], query="Another question?"), *asked[1:3]]
    assert rollouts(changed, 1, environment, policy, 2, out)["answered"] == 4
    stranger = Flaky(policy)
    with pytest.raises(UnidocError, match=r"holds episodes of scripted, not flaky, .*remove this file to play"):
        rollouts(asked[:3], 1, environment, stranger, 2, out)


# --- what goes wrong around it ----------------------------------------------------------------------------------------


class Flaky:
    """A policy that is not there for every third episode, and whose text is too long for every fourth."""

    name = "flaky"

    def __init__(self, policy: Scripted) -> None:
        self._policy = policy
        self.is_well = False
        self.at_once: list[int] = []

    def reply(self, playing: Sequence[Episode]) -> list[Reply | Failed]:
        self.at_once.append(len(playing))
        return [self._one(episode) for episode in playing]

    def _one(self, episode: Episode) -> Reply | Failed:
        if episode.sample % 3 == 2 and not self.is_well:
            return Failed(Outcome.VOID, "endpoint: away")
        if episode.sample % 4 == 3:
            return Failed(Outcome.OUT_OF_CONTEXT, "too long")
        return self._policy.reply([episode])[0]


def test_a_policy_that_is_away_voids_its_episodes_which_are_played_again(
    folder: Path, environment: Environment, asked: list[Question], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted = Scripted(folder / "corpus", PARAMS)
    policy = Flaky(scripted)
    counts = rollouts(asked[:2], 8, environment, policy, 5, tmp_path / "episodes.jsonl")
    assert counts["void"] == 4
    assert counts["out_of_context"] == 4
    assert max(policy.at_once) == 5
    assert "void: endpoint: away" in capsys.readouterr().err
    policy.is_well = True
    again = rollouts(asked[:2], 8, environment, policy, 5, tmp_path / "episodes.jsonl")
    assert again["void"] == 0
    assert sum(again.values()) == 16
    assert len(list(trajectories.read(tmp_path / "episodes.jsonl"))) == 16
