"""The stage `evaluate`: a policy plays questions that nothing was learned from, each once.

evaluation/episodes.jsonl        what it played, with scores
evaluation/<name>.jsonl          what each baseline, and each other policy beside it, played on the same questions
evaluation/evaluation.json       every number, with its interval
evaluation/metrics.json          the main ones, for `dvc metrics show`
evaluation/report.html           the same to look at

Killed, it goes on with the episodes that were played.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from unidoc_rl import progress, questions, storage, tracking
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.judge import open_judge
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policies import open_policy
from unidoc_rl.agent.policy import Policy
from unidoc_rl.agent.rewards import scored
from unidoc_rl.agent.rollouts import rollouts
from unidoc_rl.agent.scripted import Scripted
from unidoc_rl.corpus import PAGES
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate import EVALUATION, report, traces
from unidoc_rl.evaluate.baselines import BASELINES, play_as
from unidoc_rl.evaluate.measures import Evaluation, Row, evaluation, row_of
from unidoc_rl.index.searching import place_of, searching
from unidoc_rl.intervals import difference
from unidoc_rl.names import document_name
from unidoc_rl.params import Params
from unidoc_rl.promote.registry import CHAMPION, Registry
from unidoc_rl.provenance import key
from unidoc_rl.types import Question, Searcher, Trajectory

EPISODES = "episodes.jsonl"
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
) -> Evaluation:
    """Makes the folder `out`; `beside`: other policies on the same questions; `champion` is the registry's."""
    read = questions.read(asked)
    if not read:
        raise UnidocError(f"{asked}: holds no question")
    places = _found(_named([policy, *beside], params.evaluate.baselines), params)
    folder = storage.local_folder(corpus)
    with storage.writing(out, marker=EVALUATION) as output, searching(index) as search:
        known = [Path(place) if Path(place).is_dir() else place for place in places.values()]
        output.goes_on_with(key(asked, folder / PAGES, place_of(index), *known, params.agent))
        pictures = Pictures(folder, params.agent)
        with tracking.run("evaluate", params.services.mlflow, output.work / "run") as run:
            run.params({"policy": policy, "questions": len(read), **params.evaluate.model_dump()})
            run.inputs({"questions": asked, "corpus": folder / PAGES, "index": place_of(index), **places})
            players = _players(places, read, folder, search, pictures, params)
            found = _measured(players, read, output, params)
            own = next(iter(found))
            _write(output.new, found, places, read, folder)
            run.result(metrics(found[own]))
            for one in islice(trajectories.read(output.new / EPISODES), traces.MOST):
                run.trace(one.question.uid, traces.told(one, pictures))
            for file in (report.FILE, EVALUATION):
                run.file(output.new / file)
    return found[own]


def _measured(
    players: Iterable[tuple[str, tuple[Environment, Policy]]],
    asked: Sequence[Question],
    output: storage.Output,
    params: Params,
) -> dict[str, Evaluation]:
    """Lets everyone play, the one that is evaluated first."""
    judge = open_judge(params.rewards.judge)
    found: dict[str, Evaluation] = {}
    for name, (environment, player) in players:
        played = output.work / f"{name}.jsonl"
        rollouts(asked, 1, environment, player, params.evaluate.at_once, played)
        kept = output.new / (f"{name}.jsonl" if found else EPISODES)
        judged = scored(trajectories.read(played), params.rewards, judge)
        found[name] = evaluation(row_of(one, environment.actions) for one in _kept(judged, kept))
        if not found[name].accuracy.count:
            raise UnidocError(f"{name}: every episode is void; what was said above tells why")
    return found


def _write(
    folder: Path,
    found: Mapping[str, Evaluation],
    places: Mapping[str, str],
    asked: Sequence[Question],
    corpus: Path,
) -> None:
    """The numbers, and the report."""
    own, *others = found
    (folder / EVALUATION).write_text(json.dumps(_table(found), indent=1) + "\n", encoding="utf-8")
    (folder / METRICS).write_text(json.dumps(metrics(found[own]), indent=1) + "\n", encoding="utf-8")
    told = report.Told(
        found,
        compared={name: difference(*paired(found[name], found[own])) for name in others},
        queries={question.uid: question.query for question in asked},
        played={own: folder / EPISODES, **{name: folder / f"{name}.jsonl" for name in others}},
        folders={name: Path(place) for name, place in places.items() if Path(place).is_dir()},
    )
    report.write(folder, corpus, told)


def metrics(one: Evaluation) -> dict[str, float]:
    """The main numbers."""
    accuracy = one.accuracy
    told = {"accuracy": accuracy.value, "accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
    told["f1"] = one.f1.value
    return told | {name: figure.value for name, figure in one.figures.items()} | {"void": float(one.void)}


def paired(first: Evaluation, second: Evaluation) -> tuple[list[float], list[float]]:
    """What both are worth on each question that both have played."""
    before = {row.uid: row.value for row in first.rows}
    both = [row for row in second.rows if row.uid in before]
    return [before[row.uid] for row in both], [row.value for row in both]


def _named(policies: Sequence[str], baselines: Sequence[str]) -> dict[str, str]:
    """Where each is, by a short name; the first is the one that is evaluated."""
    named: dict[str, str] = {}
    for place in policies:
        name = document_name(place.rstrip("/").rpartition("/")[2])
        if name in named or name in baselines:
            raise UnidocError(f"{place}: a policy of the name {name} is evaluated already; name another folder")
        named[name] = place
    return named


def _found(places: Mapping[str, str], params: Params) -> dict[str, str]:
    """With the registry's champion as a folder; without it, where there is none yet."""
    found = dict(places)
    if CHAMPION in found.values():
        registry = Registry(params.promote.name, params.services.mlflow)
        version = registry.alias(CHAMPION)
        if version is None:
            progress.tell(f"{params.promote.name}: there is no champion yet to stand beside")
            del found[CHAMPION]
        else:
            found[CHAMPION] = str(registry.policy(version))
    return found


def _players(
    places: Mapping[str, str],
    asked: Sequence[Question],
    corpus: Path,
    search: Searcher,
    pictures: Pictures,
    params: Params,
) -> Iterator[tuple[str, tuple[Environment, Policy]]]:
    """Who plays, one after the other, and where: the policy, the same as each baseline, the others."""
    (first, place), *others = places.items()
    environment, player = Environment(search, pictures, params.agent), _player(place, corpus, pictures, params)
    yield first, (environment, player)
    for baseline in dict.fromkeys(params.evaluate.baselines):
        yield baseline, play_as(BASELINES[baseline], player, asked, search, pictures, params.agent)
    for name, place in others:
        yield name, (environment, _player(place, corpus, pictures, params))


def _player(place: str, corpus: Path, pictures: Pictures, params: Params) -> Policy:
    return Scripted(corpus, params.agent) if place == SCRIPTED else open_policy(place, pictures, params.agent)


def _kept(coming: Iterator[Trajectory], file: Path) -> Iterator[Trajectory]:
    """Each, once it is written down."""
    with file.open("wb") as kept:
        for one in coming:
            kept.write(trajectories.to_line(one))
            yield one


def _table(found: Mapping[str, Evaluation]) -> dict[str, object]:
    """What others read: of each policy its numbers, and what it got for each question."""
    return {name: {**asdict(one), "rows": {row.uid: _row(row) for row in one.rows}} for name, one in found.items()}


def _row(row: Row) -> dict[str, object]:
    return {"value": row.value, "kind": row.kind, "cause": row.cause, "seconds": row.figures["seconds"]}
