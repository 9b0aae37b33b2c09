"""A part: what a shard of the questions has come to, before anything is asked of the whole.

part/part.json        which shard of what it is; what stayed unplayed; what the weak policy got right; what it cost
part/episodes.jsonl   what was played, in the order in which it ended, with its scores

Where the teacher writes, a shard takes its share of the plans for questions. All that they become is played but what a
check of its own is against: that two of them ask the same is known to the whole alone.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from unidoc_rl import storage
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.judge import open_judge
from unidoc_rl.agent.judging import Judge, Verdict
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policies import open_policy
from unidoc_rl.agent.policy import Policy
from unidoc_rl.agent.rewards import scored
from unidoc_rl.agent.rollouts import Job, play, play_apart, rollouts
from unidoc_rl.agent.scripted import Mistakes, Scripted
from unidoc_rl.corpus import PAGES
from unidoc_rl.curate import writing
from unidoc_rl.curate.filters import reason
from unidoc_rl.curate.teaching import NO_LIMITS, Teaching
from unidoc_rl.curate.writing import Draft
from unidoc_rl.errors import UnidocError
from unidoc_rl.index.searching import searching
from unidoc_rl.params import Params
from unidoc_rl.provenance import identity
from unidoc_rl.shards import Shard
from unidoc_rl.types import Hit, Outcome, Query, Question, Searcher, Split, Trajectory

FILE = "part.json"
EPISODES = "episodes.jsonl"
AT_ONCE = 64  # episodes, where no endpoint is asked
UNRATED = "the weak policy, or who judges it, was away: nobody knows how difficult it is"
WHOLE = Shard(1, 1)


@dataclass(frozen=True, slots=True)
class Given:
    """What is curated."""

    asked: Sequence[Question] | None  # None: the teacher is to write them
    held_out: Sequence[Split]  # what it is to write others for, then
    apart: frozenset[str]  # documents about which it is to write none: those that are given are about them
    corpus: Path
    index: str
    params: Params
    key: str  # the digest of it all


@dataclass(frozen=True, slots=True)
class Part:
    shard: Shard
    key: str  # of what was given
    questions: int
    played: int
    left_out: dict[str, str]  # questions never written, played, judged or rated: search or an endpoint was away
    rated: dict[str, list[bool]]  # where the weak policy was right, question by question
    cost: dict[str, int]  # of the teacher's endpoint
    drafts: list[Draft]  # that the teacher wrote


_PART = TypeAdapter(Part)


def make(given: Given, shard: Shard, out: Path, work: Path) -> Part:
    """Fills `out`; what was played stays in `work` for a run that goes on."""
    params, corpus = _shared_out(given.params, shard), given.corpus
    with searching(given.index, corpus) as search:
        pictures = Pictures(corpus, params.agent.learning())
        teaching = Teaching(corpus, pictures, work, params) if params.curate.teacher else None
        judge = teaching.judge() if teaching else open_judge(params.rewards.judge)
        drafts: list[Draft] = []
        if given.asked is None and teaching:
            writer = teaching.writer(search, judge)
            drafts = writing.write(writer, teaching.layout, given.held_out, given.apart, shard, params)
        own = writing.fit(drafts, Split.TRAIN) if given.asked is None else [*shard.share(given.asked)]
        environment = Environment(shuffled(search, params.curate.seed), pictures, params.agent)
        away = _play(own, environment, teaching, corpus, work / "played.jsonl", params)
        played, solved, unjudged = _score(work / "played.jsonl", out / EPISODES, judge, params)
        away = {uid: why for uid, why in away.items() if uid not in played} | unjudged
        left_out = writing.lost(drafts) | away
        rated: dict[str, list[bool]] = {}
        if params.curate.weak is not None:
            tried = [one for one in own if one.uid in solved]
            weak = _weak(params.curate.weak, pictures, corpus, teaching, params)
            unshuffled = Environment(search, pictures, params.agent)
            rated = _rate(tried, unshuffled, weak, judge, work / "weak.jsonl", params)
            left_out |= {one.uid: UNRATED for one in tried if one.uid not in rated}
    cost = teaching.cost() if teaching else {}
    part = Part(shard, given.key, len(own), played.total(), left_out, rated, cost, drafts)
    (out / FILE).write_text(json.dumps(_PART.dump_python(part, mode="json")), encoding="utf-8")
    return part


def all_of(folders: Sequence[str | Path], given: Given) -> dict[Path, Part]:
    """The parts in these folders, which must be those of all shards of what is given."""
    parts: dict[Path, Part] = {}
    known: dict[Shard, str | Path] = {}
    for folder in folders:
        part = _read(folder)
        if part.key != given.key:
            raise UnidocError(
                f"{folder}: was made of other questions, pages or parameters, or with another index; make it again "
                f"with these: --shard {part.shard}"
            )
        if part.shard in known:
            raise UnidocError(f"{folder}: is shard {part.shard}, and {known[part.shard]} is too; name one of them")
        known[part.shard] = folder
        parts[storage.local_folder(folder)] = part
    of = {shard.of for shard in known}
    missing = [shard for many in of for place in range(1, many + 1) if (shard := Shard(place, many)) not in known]
    if len(of) > 1:
        there = ", ".join(f"{folder} is {shard}" for shard, folder in known.items())
        raise UnidocError(f"the parts are not of the same shards: {there}; make all of them of one number of shards")
    if missing:
        raise UnidocError(f"shard {missing[0]} is not among the parts: make it, and name its folder by --part")
    return parts


def _read(folder: str | Path) -> Part:
    file = storage.local_folder(folder) / FILE
    try:
        return _PART.validate_python(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UnidocError(f"{folder}: holds no {FILE}; name what `unidoc curate --shard` has made") from None
    except (OSError, ValueError) as error:
        raise UnidocError(f"{file}: is damaged ({error}); make it again by --shard") from error


def shuffled(search: Searcher, seed: int) -> Searcher:
    """The same pages in another order, always the same for the same query.

    Each is searched for alone: beside others its sums are rounded otherwise, and pages that are alike change places.
    """

    def found(queries: Sequence[Query], k: int) -> list[list[Hit]]:
        return [_shuffled(hits, f"{seed} {query.text}") for query in queries for hits in search([query], k)]

    return found


def _shuffled(hits: Sequence[Hit], seed: str) -> list[Hit]:
    return random.Random(seed).sample(hits, len(hits))


def _shared_out(params: Params, shard: Shard) -> Params:
    """With this shard's share of what the teacher's endpoint allows."""
    curating = params.curate
    at_once = -(-curating.at_once // shard.of)
    per_minute = curating.per_minute and curating.per_minute / shard.of
    return params.model_copy(
        update={"curate": curating.model_copy(update={"at_once": at_once, "per_minute": per_minute})}
    )


def _play(
    asked: Sequence[Question],
    environment: Environment,
    teaching: Teaching | None,
    corpus: Path,
    played: Path,
    params: Params,
) -> dict[str, str]:
    """The teacher plays. Questions for which search or endpoint was away, at one attempt at least, and why."""
    curating, away = params.curate, dict[str, str]()
    if teaching is None:
        mistakes = Mistakes(search=curating.detours, detour=curating.detours)
        player: Policy = Scripted(corpus, params.agent, mistakes, curating.seed)
        way, at_once = play, AT_ONCE
    else:
        player, way, at_once = teaching.player(), play_apart, curating.at_once

    def noting(jobs: Iterable[Job], environment: Environment, policy: Policy, at_once: int) -> Iterator[Trajectory]:
        for one in way(jobs, environment, policy, at_once):
            if one.outcome is Outcome.VOID:
                away[one.question.uid] = one.failure
            yield one

    rollouts(asked, curating.attempts, environment, player, at_once, played, noting)
    return away


def _score(played: Path, out: Path, judge: Judge, params: Params) -> tuple[Counter[str], set[str], dict[str, str]]:
    """Writes the episodes with their scores. How many there are of each question; which were solved; and those for
    which the judge was away at every attempt, and why."""
    count, solved, known, away = Counter[str](), set[str](), set[str](), dict[str, str]()

    def noting(asked: Sequence[tuple[Question, str]]) -> list[Verdict]:
        told = judge(asked)
        away.update({one.uid: verdict.reason for (one, _), verdict in zip(asked, told, strict=True) if verdict.away})
        return told

    with out.open("wb") as file:
        for one in scored(trajectories.read(played), params.rewards, noting):
            file.write(trajectories.to_line(one))
            count[one.question.uid] += 1
            if one.scores is not None:
                known.add(one.question.uid)
            if reason(one, params) is None:
                solved.add(one.question.uid)
    return count, solved, {uid: why for uid, why in away.items() if uid not in known}


def _weak(name: str, pictures: Pictures, corpus: Path, teaching: Teaching | None, params: Params) -> Policy:
    """The policy that rates; what a server writes for it is kept, as what the teacher replies is."""
    pace, at_once = teaching.limits(name) if teaching else NO_LIMITS
    return open_policy(
        name,
        pictures,
        params.agent,
        temperature=1.0,
        seed=params.curate.seed,
        pace=pace,
        at_once=at_once,
        corpus=identity(corpus / PAGES),
    )


def _rate(
    solved: Sequence[Question], environment: Environment, weak: Policy, judge: Judge, played: Path, params: Params
) -> dict[str, list[bool]]:
    """How the weak policy does, question by question."""
    curating, right = params.curate, dict[str, list[bool]]()
    rollouts(solved, curating.plays, environment, weak, AT_ONCE, played)
    for one in scored(trajectories.read(played), params.rewards, judge):
        if one.scores is not None:  # else nobody has judged it
            right.setdefault(one.question.uid, []).append(one.scores.parts["answer"] >= curating.right)
    return right
