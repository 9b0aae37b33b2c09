"""Documents as PDF files, and where on their pages everything stands that can be asked for.

Where evidence stands, by what it is: a table's value, its row's label and the value; a chart's value, its name, mark
and label; a key figure, value and label; a sentence, its lines; headings, notes and whole tables, themselves. Its gold
region is the block of which it is a part, as layout models propose them: a table, a chart, all key figures, a
paragraph, a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reportlab import rl_config
from reportlab.pdfgen.canvas import Canvas

from unidoc_rl import boxes
from unidoc_rl.sample import blocks, charts, style
from unidoc_rl.sample.sheet import Rect, Sheet, around, line_count, text_width
from unidoc_rl.sample.world import Content, Document, Exhibit, Fact, Form, Kind, Pointer, Recipe, Statement
from unidoc_rl.types import Box

_FINE_PRINT = 7.5  # of running text which nobody asks about


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, and in which size."""

    page: int
    parts: tuple[Box, ...]
    pixels: float  # of its type, where the agent is shown the whole page
    region: Box  # what one would cut out to read it: the block of which it is a part, or itself


@dataclass(frozen=True, slots=True)
class ShownExhibit:
    exhibit: Exhibit
    whole: Place
    cells: tuple[tuple[Place, ...], ...]
    header: Place | None  # of a table
    heads: tuple[Place, ...]  # of its columns
    labels: tuple[Place, ...]  # of a table's rows
    note: Place | None


@dataclass(frozen=True, slots=True)
class ShownHeading:
    heading: str
    subheading: str
    place: Place  # of the subheading


@dataclass(slots=True)
class Shown:
    """A document as it was drawn."""

    document: Document
    exhibits: list[ShownExhibit] = field(default_factory=list)
    facts: list[tuple[Fact, Place]] = field(default_factory=list)  # told in sentences
    pointers: list[tuple[Pointer, Place]] = field(default_factory=list)
    headings: list[ShownHeading] = field(default_factory=list)


def draw(document: Document, path: Path) -> Shown:
    """Writes the document: the same bytes every time."""
    style.register_fonts()
    rl_config.useA85 = 0  # binary streams: a quarter smaller, and sooner written
    canvas = Canvas(str(path), pagesize=document.style.page, invariant=1, pageCompression=1)
    canvas.setTitle(f"{document.company} {document.label} {document.year}")
    canvas.setAuthor(document.company)
    shown = Shown(document)
    for number, content in enumerate(document.pages, start=1):
        _Page(canvas, shown, number, content).draw()
        canvas.showPage()
    canvas.save()
    return shown


class _Page:
    """One page in the drawing; `y` is how far down it is filled."""

    def __init__(self, canvas: Canvas, shown: Shown, number: int, content: Content) -> None:
        self.document = shown.document
        self.style = shown.document.style
        self.shown = shown
        self.number = number
        self.content = content
        self.sheet = Sheet(canvas, *self.style.page)
        margin = self.style.margin
        self.frame = Rect(margin, margin + 22, self.sheet.width - margin, self.sheet.height - margin - 14)
        self.y = self.frame.y1

    def draw(self) -> None:
        if self.content.recipe is Recipe.COVER:
            self._cover()
            return
        self._running_titles()
        self._heading()
        if self.content.recipe is Recipe.CLOSING:
            self._closing()
        elif self.document.kind is Kind.SLIDES:
            self._slide()
        else:
            self._text_page()

    # --- what every page has ---

    def _cover(self) -> None:
        sheet, look, fonts = self.sheet, self.style.palette, self.style.fonts
        w, h, slides = sheet.width, sheet.height, self.document.kind is Kind.SLIDES
        left, ink, top = self.style.margin, look.ink, h * (0.34 if slides else 0.3)
        if self.style.cover == "band":
            end = h * (0.7 if slides else 0.62)
            sheet.box(Rect(0, h * 0.24, w, end), look.accent)
            sheet.box(Rect(0, end, w, end + 10), look.series[3])
            ink = "#ffffff"
        elif self.style.cover == "side":
            sheet.box(Rect(0, 0, w * 0.3, h), look.accent)
            for n in range(5):
                sheet.box(
                    Rect(0, h * (0.5 + 0.1 * n), w * (0.3 - 0.05 * n), h * (0.6 + 0.1 * n)), look.series[1 + n % 2]
                )
            left = w * 0.3 + 30
        else:
            for n, share in enumerate((0.62, 0.47, 0.32)):
                sheet.disc(w, h, w * share, look.series[2 - n])
        size = 40.0 if slides else 32.0
        for line in self.document.company.split(" "):
            sheet.text(left, top, line, fonts.bold, size, ink)
            top += size * 1.2
        title = f"{self.document.label.capitalize()} {self.document.year}"
        sheet.text(left, top + 12, title, fonts.regular, size * 0.55, ink)
        sheet.text(left, top + 24 + size * 0.6, self.document.tagline, fonts.italic, size * 0.4, ink)

    def _running_titles(self) -> None:
        sheet, look, fonts = self.sheet, self.style.palette, self.style.fonts
        margin, size = self.style.margin, 8.0 if self.document.kind is not Kind.SLIDES else 10.0
        title = f"{self.document.company} · {self.document.label.capitalize()} {self.document.year}"
        if self.style.header == "band":
            sheet.box(Rect(0, 0, sheet.width, margin * 0.55), look.accent)
            sheet.text(margin, margin * 0.275 - size / 2, title, fonts.regular, size, "#ffffff")
        elif self.style.header == "line":
            sheet.text(margin, margin * 0.55, title, fonts.regular, size, look.muted)
            sheet.line(
                margin, margin * 0.55 + size * 1.5, sheet.width - margin, margin * 0.55 + size * 1.5, look.accent
            )
        else:
            sheet.text(sheet.width - margin, margin * 0.55, title, fonts.italic, size, look.muted, "right")
        y = sheet.height - margin * 0.7
        if self.style.footer == "centre":
            sheet.text(sheet.width / 2, y, f"– {self.number} –", fonts.regular, size, look.muted, "centre")
        else:
            sheet.text(margin, y, self.document.company, fonts.regular, size, look.muted)
            sheet.text(sheet.width - margin, y, str(self.number), fonts.bold, size, look.accent, "right")

    def _heading(self) -> None:
        look, fonts = self.style.palette, self.style.fonts
        size = 26.0 if self.document.kind is Kind.SLIDES else 19.0
        x = self.frame.x1 + (12 if self.style.heading == "bar" else 0)
        rect = self.sheet.text(x, self.y, self.content.heading, fonts.bold, size, look.accent)
        if self.style.heading == "bar":
            self.sheet.box(Rect(self.frame.x1, rect.y1, self.frame.x1 + 4, rect.y2), look.series[3])
        elif self.style.heading == "rule":
            self.sheet.line(self.frame.x1, rect.y2 + 3, self.frame.x2, rect.y2 + 3, look.accent, 1)
        self.y = rect.y2 + 14

    def _subheading(self, x: float, y: float) -> float:
        size = self.style.body * 1.25
        rect = self.sheet.text(x, y, self.content.subheading, self.style.fonts.bold, size, self.style.palette.accent)
        heading = ShownHeading(self.content.heading, self.content.subheading, self._place([rect], size))
        self.shown.headings.append(heading)
        return rect.y2 + size * 0.5

    def _closing(self) -> None:
        rest = self.frame._replace(y1=self.y)
        if self.document.kind is Kind.SLIDES:
            self.sheet.fill(rest, self.content.prose, self.style.fonts.regular, 10, self.style.palette.muted, 3)
        else:
            self.sheet.fill(
                rest, self.content.prose, self.style.fonts.regular, _FINE_PRINT, self.style.palette.muted, 2
            )

    # --- reports and statements: text around exhibits ---

    def _text_page(self) -> None:
        prose = list(self.content.prose)
        told: list[str | Statement] = [prose.pop(0), *self.content.statements, prose.pop(0)]
        self.y = self._tell(Rect(self.frame.x1, self.y, self.frame.x2, self.frame.y2), told) + 10
        for n, exhibit in enumerate(self.content.exhibits):
            if exhibit.beside:
                prose = prose[self._beside(exhibit, prose, left=(n + self.number) % 2 == 0) :]
            else:
                self.y = self._exhibit(exhibit, self.frame._replace(y1=self.y)) + 16
        if self.frame.y2 - self.y > self.style.leading * 6:
            self.y = self._subheading(self.frame.x1, self.y)
        size = _FINE_PRINT if self.document.kind is Kind.STATEMENT else self.style.body
        self._run(self.frame._replace(y1=self.y), prose, size, self.style.columns)

    def _beside(self, exhibit: Exhibit, prose: list[str], left: bool) -> int:
        """An exhibit in one half, running text in the other; returns the number of sentences used."""
        middle, gap = (self.frame.x1 + self.frame.x2) / 2, 12
        halves = (Rect(self.frame.x1, self.y, middle - gap, 0), Rect(middle + gap, self.y, self.frame.x2, 0))
        mine, other = halves if left else halves[::-1]
        bottom = self._exhibit(exhibit, mine._replace(y2=self.frame.y2))
        size = _FINE_PRINT if self.document.kind is Kind.STATEMENT else self.style.body
        used = self._run(other._replace(y2=bottom + 4), prose, size, 1)
        self.y = bottom + 18
        return used

    def _run(self, frame: Rect, prose: list[str], size: float, columns: int) -> int:
        return self.sheet.fill(frame, prose, self.style.fonts.regular, size, self.style.palette.ink, columns)

    # --- slides: exhibits and what to take from them ---

    def _slide(self) -> None:
        exhibits, frame = self.content.exhibits, self.frame._replace(y1=self.y + 4)
        prose = list(self.content.prose)
        told: list[str | Statement] = [*self.content.statements, *prose]
        if len(exhibits) == 2:
            half = frame.width / 2 - 14
            ends = [
                self._exhibit(exhibits[0], frame._replace(x2=frame.x1 + half)),
                self._exhibit(exhibits[1], frame._replace(x1=frame.x2 - half)),
            ]
            self._bullets(frame._replace(y1=max(ends) + 12), told[:3], heading=False)
        elif exhibits[0].form in (Form.CARDS, Form.TABLE):
            bottom = self._exhibit(exhibits[0], frame)
            self._bullets(frame._replace(y1=bottom + 16), told[:6])
        else:
            wide = frame.width * (0.52 if exhibits[0].beside else 0.62)
            self._exhibit(exhibits[0], frame._replace(x2=frame.x1 + wide))
            self._bullets(frame._replace(x1=frame.x1 + wide + 28), told[:6])

    def _bullets(self, frame: Rect, told: Sequence[str | Statement], heading: bool = True) -> None:
        """As many as fit, the statements first."""
        y, size = frame.y1, self.style.body
        if heading and frame.height > size * 6:
            y = self._subheading(frame.x1, y)
        rects: list[Rect] = []
        for item in told:
            lines = line_count([_words(item)], self.style.fonts.regular, size, frame.width - 16)
            if y + lines * size * 1.38 > frame.y2:
                break
            self.sheet.disc(frame.x1 + 4, y + size * 0.45, 2.6, self.style.palette.series[3])
            bottom, [rect] = self._paragraph(frame._replace(x1=frame.x1 + 16, y1=y), [item])
            rects.append(rect)
            y = bottom + size * 0.5
        self._note(told[: len(rects)], rects)

    # --- what stands on a page ---

    def _tell(self, frame: Rect, told: Sequence[str | Statement]) -> float:
        """A paragraph; notes where its statements stand, and returns its lower end."""
        bottom, rects = self._paragraph(frame, told)
        self._note(told, rects)
        return bottom

    def _paragraph(self, frame: Rect, told: Sequence[str | Statement]) -> tuple[float, list[Rect]]:
        font, ink = self.style.fonts.regular, self.style.palette.ink
        texts = [_words(item) for item in told]
        return self.sheet.paragraph(frame.x1, frame.y1, frame.width, texts, font, self.style.body, ink)

    def _note(self, told: Sequence[str | Statement], rects: Sequence[Rect]) -> None:
        """Where the statements of a block of text stand."""
        for item, rect in zip(told, rects, strict=True):
            if isinstance(item, Statement):
                place = self._place([rect], self.style.body, around(*rects))
                if isinstance(item.says, Fact):
                    self.shown.facts.append((item.says, place))
                else:
                    self.shown.pointers.append((item.says, place))

    def _exhibit(self, exhibit: Exhibit, frame: Rect) -> float:
        """Draws an exhibit at the top of the frame, and returns its lower end."""
        if exhibit.form is Form.CARDS:
            return self._cards(exhibit, frame)
        size = self.style.body * 1.1
        unit = f" ({exhibit.units[0]})" if len(set(exhibit.units)) == 1 else ""
        text, font = exhibit.title + unit, self.style.fonts.bold
        size *= min(1.0, frame.width / text_width(text, font, size))
        title = self.sheet.text(frame.x1, frame.y1, text, font, size, self.style.palette.ink)
        frame = frame._replace(y1=title.y2 + 5)
        return self._table(exhibit, frame) if exhibit.form is Form.TABLE else self._chart(exhibit, frame)

    def _table(self, exhibit: Exhibit, frame: Rect) -> float:
        size = self.style.small if exhibit.small else self.style.table
        one_unit = len(set(exhibit.units)) == 1
        header = [
            column if one_unit else f"{column}\n({unit})"
            for column, unit in zip(exhibit.columns, exhibit.units, strict=True)
        ]
        corner = exhibit.row_name.capitalize()
        drawn = blocks.table(
            self.sheet, frame.x1, frame.y1, frame.width, corner, header, exhibit.rows, exhibit.values, size, self.style
        )
        bottom, note = drawn.whole.y2, None
        if exhibit.note is not None:
            note_size = self.style.small
            bottom, rects = self.sheet.paragraph(
                frame.x1,
                bottom + 5,
                frame.width,
                [exhibit.note.text],
                self.style.fonts.italic,
                note_size,
                self.style.palette.muted,
            )
            note = self._place([rects[0]], note_size)
        columns = range(len(exhibit.columns))
        top = around(*drawn.heads)
        table = around(drawn.whole, top)
        rows = range(len(exhibit.rows))
        cells = tuple(tuple(self._place(drawn.cell(row, column), size, table) for column in columns) for row in rows)
        labels = tuple(self._place([label], size, table) for label in drawn.labels)
        heads = tuple(self._place([head], size, table) for head in drawn.heads[1:])
        whole, head = self._place([table], size), self._place([top], size, table)
        self.shown.exhibits.append(ShownExhibit(exhibit, whole, cells, head, heads, labels, note))
        return bottom

    def _chart(self, exhibit: Exhibit, frame: Rect) -> float:
        slides = self.document.kind is Kind.SLIDES
        if slides:
            height = min(frame.height, 250.0 if len(self.content.exhibits) == 2 else 400.0)
        else:
            height = 165.0 if exhibit.beside else 200.0
        frame = frame._replace(y2=frame.y1 + height)
        size = self.style.small if exhibit.small else 12.0 if slides else 10.0
        names = tuple(name[:3] for name in exhibit.rows) if exhibit.row_name == "month" else exhibit.rows
        chart = charts.Chart(exhibit.form, names, tuple(row[0] for row in exhibit.values), size)
        if self.style.raster:
            image, found = charts.picture(frame.width, height, chart, self.style)
            self.sheet.picture(frame, image)
            rects = [Rect(r.x1 + frame.x1, r.y1 + frame.y1, r.x2 + frame.x1, r.y2 + frame.y1) for r in found]
        else:
            rects = charts.draw(self.sheet, frame.inset(6, 6), chart, self.style)
        cells = tuple((self._place([rect], size, frame),) for rect in rects)
        self.shown.exhibits.append(ShownExhibit(exhibit, self._place([frame], size), cells, None, (), (), None))
        return frame.y2

    def _cards(self, exhibit: Exhibit, frame: Rect) -> float:
        slides = self.document.kind is Kind.SLIDES
        count = len(exhibit.columns)
        across = count if slides and count < 6 else 2 if count == 4 else 3
        down, size = -(-count // across), 14.0 if slides else 10.0
        frame = frame._replace(y2=frame.y1 + (130.0 if slides else 78.0) * down)
        percent = [unit == "%" for unit in exhibit.units]
        values = [f"{v}%" if p else v for v, p in zip(exhibit.values[0], percent, strict=True)]
        labels = [
            column if p or not unit else f"{column} ({unit})"
            for column, unit, p in zip(exhibit.columns, exhibit.units, percent, strict=True)
        ]
        rects = blocks.cards(self.sheet, frame, labels, values, size, self.style, across)
        cells = (tuple(self._place([rect], size, frame) for rect in rects),)
        self.shown.exhibits.append(ShownExhibit(exhibit, self._place([frame], size), cells, None, (), (), None))
        return frame.y2

    def _place(self, rects: Sequence[Rect], size: float, part_of: Rect | None = None) -> Place:
        width, height = self.style.page
        *parts, region = (boxes.from_pixels(*one, width, height) for one in (*rects, part_of or around(*rects)))
        return Place(self.number, tuple(parts), style.shown_pixels(size, width, height), region)


def _words(item: str | Statement) -> str:
    return item if isinstance(item, str) else item.text
