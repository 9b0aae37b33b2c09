"""Plots as SVG, for pages that need nothing beside them: drawn so that they can be read on a phone."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

WIDTH, HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 20, 22, 34  # what is left free for words
_LINE, _LETTER = 13, 6.5  # height of a line of text, and width of a letter
_ROUND = (1, 1.2, 1.6, 2, 2.4, 3, 4, 6, 8, 10)
_ASIDE = 8  # from a point to its name


@dataclass(frozen=True, slots=True)
class Point:
    name: str
    x: float
    y: float
    low: float  # of the interval of y
    high: float
    strong: bool = False


def scatter(points: Sequence[Point], across: str, up: str) -> str:
    """Points with their names and intervals; y is a share."""
    most = _round_above(max((point.x for point in points), default=1))
    drawn, strong = [_axes(most, 1.0, across, up, percent=True)], list[str]()  # which no other one may cover
    above = float("-inf")  # where the last name stands
    best_first = sorted(points, key=lambda one: -one.y)
    for left_over, point in zip(reversed(range(len(points))), best_first, strict=True):
        x, y, low, high = _x(point.x, most), _y(point.y, 1), _y(point.low, 1), _y(point.high, 1)
        above = at = min(max(y + 4, above + _LINE), HEIGHT - _BOTTOM - left_over * _LINE)
        kind = "own" if point.strong else "other"
        before, behind = x - _ASIDE - _LEFT, WIDTH - x - _ASIDE  # room for the name
        left = before > behind
        beside = x - _ASIDE if left else x + _ASIDE
        (strong if point.strong else drawn).append(
            f'<line class="to" x1="{x:.1f}" x2="{beside:.1f}" y1="{y:.1f}" y2="{at - 4:.1f}"/>'
            f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text x="{beside:.1f}" y="{at:.1f}" text-anchor="{"end" if left else "start"}">'
            f"<title>{html.escape(point.name)}</title>{html.escape(_fitting(point, max(before, behind)))}</text>"
        )
    told = ", ".join(f"{point.name} {point.y:.0%}" for point in best_first)
    return _svg([*drawn, *strong], f"{up} against {across}: {told}")


def _fitting(point: Point, room: float) -> str:
    """Its name and value; of a name that is too long for that, the beginning."""
    value = f" {point.y:.0%}"
    most = int(room / _LETTER) - len(value)
    return (point.name if len(point.name) <= most else point.name[: most - 1] + "…") + value


def curves(series: Mapping[str, Sequence[tuple[float, float]]], across: str, *, percent: bool = False) -> str:
    """Lines over steps, their names above them; each y from 0, or from below it, to the highest of all."""
    values = [y for line in series.values() for _, y in line]
    most = _whole_above(max((x for line in series.values() for x, _ in line), default=1))
    low, high = min(0.0, *values), _round_above(max(values))
    drawn = [_axes(most, high, across, "", percent=percent, low=low)]
    for number, line in enumerate(series.values()):
        path = " ".join(f"{_x(x, most):.1f},{_y(y, high, low):.1f}" for x, y in line)
        drawn.append(f'<polyline class="c{number}" points="{path}"/>')
    names = "".join(f'<span><i class="c{number}"></i>{html.escape(name)}</span>' for number, name in enumerate(series))
    told = f"{', '.join(series)} over the {across}"
    return f'<p class="legend">{names}</p>{_svg(drawn, told)}'


def _svg(parts: Sequence[str], told: str) -> str:
    drawn = "".join(parts)
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(told)}">{drawn}</svg>'


def _axes(most: float, high: float, across: str, up: str, *, percent: bool, low: float = 0.0) -> str:
    lines = []
    for part in (0, 0.25, 0.5, 0.75, 1):
        value = low + part * (high - low)
        y, told = _y(value, high, low), f"{100 * value:.3g}%" if percent else _number(value)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick" x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{told}</text>')
        x, told = _x(part * most, most), _number(part * most)
        lines.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{told}</text>')
    middle, foot = (WIDTH + _LEFT) / 2, HEIGHT - 4
    lines.append(f'<text class="tick" x="{middle}" y="{foot}" text-anchor="middle">{html.escape(across)}</text>')
    lines.append(f'<text class="tick" x="2" y="9">{html.escape(up)}</text>')
    return "".join(lines)


def _x(value: float, most: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * value / most


def _y(value: float, high: float, low: float = 0.0) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * (value - low) / ((high - low) or 1)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _round_above(value: float) -> float:
    """The next number whose quarters are easily read, close enough for the data to fill the plot."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(factor * power for factor in _ROUND if factor * power >= value * (1 - 1e-9))


def _whole_above(steps: float) -> float:
    """Likewise, with whole quarters."""
    return 4.0 * max(1, ceil(steps / 4)) if steps <= 40 else _round_above(steps)
