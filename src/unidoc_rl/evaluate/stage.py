"""The stage `evaluate`: a policy plays questions that nothing was learned from, each once.

evaluation/episodes.jsonl        what it played, with scores
evaluation/<name>.jsonl          what each baseline, and each other policy beside it, played on the same questions
evaluation/evaluation.json       every number, with its interval; what it was made from, and won and lost against others
evaluation/metrics.json          the main ones, for `dvc metrics show`
evaluation/report.html           the same to look at

Killed, it goes on with the episodes that were played; run again where some were void, it plays those alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from unidoc_rl import mlflow_server, progress, provenance, questions, s3, storage, tracking
from unidoc_rl.agent import policies, trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.judge import open_judge
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policy import Policy
from unidoc_rl.agent.rewards import scored
from unidoc_rl.agent.rollouts import rollouts
from unidoc_rl.agent.scripted import Scripted
from unidoc_rl.corpus import PAGES
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate import EVALUATION, report, traces
from unidoc_rl.evaluate.baselines import BASELINES, play_as
from unidoc_rl.evaluate.measures import Evaluation, Row, changed, evaluation, row_of
from unidoc_rl.index.searching import known_by, searching
from unidoc_rl.intervals import Difference, difference
from unidoc_rl.names import document_name
from unidoc_rl.params import Params
from unidoc_rl.promote.gates import JUDGE
from unidoc_rl.promote.registry import CHAMPION, POLICY, Registry
from unidoc_rl.provenance import key
from unidoc_rl.types import Outcome, Question, Searcher, Trajectory

EPISODES = "episodes.jsonl"
TAKEN = ("episodes", "questions", "corpus", "index")  # names that no policy can have here
METRICS = "metrics.json"
SCRIPTED = "scripted"  # plays the annotations: the ceiling


def evaluate(
    asked: Path,
    corpus: str | Path,
    index: str,
    policy: str,
    out: str | Path,
    params: Params,
    beside: Sequence[str] = (),
) -> dict[str, Evaluation]:
    """Makes the folder `out`; returns what everyone has come to by names, the one that is evaluated first.

    A question that cannot be played over this corpus is void for all of them. `beside`: whom to compare with on the
    same questions; `champion` is the registry's.
    """
    named = [place for place in (policy, *beside) if place not in (SCRIPTED, CHAMPION)]
    storage.keep_apart(out, asked, corpus, index, *named)
    folder = storage.local_folder(corpus)
    read, unplayable = questions.read_playable(asked, folder)
    places = _found(_named([policy, *beside], params.evaluate.baselines), params)
    for place in places.values():
        if place != SCRIPTED:
            policies.check(place)
    with storage.writing(out, EVALUATION, EPISODES) as output, searching(index, folder) as search:
        known = [Path(place) if Path(place).is_dir() else place for place in places.values()]
        of = key(asked, folder / PAGES, known_by(index), *known, params.agent)
        output.goes_on_with(of)
        pictures = Pictures(folder, params.agent)
        with tracking.run("evaluate", params.services.mlflow, output.work / "run") as run:
            rules = {**params.evaluate.model_dump(), **params.agent.model_dump(), JUDGE: params.rewards.judge}
            played_by = {"questions": len(read), **rules}
            run.params({"policy": policy, **played_by})
            inputs = run.inputs({"questions": asked, "corpus": folder / PAGES, "index": known_by(index), **places})
            _refuse_other_pages(places, inputs["corpus"])
            players = _players(places, read, folder, search, pictures, params)
            found = _measured(players, read, unplayable, output, _left_void(output.former, of), params)
            own = next(iter(found))
            compared = {name: difference(*paired(one, found[own])) for name, one in found.items() if name != own}
            others = {name: place for name, place in places.items() if name in compared}
            earlier = {name: _noted(Path(place)) for name, place in others.items() if _has_played(place)}
            _write(output.new, found, compared, _played_over(found, inputs, of, earlier), params.rewards.judge)
            _report(output.new, found, compared, places, read, folder)
            run.result(metrics(found[own]))
            for name in compared:
                how = {"questions": len(read), JUDGE: params.rewards.judge} if name in earlier else played_by
                run.beside(f"evaluate {name}", {"policy": places.get(name, name), **how}, metrics(found[name]))
            for one in islice(trajectories.read(output.new / EPISODES), traces.MOST):
                run.trace(one.question.uid, traces.told(one, pictures))
            for file in (report.FILE, EVALUATION):
                run.file(output.new / file)
    return found


def _measured(
    players: Iterable[tuple[str, tuple[Environment, Policy | Path]]],
    asked: Sequence[Question],
    unplayable: int,
    output: storage.Output,
    before: Mapping[str, Path],
    params: Params,
) -> dict[str, Evaluation]:
    """Lets everyone play, the one that is evaluated first; of who has played before, the episodes are at this path.

    `before`: what was played for the former result, whose void episodes are played again.
    """
    judge = open_judge(params.rewards.judge)
    known = {*asked}
    found: dict[str, Evaluation] = {}
    for name, (environment, player) in players:
        played, void = output.work / f"{name}.jsonl", 0
        if isinstance(player, Path):
            played, void = player, _void_before(player, known)
        else:
            if name in before and not played.exists():
                with storage.replacing(played) as new:
                    trajectories.write(new, _not_void(before[name], player))
            void = rollouts(asked, 1, environment, player, params.evaluate.at_once, played)[Outcome.VOID]
        mine = (one for one in trajectories.read(played) if one.question in known)
        kept = output.new / (f"{name}.jsonl" if found else EPISODES)
        judged = _kept(scored(mine, params.rewards, judge), kept)
        rows = (row_of(one, environment.actions, params.evaluate) for one in judged)
        found[name] = evaluation([*rows, *[None] * (void + unplayable)], environment.actions)
        if not paired(found[name], next(iter(found.values())))[0]:
            raise UnidocError(
                f"{name}: has no episode that counts: each is void, which was told above, or of another question"
            )
    return found


def _void_before(played: Path, asked: Collection[Question]) -> int:
    """Of an earlier evaluation: how many of these questions stayed void there and have left no episode."""
    there = {one.question.uid: one.outcome for one in trajectories.read(played)}
    judged = [*there.values()].count(Outcome.VOID)  # void since nobody could judge it: it is read with the others
    return min(int(_noted(played.parent)["void"]) - judged, sum(one.uid not in there for one in asked))


def _refuse_other_pages(places: Mapping[str, str], corpus: str) -> None:
    """Before anybody plays: of earlier evaluations, pages are shown in the end."""
    for place in filter(_has_played, places.values()):
        if _noted(Path(place))["inputs"]["corpus"] != corpus:
            raise UnidocError(f"{place}: was played over another corpus; evaluate its policy over this one")


def _noted(evaluation: Path) -> Mapping[str, Any]:
    """What an earlier evaluation says of the one that was evaluated."""
    try:
        told: dict[str, dict[str, Any]] = json.loads((evaluation / EVALUATION).read_text(encoding="utf-8"))
        return next(iter(told.values()))
    except (OSError, ValueError, StopIteration) as error:
        raise UnidocError(f"{evaluation}: is no whole evaluation ({error!r}); make it again") from error


def _left_void(former: Path | None, of: str) -> dict[str, Path]:
    """What everyone has played for a former result of the same inputs, where some of it is void."""
    if former is None:
        return {}
    try:
        table: dict[str, dict[str, object]] = json.loads((former / EVALUATION).read_text(encoding="utf-8"))
    except ValueError as error:
        progress.tell(f"{former / EVALUATION}: is damaged ({error}): all is played again")
        return {}
    if not any(one["void"] for one in table.values() if one.get("key") == of):
        return {}
    own, *others = table
    return {own: former / EPISODES, **{name: former / f"{name}.jsonl" for name in others}}


def _not_void(file: Path, player: Policy) -> Iterator[Trajectory]:
    """Its own: an address may serve another model by now."""
    for one in trajectories.read(file):
        if one.outcome is not Outcome.VOID and one.policy == player.name:
            yield one


def _played_over(
    found: Collection[str], inputs: Mapping[str, str], key: str, earlier: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What each one's numbers are of: of an earlier evaluation, of those questions of its own that are asked here."""
    own, *_ = found
    over: dict[str, dict[str, Any]] = {}
    for name in found:
        if name in earlier:
            of = {**earlier[name]["inputs"], "questions": inputs["questions"]}
            over[name] = {"inputs": of, "key": earlier[name]["key"]}
        else:  # a baseline is the one that is evaluated, with less to do
            of = {what: inputs[what] for what in ("questions", "corpus", "index")}
            over[name] = {"inputs": {"policy": inputs.get(name, inputs[own]), **of}, "key": key}
    return over


def _write(
    folder: Path,
    found: Mapping[str, Evaluation],
    compared: Mapping[str, Difference],
    played_over: Mapping[str, Mapping[str, Any]],
    judge: str,
) -> None:
    """The numbers, for programs: of each its own, what they are of, and what became of each question."""
    own = next(iter(found))
    table: dict[str, dict[str, object]] = {}
    for name, one in found.items():
        over = played_over[name]
        inputs = {**over["inputs"], JUDGE: judge}
        rows = {row.uid: _row(row) for row in one.rows}
        table[name] = {**asdict(one), "rows": rows, "inputs": inputs, "key": over["key"]}
        if not one.f1.count:
            del table[name]["f1"]
        if name in compared:  # with its questions in the place of how many they are
            table[name]["compared"] = {**asdict(compared[name]), **changed(one, found[own])}
    (folder / EVALUATION).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    (folder / METRICS).write_text(json.dumps(metrics(found[own]), indent=1) + "\n", encoding="utf-8")


def _report(
    folder: Path,
    found: Mapping[str, Evaluation],
    compared: Mapping[str, Difference],
    places: Mapping[str, str],
    asked: Sequence[Question],
    corpus: Path,
) -> None:
    own, *others = found
    told = report.Told(
        found,
        compared,
        queries={question.uid: question.query for question in asked},
        played={own: folder / EPISODES, **{name: folder / f"{name}.jsonl" for name in others}},
        folders={name: Path(place) for name, place in places.items() if Path(place).is_dir()},
    )
    report.write(folder, corpus, told)


def metrics(one: Evaluation) -> dict[str, float]:
    """The main numbers."""
    accuracy = one.accuracy
    told = {"accuracy": accuracy.value, "accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
    if one.f1.count:  # else nothing could be answered, and nothing was
        told |= {"f1": one.f1.value, "f1_low": one.f1.low, "f1_high": one.f1.high}
    return told | {name: figure.value for name, figure in one.figures.items()} | {"void": float(one.void)}


def paired(first: Evaluation, second: Evaluation) -> tuple[list[float], list[float]]:
    """What both are worth on each question that both have played."""
    before = {row.uid: row.value for row in first.rows}
    both = [row for row in second.rows if row.uid in before]
    return [before[row.uid] for row in both], [row.value for row in both]


def _named(policies: Sequence[str], baselines: Sequence[str]) -> dict[str, str]:
    """Where each is, by a short name; the first is the one that is evaluated."""
    if baselines and policies[0] == SCRIPTED:
        raise UnidocError(
            f"{SCRIPTED}: plays the annotations, and a baseline of it tells nothing; evaluate another policy, or leave "
            "evaluate.baselines empty"
        )
    named: dict[str, str] = {}
    for place in policies:
        name = document_name(place.rstrip("/").rpartition("/")[2])
        if name in named or name in baselines:
            raise UnidocError(f"{place}: a policy of the name {name} is evaluated already; name another folder")
        if name in TAKEN:
            raise UnidocError(f"{place}: the name {name} is that of something else in an evaluation; rename the folder")
        named[name] = place
    return named


def _found(places: Mapping[str, str], params: Params) -> dict[str, str]:
    """Each as a folder of this machine, or an address; without the champion where there is none to stand beside."""
    found: dict[str, str] = {}
    for name, place in places.items():
        if place != CHAMPION:
            found[name] = str(storage.local_folder(place)) if s3.is_s3(place) else place
        elif (champion := _champion(next(iter(found.values()), None), params)) is not None:
            found[name] = champion
        elif not found:
            raise UnidocError(f"{place}: is not there to be evaluated; name another policy")
    return found


def _champion(first: str | None, params: Params) -> str | None:
    """The folder of the registry's, where that is another policy than the one that is evaluated."""
    name = params.promote.name
    try:
        registry = Registry(name, params.services.mlflow)
        version = registry.alias(CHAMPION)
        if version is None:
            progress.tell(f"{name}: there is no champion yet to stand beside")
        elif first is not None and version.tags[POLICY] == provenance.identity(first):
            progress.tell(f"{name}: {first} is the champion")
        else:
            return str(registry.policy(version))
    except mlflow_server.away() as error:  # as with all else that MLflow is asked and told, nothing is held up
        progress.tell(f"{name}: the registry cannot be asked for its champion, which does not stand beside ({error})")
    return None


def _players(
    places: Mapping[str, str],
    asked: Sequence[Question],
    corpus: Path,
    search: Searcher,
    pictures: Pictures,
    params: Params,
) -> Iterator[tuple[str, tuple[Environment, Policy | Path]]]:
    """Who plays, one after the other, and where: the policy, the same as each baseline, the others; or has played."""
    (first, place), *others = places.items()
    environment, player = Environment(search, pictures, params.agent), _player(place, corpus, pictures, params)
    yield first, (environment, player)
    for baseline in dict.fromkeys(params.evaluate.baselines):
        yield baseline, play_as(BASELINES[baseline], player, asked, search, pictures, params.agent)
    for name, place in others:
        if _has_played(place):
            actions = _noted(Path(place)).get("actions", params.agent.actions)  # an older one does not say by which
            protocol = params.agent.model_copy(update={"actions": actions})
            yield name, (Environment(search, pictures, protocol), Path(place, EPISODES))
        else:
            yield name, (environment, _player(place, corpus, pictures, params))


def _has_played(place: str) -> bool:
    """It is an earlier evaluation, and no policy."""
    return Path(place, EPISODES).is_file()


def _player(place: str, corpus: Path, pictures: Pictures, params: Params) -> Policy:
    if place == SCRIPTED:
        return Scripted(corpus, params.agent)
    return policies.open_policy(place, pictures, params.agent, at_once=params.evaluate.at_once)


def _kept(coming: Iterator[Trajectory], file: Path) -> Iterator[Trajectory]:
    """Each, once it is written down."""
    with file.open("wb") as kept:
        for one in coming:
            kept.write(trajectories.to_line(one))
            yield one


def _row(row: Row) -> dict[str, object]:
    return {"value": row.value, "kind": row.kind, "cause": row.cause, "seconds": row.figures["seconds"]}
