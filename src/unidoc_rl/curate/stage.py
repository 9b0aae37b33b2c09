"""The stage `curate`: questions, or documents alone, to trajectories that are worth learning from.

trajectories/sft.jsonl        what is imitated: episodes that passed every filter, a line each
trajectories/rl.jsonl         what is learned from by rewards: questions, with gold regions and crop labels
trajectories/rejected.jsonl   what was left out, each with the reason
trajectories/report.json      how many came through every filter
trajectories/card.html        the same to look at, with some of the episodes
trajectories/questions.json   where no questions were given: those that the teacher wrote, and
trajectories/dropped.jsonl    those of them that are not asked, each with the reason

The teacher plays each question several times; candidates come in shuffled order, so that their place teaches nothing.
Killed, it goes on with the episodes that it had played. An endpoint is asked nothing twice, not by later runs either.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unidoc_rl import questions, storage, tracking
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.judge import open_judge
from unidoc_rl.agent.judging import Judge
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policies import open_policy
from unidoc_rl.agent.policy import Policy
from unidoc_rl.agent.rewards import scored
from unidoc_rl.agent.rollouts import Job, play, play_apart, rollouts
from unidoc_rl.agent.scripted import Mistakes, Scripted
from unidoc_rl.corpus import PAGES, Corpus
from unidoc_rl.curate import REPORT, SFT, card, writing
from unidoc_rl.curate.filters import FILTERS, Traits, labelled, reason, surplus, traits
from unidoc_rl.curate.teaching import Teaching
from unidoc_rl.errors import UnidocError
from unidoc_rl.index.searching import place_of, searching
from unidoc_rl.params import Params
from unidoc_rl.provenance import key
from unidoc_rl.types import AnswerFormat, Hit, Outcome, Query, Question, Searcher, Trajectory

RL = "rl.jsonl"
REJECTED = "rejected.jsonl"
QUESTIONS = "questions.json"
DROPPED = "dropped.jsonl"
AT_ONCE = 64  # episodes, where no endpoint is asked


@dataclass(slots=True)
class Report:
    """What came in, and what became of it."""

    questions: int
    left_out: dict[str, str] = field(default_factory=dict)  # questions that cannot be played, and why
    written: dict[str, int] = field(default_factory=dict)  # by the teacher, and of these dropped, by reason
    played: int = 0
    rejected: dict[str, int] = field(default_factory=dict)  # by reason, in the order of the filters
    sft: int = 0
    rl: int = 0
    too_easy: int = 0  # for learning from rewards, by the weak policy
    too_hard: int = 0
    cost: dict[str, int] = field(default_factory=dict)  # of the teacher's endpoint


def curate(asked: Path | None, corpus: str | Path, index: str, out: str | Path, params: Params) -> Report:
    """Makes the folder `out` of a question file, or of questions that the teacher writes."""
    if asked is None and params.curate.teacher is None:
        raise UnidocError("no questions: name a file of them, or a teacher that writes some (curate.teacher)")
    folder = storage.local_folder(corpus)
    playable, left_out = _playable(asked, folder) if asked else ([], {})
    with storage.writing(out, marker=REPORT) as output, searching(index) as search:
        inputs = key(asked or "none", folder / PAGES, place_of(index), params.curate, params.agent)
        output.goes_on_with(inputs)
        pictures = Pictures(folder, params.agent)
        teaching = Teaching(folder, pictures, output.work, params) if params.curate.teacher else None
        with tracking.run("curate", params.services.mlflow, output.work / "run") as run:
            run.params(params.curate.model_dump())
            given = {"questions": asked} if asked is not None else {}
            run.inputs({**given, "corpus": folder / PAGES, "index": place_of(index)})
            judge = teaching.judge() if teaching else open_judge(params.rewards.judge)
            report = Report(len(playable) + len(left_out), left_out)
            if asked is None and teaching:
                playable = _written(teaching, search, judge, output.new, report, params)
            played = output.work / "played.jsonl"
            environment = Environment(shuffled(search, params.curate.seed), pictures, params.agent)
            _play(playable, environment, teaching, folder, played, report, params)
            solved_as = _filtered(played, output.work / "passed.jsonl", output.new, judge, report, params)
            solved = [solved_as[one.uid] for one in playable if one.uid in solved_as]
            if params.curate.weak is not None:
                environment = Environment(search, pictures, params.agent)
                weak = open_policy(params.curate.weak, pictures, params.agent, temperature=1.0, seed=params.curate.seed)
                solved = _between(solved, environment, weak, output.work / "weak.jsonl", judge, report, params)
            report.rl = questions.write(output.new / RL, solved)
            report.cost = teaching.cost() if teaching else {}
            (output.new / REPORT).write_text(
                json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
            card.write(output.new, folder, asdict(report), params.curate.seed)
            run.metrics([(0, _counts(report))])
            run.file(output.new / card.FILE)
    return report


def shuffled(search: Searcher, seed: int) -> Searcher:
    """The same pages in another order, always the same for the same query."""

    def found(queries: Sequence[Query], k: int) -> list[list[Hit]]:
        return [
            _shuffled(hits, f"{seed} {query.text}") for query, hits in zip(queries, search(queries, k), strict=True)
        ]

    return found


def _shuffled(hits: Sequence[Hit], seed: str) -> list[Hit]:
    return random.Random(seed).sample(hits, len(hits))


def _playable(asked: Path, corpus: Path) -> tuple[list[Question], dict[str, str]]:
    """Questions whose pages are there, and why the others cannot be played."""
    read, known = questions.read(asked), set(Corpus(corpus).column("id"))
    left_out: dict[str, str] = {}
    for one in read:
        missing = [page for page in questions.gold_pages(one) if page not in known]
        if missing:
            left_out[one.uid] = f"page {missing[0]} is not in the corpus"
        elif not one.answer.strip():
            left_out[one.uid] = "its answer is empty"
        elif not one.evidence and one.answer_format is not AnswerFormat.NONE:
            left_out[one.uid] = "nobody has said on which page its answer stands"
    if len(left_out) == len(read):
        raise UnidocError(f"{asked}: none of its {len(read)} questions can be played over {corpus}: {_first(left_out)}")
    return [one for one in read if one.uid not in left_out], left_out


def _first(left_out: Mapping[str, str]) -> str:
    return next((f"{uid}: {why}" for uid, why in left_out.items()), "it is empty")


def _written(
    teaching: Teaching, search: Searcher, judge: Judge, out: Path, report: Report, params: Params
) -> list[Question]:
    """What the teacher has written, and no check has anything against."""
    drafts = writing.write(teaching.writer(search, judge), teaching.layout, params)
    writing.save_dropped(out / DROPPED, drafts)
    dropped = writing.dropped(drafts)
    report.written = {"written": len(drafts), **dropped}
    fit = [draft.question for draft in drafts if draft.question is not None and not draft.reason]
    report.questions = questions.write(out / QUESTIONS, fit)
    if not fit:
        raise UnidocError(f"of {len(drafts)} questions that the teacher was to write, none is fit: {_most(dropped)}")
    return fit


def _play(
    asked: Sequence[Question],
    environment: Environment,
    teaching: Teaching | None,
    corpus: Path,
    played: Path,
    report: Report,
    params: Params,
) -> None:
    """The teacher plays; a question for which search or endpoint was away is left out."""
    curating = params.curate
    if teaching is None:
        mistakes = Mistakes(search=curating.detours, detour=curating.detours)
        player: Policy = Scripted(corpus, params.agent, mistakes, curating.seed)
        way, at_once = play, AT_ONCE
    else:
        player, way, at_once = teaching.player(), play_apart, curating.at_once

    def noting(jobs: Iterable[Job], environment: Environment, policy: Policy, at_once: int) -> Iterator[Trajectory]:
        for one in way(jobs, environment, policy, at_once):
            if one.outcome is Outcome.VOID:
                report.left_out[one.question.uid] = one.failure
            yield one

    rollouts(asked, curating.attempts, environment, player, at_once, played, noting)


# --- filters ----------------------------------------------------------------------------------------------------------


def _filtered(
    played: Path, passed: Path, out: Path, judge: Judge, report: Report, params: Params
) -> dict[str, Question]:
    """Writes what passes and what does not; returns the questions that were solved, with what was found out."""
    report.rejected = dict.fromkeys((*FILTERS, "twin", "surplus"), 0)
    seen: set[bytes] = set()
    kept: list[Traits] = []
    solved: dict[str, Question] = {}
    with passed.open("wb") as good, (out / REJECTED).open("wb") as bad:
        for one in scored(trajectories.read(played), params.rewards, judge):
            report.played += 1
            why = reason(one, params) or _twin(one, seen)
            if why is None:
                kept.append(traits(one))
                solved.setdefault(one.question.uid, labelled(one) if params.curate.teacher else one.question)
                good.write(trajectories.to_line(one))
            else:
                _reject(one, why, bad, report)
        too_many = surplus(kept, params.curate.balance)
        good.flush()
        with (out / SFT).open("wb") as file:
            for number, one in enumerate(trajectories.read(passed)):
                if number in too_many:
                    _reject(one, "surplus", bad, report)
                else:
                    file.write(trajectories.to_line(one))
                    report.sft += 1
    if not report.sft:
        raise UnidocError(f"no trajectory of {report.played} is fit to be learned from: {_most(report.rejected)}")
    return solved


def _reject(one: Trajectory, why: str, file: Any, report: Report) -> None:
    report.rejected[why] += 1
    line: dict[str, Any] = {"reason": why, "trajectory": json.loads(trajectories.to_line(one))}
    file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


def _twin(one: Trajectory, seen: set[bytes]) -> str | None:
    """Whether the same was written about the same question before."""
    text = "\n".join([one.question.query, *(turn.reply.text for turn in one.turns)])
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    if digest in seen:
        return "twin"
    seen.add(digest)
    return None


def _most(rejected: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {why}" for why, count in Counter(rejected).most_common(3) if count)


# --- questions for rewards --------------------------------------------------------------------------------------------


def _between(
    solved: Sequence[Question],
    environment: Environment,
    weak: Policy,
    played: Path,
    judge: Judge,
    report: Report,
    params: Params,
) -> list[Question]:
    """Those that a weak policy gets sometimes: from the others, nothing is learned."""
    rollouts(solved, params.curate.plays, environment, weak, AT_ONCE, played)
    right: dict[str, list[bool]] = {}
    for one in scored(trajectories.read(played), params.rewards, judge):
        is_right = one.scores is not None and one.scores.parts["answer"] >= params.curate.right
        right.setdefault(one.question.uid, []).append(is_right)
    report.too_easy = sum(all(several) for several in right.values())
    report.too_hard = sum(not any(several) for several in right.values())
    return [one for one in solved if any(several := right.get(one.uid, [])) and not all(several)]


def _counts(report: Report) -> dict[str, float]:
    counted = {name: getattr(report, name) for name in ("questions", "played", "sft", "rl", "too_easy", "too_hard")}
    rejected = {f"rejected/{why}": count for why, count in report.rejected.items()}
    written = {f"written/{what}": count for what, count in report.written.items()}
    cost = {f"cost/{what}": count for what, count in report.cost.items()}
    told = {**counted, "left_out": len(report.left_out), **rejected, **written, **cost}
    return {name: float(count) for name, count in told.items()}
