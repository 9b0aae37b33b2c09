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


def charts(tables: Iterable[tuple[str, str]]) -> str:
    """Tables of bars beside each other, under their names."""
    sections = (
        f"<section><h3>{html.escape(name)}</h3><table>{rows}</table></section>" for name, rows in tables if rows
    )
    return f'<div class="charts">{"".join(sections)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    return f'<div class="wide"><table class="plain"><tr>{heads}</tr><tr>{"</tr><tr>".join(lines)}</tr></table></div>'


def listed(rows: Iterable[tuple[str, str]]) -> str:
    items = (f"<li><code>{html.escape(name)}</code> {html.escape(told)}</li>" for name, told in rows)
    return f"<ul>{''.join(items)}</ul>"


def episodes(some: Sequence[Trajectory], corpus: Path) -> str:
    """Episodes to look through, in a frame of their own."""
    with tempfile.TemporaryDirectory() as folder:
        file, made = Path(folder) / "episodes.jsonl", Path(folder) / "view.html"
        trajectories.write(file, some)
        view(file, corpus, made, limit=len(some))
        inner = html.escape(made.read_text(encoding="utf-8"), quote=True)
    return f'<iframe title="episodes" srcdoc="{inner}"></iframe>'
