"""The sample world as data: families of documents, their pages and every fact on them. Nothing is drawn here.

A *template* is what documents of one kind look like: style, pages, headings, measures. Two families of every six share
one. A *family* is one company, and its documents of two to four consecutive years, all on one template: near-duplicates
which differ in what they say, so that finding the right page takes more than its looks.

Every fact (company, year, metric, item) stands at exactly one place: an exhibit's cell or a sentence.
Every random choice of a template or family comes from a generator of its own, so that a world of ten documents is the
beginning of one of ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from random import Random

from unidoc_rl.sample import style
from unidoc_rl.sample import vocabulary as words
from unidoc_rl.sample.vocabulary import Accounts, Dimension, Metric, Sector
from unidoc_rl.types import Split

SHARING = 6  # families in a group: two for each kind of document
SENTENCES = 60  # more than a page can hold; the page takes what fits

# 7 train, 1 validation, 2 test of ten; the first three families have one each.
_SPLITS = (Split.TRAIN, Split.TEST, Split.VALIDATION) + (Split.TRAIN,) * 4 + (Split.TEST,) + (Split.TRAIN,) * 2


class Kind(StrEnum):
    REPORT = "report"
    SLIDES = "slides"
    STATEMENT = "statement"


class Form(StrEnum):
    """How an exhibit shows its facts."""

    TABLE = "table"
    COLUMN = "column chart"
    BAR = "bar chart"
    LINE = "line chart"
    PIE = "pie chart"
    CARDS = "key figures"


class Recipe(StrEnum):
    """How a page is composed."""

    COVER = "cover"
    BODY = "body"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of one item in one year."""

    phrase: str  # "electricity use at the Bergen site"
    item: str
    unit: str  # empty where there is none to be asked for
    value: str  # as printed

    @property
    def answer(self) -> str:
        """The value as one would write it: without the separator of thousands."""
        return self.value.replace(",", "")


@dataclass(frozen=True, slots=True)
class Note:
    """Small print under a table, one item of which can be asked for."""

    text: str
    question: str
    item: str


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A table, chart or row of key figures: rows by columns of printed values."""

    title: str
    form: Form
    row_name: str  # what a row is: "country"
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    units: tuple[str, ...]  # one a column
    values: tuple[tuple[str, ...], ...]
    place: str  # how a question names a cell: "{metric} in {item}"
    small: bool  # in small print
    beside: bool  # takes half of the width
    note: Note | None

    def fact(self, row: int, column: int) -> Fact:
        item = self.rows[row]
        return Fact(self.phrase(item, column), item, self.units[column], self.values[row][column])

    def phrase(self, item: str, column: int) -> str:
        name = self.columns[column]
        return self.place.format(metric=lower(name), column=name, item=item, title=self.title)


@dataclass(frozen=True, slots=True)
class Pointer:
    """A sentence on one page which singles out a row of an exhibit on another page."""

    role: str  # how a question calls the item, without saying its name
    item: str
    exhibit: str  # the title


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence that carries something to ask for."""

    text: str
    says: Fact | Pointer


@dataclass(frozen=True, slots=True)
class Content:
    """What is on one page."""

    recipe: Recipe
    heading: str
    subheading: str
    statements: tuple[Statement, ...]
    exhibits: tuple[Exhibit, ...]
    prose: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    company: str
    label: str  # "annual report"
    year: int
    tagline: str
    kind: Kind
    style: style.Style
    pages: tuple[Content, ...]

    @property
    def file_name(self) -> str:
        return f"{self.company} {self.label} {self.year}".lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Family:
    index: int
    company: str
    documents: tuple[Document, ...]
    # What a question may ask for in vain: items and measures that no document of the family has.
    missing_items: dict[str, tuple[str, ...]]  # by what a row is; of accounts, by their title
    missing_metrics: tuple[Metric, ...]


# --- templates ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Frame:
    """An exhibit before a company fills it."""

    title: str
    form: Form
    source: Dimension | Accounts | tuple[str, ...]  # the parts, of a pie
    metrics: tuple[Metric, ...]  # empty for accounts, which bring their own columns
    rows: int
    small: bool
    beside: bool
    note: tuple[str, str] | None


@dataclass(slots=True)
class _Plan:
    """A page before a company fills it."""

    recipe: Recipe
    heading: str
    subheading: str
    frames: list[_Frame]
    metrics: list[Metric]  # told in sentences
    pointers: list[tuple[tuple[str, str], _Frame]]


@dataclass(frozen=True, slots=True)
class _Template:
    kind: Kind
    label: str
    sector: Sector
    style: style.Style
    plans: tuple[_Plan, ...]


class _Deck:
    """Hands out measures, titles and headings so that none comes twice in a document."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.metrics = {d.name: rng.sample(d.metrics, len(d.metrics)) for d in words.DIMENSIONS}
        self.tables = {d.name: rng.sample(d.tables, len(d.tables)) for d in words.DIMENSIONS}
        self.headings = {d.name: rng.sample(d.headings, len(d.headings)) for d in words.DIMENSIONS}
        self.pointers = {d.name: rng.sample(d.pointers, len(d.pointers)) for d in words.DIMENSIONS}
        self.account_pointers = rng.sample(words.ACCOUNT_POINTERS, len(words.ACCOUNT_POINTERS))
        self.account_headings = rng.sample(words.ACCOUNT_HEADINGS, len(words.ACCOUNT_HEADINGS))
        self.accounts = rng.sample(words.ACCOUNTS, len(words.ACCOUNTS))
        self.shares = rng.sample(words.SHARES, len(words.SHARES))
        self.share_headings = rng.sample(words.SHARE_HEADINGS, len(words.SHARE_HEADINGS))
        self.company = rng.sample(words.COMPANY, len(words.COMPANY))
        self.subheadings = rng.sample(words.SUBHEADINGS, len(words.SUBHEADINGS))

    def dimension(self, metrics: int) -> Dimension | None:
        """One that has that many measures to give and keeps one, which can then be asked for in vain."""
        able = [d for d in words.DIMENSIONS if len(self.metrics[d.name]) > metrics]
        return self.rng.choice(able) if able else None

    def table(self, small: bool, beside: bool) -> _Frame | None:
        columns = self.rng.randint(2, 3) if beside or not small else self.rng.randint(3, 4)
        dimension = self.dimension(columns)
        if dimension is None or not self.tables[dimension.name]:
            return None
        metrics = tuple(self.metrics[dimension.name].pop() for _ in range(columns))
        rows = self.rng.randint(6, 14) if small else self.rng.randint(4, 7)
        note = self.rng.choice(words.NOTES) if small or self.rng.random() < 0.3 else None
        title = self.tables[dimension.name].pop()
        return _Frame(title, Form.TABLE, dimension, metrics, rows, small, beside, note)

    def chart(self, beside: bool, small: bool) -> _Frame | None:
        if self.shares and self.rng.random() < 0.25:
            title, parts = self.shares.pop()
            metric = Metric(title, "%", 0, 100, 1)
            return _Frame(title, Form.PIE, parts, (metric,), self.rng.randint(4, 6), small, beside, None)
        dimension = self.dimension(1)
        if dimension is None:
            return None
        metric = self.metrics[dimension.name].pop()
        title = f"{metric.name} by {dimension.name}"
        if dimension is words.MONTH:
            form, rows = self.rng.choice((Form.LINE, Form.COLUMN)), 6 if beside else 12
        elif beside:
            form, rows = Form.BAR, self.rng.randint(4, 5)
        else:
            form, rows = self.rng.choice((Form.BAR, Form.COLUMN)), self.rng.randint(4, 7)
        return _Frame(title, form, dimension, (metric,), rows, small, beside, None)

    def cards(self, count: int) -> _Frame:
        metrics = tuple(self.company.pop() for _ in range(count))
        return _Frame("Key figures", Form.CARDS, (), metrics, count, False, False, None)

    def account(self, beside: bool) -> _Frame | None:
        if not self.accounts:
            return None
        accounts = self.accounts.pop()
        rows = self.rng.randint(9, min(len(accounts.lines) - 2, 18))
        return _Frame(accounts.title, Form.TABLE, accounts, (), rows, True, beside, self.rng.choice(words.NOTES))

    def heading(self, frame: _Frame) -> str:
        if isinstance(frame.source, Dimension):
            return self.headings[frame.source.name].pop() if self.headings[frame.source.name] else frame.title
        pool = self.account_headings if isinstance(frame.source, Accounts) else self.share_headings
        return pool.pop() if pool else frame.title

    def pointer(self, frame: _Frame) -> tuple[str, str] | None:
        if isinstance(frame.source, Accounts):
            pool = self.account_pointers
        elif isinstance(frame.source, Dimension):
            pool = self.pointers[frame.source.name]
        else:
            return None
        return pool.pop() if pool else None


# What stands on a page, from top to bottom; "half" exhibits come in pairs or with text beside them.
_PAGES: dict[Kind, tuple[tuple[str, ...], ...]] = {
    Kind.REPORT: (
        ("chart",),
        ("small chart",),
        ("table",),
        ("chart", "small table"),
        ("small half table", "chart"),
        ("half chart", "small table"),
        ("small half chart", "table"),
        ("small table", "small half table"),
        ("table", "half chart"),
        ("table", "small half chart"),
    ),
    Kind.SLIDES: (("chart",), ("half chart",), ("table",), ("small table",), ("half chart", "half chart")),
    Kind.STATEMENT: (
        ("account",),
        ("account", "account"),
        ("half account", "account"),
        ("account", "half account"),
        ("account", "small half chart"),
        ("chart", "account"),
        ("account", "small chart"),
    ),
}


def _frame(deck: _Deck, what: str) -> _Frame | None:
    half, small = "half" in what, "small" in what
    if "account" in what:
        return deck.account(half)
    return deck.chart(half, small) if "chart" in what else deck.table(small, half)


def _template(seed: int, kind: Kind, group: int, sector: Sector) -> _Template:
    rng = Random(f"{seed}/template/{kind}/{group}")
    look = style.choose(kind, rng)
    deck = _Deck(rng)
    label = rng.choice(words.LABELS[kind])
    bodies = min(rng.randint(1, 9), rng.randint(2, 9))
    overview = _Plan(Recipe.BODY, "At a glance", deck.subheadings.pop(), [deck.cards(rng.choice((3, 4, 6)))], [], [])
    plans = []
    for _ in range(bodies):
        frames = [f for f in (_frame(deck, what) for what in rng.choice(_PAGES[kind])) if f is not None]
        if frames:
            plans.append(_Plan(Recipe.BODY, deck.heading(frames[0]), deck.subheadings.pop(), frames, [], []))
    plans.insert(rng.choice((0, 0, 1)), overview)
    for plan in plans:
        if rng.random() < 0.6 and len(deck.company) > 5:
            plan.metrics.append(deck.company.pop())
    _point(deck, plans)
    cover = _Plan(Recipe.COVER, "", "", [], [], [])
    closing = [_Plan(Recipe.CLOSING, "About this document", "", [], [], [])] if rng.random() < 0.5 else []
    return _Template(kind, label, sector, look, (cover, *plans, *closing))


def _point(deck: _Deck, plans: list[_Plan]) -> None:
    """Puts sentences that single out a row of an exhibit on pages other than the exhibit's."""
    for plan in plans:
        for frame in plan.frames:
            others = [other for other in plans if other is not plan and len(other.pointers) < 2]
            if others and deck.rng.random() < 0.7:
                pointer = deck.pointer(frame)
                if pointer is not None:
                    deck.rng.choice(others).pointers.append((pointer, frame))


# --- families -------------------------------------------------------------------------------------------------------


def sizes(seed: int, documents: int) -> Iterator[tuple[int, int]]:
    """The families of a world, and how many documents of each it takes: all, but for the last."""
    index = 0
    while documents > 0:
        take = min(len(_years(seed, index)), documents)
        yield index, take
        documents -= take
        index += 1


def split(index: int) -> Split:
    """What a family's questions may be used for."""
    return _SPLITS[index % len(_SPLITS)]


def family(seed: int, index: int) -> Family:
    """The family of this number: the same, however large the world is."""
    group, kind = index // SHARING, tuple(Kind)[index % len(Kind)]
    sectors = Random(f"{seed}/sectors/{group}").sample(words.SECTORS, len(Kind))
    template = _template(seed, kind, group, sectors[index % len(Kind)])
    company = f"{_stems(seed)[index // 2]} {Random(f'{seed}/name/{index}').choice(template.sector.names)}"
    years = _years(seed, index)
    return _Filler(Random(f"{seed}/{index}"), template, company, years).family(index)


def _years(seed: int, index: int) -> tuple[int, ...]:
    rng = Random(f"{seed}/years/{index}")
    first = rng.randint(2013, 2021)
    return tuple(range(first, first + rng.randint(2, 4)))


@cache
def _stems(seed: int) -> tuple[str, ...]:
    """The first words of companies' names. Two families that follow each other share one, in different sectors."""
    stems = sorted({start + end for start in words.STEM_STARTS for end in words.STEM_ENDS})
    return tuple(Random(f"{seed}/stems").sample(stems, len(stems)))


class _Filler:
    """Fills a template with one company's items, values and sentences, for every year."""

    def __init__(self, rng: Random, template: _Template, company: str, years: tuple[int, ...]) -> None:
        self.rng = rng
        self.template = template
        self.company = company
        self.years = years
        self.currency = rng.choice(words.CURRENCIES)
        pools = {d.name: d.items for d in words.DIMENSIONS}
        pools |= {"segment": template.sector.segments, "product": template.sector.products}
        self.pools = pools
        kept = {"segment": 7, "product": 6, "country": 15, "site": 15, "month": 12}
        self.items = {name: rng.sample(pool, min(kept[name], len(pool))) for name, pool in pools.items()}
        self.items["month"] = list(words.MONTH.items)
        self.lines: set[str] = set()  # of the accounts

    def family(self, index: int) -> Family:
        by_year: list[list[Content]] = [[] for _ in self.years]
        exhibits = [[self._exhibits(frame) for frame in plan.frames] for plan in self.template.plans]
        rows = {frames[0].title: frames[0].rows for page in exhibits for frames in page}
        for plan, page in zip(self.template.plans, exhibits, strict=True):
            statements = self._statements(plan, rows)
            prose = self._prose()
            for n in range(len(self.years)):
                shown = tuple(frames[n] for frames in page)
                content = Content(plan.recipe, plan.heading, plan.subheading, statements[n], shown, prose[n])
                by_year[n].append(content)
        tagline = self.rng.choice(words.TAGLINES)
        template = self.template
        documents = tuple(
            Document(self.company, template.label, year, tagline, template.kind, template.style, tuple(pages))
            for year, pages in zip(self.years, by_year, strict=True)
        )
        return Family(index, self.company, documents, self._missing_items(), self._missing_metrics())

    def _exhibits(self, frame: _Frame) -> list[Exhibit]:
        """The exhibit of every year."""
        rows, columns, units, place, row_name = self._labels(frame)
        if frame.form is Form.PIE:
            values = [self._shares(len(rows)) for _ in self.years]
        elif frame.form is Form.CARDS:
            values = self._grid(frame.metrics, 1)
        elif isinstance(frame.source, Accounts):
            values = self._grid([Metric(c, "", 120, 90_000, 0) for c in columns], len(rows))
        else:
            values = self._grid(frame.metrics, len(rows), steady=frame.source is words.MONTH)
        notes = [self._note(frame, row_name, rows) for _ in self.years]
        return [
            Exhibit(frame.title, frame.form, row_name, rows, columns, units, v, place, frame.small, frame.beside, note)
            for v, note in zip(values, notes, strict=True)
        ]

    def _labels(self, frame: _Frame) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str, str]:
        """Rows, columns, units, how a question names a cell, and what a row is."""
        source = frame.source
        names, units = tuple(m.name for m in frame.metrics), tuple(self._unit(m) for m in frame.metrics)
        if isinstance(source, Accounts):
            rows = tuple(self._in_order(source.lines, frame.rows))
            self.lines.update(rows)
            unit = f"{self.currency} thousand"
            place = "the amount for “{item}” under “{column}” in the table “{title}”"
            return rows, source.columns, (unit,) * len(source.columns), place, "line"
        if isinstance(source, Dimension):
            place = "{metric} " + source.place.format("{item}")
            return tuple(self._rows(source, frame.rows)), names, units, place, source.name
        if frame.form is Form.PIE:
            place = "{metric}, for the part “{item}”"
            return tuple(self.rng.sample(source, frame.rows)), names, units, place, "part"
        return ("",), names, units, "{metric}", "company"

    def _rows(self, dimension: Dimension, count: int) -> list[str]:
        if dimension is words.MONTH:
            return list(dimension.items[: 12 if count > 6 else 6])
        items = self.items[dimension.name]
        return self.rng.sample(items, min(count, len(items)))

    def _in_order(self, items: Sequence[str], count: int) -> list[str]:
        kept = set(self.rng.sample(items, count))
        return [item for item in items if item in kept]

    def _unit(self, metric: Metric) -> str:
        return metric.unit.format(cur=self.currency)

    def _grid(self, metrics: Sequence[Metric], rows: int, steady: bool = False) -> list[tuple[tuple[str, ...], ...]]:
        """The values of every year, by row and column."""
        columns = [self._column(metric, rows, steady) for metric in metrics]
        return [tuple(zip(*(column[n] for column in columns), strict=True)) for n in range(len(self.years))]

    def _column(self, metric: Metric, rows: int, steady: bool = False) -> list[list[str]]:
        """Values by year and row: no two in a year alike, and each moving on from year to year."""
        step = 10**-metric.decimals
        level = [self._level(metric) for _ in range(rows)]
        if steady:
            level = [level[0] * self.rng.uniform(0.72, 1.28) for _ in level]
        years = []
        for _ in self.years:
            taken: set[str] = set()
            for row, value in enumerate(level):
                value = max(metric.low / 2, min(value * self.rng.uniform(0.86, 1.17), metric.high))
                while (text := f"{value:,.{metric.decimals}f}") in taken:
                    value -= step
                taken.add(text)
                level[row] = value
            years.append([f"{value:,.{metric.decimals}f}" for value in level])
        return years

    def _level(self, metric: Metric) -> float:
        """Where a range is wide, the lower part of it is more likely, as among people's figures."""
        skew = self.rng.uniform(0.3, 1) if metric.high > 100 else 1.0
        return max(metric.low, self.rng.uniform(metric.low, metric.high) * skew)

    def _shares(self, parts: int) -> tuple[tuple[str, ...], ...]:
        """Shares of one hundred, none too thin for its label, no two alike."""
        while True:
            weights = [self.rng.uniform(1, 3.2) for _ in range(parts)]
            tenths = [round(1000 * weight / sum(weights)) for weight in weights]
            tenths[-1] += 1000 - sum(tenths)
            if len(set(tenths)) == parts:
                return tuple((f"{share / 10:.1f}",) for share in tenths)

    def _note(self, frame: _Frame, row_name: str, rows: tuple[str, ...]) -> Note | None:
        if frame.note is None:
            return None
        item = self.rng.choice(rows)
        text = f"{frame.note[0].format(item)} {self.rng.choice(words.NOTE_TAILS)}"
        return Note(text, frame.note[1].format(row=row_name), item)

    def _statements(self, plan: _Plan, rows: dict[str, tuple[str, ...]]) -> list[tuple[Statement, ...]]:
        """The sentences of a page that carry something, for every year."""
        years: list[list[Statement]] = [[] for _ in self.years]
        for metric in plan.metrics:
            form, unit = self.rng.choice(words.FACT_SENTENCES), self._unit(metric)
            for n, (value,) in enumerate(self._column(metric, 1)):
                text = form.format(metric=metric.name, lower=lower(metric.name), value=printed(value, unit))
                years[n].append(Statement(text, Fact(lower(metric.name), "", unit, value)))
        for (sentence, role), frame in plan.pointers:
            for statements in years:
                item = self.rng.choice(rows[frame.title])
                statements.append(Statement(sentence.format(item), Pointer(role, item, frame.title)))
        return [tuple(statements) for statements in years]

    def _prose(self) -> list[tuple[str, ...]]:
        """A page's running text, of which a few sentences are other ones every year."""
        prose = [self._sentence() for _ in range(SENTENCES)]
        years = []
        for _ in self.years:
            prose = [self._sentence() if self.rng.random() < 0.04 else sentence for sentence in prose]
            years.append(tuple(prose))
        return years

    def _sentence(self) -> str:
        thing = self.rng.choice(self.template.sector.things + words.COMMON_THINGS)
        action = self.rng.choice(words.ACTIONS).format(thing)
        return f"{self.rng.choice(words.SUBJECTS)} {action} {self.rng.choice(words.TAILS)}."

    def _missing_items(self) -> dict[str, tuple[str, ...]]:
        missing = {name: [i for i in pool if i not in self.items[name]] for name, pool in self.pools.items()}
        for frame in (frame for plan in self.template.plans for frame in plan.frames):
            if isinstance(frame.source, Accounts):
                missing[frame.title] = [line for line in frame.source.lines if line not in self.lines]
        return {name: tuple(items) for name, items in missing.items() if items}

    def _missing_metrics(self) -> tuple[Metric, ...]:
        plans = self.template.plans
        told = {m.name for plan in plans for m in plan.metrics}
        shown = {m.name for plan in plans for frame in plan.frames for m in frame.metrics}
        missing = [metric for metric in words.COMPANY if metric.name not in told | shown]
        return tuple(metric._replace(unit=self._unit(metric)) for metric in missing)


def lower(name: str) -> str:
    """A measure's name within a sentence."""
    return name if name[1].isupper() or name[1] == "O" else name[0].lower() + name[1:]


def printed(value: str, unit: str) -> str:
    """A value with its unit, as a sentence says it: EUR 3.4 million, 12.5%, 6.3 years."""
    first, _, rest = unit.partition(" ")
    if first in words.CURRENCIES:
        return f"{first} {value} {rest}".rstrip()
    return f"{value}%" if unit == "%" else f"{value} {unit}".rstrip()
