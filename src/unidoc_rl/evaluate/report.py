"""The report: one HTML file that says how good a policy is, what it costs and where it fails, with cases to see."""

from __future__ import annotations

import html
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path

from unidoc_rl import plots, trained, webpage
from unidoc_rl.agent import trajectories
from unidoc_rl.evaluate.baselines import BASELINES
from unidoc_rl.evaluate.measures import FIGURES, SHARES, Cause, Evaluation, changed
from unidoc_rl.intervals import Difference, Measured, points
from unidoc_rl.plural import counted
from unidoc_rl.types import Trajectory

FILE = "report.html"
CASES = 6  # episodes at random, of each cause, and that are right
CHANGED = 3  # questions that were won, and lost, against each other policy, of which both episodes are shown
NAMED = 50  # of these questions, that are told
SEED = 0  # of which of them

RIGHT_ONES = "right"
INTERVALS = (
    "the bootstrap's, by weights drawn at random, over one right and one wrong answer more: of 60 answers of which 2 % "
    "are right, it holds the truth in 97 % of the cases, and without these two in 70 %; where half of them are, in 95 %"
)
_CAUSES = {
    Cause.MISREAD: "all of it was seen, and the answer is wrong",
    Cause.WRONG_REGION: "the page was kept, and looked at in the wrong place",
    Cause.WRONG_PAGE: "a page that it needs was shown, and another one kept",
    Cause.NOT_FOUND: "a page that it needs was never shown",
    Cause.GAVE_UP: "no answer, or that there is none",
    Cause.INVENTED: "an answer that the documents do not have",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What the report is about: the first of `found` is the policy that was evaluated."""

    found: Mapping[str, Evaluation]
    compared: Mapping[str, Difference]  # how much better it is than each of the others
    queries: Mapping[str, str]
    played: Mapping[str, Path]  # the episodes of each
    folders: Mapping[str, Path]  # of those that are a model's folder


def write(folder: Path, corpus: Path, told: Told) -> None:
    name, own = next(iter(told.found.items()))
    title = f"{name}: {own.accuracy.value:.1%} right"
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="verdict">{html.escape(_verdict(told.compared))}</p>' if told.compared else "",
        f"<p>{html.escape(_said(own))}</p>",
        f"<h2>Beside others</h2>{_table(told)}",
        webpage.plots(_plots(told)),
        f"<h2>How episodes end</h2>{_ends(told.found)}",
        f"<h2>Where {html.escape(name)} is right</h2>",
        webpage.charts((f"by {key}", _accuracies(values)) for key, values in own.by.items()),
        webpage.charts(
            [
                ("“not answerable”", _accuracies(own.refusals)),
                ("outcomes", _outcomes(own)),
                ("why it is not right", _causes(own)),
            ]
        ),
    ]
    if changes := "".join(_changes(told)):
        body.append(f"<h2>What changed</h2>{changes}")
    labels, cases = _cases(told)
    body.append(f"<h2>Cases to look at</h2>{webpage.episodes(cases, corpus, labels)}")
    (folder / FILE).write_text(webpage.page(title, "".join(body)), encoding="utf-8")


# --- the verdict, and the table ---------------------------------------------------------------------------------------


def _verdict(compared: Mapping[str, Difference]) -> str:
    """Who is better and who is worse, as far as the intervals tell."""
    groups: dict[str, list[str]] = {"Better than": [], "Not told apart from": [], "Worse than": []}
    for other, gain in compared.items():
        said = f"{other} ({gain})"
        group = "Better than" if gain.low > 0 else "Worse than" if gain.high < 0 else "Not told apart from"
        groups[group].append(said)
    return " ".join(f"{group} {', '.join(several)}." for group, several in groups.items() if several)


def _said(own: Evaluation) -> str:
    accuracy = own.accuracy
    told = (
        f"{counted(accuracy.count, 'question')}; with 95 % confidence, between {accuracy.low:.1%} and "
        f"{accuracy.high:.1%} of such questions are answered rightly. "
    )
    if own.f1.count:
        told += (
            f"F1 over what can be answered and what was answered: {own.f1.value:.1%} "
            f"[{own.f1.low:.1%}, {own.f1.high:.1%}]. "
        )
    return told + (f"Void, and counted nowhere: {counted(own.void, 'episode')}." if own.void else "")


def _table(told: Told) -> str:
    columns = {name: how for name in FIGURES if (how := _written(name, told.found.values()))}
    apart = ("gap", "won", "lost", "p") if told.compared else ()
    head = ("policy", "accuracy", "95 % interval", *apart, "F1", *map(_words, columns))
    rows = (_line(name, one, told, columns) for name, one in told.found.items())
    meanings: list[tuple[str, str]] = [(name, one.meaning) for name, one in BASELINES.items() if name in told.found]
    meanings.append(("95 % interval", INTERVALS))
    if apart:
        meanings.append(
            (
                ", ".join(apart),
                "by how many points of accuracy the first policy is better than this one; how many questions the first "
                "alone, and this one alone, is right about; McNemar's test, mid-p",
            )
        )
    meanings += [(_words(name), FIGURES[name]) for name in columns if FIGURES[name]]
    return webpage.table(head, rows) + webpage.hidden("what these are", webpage.listed(meanings))


def _line(name: str, one: Evaluation, told: Told, columns: Mapping[str, str]) -> list[str]:
    """`columns`: how the numbers of each are written."""
    accuracy, gain = one.accuracy, told.compared.get(name)
    figures = [f"{one.figures[key].value:{how}}" if key in one.figures else "" for key, how in columns.items()]
    apart = [""] * 4 if told.compared else []  # of the first
    if gain:
        apart = [points(gain.value), f"{gain.won:,}", f"{gain.lost:,}", gain.chance]
    interval = f"{accuracy.low:.1%} to {accuracy.high:.1%}"
    return [name, f"{accuracy.value:.1%}", interval, *apart, f"{one.f1.value:.1%}" if one.f1.count else "", *figures]


def _written(name: str, found: Iterable[Evaluation]) -> str:
    """How the numbers of a column are: below each other, with the digits that tell something of the largest."""
    values = [one.figures[name].value for one in found if name in one.figures]
    if not values:
        return ""
    if name in SHARES:
        return ".3f"
    return f",.{max(0, 2 - floor(log10(max(values) or 1)))}f"


def _words(name: str) -> str:
    return name.replace("eval_", "validation ").replace("_", " ").replace("iou", "IoU").replace("ndcg", "NDCG")


# --- plots ------------------------------------------------------------------------------------------------------------


def _plots(told: Told) -> Iterator[tuple[str, str]]:
    cost = "cost" if all("cost" in one.figures for one in told.found.values()) else "context"
    points = [
        plots.Point(name, one.figures[cost].value, one.accuracy.value, one.accuracy.low, one.accuracy.high, not at)
        for at, (name, one) in enumerate(told.found.items())
    ]
    across = {"cost": "cost of a question", "context": "tokens read and written a question"}[cost]
    yield "accuracy against cost", plots.scatter(points, across, "accuracy")
    for name, folder in told.folders.items():
        for stage, figures in trained.CURVES.items():
            if series := _curves(folder / trained.marker(stage), figures):
                yield f"{name}, as it learned", plots.curves(series, f"step of {stage}")


def _curves(file: Path, figures: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Of a policy's folder, as far as it tells them."""
    history = json.loads(file.read_text(encoding="utf-8")).get("history", []) if file.exists() else []
    series = {_words(name): [(row["step"], row[name]) for row in history if name in row] for name in figures}
    return {name: line for name, line in series.items() if len(line) > 1}


def _ends(found: Mapping[str, Evaluation]) -> str:
    rows = []
    for name, one in found.items():
        counts = {RIGHT_ONES: one.accuracy.count - sum(one.causes.values()), **one.causes}
        rows.append((name, [(why, counts.get(why, 0)) for why in (RIGHT_ONES, *_CAUSES)]))
    return webpage.stacked(rows, (RIGHT_ONES, *_CAUSES))


def _accuracies(values: Mapping[str, Measured]) -> str:
    known = {name: one for name, one in values.items() if one.count}
    return webpage.spans((name, f"of {one.count:,}", one.value, one.low, one.high) for name, one in known.items())


def _outcomes(own: Evaluation) -> str:
    counts = {**own.outcomes, "void": own.void} if own.void else own.outcomes
    rows = ((how.replace("_", " "), "", count, f"{count:,}") for how, count in counts.items())
    return webpage.bars(rows, max(counts.values()))


def _causes(own: Evaluation) -> str:
    rows = ((why, _CAUSES[Cause(why)], count, f"{count:,}") for why, count in own.causes.items())
    return webpage.bars(rows, max(own.causes.values(), default=1))


# --- what changed, and cases ------------------------------------------------------------------------------------------


def _changes(told: Told) -> Iterator[str]:
    own = next(iter(told.found.values()))
    for other in told.compared:
        for what, uids in changed(told.found[other], own).items():
            some = f", {NAMED} of them here" if len(uids) > NAMED else ""
            listed = webpage.listed((uid, told.queries[uid]) for uid in uids[:NAMED])
            if uids:
                yield webpage.hidden(f"{what} against {other}: {len(uids):,}{some}", listed)


def _cases(told: Told) -> tuple[list[str], list[Trajectory]]:
    """Some at random, of every cause and that are right, and of what changed, side by side; with why they are shown."""
    (name, own), *others = told.found.items()
    dice = random.Random(SEED)
    wanted: list[tuple[str, str, str]] = []  # label, policy, question
    everything = [row.uid for row in own.rows]
    wanted += [("at random", name, uid) for uid in dice.sample(everything, min(CASES, len(everything)))]
    causes: dict[str, list[str]] = {}
    for row in own.rows:
        causes.setdefault(row.cause or RIGHT_ONES, []).append(row.uid)
    for why in sorted(causes, key=[*_CAUSES, RIGHT_ONES].index):
        wanted += [(why, name, uid) for uid in dice.sample(causes[why], min(CASES, len(causes[why])))]
    for other, before in others:
        for what, uids in changed(before, own).items():
            for uid in dice.sample(uids, min(CHANGED, len(uids))):
                wanted += [(f"{what} against {other}", player, uid) for player in (name, other)]
    asked = Counter((player, uid) for _, player, uid in wanted)
    held = {
        (player, one.question.uid): one
        for player, file in told.played.items()
        for one in trajectories.read(file)
        if (player, one.question.uid) in asked
    }
    return [label for label, *_ in wanted], [held[player, uid] for _, player, uid in wanted]
