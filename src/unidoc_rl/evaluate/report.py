"""The report: one HTML file that says how good a policy is, what it costs and where it fails, with cases to see."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from unidoc_rl import webpage
from unidoc_rl.evaluate.measures import RIGHT, Cause, Evaluation
from unidoc_rl.intervals import Difference, Measured
from unidoc_rl.types import Trajectory

FILE = "report.html"
CASES = 6  # episodes of each cause, and as many that are right
NAMED = 20  # questions that were won, and lost

_CAUSES = {
    Cause.GAVE_UP: "no answer, or that there is none",
    Cause.NOT_FOUND: "a page that it needs was never shown",
    Cause.WRONG_PAGE: "it was shown, and another one kept",
    Cause.WRONG_REGION: "it was kept, and looked at in the wrong place",
    Cause.MISREAD: "all of it was seen, and the answer is wrong",
    Cause.INVENTED: "the documents do not say it",
}
_COLUMNS = (
    "reward",
    "recall",
    "ndcg",
    "select",
    "region",
    "turns",
    "searches",
    "zooms",
    "pictures",
    "tokens",
    "seconds",
)


def write(
    folder: Path, corpus: Path, name: str, all_of_them: Mapping[str, Evaluation], cases: Sequence[Trajectory],
    compared: Mapping[str, Difference], queries: Mapping[str, str],
) -> None:  # fmt: skip
    """Of the policy `name`, beside all others; `compared`: how much better it is than each of these."""
    own = all_of_them[name]
    body = [
        f"<h1>{html.escape(name)}: {own.accuracy.value:.1%} right</h1>",
        f"<p>{html.escape(_verdict(own, compared))}</p>",
        "<h2>Beside others</h2>",
        webpage.table(
            ("policy", "accuracy", "95 % interval", "behind this one by", "p", *_COLUMNS),
            (_line(other, one, compared.get(other)) for other, one in all_of_them.items()),
        ),
        "<h2>Where it is right, and where it is not</h2>",
        webpage.charts(
            [
                *((f"accuracy by {key}", _accuracies(values)) for key, values in own.by.items()),
                ("why it is not right", webpage.bars(_causes(own), max(own.causes.values(), default=1))),
                ("how episodes end", webpage.bars(_counts(own.outcomes), own.accuracy.count)),
                ("“not answerable”", _accuracies(own.refusals)),
            ]
        ),
    ]
    for other in compared:
        body.append(_changes(own, all_of_them[other], other, queries))
    body.append(f"<h2>Cases to look at</h2>{webpage.episodes(cases, corpus)}")
    (folder / FILE).write_text(webpage.page(f"{name}: {own.accuracy.value:.1%}", "".join(body)), encoding="utf-8")


def _verdict(own: Evaluation, compared: Mapping[str, Difference]) -> str:
    accuracy = own.accuracy
    told = f"{accuracy.count} questions; with 95 % confidence between {accuracy.low:.1%} and {accuracy.high:.1%}. "
    for other, gain in compared.items():
        told += (
            f"{gain.value:+.1%} [{gain.low:+.1%}, {gain.high:+.1%}] against {other} on the same questions "
            f"({gain.won} won, {gain.lost} lost, p = {gain.p:.2g}). "
        )
    return told + (f"{own.void} episodes are void and count nowhere." if own.void else "")


def _line(name: str, one: Evaluation, gain: Difference | None) -> list[str]:
    accuracy = one.accuracy
    figures = [f"{one.figures[key].value:.3g}" if key in one.figures else "" for key in _COLUMNS]
    apart = [f"{gain.value:+.1%}", f"{gain.p:.2g}"] if gain else ["", ""]
    return [name, f"{accuracy.value:.1%}", f"{accuracy.low:.1%} to {accuracy.high:.1%}", *apart, *figures]


def _accuracies(values: Mapping[str, Measured]) -> str:
    known = {name: one for name, one in values.items() if one.count}
    return webpage.bars(
        (
            (name, f"{one.low:.0%} to {one.high:.0%}, of {one.count}", one.value, f"{one.value:.0%}")
            for name, one in known.items()
        ),
        1,
    )


def _causes(own: Evaluation) -> Iterator[tuple[str, str, float, str]]:
    for name, count in own.causes.items():
        yield name, _CAUSES[Cause(name)], count, str(count)


def _counts(counted: Mapping[str, int]) -> Iterator[tuple[str, str, float, str]]:
    for name, count in counted.items():
        yield name.replace("_", " "), "", count, str(count)


def _changes(own: Evaluation, other: Evaluation, name: str, queries: Mapping[str, str]) -> str:
    before = {row.uid: row.value >= RIGHT for row in other.rows}
    now = {row.uid: row.value >= RIGHT for row in own.rows if row.uid in before}
    won = [uid for uid, right in now.items() if right and not before[uid]]
    lost = [uid for uid, right in now.items() if not right and before[uid]]
    parts = [f"<h2>What changed against {html.escape(name)}</h2>"]
    for what, uids in (("won", won), ("lost", lost)):
        more = f", {NAMED} of them" if len(uids) > NAMED else ""
        parts.append(f"<h3>{what}: {len(uids)}{more}</h3>")
        parts.append(webpage.listed((uid, queries[uid]) for uid in uids[:NAMED]))
    return "".join(parts)
