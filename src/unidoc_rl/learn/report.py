"""The ladder as JSON for programs, as a page with its curves, and as lines for a screen."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from unidoc_rl import plots, storage, webpage
from unidoc_rl.intervals import Difference, Measured, points
from unidoc_rl.learn.rows import ROWS
from unidoc_rl.learn.table import SURE, Curve, Ladder, Rung

TABLE, PAGE = "ladder.json", "ladder.html"
SMOOTHED = 8  # parts of the steps, over one of which a curve is the mean
_CURVES = {
    "reward/answer": "right while it learns, drawn at a temperature",
    "groups_without_signal": "groups without signal: all of their episodes earn the same",
}
_TRIED = "right on the validation questions"


def write(out: Path, found: Ladder) -> None:
    """Into the folder of the ladder, each file whole."""
    with storage.replacing(out / TABLE) as new:
        new.write_text(json.dumps(_as_json(found), indent=1) + "\n", encoding="utf-8")
    with storage.replacing(out / PAGE) as new:
        new.write_text(_page(found), encoding="utf-8")


def lines(found: Ladder) -> Iterator[str]:
    """The table for a screen."""
    yield f"{_asked(found)}: accuracy, and how many points it gains over the row above"
    for rung in found.rungs:
        gained = f"{_gain(rung.gain)}  p {rung.gain.chance:7}  {rung.verdict}" if rung.gain else ""
        yield f"{rung.row.name:12} {_share(rung.accuracy)}  {gained}".rstrip()
    yield f"{'':12} steps take, groups without signal, best at step, rewards in the first quarter → last"
    for rung in found.rungs:
        if learned := rung.learned:
            told = f"{learned.seconds:6.0f} s  {learned.silent:4.0%}  {learned.best:5.0f}"
            yield f"{rung.row.name:12} {told}  {_parts(rung)}"


def _as_json(found: Ladder) -> dict[str, object]:
    rows = [
        {
            "name": rung.row.name,
            "meaning": rung.row.meaning,
            "accuracy": asdict(rung.accuracy),
            "seeds": rung.seeds,
            "gain": asdict(rung.gain) if rung.gain else None,
            "verdict": rung.verdict,
            "learned": asdict(rung.learned) if rung.learned else None,
        }
        for rung in found.rungs
    ]
    return {
        "seeds": found.seeds,
        "questions": found.questions,
        "episodes": found.episodes,
        "params": found.params,
        "rows": rows,
    }


# --- the page ---------------------------------------------------------------------------------------------------------


def _page(found: Ladder) -> str:
    title = "The ladder: what each level adds"
    head = ("row", "accuracy", "95 % interval", "each seed", "points more than above", "95 % interval", "p", "")
    most = max(rung.accuracy.high for rung in found.rungs)
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(_asked(found))}. {html.escape(_HOW)}</p>",
        f"<h2>Right answers</h2><table>{webpage.spans(map(_bar, found.rungs), most)}</table>",
        webpage.table(head, map(_row, found.rungs)),
        f"<h2>Learning from rewards</h2><p>{html.escape(_compute(found))}</p>{_learning(found)}",
        webpage.plots(_plots(found)),
    ]
    return webpage.page(title, "".join(body))


_HOW = (
    "Every row plays the same questions; intervals and p come from drawing seeds and questions anew, in pairs. Where "
    f"p is {SURE} or more, two rows are not told apart: that is no proof that they are alike. Each of the "
    f"{len(ROWS) - 1} comparisons is held to {SURE} by itself, so that one of them all may pass by chance more often "
    "than that. A few seeds that differ much tell less than their interval says."
)


def _bar(rung: Rung) -> tuple[str, str, float, float, float]:
    one = rung.accuracy
    return rung.row.name, rung.row.meaning, one.value, one.low, one.high


def _row(rung: Rung) -> list[str]:
    accuracy, gain = rung.accuracy, rung.gain
    own = [rung.row.name, f"{accuracy.value:.1%}", f"{accuracy.low:.1%} to {accuracy.high:.1%}"]
    own.append(", ".join(f"{one:.1%}" for one in rung.seeds))
    if gain is None:
        return [*own, "", "", "", ""]
    return [*own, points(gain.value), f"{points(gain.low)} to {points(gain.high)}", gain.chance, rung.verdict]


def _learning(found: Ladder) -> str:
    learned = {rung.row.name: rung.learned for rung in found.rungs if rung.learned}
    parts = list(dict.fromkeys(part for one in learned.values() for part in one.parts))
    head = ("row", "seconds of steps", "groups without signal", "best at step", *parts)
    rows = [
        (
            name,
            f"{one.seconds:,.0f}",
            f"{one.silent:.0%}",
            f"{one.best:.0f}",
            *(_ends(one.parts.get(part)) for part in parts),
        )
        for name, one in learned.items()
    ]
    return webpage.table(head, rows)


def _plots(found: Ladder) -> Iterator[tuple[str, str]]:
    learned = {rung.row.name: rung.learned for rung in found.rungs if rung.learned}
    yield _TRIED, plots.curves({name: one.tried for name, one in learned.items()}, "step", percent=True)
    for curve, told in _CURVES.items():
        yield (
            told,
            plots.curves({name: _smooth(one.curves[curve]) for name, one in learned.items()}, "step", percent=True),
        )


def _smooth(curve: Curve) -> Curve:
    """Each the mean of the last few, of fewer at the start."""
    few = max(1, len(curve) // SMOOTHED)
    return [(step, _mean(curve[max(0, at + 1 - few) : at + 1])) for at, (step, _) in enumerate(curve)]


def _mean(some: Sequence[tuple[float, float]]) -> float:
    return sum(value for _, value in some) / len(some)


# --- words ------------------------------------------------------------------------------------------------------------


def _asked(found: Ladder) -> str:
    return f"{found.questions:,} test questions, {found.seeds} seed{'s' * (found.seeds > 1)}"


def _compute(found: Ladder) -> str:
    return (
        f"Each row learns from {found.episodes:,} episodes a seed, of the same questions; where an agent may do less, "
        "its episodes are shorter, and take fewer seconds. Each part of the reward is that of the first quarter of the "
        "steps → that of the last."
    )


def _share(one: Measured) -> str:
    return f"{one.value:6.1%} [{one.low:6.1%}, {one.high:6.1%}]"


def _gain(one: Difference) -> str:
    return f"{points(one.value):>6} [{points(one.low):>6}, {points(one.high):>6}]"


def _parts(rung: Rung) -> str:
    parts = rung.learned.parts if rung.learned else {}
    return ", ".join(f"{name} {_ends(ends)}" for name, ends in parts.items())


def _ends(ends: tuple[float, float] | None) -> str:
    return f"{ends[0]:.2f} → {ends[1]:.2f}" if ends else ""
