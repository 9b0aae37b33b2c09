"""Plots as SVG, for pages that need nothing beside them: drawn so that they can be read on a phone."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

WIDTH, HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 20, 22, 34  # what is left free for words
_LINE = 13  # height of a line of text


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
    drawn = [_axes(most, 1.0, across, up, percent=True)]
    above = float("-inf")  # where the last name stands
    for left_over, point in zip(reversed(range(len(points))), sorted(points, key=lambda one: -one.y), strict=True):
        x, y, low, high = _x(point.x, most), _y(point.y, 1), _y(point.low, 1), _y(point.high, 1)
        above = at = min(max(y + 4, above + _LINE), HEIGHT - _BOTTOM - left_over * _LINE)
        kind = "own" if point.strong else "other"
        left = x > WIDTH * 0.6
        beside = x + (-8 if left else 8)
        drawn.append(
            f'<line class="to" x1="{x:.1f}" x2="{beside:.1f}" y1="{y:.1f}" y2="{at - 4:.1f}"/>'
            f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text x="{beside:.1f}" y="{at:.1f}" text-anchor="{"end" if left else "start"}">'
            f"{html.escape(point.name)} {point.y:.0%}</text>"
        )
    return _svg(drawn)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], across: str) -> str:
    """Lines over steps; each y from 0, or from below it, to the highest of all; the names where they leave room."""
    values = [y for line in series.values() for _, y in line]
    most = _round_above(max((x for line in series.values() for x, _ in line), default=1))
    low, high = min(0.0, *values), _round_above(max(values))
    drawn = [_axes(most, high, across, "", percent=False, low=low)]
    falling = sum(line[0][1] - line[-1][1] for line in series.values() if line) > 0
    place = f'x="{WIDTH - _RIGHT - 6}" text-anchor="end"' if falling else f'x="{_LEFT + 6}"'
    for number, (name, line) in enumerate(series.items()):
        path = " ".join(f"{_x(x, most):.1f},{_y(y, high, low):.1f}" for x, y in line)
        drawn.append(f'<polyline class="c{number}" points="{path}"/>')
        drawn.append(
            f'<text class="c{number}" {place} y="{_TOP + _LINE * (number + 1) - 6}">{html.escape(name)}</text>'
        )
    return _svg(drawn)


def _svg(parts: Sequence[str]) -> str:
    return f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _axes(most: float, high: float, across: str, up: str, *, percent: bool, low: float = 0.0) -> str:
    lines = []
    for part in (0, 0.25, 0.5, 0.75, 1):
        value = low + part * (high - low)
        y, told = _y(value, high, low), f"{value:.0%}" if percent else f"{value:.3g}"
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick" x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{told}</text>')
        x = _x(part * most, most)
        lines.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{part * most:,.4g}</text>'
        )
    middle, foot = (WIDTH + _LEFT) / 2, HEIGHT - 4
    lines.append(f'<text class="tick" x="{middle}" y="{foot}" text-anchor="middle">{html.escape(across)}</text>')
    lines.append(f'<text class="tick" x="2" y="9">{html.escape(up)}</text>')
    return "".join(lines)


def _x(value: float, most: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * value / most


def _y(value: float, high: float, low: float = 0.0) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * (value - low) / ((high - low) or 1)


def _round_above(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(factor * power for factor in (1, 2, 4, 5, 8, 10) if factor * power >= value * (1 - 1e-9))
