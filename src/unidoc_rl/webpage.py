"""HTML pages that need nothing beside them: what the data card and the evaluation's report are made of."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from unidoc_rl.agent import trajectories
from unidoc_rl.agent.view import view
from unidoc_rl.types import Trajectory

_TEMPLATE = Path(__file__).with_name("webpage.html")

Cell = str | float | int


def page(title: str, body: str) -> str:
    """`body` is HTML."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    return text.replace("@TITLE@", html.escape(title)).replace("@BODY@", body)


def bars(rows: Iterable[tuple[str, str, float, str]], most: float) -> str:
    """A bar a row: its name, what that means, its value, and the value in words; `most` is as wide as there is room."""
    return "".join(_bar(name, meaning, value / (most or 1), said) for name, meaning, value, said in rows)


def _bar(name: str, meaning: str, width: float, said: str) -> str:
    told = f"<small>{html.escape(meaning)}</small>" if meaning else ""
    return (
        f"<tr><th>{html.escape(name)}{told}</th><td class=n>{html.escape(said)}</td>"
        f'<td class=b><i style="width:{100 * width:.1f}%"></i></td></tr>'
    )


def spans(rows: Iterable[tuple[str, str, float, float, float]], most: float = 1) -> str:
    """A share a row: its name, what it is of, its value, and both ends of its interval, drawn over the bar.

    `most` is as wide as there is room.
    """
    return "".join(_span(*row, 100 / (most or 1)) for row in rows)


def _span(name: str, meaning: str, value: float, low: float, high: float, wide: float) -> str:
    return (
        f"<tr><th>{html.escape(name)}<small>{html.escape(meaning)}</small></th><td class=n>{value:.0%}</td>"
        f'<td class=b><div class=span><i style="width:{wide * value:.1f}%"></i>'
        f'<u style="left:{wide * low:.1f}%;width:{wide * (high - low):.1f}%"></u></div></td></tr>'
    )


def stacked(rows: Iterable[tuple[str, Sequence[tuple[str, float]]]], names: Sequence[str]) -> str:
    """A row of parts that are as wide as they are large, each by its place among the names."""
    legend = "".join(f'<span><i class="s{at}"></i>{html.escape(name)}</span>' for at, name in enumerate(names))
    lines = (f"<tr><th>{html.escape(name)}</th><td>{_parts(parts, names)}</td></tr>" for name, parts in rows)
    return f'<p class="legend">{legend}</p><table class="stacked">{"".join(lines)}</table>'


def _parts(parts: Sequence[tuple[str, float]], names: Sequence[str]) -> str:
    whole = sum(value for _, value in parts) or 1
    drawn = (
        f'<i class="s{names.index(name)}" style="width:{100 * value / whole:.2f}%" '
        f'title="{html.escape(name)}: {value:g}">{f"{value / whole:.0%}" if value / whole >= 0.07 else ""}</i>'
        for name, value in parts
        if value
    )
    return f"<div>{''.join(drawn)}</div>"


def hidden(summary: str, inside: str) -> str:
    """What is opened by who wants to see it; `inside` is HTML."""
    return f"<details><summary>{html.escape(summary)}</summary>{inside}</details>"


def charts(tables: Iterable[tuple[str, str]]) -> str:
    """Tables of bars beside each other, under their names."""
    return plots((name, f"<table>{rows}</table>") for name, rows in tables if rows)


def plots(drawn: Iterable[tuple[str, str]]) -> str:
    """Plots of any kind beside each other, under their names; each is HTML."""
    sections = (f"<section><h3>{html.escape(name)}</h3>{one}</section>" for name, one in drawn)
    return f'<div class="charts">{"".join(sections)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    return f'<div class="wide"><table class="plain"><tr>{heads}</tr><tr>{"</tr><tr>".join(lines)}</tr></table></div>'


def listed(rows: Iterable[tuple[str, str]]) -> str:
    items = (f"<li><code>{html.escape(name)}</code> {html.escape(told)}</li>" for name, told in rows)
    return f"<ul>{''.join(items)}</ul>"


def episodes(some: Sequence[Trajectory], corpus: Path, labels: Sequence[str] = ()) -> str:
    """Episodes to look through, in a frame of their own; `labels`: why each of them is shown."""
    with tempfile.TemporaryDirectory() as folder:
        file, made = Path(folder) / "episodes.jsonl", Path(folder) / "view.html"
        trajectories.write(file, some)
        view(file, corpus, made, limit=len(some), labels=labels)
        inner = html.escape(made.read_text(encoding="utf-8"), quote=True)
    return f'<iframe title="episodes" srcdoc="{inner}"></iframe>'
