"""Pages full of letters: ten times as many as on a document's page, in the faces and colours of the sample world.

A document's page is mostly empty, and the vision tower learns from letters: of these pages it sees more in an hour
than of documents in a day. Line after line is of another size, weight and ground; words, numbers and mere letters.
"""

from __future__ import annotations

import tempfile
from functools import cache, lru_cache
from pathlib import Path
from random import Random

from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from unidoc_rl.nano.pages import KEPT, DrawnPage, rendered
from unidoc_rl.sample import style
from unidoc_rl.sample.vocabulary import phrases

SIZES = (5.0, 14.0)  # points; most are small
NUMBERS = 0.3  # of the words
LETTERS = "".join(map(chr, range(33, 127))) + "·–—“”‘’•€£"


@lru_cache(KEPT)
def specimen(seed: int, index: int) -> tuple[DrawnPage, ...]:
    """One page, in the looks of some kind of document."""
    rng = Random(f"{seed}/{index}/specimen")
    look = style.choose(rng.choice(("report", "slides", "statement")), rng)
    style.register_fonts()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "specimen.pdf"
        canvas = Canvas(str(path), pagesize=look.page, invariant=1)
        _fill(canvas, look, rng)
        canvas.save()
        return tuple(rendered(path, "specimen", {}, {}, ()))


def _fill(canvas: Canvas, look: style.Style, rng: Random) -> None:
    width, y = look.page[0], look.page[1]
    faces, palette = look.fonts, look.palette
    while True:
        size = SIZES[0] * (SIZES[1] / SIZES[0]) ** rng.random() ** 2
        face = rng.choice((faces.regular, faces.regular, faces.bold, faces.italic))
        y -= size * rng.uniform(1.15, 2.0)
        if y < size:
            return
        ground, ink = rng.choice(
            ((None, palette.ink), (None, palette.muted), (palette.pale, palette.ink), (palette.accent, "#ffffff"))
        )
        if ground:
            canvas.setFillColor(ground)
            canvas.rect(0, y - 0.3 * size, width, 1.3 * size, stroke=0, fill=1)
        canvas.setFillColor(ink)
        canvas.setFont(face, size)
        x = size * rng.random()
        while x < width:
            word = _word(rng)
            canvas.drawString(x, y, word)
            x += stringWidth(word, face, size) + size * rng.choice((0.3, 0.3, 0.3, 1, 3))


def _word(rng: Random) -> str:
    kind = rng.random()
    if kind < NUMBERS:
        number = rng.randrange(10 ** rng.randint(1, 6))
        return rng.choice(("{:,}", "{}", "{}%")).format(rng.choice((number, number, number / 10)))
    if kind < 0.85:
        return rng.choice(_words())
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 8)))


@cache
def _words() -> list[str]:
    return sorted({word for phrase in phrases() for word in phrase.split()})
