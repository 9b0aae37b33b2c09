"""A question of a person's own, without a known answer: one episode, told as it goes, and where its answer stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.policy import Policy
from unidoc_rl.agent.rollouts import take_turn
from unidoc_rl.agent.rules import says_there_is_none
from unidoc_rl.agent.trajectories import answer_of, pictures_of
from unidoc_rl.names import split_page_id
from unidoc_rl.types import (
    Answer,
    AnswerFormat,
    Box,
    Malformed,
    Outcome,
    Question,
    Search,
    Select,
    Trajectory,
    Turn,
    Zoom,
)

_ENDS = {
    Outcome.OUT_OF_TURNS: "its turns are used up; agent.turns says how many there are",
    Outcome.OUT_OF_PICTURES: "it was shown more pictures than agent.pictures allows",
    Outcome.OUT_OF_CONTEXT: "the episode is longer than agent.context_tokens allows",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an answer stands."""

    document: str
    page: int  # counted from 1
    boxes: tuple[Box, ...]  # none: the whole page


def ask(question: str, environment: Environment, policy: Policy, see: Callable[[Turn], None]) -> Trajectory:
    """Plays the question; `see` is given each turn when it ends."""
    asked = Question("asked", question, "", AnswerFormat.STR, kind="", source_type="", file_name="", evidence=())
    episode = environment.reset(asked)
    while episode.outcome is None:
        before = len(episode.turns)
        take_turn([episode], environment, policy)
        for turn in episode.turns[before:]:  # none, where the policy failed or the search was away
            see(turn)
    return episode.trajectory(policy.name)


def evidence(trajectory: Trajectory) -> Standing | None:
    """The page that is selected in the end, and the regions last zoomed into there.

    None where there is no answer, or no page was seen, or the answer is that the documents do not say.
    """
    text = answer_of(trajectory)
    looks = [shown[0] for turn in trajectory.turns if (shown := pictures_of(turn))]  # a search selects its first
    if text is None or not looks or says_there_is_none(trajectory.question, text):
        return None
    page = looks[-1].page
    zooms = [look.boxes for look in looks if look.page == page and look.boxes]
    return Standing(*split_page_id(page), zooms[-1] if zooms else ())


# --- for a person, and for a program ----------------------------------------------------------------------------------


def did(turn: Turn) -> str:
    """What the agent did, and what came of it; empty for an answer."""
    shown = pictures_of(turn)
    match turn.said.action:
        case Search(query):
            return one_line(f"searched: {query} → {', '.join(picture.page for picture in shown) or 'nothing found'}")
        case Select() if shown:
            return f"kept page {shown[0].page}"
        case Zoom() if shown:
            count = len(shown[0].boxes)
            return f"zoomed into {count} region{'s' * (count != 1)} of {shown[0].page}"
        case Answer():
            return ""
        case Malformed(reason):
            return f"did nothing: {reason}"
    return f"did nothing: {turn.observation[0]}"  # which says why


def one_line(text: str) -> str:
    """Fit for a terminal: what a model writes may hold characters that control it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def where(place: Standing) -> str:
    drawn = ", ".join(str(list(box)) for box in place.boxes)
    return f"{place.document}, page {place.page}, {f'{drawn} in thousandths of it' if drawn else 'the whole of it'}"


def why_none(trajectory: Trajectory) -> str:
    """Of an episode that has ended without an answer."""
    return f"no answer: {trajectory.failure or _ENDS[trajectory.outcome]}"


def to_json(trajectory: Trajectory) -> str:
    """`turns` as in files of trajectories; null where there is no answer, or where it stands on no page."""
    place = evidence(trajectory)
    data = {
        "answer": answer_of(trajectory),
        "outcome": trajectory.outcome,
        "document": place and place.document,
        "page": place and place.page,
        "boxes": place.boxes if place else [],
        "turns": json.loads(trajectories.to_line(trajectory))["turns"],
    }
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace").decode()  # without half characters
