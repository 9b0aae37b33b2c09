"""The data card: what was curated, counted and drawn, with some of the episodes to look at; one HTML file."""

from __future__ import annotations

import html
import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unidoc_rl.agent import trajectories
from unidoc_rl.agent.view import view
from unidoc_rl.boxes import SCALE
from unidoc_rl.curate.filters import FILTERS, traits
from unidoc_rl.types import Trajectory, Zoom

FILE = "card.html"
SHOWN = 10  # episodes
_TEMPLATE = Path(__file__).with_name("card.html")
_MEANINGS = {
    "unanswered": "no answer came",
    "wrong_answer": "the answer is wrong",
    "broken_format": "the protocol is not kept",
    "wrong_page": "a page that the answer needs was never kept",
    "missing_zoom": "no zoom, where the print is too small",
    "needless_zoom": "a zoom, where the page reads well",
    "wrong_region": "a zoom beside the evidence",
    "repetition": "the same done or said again and again",
    "too_long": "more turns or tokens than allowed",
    "leaked_answer": "the answer was known before it was seen",
    "twin": "word for word another one",
    "surplus": "too many of its kind, document or position",
}
_AREAS = ((2, "< 2 % of the page"), (10, "2–10 %"), (30, "10–30 %"), (101, "> 30 %"))


class Counts:
    """What the kept trajectories are like, counted as they come by."""

    def __init__(self) -> None:
        self.tables: dict[str, Counter[str]] = {
            name: Counter()
            for name in ("kind", "evidence", "turns", "action", "place of the right page", "size of a region", "tokens")
        }

    def add(self, one: Trajectory) -> None:
        known = traits(one)
        self.tables["kind"][known.kind or "not said"] += 1
        self.tables["evidence"][one.question.source_type or "not said"] += 1
        self.tables["turns"][f"{len(one.turns):2}"] += 1
        if known.position is not None:
            self.tables["place of the right page"][str(known.position)] += 1
        tokens = sum(turn.reply.tokens for turn in one.turns)
        self.tables["tokens"][f"{tokens // 50 * 50:4}–{tokens // 50 * 50 + 49}"] += 1
        for turn in one.turns:
            self.tables["action"][type(turn.said.action).__name__.lower()] += 1
            if isinstance(turn.said.action, Zoom):
                for box in (box for picture in trajectories.pictures_of(turn) for box in picture.boxes):
                    share = 100 * (box.x2 - box.x1) * (box.y2 - box.y1) / SCALE**2
                    self.tables["size of a region"][next(name for most, name in _AREAS if share < most)] += 1


def write(folder: Path, corpus: Path, report: Mapping[str, Any], seed: int) -> None:
    """The card of the folder that the stage has made so far."""
    counts, rng = Counts(), random.Random(seed)
    some: list[Trajectory] = []  # each has the same chance to be among them
    for number, one in enumerate(trajectories.read(folder / "sft.jsonl"), start=1):
        counts.add(one)
        if len(some) < SHOWN:
            some.append(one)
        elif (place := rng.randrange(number)) < SHOWN:
            some[place] = one
    parts = {
        "FUNNEL": _funnel(report),
        "TABLES": "".join(_table(name, counted) for name, counted in counts.tables.items() if counted),
        "LEFT_OUT": _left_out(report["left_out"]),
        "EPISODES": html.escape(_episodes(some, corpus), quote=True),
        "SUMMARY": html.escape(
            f"{report['sft']} trajectories to imitate and {report['rl']} questions to learn from by rewards, "
            f"out of {report['questions']} questions played {report['played']} times"
        ),
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    (folder / FILE).write_text(text, encoding="utf-8")


def _funnel(report: Mapping[str, Any]) -> str:
    left, rows = report["played"], [_row("played", "", report["played"], report["played"])]
    for name in (*FILTERS, "twin", "surplus"):
        gone = report["rejected"][name]
        left -= gone
        rows.append(_row(f"− {gone} {name}", _MEANINGS[name], left, report["played"]))
    return "".join(rows)


def _table(name: str, counted: Counter[str]) -> str:
    most = max(counted.values())
    ordered = counted.most_common() if name in ("kind", "evidence", "action") else sorted(counted.items())
    rows = "".join(_row(key, "", count, most) for key, count in ordered)
    return f"<section><h3>{name}</h3><table>{rows}</table></section>"


def _row(name: str, meaning: str, count: int, most: int) -> str:
    told = f"<small>{html.escape(meaning)}</small>" if meaning else ""
    return (
        f"<tr><th>{html.escape(name)}{told}</th><td class=n>{count}</td>"
        f'<td class=b><i style="width:{100 * count / max(1, most):.1f}%"></i></td></tr>'
    )


def _left_out(left_out: Mapping[str, str]) -> str:
    rows = "".join(f"<li><code>{html.escape(uid)}</code> {html.escape(why)}</li>" for uid, why in left_out.items())
    return f"<h2>Questions that cannot be played</h2><ul>{rows}</ul>" if rows else ""


def _episodes(some: Sequence[Trajectory], corpus: Path) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file, page = Path(folder) / "episodes.jsonl", Path(folder) / "view.html"
        trajectories.write(file, some)
        view(file, corpus, page, limit=SHOWN)
        return page.read_text(encoding="utf-8")
