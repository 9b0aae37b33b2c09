"""Bar, column, line and pie charts, with a label at every value; on the page itself, or as a picture to put there.

Returned for each item is the box around its name, its mark and its value: the gold region of a chart's value.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle, Wedge
from matplotlib.transforms import Affine2D
from PIL import Image

from unidoc_rl.sample.sheet import BASELINE, Align, Rect, around, text_width, wrap
from unidoc_rl.sample.style import Style, ttf_folder
from unidoc_rl.sample.world import Form

DPI = 200  # of a chart's picture
_HEADROOM = 1.14  # above the largest value, for its label


class Pen(Protocol):
    """What a chart is drawn with, in points from the top left: a page, or a picture."""

    def text(
        self, x: float, y: float, text: str, font: str, size: float, colour: str, align: Align = "left"
    ) -> Rect: ...

    def box(self, rect: Rect, fill: str | None = None, line: str | None = None, width: float = 0.6) -> Rect: ...

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 0.6) -> None: ...

    def disc(self, x: float, y: float, radius: float, fill: str) -> Rect: ...

    def wedge(self, x: float, y: float, radius: float, start: float, extent: float, fill: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Chart:
    form: Form
    names: tuple[str, ...]
    values: tuple[str, ...]  # as printed
    size: float  # of its words, in points

    @property
    def numbers(self) -> list[float]:
        return [float(value.replace(",", "")) for value in self.values]


def draw(pen: Pen, frame: Rect, chart: Chart, style: Style) -> list[Rect]:
    if chart.form is Form.PIE:
        return _pie(pen, frame, chart, style)
    words = " ".join(chart.names).split(" ")
    widest = max(text_width(word, style.fonts.regular, chart.size) for word in words)
    if chart.form is Form.BAR or widest > frame.width / len(chart.names) * 0.94:
        return _bars(pen, frame, chart, style)
    return _upright(pen, frame, chart, style)


def _upright(pen: Pen, frame: Rect, chart: Chart, style: Style) -> list[Rect]:
    """Columns, or points on a line, each above its name."""
    colours, font, size, numbers = style.palette, style.fonts.regular, chart.size, chart.numbers
    step = frame.width / len(numbers)
    names = [_broken(name, font, size, step * 0.94) for name in chart.names]
    base = frame.y2 - size * 1.2 * max(map(len, names)) - 4
    is_line = chart.form is Form.LINE
    low = min(numbers) - (max(numbers) - min(numbers)) * 0.25 if is_line else 0.0  # room for values below the line
    scale = (base - frame.y1) / (max(numbers) * _HEADROOM - low)
    for n in range(1, 5):
        y = base - (base - frame.y1) * n / 4.4
        pen.line(frame.x1, y, frame.x2, y, "#dfe3e7", 0.5)
    pen.line(frame.x1, base, frame.x2, base, colours.muted, 0.8)
    points = [(frame.x1 + step * (n + 0.5), base - (number - low) * scale) for n, number in enumerate(numbers)]
    if is_line:
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            pen.line(x1, y1, x2, y2, colours.accent, 1.6)
    boxes = []
    for n, (x, y) in enumerate(points):
        if is_line:
            mark = pen.disc(x, y, 2.6, colours.accent)
        else:
            mark = pen.box(Rect(x - step * 0.31, y, x + step * 0.31, base), _colour(style, n))
        around_it = [numbers[m] for m in (n - 1, n + 1) if 0 <= m < len(numbers)]
        below = is_line and numbers[n] < sum(around_it) / len(around_it)
        at = mark.y2 + size * 0.2 if below else mark.y1 - size * 1.2
        if is_line:  # a line may pass behind the value
            half = text_width(chart.values[n], font, size) / 2
            pen.box(Rect(x - half, at, x + half, at + size), "#ffffff")
        words = [pen.text(x, at, chart.values[n], font, size, colours.ink, "centre")]
        for row, line in enumerate(names[n]):
            words.append(pen.text(x, base + 4 + size * 1.2 * row, line, font, size, colours.ink, "centre"))
        boxes.append(around(mark, *words))
    return boxes


def _bars(pen: Pen, frame: Rect, chart: Chart, style: Style) -> list[Rect]:
    """Bars to the right of their names."""
    colours, font, size = style.palette, style.fonts.regular, chart.size
    step = frame.height / len(chart.names)
    left = frame.x1 + max(text_width(name, font, size) for name in chart.names) + 8
    room = max(text_width(value, font, size) for value in chart.values) + 8
    scale = (frame.x2 - left - room) / max(chart.numbers)
    boxes = []
    for n, (name, number, value) in enumerate(zip(chart.names, chart.numbers, chart.values, strict=True)):
        middle = frame.y1 + step * (n + 0.5)
        thick = min(step * 0.3, size * 1.2)
        mark = pen.box(Rect(left, middle - thick, left + number * scale, middle + thick), _colour(style, n))
        y = middle - size * 0.5
        named = pen.text(left - 6, y, name, font, size, colours.ink, "right")
        boxes.append(around(mark, named, pen.text(mark.x2 + 5, y, value, font, size, colours.ink)))
    pen.line(left, frame.y1, left, frame.y2, colours.muted, 0.8)
    return boxes


def _pie(pen: Pen, frame: Rect, chart: Chart, style: Style) -> list[Rect]:
    """Slices clockwise from the top, each with its name and share beside it."""
    colours, fonts, size, numbers = style.palette, style.fonts, chart.size, chart.numbers
    names = [_broken(name, fonts.regular, size, size * 7) for name in chart.names]
    widest = max(text_width(line, fonts.regular, size) for lines in names for line in lines)
    tallest = size * (0.3 + 1.15 * (1 + max(map(len, names))))
    radius = min(frame.height / 2 - tallest, frame.width / 2 - widest - 12)
    x, y = (frame.x1 + frame.x2) / 2, (frame.y1 + frame.y2) / 2
    start, boxes = 90.0, []
    for n, number in enumerate(numbers):
        extent = -360 * number / sum(numbers)
        pen.wedge(x, y, radius, start, extent, colours.series[n % len(colours.series)])
        angle = math.radians(start + extent / 2)
        align: Align = "left" if math.cos(angle) >= 0 else "right"
        lines = [*names[n], f"{chart.values[n]}%"]
        top = y - math.sin(angle) * (radius + size * (0.3 + 0.575 * len(lines))) - size * 0.575 * len(lines)
        # Beside the slice, and clear of the circle over the whole height of the words.
        near = max(top - y, y - top - size * 1.15 * len(lines), 0.0)
        clear = math.sqrt(max(radius**2 - near**2, 0.0)) + 6
        at = x + math.copysign(max(abs(math.cos(angle)) * radius, clear), math.cos(angle))
        words = []
        for row, line in enumerate(lines):
            face = fonts.bold if row == len(lines) - 1 else fonts.regular
            words.append(pen.text(at, top + size * 1.15 * row, line, face, size, colours.ink, align))
        boxes.append(around(*words, _slice(x, y, radius, start, extent)))
        start += extent
    if style.donut:
        pen.disc(x, y, radius * 0.5, "#ffffff")
    return boxes


def _slice(x: float, y: float, radius: float, start: float, extent: float) -> Rect:
    """The box of a slice: its tip, and points along its rim."""
    angles = [math.radians(start + extent * n / 16) for n in range(17)]
    rim = [Rect(a, b, a, b) for a, b in ((x + math.cos(t) * radius, y - math.sin(t) * radius) for t in angles)]
    return around(Rect(x, y, x, y), *rim)


def _broken(name: str, font: str, size: float, width: float) -> list[str]:
    words = name.split(" ")
    return [" ".join(words[start:end]) for start, end in wrap(words, font, size, width)]


def _colour(style: Style, n: int) -> str:
    return style.palette.series[n % 2 if style.alternate else 0]


class Picture:
    """A chart's picture in the making, as a plotting program would export it."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=DPI)
        self.agg = FigureCanvasAgg(self.figure)
        self.height = height
        scale = DPI / 72
        self.points = Affine2D().scale(scale, -scale).translate(0, height * scale)

    def text(self, x: float, y: float, text: str, font: str, size: float, colour: str, align: Align = "left") -> Rect:
        side = "center" if align == "centre" else align
        face = FontProperties(fname=str(ttf_folder() / f"{font}.ttf"), size=size)
        drawn = self.figure.text(
            x,
            y + size * BASELINE,
            text,
            fontproperties=face,
            color=colour,
            ha=side,
            va="baseline",
            transform=self.points,
        )
        extent = drawn.get_window_extent(self.agg.get_renderer())
        (x1, y1), (x2, y2) = self.points.inverted().transform(extent.get_points())
        return Rect(x1, y2, x2, y1)

    def box(self, rect: Rect, fill: str | None = None, line: str | None = None, width: float = 0.6) -> Rect:
        self._add(
            Rectangle(
                (rect.x1, rect.y1), rect.width, rect.height, fc=fill or "none", ec=line or "none", lw=width, zorder=1
            )
        )
        return rect

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 0.6) -> None:
        self._add(Line2D((x1, x2), (y1, y2), color=colour, lw=width, zorder=1))

    def disc(self, x: float, y: float, radius: float, fill: str) -> Rect:
        self._add(Circle((x, y), radius, fc=fill, ec="none", zorder=1))
        return Rect(x - radius, y - radius, x + radius, y + radius)

    def wedge(self, x: float, y: float, radius: float, start: float, extent: float, fill: str) -> None:
        # The transform turns the picture upside down, and angles with it.
        first, last = sorted((-start, -start - extent))
        self._add(Wedge((x, y), radius, first, last, fc=fill, ec="#ffffff", lw=1, zorder=1))

    def image(self) -> Image.Image:
        self.agg.draw()
        return Image.fromarray(np.asarray(self.agg.buffer_rgba())).convert("RGB")

    def _add(self, artist: Artist) -> None:
        artist.set_transform(self.points)
        self.figure.add_artist(artist)


def picture(width: float, height: float, chart: Chart, style: Style) -> tuple[Image.Image, Sequence[Rect]]:
    """A chart as an image of this size in points, and the boxes of its items within it."""
    # Whatever the user's matplotlibrc says, the picture is the same.
    with matplotlib.style.context("default"):
        pen = Picture(width, height)
        boxes = draw(pen, Rect(0, 0, width, height).inset(6, 6), chart, style.for_pictures())
        return pen.image(), boxes
