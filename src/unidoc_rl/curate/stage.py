"""The stage `curate`: questions, or documents alone, to trajectories that are worth learning from.

trajectories/sft.jsonl        what is imitated: episodes that passed every filter, a line each
trajectories/rl.jsonl         what is learned from by rewards: questions, with gold regions and crop labels
trajectories/rejected.jsonl   what was left out, each with the reason
trajectories/report.json      how many came through every filter
trajectories/card.html        the same to look at, with some of the episodes
trajectories/questions.json   where no questions were given: those that the teacher wrote, and
trajectories/dropped.jsonl    those of them that are not asked, each with the reason
trajectories/validation.json  of a folder of questions, what nothing is learned from, handed on as far as it can be
trajectories/test.json        played; where the teacher writes, and none are given, those about documents of their own

A document's questions serve one purpose: the teacher writes none about a document of those that are handed on.

The teacher plays each question several times; candidates come in shuffled order, so that their place teaches nothing.
Killed, it goes on with the episodes that it had played. An endpoint is asked nothing twice, not by later runs either.

Several machines may each play a shard of the questions: who then collects their parts makes what one alone would.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import fmean

from unidoc_rl import questions, storage, tracking
from unidoc_rl.agent import policies, trajectories
from unidoc_rl.agent.rules import is_answerable
from unidoc_rl.corpus import PAGES, Corpus
from unidoc_rl.curate import REPORT, SFT, card, part, writing
from unidoc_rl.curate.filters import REASONS, TOO_EASY, TOO_HARD, Traits, labelled, reason, surplus, traits
from unidoc_rl.curate.part import Given, Part
from unidoc_rl.errors import UnidocError
from unidoc_rl.index.searching import known_by
from unidoc_rl.params import Params
from unidoc_rl.provenance import key
from unidoc_rl.shards import Shard
from unidoc_rl.types import Question, Split, Trajectory

RL = "rl.jsonl"
REJECTED = "rejected.jsonl"
QUESTIONS = "questions.json"
DROPPED = "dropped.jsonl"
TRAIN = f"{Split.TRAIN}.json"
CHANGES_NOTHING = {"at_once", "per_minute", "may_leave_out"}  # in what is made
HELD_OUT = (Split.VALIDATION, Split.TEST)  # from which nothing is learned


@dataclass(slots=True)
class Report:
    """What came in, and what became of it."""

    questions: int
    left_out: dict[str, str] = field(default_factory=dict)  # that cannot be played, or were never written, and why
    written: dict[str, int] = field(default_factory=dict)  # by the teacher; of these dropped, by reason, and held out
    played: int = 0
    rejected: dict[str, int] = field(default_factory=dict)  # by reason, in the order of the filters
    sft: int = 0
    rl: int = 0
    rated: dict[str, float] = field(default_factory=dict)  # how often the weak policy was right, by question
    too_easy: int = 0  # of these, for learning from rewards
    too_hard: int = 0
    cost: dict[str, int] = field(default_factory=dict)  # of the teacher's endpoint


def curate(
    asked: Path | None,
    corpus: str | Path,
    index: str,
    out: str | Path,
    params: Params,
    *,
    shard: Shard | None = None,
    parts: Sequence[str | Path] = (),
) -> Report:
    """Makes the folder `out` of a question file, or of questions that the teacher writes.

    `asked`: the file; or a folder with one for each purpose: the others are handed on, and where that to learn from is
    missing, the teacher writes all that are. `shard`: makes a part of it. `parts`: folders of those that are there, of
    all shards; nothing is played then.
    """
    to_learn, held_out = _files(asked)
    storage.keep_apart(out, corpus, index, *([to_learn] if to_learn else []), *held_out.values())
    if to_learn is None and params.curate.teacher is None:
        where = f"{asked}: holds no {TRAIN}" if asked else "no questions"
        raise UnidocError(f"{where}: name a file of them, or a teacher that writes some (curate.teacher)")
    if params.curate.teacher is not None and "select" not in params.agent.actions:
        raise UnidocError("curate.teacher: a teacher selects pages; let agent.actions have select")
    if params.curate.weak is not None:
        policies.check(params.curate.weak)
    folder = storage.local_folder(corpus)
    playable, left_out = _playable(to_learn, folder, taught=True) if to_learn else (None, {})
    if to_learn and not playable:
        raise UnidocError(f"{to_learn}: holds no question")
    handed_on = {file: _playable(file, folder, taught=False) for file in held_out.values()}
    measured = {file: some for file, (some, _) in handed_on.items()}
    for (file, some), (other, others) in combinations([(to_learn, playable or []), *measured.items()], 2):
        questions.refuse_the_same(some, others, f"{file} and {other}")
    inputs = _key([to_learn, *map(held_out.get, HELD_OUT)], folder, index, params)
    missing = [split for split in HELD_OUT if split not in held_out]
    apart = _apart(held_out.values(), folder) if to_learn is None else frozenset[str]()
    given = Given(playable, missing, apart, folder, index, params, inputs)
    if shard is not None:
        with storage.writing(out, part.FILE, part.EPISODES) as output:
            output.goes_on_with(f"{inputs} {shard}")
            made = part.make(given, shard, output.new, output.work)
        return Report(made.questions, made.left_out, played=made.played)
    there = part.all_of(parts, given)
    with storage.writing(out, SFT, REJECTED, REPORT) as output:
        output.goes_on_with(inputs)
        with tracking.run("curate", params.services.mlflow, output.work / "run") as run:
            run.params(params.curate.model_dump())
            files = {"questions": to_learn} if to_learn is not None else {}
            run.inputs({**files, "corpus": folder / PAGES, "index": known_by(index)})
            if not there:
                alone = output.work / "part"
                alone.mkdir(exist_ok=True)
                there = {alone: part.make(given, part.WHOLE, alone, output.work)}
            report = _collected(there, given, left_out, _hand_on(handed_on, output.new), output.new)
            run.metrics([(0, _counts(report))])
            run.file(output.new / card.FILE)
    return report


def _key(asked: Sequence[Path | None], corpus: Path, index: str, params: Params) -> str:
    """Of all that the result follows from."""
    files = [file or "none" for file in asked]
    curating = params.curate.model_dump_json(exclude=CHANGES_NOTHING)
    weak = Path(params.curate.weak) if params.curate.weak else "none"
    return key(*files, corpus / PAGES, known_by(index), curating, weak, params.agent, params.rewards)


def _files(asked: Path | None) -> tuple[Path | None, dict[Split, Path]]:
    """The file of questions to learn from, and those of the others; what is missing, the teacher may write."""
    if asked is None or not asked.is_dir():
        return asked, {}
    there = {split: file for split in Split if (file := asked / f"{split}.json").exists()}
    return there.pop(Split.TRAIN, None), there


def _playable(asked: Path, corpus: Path, *, taught: bool) -> tuple[list[Question], dict[str, str]]:
    """The questions of a file, and why the others of it cannot be played; `taught`: by who must know the gold pages."""
    read = questions.read(asked)
    left_out = questions.unplayable(read, corpus)
    for one in read:
        if taught and not one.evidence and is_answerable(one):
            left_out.setdefault(one.uid, "nobody has said on which page its answer stands")
    if read and len(left_out) == len(read):
        first = ": ".join(next(iter(left_out.items())))
        raise UnidocError(f"{asked}: none of its {len(read)} questions can be played over {corpus}: {first}")
    return [one for one in read if one.uid not in left_out], left_out


def _apart(held_out: Collection[Path], corpus: Path) -> frozenset[str]:
    """The documents of these files: a document's questions are all in one split."""
    apart = frozenset(about for file in held_out for one in questions.read(file) for about in questions.documents(one))
    if apart >= set(Corpus(corpus).column("document")):
        raise UnidocError(
            f"{', '.join(map(str, held_out))}: about all documents of {corpus}, and none is left of which the teacher "
            "may write questions to learn from; ingest others too, or take some questions out"
        )
    return apart


def _hand_on(files: Mapping[Path, tuple[list[Question], dict[str, str]]], out: Path) -> dict[str, str]:
    """Writes the questions of these files that can be played; returns why the others cannot."""
    left_out: dict[str, str] = {}
    for file, (playable, away) in files.items():
        if away:
            questions.write(out / file.name, playable)
            left_out |= {f"{file.name}: {uid}": why for uid, why in away.items()}
        else:
            shutil.copy(file, out)
    return left_out


def _collected(
    parts: Mapping[Path, Part],
    given: Given,
    left_out: Mapping[str, str],
    not_handed_on: Mapping[str, str],
    out: Path,
) -> Report:
    """Fills `out` with what the parts are together."""
    params, asked = given.params, given.asked
    report = Report(0)
    if asked is None:
        asked = _written(parts, given.held_out, out, report, params)
    away = {uid: why for one in parts.values() for uid, why in one.left_out.items()}
    report.left_out |= {**not_handed_on, **left_out, **{one.uid: away[one.uid] for one in asked if one.uid in away}}
    report.questions = len(asked) + len(left_out)
    rated = {uid: fmean(right) for one in parts.values() for uid, right in one.rated.items()}
    report.rated = {one.uid: rated[one.uid] for one in asked if one.uid in rated}
    solved = _filtered(asked, parts, out, report, params)
    if params.curate.weak is not None:
        solved = _between(solved, report, params)
    report.rl = questions.write(out / RL, solved)
    costs = Counter[str]()
    for one in parts.values():
        costs.update(one.cost)
    report.cost = dict(costs)
    (out / REPORT).write_text(json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    card.write(out, given.corpus, asdict(report), params.curate.seed)
    return report


def _written(
    parts: Mapping[Path, Part], held_out: Sequence[Split], out: Path, report: Report, params: Params
) -> list[Question]:
    """What the teacher has written to learn from, and no check has anything against."""
    drafts = writing.together([one.drafts for one in parts.values()], params.index.encoder)
    writing.save_dropped(out / DROPPED, drafts)
    dropped = writing.dropped(drafts)
    report.written = {"written": len(drafts), **dropped}
    report.left_out = writing.lost(drafts)
    for split in held_out:
        report.written[split] = questions.write(out / f"{split}.json", writing.fit(drafts, split))
    fit = writing.fit(drafts, Split.TRAIN)
    questions.write(out / QUESTIONS, fit)
    if not fit:
        raise UnidocError(f"of {len(drafts)} questions that the teacher was to write, none is fit: {_most(dropped)}")
    return fit


# --- filters ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Episode:
    """A line of a part, and what is known of it."""

    place: tuple[int, int]  # of its question, and which attempt at it
    file: Path
    begin: int
    said: bytes  # the digest of what was written, and about which question
    traits: Traits
    why: str | None  # it is rejected

    def line(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.begin)
            return file.readline()


def _filtered(
    asked: Sequence[Question], parts: Mapping[Path, Part], out: Path, report: Report, params: Params
) -> list[Question]:
    """Writes what passes and what does not; returns the questions that were solved, with what was found out."""
    found = sorted(_episodes(asked, parts, params), key=lambda one: one.place)
    _reject_twins(found)
    first: dict[int, _Episode] = {}  # of each question that was solved
    for one in found:
        if one.why is None:
            first.setdefault(one.place[0], one)
            one.why = _off(asked[one.place[0]], report, params.curate.sft_least, params.curate.sft_most)
    passed = [one for one in found if one.why is None]
    for number in surplus([one.traits for one in passed], params.curate.balance):
        passed[number].why = "surplus"
    report.played = len(found)
    report.rejected = dict.fromkeys(REASONS, 0)
    with (out / SFT).open("wb") as good, (out / REJECTED).open("wb") as bad:
        for one in found:
            if one.why is None:
                good.write(one.line())
                report.sft += 1
            else:
                bad.write(b'{"reason": "%b", "trajectory": %b}\n' % (one.why.encode(), one.line().rstrip()))
                report.rejected[one.why] += 1
    if not report.sft:
        why = _most(report.rejected) if report.played else next(iter(report.left_out.values()), "there is no question")
        raise UnidocError(f"no trajectory of {report.played} is fit to be learned from: {why}")
    if params.curate.teacher is None:
        return [asked[number] for number in first]
    return [labelled(trajectories.from_line(one.line())) for one in first.values()]


def _episodes(asked: Sequence[Question], parts: Mapping[Path, Part], params: Params) -> Iterator[_Episode]:
    """Of these questions, in no order."""
    places = {one.uid: number for number, one in enumerate(asked)}
    for file in (folder / part.EPISODES for folder in parts):
        for begin, one in trajectories.placed(file):
            if (number := places.get(one.question.uid)) is not None:
                yield _Episode((number, one.sample), file, begin, _said(one), traits(one), reason(one, params))


def _said(one: Trajectory) -> bytes:
    text = "\n".join([one.question.query, *(turn.reply.text for turn in one.turns)])
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _reject_twins(found: Sequence[_Episode]) -> None:
    """That say the same about the same question as one before."""
    seen: set[bytes] = set()
    for one in found:
        if one.why is None and one.said in seen:
            one.why = "twin"
        elif one.why is None:
            seen.add(one.said)


def _most(rejected: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {why}" for why, count in Counter(rejected).most_common(3) if count)


# --- questions for rewards --------------------------------------------------------------------------------------------


def _between(solved: Sequence[Question], report: Report, params: Params) -> list[Question]:
    """Those that a weak policy gets sometimes: from the others, nothing is learned."""
    rated = [one for one in solved if one.uid in report.rated]
    off = [_off(one, report, params.curate.rl_least, params.curate.rl_most) for one in rated]
    report.too_easy, report.too_hard = off.count(TOO_EASY), off.count(TOO_HARD)
    return [one for one, why in zip(rated, off, strict=True) if why is None]


def _off(question: Question, report: Report, least: float, most: float) -> str | None:
    """Whether it is beyond a band of difficulty, and at which end; never where nobody has rated it."""
    share = report.rated.get(question.uid)
    if share is None or least <= share <= most:
        return None
    return TOO_EASY if share > most else TOO_HARD


def _counts(report: Report) -> dict[str, float]:
    counted = {name: getattr(report, name) for name in ("questions", "played", "sft", "rl", "too_easy", "too_hard")}
    rejected = {f"rejected/{why}": count for why, count in report.rejected.items()}
    written = {f"written/{what}": count for what, count in report.written.items()}
    cost = {f"cost/{what}": count for what, count in report.cost.items()}
    told = {**counted, "left_out": len(report.left_out), **rejected, **written, **cost}
    return {name: float(count) for name, count in told.items()}
