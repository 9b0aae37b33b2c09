"""Tables and key-figure cards. Each draws the data that it is given and returns where its parts stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unidoc_rl.sample.sheet import Rect, Sheet, around, text_width, wrap
from unidoc_rl.sample.style import Style


@dataclass(frozen=True, slots=True)
class TableBoxes:
    """Where a table stands."""

    whole: Rect
    heads: tuple[Rect, ...]  # the corner's, and each column's
    labels: tuple[Rect, ...]
    values: tuple[tuple[Rect, ...], ...]

    def cell(self, row: int, column: int) -> tuple[Rect, Rect]:
        """A value, with the name of its row: what stands between them says nothing of it."""
        return self.labels[row], self.values[row][column]


def row_height(size: float) -> float:
    """Small print stands in open rows, as in annual reports."""
    return max(size * 1.72, size + 8)


def table(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    corner: str,
    header: Sequence[str],
    rows: Sequence[str],
    values: Sequence[Sequence[str]],
    size: float,
    style: Style,
) -> TableBoxes:
    """A table of labelled rows; a header of several lines holds `\\n`."""
    first = _first_column(width, rows, len(header), size, style)
    step = (width - first) / len(header)
    edges = [x + first + step * (n + 1) for n in range(len(header))]
    top = y + _header_height(header, size)
    step_y = row_height(size)
    bottom = top + step_y * len(rows)
    heads = _heads(sheet, Rect(x, y, x + width, top), corner, header, edges, size, style)
    _rules(sheet, Rect(x, top, x + width, bottom), len(rows), edges, size, style)
    pad, font = size * 0.6, style.fonts
    labels, cells = [], []
    for n, (label, row) in enumerate(zip(rows, values, strict=True)):
        base = top + step_y * n + (step_y - size) * 0.55
        labels.append(sheet.text(x + pad, base, label, font.regular, size, style.palette.ink))
        cells.append(
            tuple(
                sheet.text(edge - pad, base, value, font.regular, size, style.palette.ink, "right")
                for edge, value in zip(edges, row, strict=True)
            )
        )
    return TableBoxes(Rect(x, y, x + width, bottom), heads, tuple(labels), tuple(cells))


def _first_column(width: float, rows: Sequence[str], columns: int, size: float, style: Style) -> float:
    """Wide enough for the labels, and no wider than leaves room for the numbers."""
    needed = max(text_width(row, style.fonts.regular, size) for row in rows) + size * 1.6
    return max(needed, width / (columns + 1) * 0.9)


def _header_height(header: Sequence[str], size: float) -> float:
    return size * (0.8 + 1.2 * max(text.count("\n") + 1 for text in header))


def _heads(
    sheet: Sheet, rect: Rect, corner: str, header: Sequence[str], edges: Sequence[float], size: float, style: Style
) -> tuple[Rect, ...]:
    """The head of a table; returns what the words of each cell of it cover."""
    colours = style.palette
    dark = style.rules == "grid"
    if style.rules != "lines":
        sheet.box(rect, colours.accent if dark else colours.pale)
    ink, pad = "#ffffff" if dark else colours.accent, size * 0.6
    covered = [sheet.text(rect.x1 + pad, rect.y1 + size * 0.4, corner, style.fonts.bold, size, ink)]
    for edge, text in zip(edges, header, strict=True):
        lines = [
            sheet.text(edge - pad, rect.y1 + size * (0.4 + 1.2 * n), line, style.fonts.bold, size, ink, "right")
            for n, line in enumerate(text.split("\n"))
        ]
        covered.append(around(*lines))
    if style.rules == "lines":
        sheet.line(rect.x1, rect.y1, rect.x2, rect.y1, colours.accent, 1.2)
        sheet.line(rect.x1, rect.y2, rect.x2, rect.y2, colours.accent, 0.6)
    return tuple(covered)


def _rules(sheet: Sheet, body: Rect, rows: int, edges: Sequence[float], size: float, style: Style) -> None:
    colours, step = style.palette, row_height(size)
    if style.rules == "zebra":
        for n in range(1, rows, 2):
            sheet.box(Rect(body.x1, body.y1 + step * n, body.x2, body.y1 + step * (n + 1)), colours.pale)
        sheet.line(body.x1, body.y2, body.x2, body.y2, colours.accent, 0.8)
        return
    thin = 0.3 if size < 8 else 0.5
    for n in range(1, rows + 1):
        y = body.y1 + step * n
        sheet.line(body.x1, y, body.x2, y, "#c4cad0", thin)
    if style.rules == "grid":
        step_x = edges[1] - edges[0] if len(edges) > 1 else body.x2 - body.x1
        for x in [body.x1, edges[0] - min(step_x, edges[0] - body.x1), *edges]:
            sheet.line(x, body.y1, x, body.y2, "#c4cad0", thin)
    else:
        sheet.line(body.x1, body.y2, body.x2, body.y2, colours.accent, 1.2)


def cards(
    sheet: Sheet,
    frame: Rect,
    labels: Sequence[str],
    values: Sequence[str],
    label_size: float,
    style: Style,
    across: int,
) -> list[Rect]:
    """Key figures: a big value above its label, `across` in a row. Returns what value and label cover, for each."""
    gap = label_size * 1.2
    down = -(-len(labels) // across)
    width, height = (frame.width - gap * (across - 1)) / across, (frame.height - gap * (down - 1)) / down
    covered = []
    for n, (label, value) in enumerate(zip(labels, values, strict=True)):
        x, y = frame.x1 + (width + gap) * (n % across), frame.y1 + (height + gap) * (n // across)
        covered.append(_card(sheet, Rect(x, y, x + width, y + height), label, value, label_size, style))
    return covered


def _card(sheet: Sheet, rect: Rect, label: str, value: str, label_size: float, style: Style) -> Rect:
    colours, fonts = style.palette, style.fonts
    if style.cards == "filled":
        sheet.box(rect, colours.pale)
        sheet.box(rect._replace(x2=rect.x1 + 3), colours.accent)
    elif style.cards == "outlined":
        sheet.box(rect, None, colours.series[1], 0.9)
    else:
        sheet.line(rect.x1, rect.y1, rect.x2, rect.y1, colours.accent, 2)
    inner = rect.inset(label_size * 1.1, label_size * 0.9)
    size = label_size * 2.2
    while text_width(value, fonts.bold, size) > inner.width:
        size *= 0.94
    words = label.split(" ")
    lines = wrap(words, fonts.regular, label_size, inner.width)
    used = size * 1.25 + len(lines) * label_size * 1.25
    y = inner.y1 + max(0.0, (inner.height - used) / 2)
    covered = [sheet.text(inner.x1, y, value, fonts.bold, size, colours.accent)]
    y += size * 1.25
    for start, end in lines:
        text = " ".join(words[start:end])
        covered.append(sheet.text(inner.x1, y, text, fonts.regular, label_size, colours.ink))
        y += label_size * 1.25
    return around(*covered)
