"""A page being drawn: a reportlab canvas measured in points from the top left, whose calls return what they covered."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from reportlab.lib.colors import HexColor
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics

Align = Literal["left", "right", "centre"]
BASELINE = 0.78  # how far below the top of its box a line of type stands, in sizes; ascenders and descenders fit in


class Rect(NamedTuple):
    """A rectangle in points, the origin at the page's top left."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    def inset(self, x: float, y: float) -> Rect:
        return Rect(self.x1 + x, self.y1 + y, self.x2 - x, self.y2 - y)


def around(*rects: Rect) -> Rect:
    """The smallest rectangle around all of them."""
    x1, y1, x2, y2 = zip(*rects, strict=True)
    return Rect(min(x1), min(y1), max(x2), max(y2))


@lru_cache(maxsize=50_000)
def text_width(text: str, font: str, size: float) -> float:
    return float(pdfmetrics.stringWidth(text, font, size))


def wrap(words: Sequence[str], font: str, size: float, width: float) -> list[tuple[int, int]]:
    """Lines no wider than `width`, as ranges of words; a word that is wider than that has a line of its own."""
    space = text_width(" ", font, size)
    lines, start, used = [], 0, 0.0
    for n, word in enumerate(words):
        wide = text_width(word, font, size)
        if n > start and used + wide > width:
            lines.append((start, n))
            start, used = n, 0.0
        used += wide + space
    return [*lines, (start, len(words))] if words else []


def line_count(sentences: Sequence[str], font: str, size: float, width: float) -> int:
    return len(wrap(" ".join(sentences).split(" "), font, size, width))


class Sheet:
    """One page of a canvas. The caller ends the page with the canvas's own `showPage`."""

    def __init__(self, canvas: Any, width: float, height: float) -> None:
        self.canvas = canvas
        self.width = width
        self.height = height

    def text(self, x: float, y: float, text: str, font: str, size: float, colour: str, align: Align = "left") -> Rect:
        """A line of text in a box of its size below `y`; `x` is its left end, right end or middle."""
        wide = text_width(text, font, size)
        left = x - wide * {"left": 0.0, "centre": 0.5, "right": 1.0}[align]
        self.canvas.setFont(font, size)
        self.canvas.setFillColor(HexColor(colour))
        self.canvas.drawString(left, self.height - y - size * BASELINE, text)
        return Rect(left, y, left + wide, y + size)

    def paragraph(
        self, x: float, y: float, width: float, sentences: Sequence[str], font: str, size: float, colour: str
    ) -> tuple[float, list[Rect]]:
        """Sentences set one after the other; returns the lower end, and where each sentence stands."""
        words = [word for sentence in sentences for word in sentence.split(" ")]
        owners = [n for n, sentence in enumerate(sentences) for _ in sentence.split(" ")]
        covered: list[list[Rect]] = [[] for _ in sentences]
        leading = size * 1.38
        for start, end in wrap(words, font, size, width):
            self.text(x, y, " ".join(words[start:end]), font, size, colour)
            left = x
            for n in range(start, end):
                right = left + text_width(words[n], font, size)
                covered[owners[n]].append(Rect(left, y, right, y + size))
                left = right + text_width(" ", font, size)
            y += leading
        return y, [around(*rects) for rects in covered]

    def fill(self, frame: Rect, sentences: Sequence[str], font: str, size: float, colour: str, columns: int = 1) -> int:
        """Fills a frame with paragraphs of whole sentences; returns how many sentences it took."""
        gap = size * 2
        width = (frame.width - gap * (columns - 1)) / columns
        leading, used = size * 1.38, 0
        for column in range(columns):
            x, y = frame.x1 + column * (width + gap), frame.y1
            while used < len(sentences):
                # Paragraphs of three to five sentences; the last one of a column is cut to what fits.
                take = min(3 + (used * 7 + column) % 3, len(sentences) - used)
                while take and y + leading * line_count(sentences[used : used + take], font, size, width) > frame.y2:
                    take -= 1
                if not take:
                    break
                y, _ = self.paragraph(x, y, width, sentences[used : used + take], font, size, colour)
                y += leading * 0.5
                used += take
        return used

    def box(self, rect: Rect, fill: str | None = None, line: str | None = None, width: float = 0.6) -> Rect:
        if fill:
            self.canvas.setFillColor(HexColor(fill))
        if line:
            self.canvas.setStrokeColor(HexColor(line))
            self.canvas.setLineWidth(width)
        self.canvas.rect(
            rect.x1,
            self.height - rect.y2,
            rect.width,
            rect.height,
            stroke=int(line is not None),
            fill=int(fill is not None),
        )
        return rect

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 0.6) -> None:
        self.canvas.setStrokeColor(HexColor(colour))
        self.canvas.setLineWidth(width)
        self.canvas.line(x1, self.height - y1, x2, self.height - y2)

    def disc(self, x: float, y: float, radius: float, fill: str) -> Rect:
        self.canvas.setFillColor(HexColor(fill))
        self.canvas.circle(x, self.height - y, radius, stroke=0, fill=1)
        return Rect(x - radius, y - radius, x + radius, y + radius)

    def wedge(self, x: float, y: float, radius: float, start: float, extent: float, fill: str) -> None:
        """A slice, its angles in degrees counter-clockwise from three o'clock."""
        self.canvas.setFillColor(HexColor(fill))
        self.canvas.setStrokeColor(HexColor("#ffffff"))
        self.canvas.setLineWidth(1)
        middle = self.height - y
        self.canvas.wedge(x - radius, middle - radius, x + radius, middle + radius, start, extent, stroke=1, fill=1)

    def picture(self, rect: Rect, image: Any) -> Rect:
        self.canvas.drawImage(ImageReader(image), rect.x1, self.height - rect.y2, rect.width, rect.height)
        return rect
