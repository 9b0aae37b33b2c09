"""The environment: what an agent is shown for what it writes, and how its episodes end.

Whatever a model writes is answered by an observation; nothing of it raises. Episodes are stepped in batches, so that
all that search do so in one call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from unidoc_rl import boxes
from unidoc_rl.agent.dialect import TAGS, harmless, parse, reminder, system_prompt
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.errors import Away
from unidoc_rl.params import ActionName, AgentParams
from unidoc_rl.types import (
    Action,
    Answer,
    Content,
    Hit,
    Malformed,
    Message,
    Outcome,
    Picture,
    Query,
    Question,
    Reply,
    Role,
    Said,
    Search,
    Searcher,
    Select,
    Trajectory,
    Turn,
    Zoom,
)

_NAMES: dict[type[Action], ActionName] = {Search: "search", Select: "select", Zoom: "zoom", Answer: "answer"}


class Episode:
    """A question being played: `messages` is all that the agent has read and written."""

    def __init__(self, question: Question, sample: int, rules: str) -> None:
        self.question = question
        self.sample = sample
        self.messages = [Message(Role.SYSTEM, (rules,)), Message(Role.USER, (harmless(question.query),))]
        self.turns: list[Turn] = []
        self.outcome: Outcome | None = None  # while it goes on
        self.failure = ""
        self.candidates: tuple[Picture, ...] = ()  # of the last search
        self.selected: Picture | None = None
        self.used: set[str] = set()  # pages that no search shows again: selected, or zoomed into; or shown

    def trajectory(self, policy: str) -> Trajectory:
        if self.outcome is None:
            raise ValueError(f"the episode of {self.question.uid} has not ended")
        turns = tuple(self.turns)
        return Trajectory(self.question, self.sample, policy, turns, self.outcome, self.failure, scores=None)


def conversation(trajectory: Trajectory, rules: str) -> list[Message]:
    """What was read and written in an episode, up to the last that the agent wrote."""
    messages = Episode(trajectory.question, trajectory.sample, rules).messages
    for turn in trajectory.turns:
        messages += [Message(Role.ASSISTANT, (turn.reply.text,)), Message(Role.USER, turn.observation)]
    return messages[:-1] if trajectory.turns else messages


class Environment:
    """`rules`: as the agent is told them, where not as the dialect has it."""

    def __init__(self, search: Searcher, pictures: Pictures, params: AgentParams, rules: str | None = None) -> None:
        self._search = search
        self._pictures = pictures
        self._params = params
        self._rules = rules or system_prompt(params)
        self._reminder = reminder(params.actions)
        self.actions = frozenset(params.actions)

    def reset(self, question: Question, sample: int = 0) -> Episode:
        return Episode(question, sample, self._rules)

    def step(self, episodes: Sequence[Episode], replies: Sequence[Reply]) -> None:
        """Each episode goes on by what its agent wrote."""
        replies = [replace(reply, text=harmless(reply.text)) for reply in replies]
        said = [self._allowed(parse(reply.text)) for reply in replies]
        searching = [at for at, one in enumerate(said) if isinstance(one.action, Search)]
        start = time.monotonic()
        try:
            found = dict(zip(searching, self._find([(episodes[at], said[at]) for at in searching]), strict=True))
        except Away as error:
            found = {}
            for at in searching:
                episodes[at].outcome, episodes[at].failure = Outcome.VOID, str(error)
        share = (time.monotonic() - start) / max(1, len(searching))  # of the search, that each who searched has
        for at, (episode, reply, one) in enumerate(zip(episodes, replies, said, strict=True)):
            if episode.outcome is None:
                start = time.monotonic()
                observation = self._observe(episode, one, found.get(at, []))
                seconds = time.monotonic() - start + share * (at in found)
                self._take(episode, Turn(reply, one, observation, seconds))

    def _allowed(self, said: Said) -> Said:
        """An action that the protocol leaves out is none."""
        name = _NAMES.get(type(said.action))
        if name is None or name in self.actions:
            return said
        return replace(said, action=Malformed(f"There is no <{TAGS[name]}> here."))

    def _find(self, asked: Sequence[tuple[Episode, Said]]) -> list[list[Hit]]:
        if not asked:
            return []
        queries = [
            Query(said.action.query, excluded=frozenset(episode.used))
            for episode, said in asked
            if isinstance(said.action, Search)
        ]
        return self._search(queries, self._params.candidates)

    def _observe(self, episode: Episode, said: Said, hits: Sequence[Hit]) -> Content:
        match said.action:
            case Search(query):
                return self._candidates(episode, query, hits)
            case Select(number):
                return self._selected(episode, number)
            case Zoom(regions):
                return self._zoomed(episode, regions)
            case Answer():
                return ()
            case Malformed(reason):
                return (f"{reason} {self._reminder}",)

    def _candidates(self, episode: Episode, query: str, hits: Sequence[Hit]) -> Content:
        episode.candidates = tuple(self._pictures.whole(hit.page) for hit in hits)
        episode.selected = next(iter(episode.candidates), None)
        if "select" not in self.actions:  # nothing is kept of what was shown: another search goes on behind it
            episode.used.update(page.page for page in episode.candidates)
        if not hits:
            return (f"No page is found for: {query[:200]}",)
        numbered = [part for number, page in enumerate(episode.candidates) for part in (f"\n{number}: ", page)]
        return ("Pages found:", *numbered)

    def _selected(self, episode: Episode, number: int) -> Content:
        if not episode.candidates:
            return ("There is no page to select; search first.",)
        inside = number < len(episode.candidates)
        episode.selected = episode.candidates[number if inside else 0]
        episode.used.add(episode.selected.page)
        told = f"Page {number}:" if inside else f"There is no page {number}; page 0 is kept:"
        return (f"{told} ", episode.selected)

    def _zoomed(self, episode: Episode, regions: Sequence[tuple[float, float, float, float]]) -> Content:
        page = episode.selected
        if page is None:
            return ("There is no page to look at; search first.",)
        size = (page.width, page.height) if self._params.coordinates == "pixels" else (boxes.SCALE, boxes.SCALE)
        drawn = [boxes.from_pixels(*region, *size) for region in regions]
        usable = [box for box in drawn if box.x1 < box.x2 and box.y1 < box.y2][: self._params.regions]
        if not usable:
            return (f"No region lies on the page, which is {size[0]} wide and {size[1]} high.",)
        episode.used.add(page.page)
        return (_told(len(usable), len(drawn)), self._pictures.cut(page.page, usable))

    def _take(self, episode: Episode, turn: Turn) -> None:
        """Writes the turn down, and sees whether it was the last."""
        params = self._params
        episode.turns.append(turn)
        episode.messages.append(Message(Role.ASSISTANT, (turn.reply.text,)))
        if isinstance(turn.said.action, Answer):
            episode.outcome = Outcome.ANSWERED
            return
        episode.messages.append(Message(Role.USER, turn.observation))
        shown = sum(isinstance(part, Picture) for message in episode.messages for part in message.content)
        if shown > params.pictures:
            episode.outcome = Outcome.OUT_OF_PICTURES
        elif turn.reply.context + self._tokens(turn.observation) > params.context_tokens:
            episode.outcome = Outcome.OUT_OF_CONTEXT
        elif len(episode.turns) >= params.turns:
            episode.outcome = Outcome.OUT_OF_TURNS

    def _tokens(self, content: Content) -> int:
        """Of an observation, about: a token a patch of a picture, and one for three letters."""
        patch = self._params.patch**2
        return sum(
            part.width * part.height // patch if isinstance(part, Picture) else math.ceil(len(part) / 3)
            for part in content
        )


def _told(usable: int, drawn: int) -> str:
    shown = "The region: " if usable == 1 else f"The {usable} regions, one below the other: "
    return shown if usable == drawn else f"{drawn - usable} of {drawn} are left out. {shown}"
