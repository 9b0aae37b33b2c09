"""How a document looks: page, type, colours, and the variants of its parts. Chosen once for a template."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Literal

import matplotlib
import reportlab
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

SHOWN_PIXELS = 512 * 28 * 28  # of a page, at most, as the agent is shown it
SMALL_PRINT = 7.0  # type of fewer pixels than this, there: nobody reads it

A4 = (595.0, 842.0)
LETTER = (612.0, 792.0)
SLIDE = (960.0, 540.0)


def shown_pixels(points: float, width: float, height: float) -> float:
    """How large type of this size is, on a page of this size in points, as the agent is shown it."""
    return points * math.sqrt(SHOWN_PIXELS / (width * height))


@dataclass(frozen=True, slots=True)
class Fonts:
    regular: str
    bold: str
    italic: str
    small: float  # size of small print, in points: wide faces stay readable at smaller sizes than narrow ones


@dataclass(frozen=True, slots=True)
class Palette:
    ink: str
    muted: str
    accent: str
    pale: str
    series: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Style:
    page: tuple[float, float]
    margin: float
    fonts: Fonts
    palette: Palette
    body: float  # size of running text, in points
    table: float  # size of tables in large print
    columns: int
    rules: Literal["grid", "zebra", "lines"]
    header: Literal["line", "band", "plain"]
    footer: Literal["sides", "centre"]
    heading: Literal["rule", "bar", "plain"]
    cards: Literal["filled", "outlined", "ruled"]
    cover: Literal["band", "side", "corner"]
    raster: bool  # charts are pictures
    donut: bool
    alternate: bool  # bars in two colours

    @property
    def small(self) -> float:
        """The size of small print."""
        return self.fonts.small

    @property
    def leading(self) -> float:
        return self.body * 1.38

    def for_pictures(self) -> Style:
        """The same in faces of which matplotlib has the files."""
        narrow = self.fonts.regular in ("Times-Roman", "STIXGeneral")
        files = _STIX if narrow else _SERIF if self.fonts == _SERIF else _SANS
        return replace(self, fonts=files)


_STANDARD = (
    Fonts("Helvetica", "Helvetica-Bold", "Helvetica-Oblique", 5.0),
    Fonts("Times-Roman", "Times-Bold", "Times-Italic", 5.5),
)
_VERA = Fonts("Vera", "VeraBd", "VeraIt", 5.0)  # comes with reportlab; the others with matplotlib
_SANS = Fonts("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", 5.0)
_SERIF = Fonts("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", 5.0)
_STIX = Fonts("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", 5.4)
_FONTS = (*_STANDARD, _VERA, _SANS, _SERIF, _STIX)
_PALETTES = (
    Palette(
        "#1d2733", "#66727f", "#0b5394", "#e8f0f8", ("#0b5394", "#3d85c6", "#6fa8dc", "#e69138", "#93a4b5", "#274e13")
    ),
    Palette(
        "#20302a", "#68766f", "#1e6b4f", "#e6f2ec", ("#1e6b4f", "#52a37f", "#9ccbb3", "#c9963b", "#8a9a92", "#2f4858")
    ),
    Palette(
        "#2b2024", "#7a6a70", "#8c1c3f", "#f7e9ee", ("#8c1c3f", "#c25b7a", "#e0a3b5", "#4a6c8c", "#b5a7ab", "#5c4033")
    ),
    Palette(
        "#26242f", "#6f6c7d", "#4b3f92", "#ecebf6", ("#4b3f92", "#7d73bd", "#b5afdc", "#d98c3f", "#9b9aa8", "#2e7d7a")
    ),
    Palette(
        "#2a2622", "#786f66", "#a8501c", "#f9eee6", ("#a8501c", "#d4864f", "#ebbd9b", "#376b7c", "#b0a598", "#5f6b2d")
    ),
    Palette(
        "#1c2a2e", "#647579", "#00707d", "#e2f2f4", ("#00707d", "#3ba3af", "#92ced6", "#d1603d", "#8fa1a5", "#4d4a7a")
    ),
    Palette(
        "#222222", "#6b6b6b", "#3c4a57", "#eef0f2", ("#3c4a57", "#6d7f90", "#a9b6c2", "#c0392b", "#999999", "#b58900")
    ),
)


def choose(kind: str, rng: Random) -> Style:
    """A look for reports, slides or statements."""
    slides = kind == "slides"
    page = SLIDE if slides else rng.choice((A4, A4, LETTER))
    fonts = rng.choice(_FONTS)
    # The faces of one size are not equally wide and tall: Times and STIX want a little more.
    serif = fonts.regular in ("Times-Roman", "STIXGeneral")
    return Style(
        page=page,
        margin=rng.choice((48.0, 56.0)) if slides else rng.choice((48.0, 54.0, 60.0)),
        fonts=fonts,
        palette=rng.choice(_PALETTES),
        body=14.0 if slides else (11.0 if serif else 10.0),
        table=rng.choice((12.0, 13.0)) if slides else rng.choice((10.0, 10.5)) + serif,
        columns={"slides": 1, "statement": 2}.get(kind) or rng.choice((1, 2, 2)),
        rules=rng.choice(("grid", "zebra", "lines")),
        header=rng.choice(("line", "band", "plain")),
        footer=rng.choice(("sides", "centre")),
        heading=rng.choice(("rule", "bar", "plain")),
        cards=rng.choice(("filled", "outlined", "ruled")),
        cover=rng.choice(("band", "side", "corner")),
        raster=rng.random() < 0.5,
        donut=rng.random() < 0.5,
        alternate=rng.random() < 0.3,
    )


@cache
def register_fonts() -> None:
    """Makes the faces that come as files known to reportlab, once a process."""
    for fonts in (_VERA, _SANS, _SERIF, _STIX):
        folder = Path(reportlab.__file__).parent / "fonts" if fonts is _VERA else ttf_folder()
        for name in (fonts.regular, fonts.bold, fonts.italic):
            pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))


def ttf_folder() -> Path:
    """The fonts that come with matplotlib: the same everywhere, whatever the system has."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"
