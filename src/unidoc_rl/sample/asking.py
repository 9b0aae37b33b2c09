"""Questions about a family's documents, with their answers and gold regions, from what was drawn where.

Every question names the company and the year (and mostly the kind of document), so that it has one answer in the whole
world. A number's answer is the number without unit and separators; a list's, its items with a comma between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from unidoc_rl.sample.documents import Place, Shown, ShownExhibit
from unidoc_rl.sample.style import SMALL_PRINT
from unidoc_rl.sample.world import Document, Fact, Family, Form, lower
from unidoc_rl.types import AnswerFormat, Evidence, Question, QuestionKind

NOT_ANSWERABLE = "Not answerable"

_LOOKUP = (
    "What figure does the {doc} give for {phrase}{unit}?",
    "According to the {doc}, what is the figure for {phrase}{unit}?",
    "Look at the {doc}: which value is reported for {phrase}{unit}?",
    "What did {company} report for {phrase} in {year}{unit}?",
    "Please find {phrase} in the {doc}{unit}.",
)
_CHART = (
    "In the chart “{title}” of the {doc}, what value is shown for {item}{unit}?",
    "Which value does the {doc} show for {item} in the chart “{title}”{unit}?",
    "Read the chart “{title}” in the {doc}: how much is it for {item}{unit}?",
)
_HOP = (
    "What figure does the {doc} give under “{column}” in “{title}” for {role}{unit}?",
    "Consider {role}, as told in the {doc}. What is its figure for “{column}” in “{title}”{unit}?",
    "In the {doc}, find {role}; what does “{title}” say of it under “{column}”{unit}?",
)
_CHANGE = (
    "By how much did {phrase} differ between the {labels} of {company} for {former} and {year}{unit}?",
    "Compare the {labels} {former} and {year} of {company}: how large is the difference in {phrase}{unit}?",
    "What is the difference between {company}’s figures of {former} and {year} for {phrase}{unit}?",
)
_HIGHER = (
    "Which is higher in “{title}” of the {doc} under “{column}”: {first} or {second}?",
    "According to “{title}” in the {doc}, which of the two has the higher figure for “{column}”, {first} or {second}?",
)
_LATER = (
    "In which year did {company} report the higher figure for {phrase}: {former} or {year}?",
    "Going by the {labels} of {company}, was {phrase} higher in {former} or in {year}? Name the year.",
)


WORDINGS = (*_LOOKUP, *_CHART, *_HOP, *_CHANGE, *_HIGHER, *_LATER)  # in which most questions are put


@dataclass(frozen=True, slots=True)
class _Draft:
    """A question without its number."""

    query: str
    answer: str
    format: AnswerFormat
    kind: QuestionKind
    source: str
    document: Document
    evidence: tuple[tuple[Document, Place], ...] = ()


@dataclass(frozen=True, slots=True)
class _Cell:
    """One value of an exhibit, with where it stands."""

    shown: Shown
    found: ShownExhibit
    row: int
    column: int
    fact: Fact

    @property
    def column_name(self) -> str:
        return self.found.exhibit.columns[self.column]

    @property
    def evidence(self) -> tuple[Document, Place]:
        return self.shown.document, self.found.cells[self.row][self.column]


def ask(family: Family, shown: Sequence[Shown], seed: int, readable: float) -> Iterator[Question]:
    """The questions of a family, of which `shown` are the documents in this world, from the first year on.

    `readable`: type of fewer pixels than this must be zoomed into.
    """
    number = 0
    for n, document in enumerate(shown):
        rng = Random(f"{seed}/{family.index}/questions/{n}")
        drafts = _Asker(rng, family, document).drafts()
        if n:
            drafts += _across_years(rng, shown[n - 1], document)
        for draft in drafts:
            yield _question(draft, f"sample-{seed}-{family.index:06d}-{number:02d}", readable)
            number += 1


def everything(family: Family, shown: Shown, seed: int, readable: float) -> Iterator[Question]:
    """Each question to which one page of this document has the answer: to learn reading from, not to be scored by."""
    asker = _Asker(Random(f"{seed}/{family.index}/everything/{shown.document.year}"), family, shown)
    for number, draft in enumerate(asker.everything()):
        uid = f"everything-{seed}-{family.index:06d}-{shown.document.year}-{number:04d}"
        question = _question(draft, uid, readable)
        if len(question.evidence) == 1:
            yield question


def in_vain(family: Family, shown: Shown, seed: int, readable: float) -> Iterator[Question]:
    """Questions about this document that nothing answers, to learn from likewise."""
    asker = _Asker(Random(f"{seed}/{family.index}/in vain/{shown.document.year}"), family, shown)
    for number, draft in enumerate(asker.unanswerable()):
        yield _question(draft, f"in-vain-{seed}-{family.index:06d}-{shown.document.year}-{number:04d}", readable)


def _question(draft: _Draft, uid: str, readable: float) -> Question:
    pages: dict[tuple[str, int], list[Place]] = {}
    for document, place in draft.evidence:
        pages.setdefault((document.file_name, place.page), []).append(place)
    return Question(
        uid=uid,
        query=draft.query,
        answer=draft.answer,
        answer_format=draft.format,
        kind=draft.kind,
        source_type=draft.source,
        file_name=draft.document.file_name,
        evidence=tuple(
            Evidence(
                name,
                page,
                tuple(dict.fromkeys(place.region for place in places)),
                any(place.pixels < readable for place in places),
                tuple(dict.fromkeys(part for place in places for part in place.parts)),
            )
            for (name, page), places in pages.items()
        ),
    )


class _Asker:
    """Asks about one document."""

    def __init__(self, rng: Random, family: Family, shown: Shown) -> None:
        self.rng = rng
        self.family = family
        self.shown = shown
        self.document = shown.document
        self.cells = _cells(shown)

    def drafts(self) -> list[_Draft]:
        rounds: tuple[tuple[Callable[[], Iterator[_Draft]], int], ...] = (
            (self._lookups, 3),
            (self._charts, self.rng.choice((1, 2))),
            (self._layouts, self.rng.choice((1, 2))),
            (self._hops, 1),
            (self._comparisons, 1),
            (self.unanswerable, 1),
        )
        return [draft for make, count in rounds for draft in self._sample(make(), count)]

    def everything(self) -> Iterator[_Draft]:
        return itertools.chain(self._lookups(), self._charts(), self._layouts(), self._comparisons())

    def _sample(self, drafts: Iterator[_Draft], count: int) -> list[_Draft]:
        """A few of many, of as many kinds of source and print as there are."""
        groups: dict[tuple[str, bool, str], list[_Draft]] = {}
        for draft in drafts:
            small = any(place.pixels < SMALL_PRINT for _, place in draft.evidence)
            # Layout and unanswerable questions differ in what they ask, which their first words tell.
            start = draft.query.split("“")[0] if draft.kind is QuestionKind.LAYOUT else ""
            groups.setdefault((draft.source, small, start), []).append(draft)
        order = self.rng.sample(list(groups), len(groups))
        return [self.rng.choice(groups[group]) for group in order[:count]]

    def _lookups(self) -> Iterator[_Draft]:
        for cell in self.cells:
            if cell.found.exhibit.form in (Form.TABLE, Form.CARDS):
                yield self._value(_LOOKUP, cell.fact, _source(cell), (cell.evidence,), QuestionKind.LOOKUP)
        for fact, place in self.shown.facts:
            yield self._value(_LOOKUP, fact, "text", ((self.document, place),), QuestionKind.LOOKUP)

    def _charts(self) -> Iterator[_Draft]:
        for cell in self.cells:
            exhibit = cell.found.exhibit
            if _source(cell) == "chart":
                more = {"title": exhibit.title, "item": cell.fact.item}
                yield self._value(_CHART, cell.fact, "chart", (cell.evidence,), QuestionKind.CHART, **more)
        for found in self.shown.exhibits:
            exhibit = found.exhibit
            if found.header is None and exhibit.form is not Form.CARDS:
                best = max(range(len(exhibit.rows)), key=lambda row: float(exhibit.fact(row, 0).answer))
                query = (
                    f"Which {exhibit.row_name} has the highest value in the chart “{exhibit.title}” of the {self._doc}?"
                )
                yield self._draft(query, exhibit.rows[best], QuestionKind.CHART, "chart", found.whole)

    def _layouts(self) -> Iterator[_Draft]:
        kind = QuestionKind.LAYOUT
        for heading in self.shown.headings:
            query = f"What is the second heading on the page “{heading.heading}” of the {self._doc}?"
            yield self._draft(query, heading.subheading, kind, "layout", heading.place)
        for found in self.shown.exhibits:
            exhibit, title = found.exhibit, f"“{found.exhibit.title}” in the {self._doc}"
            rows = len(exhibit.rows)
            if found.note is not None and exhibit.note is not None:
                query = f"{exhibit.note.question}, according to the note under the table {title}?"
                yield self._draft(query, exhibit.note.item, kind, "layout", found.note)
            if found.header is not None:
                query = f"How many rows, not counting its head, has the table {title}?"
                yield self._draft(query, str(rows), kind, "layout", found.whole, AnswerFormat.INT)
                query = f"Name the columns of numbers, from left to right and without units, of the table {title}."
                yield self._draft(query, ", ".join(exhibit.columns), kind, "layout", found.header, AnswerFormat.LIST)
                # Months stand in an order that everybody knows without looking.
                for name, row in (("first", 0), ("last", rows - 1)) if exhibit.row_name != "month" else ():
                    query = f"Which {exhibit.row_name} is in the {name} row of the table {title}?"
                    yield self._draft(query, exhibit.rows[row], kind, "layout", found.labels[row])
            elif exhibit.form is not Form.CARDS:
                marks = {Form.PIE: "slices", Form.LINE: "points"}.get(exhibit.form, "bars")
                query = f"How many {marks} has the chart {title}?"
                yield self._draft(query, str(rows), kind, "layout", found.whole, AnswerFormat.INT)

    def _hops(self) -> Iterator[_Draft]:
        """One page tells which item is meant, another has its value."""
        for pointer, place in self.shown.pointers:
            for cell in self.cells:
                exhibit = cell.found.exhibit
                if exhibit.title == pointer.exhibit and cell.fact.item == pointer.item:
                    evidence = ((self.document, place), cell.evidence)
                    more = {"title": exhibit.title, "column": cell.column_name, "role": pointer.role}
                    yield self._value(_HOP, cell.fact, _source(cell), evidence, QuestionKind.MULTI_HOP, **more)

    def _comparisons(self) -> Iterator[_Draft]:
        for found in self.shown.exhibits:
            exhibit = found.exhibit
            if exhibit.form is Form.CARDS:
                continue
            column = self.rng.randrange(len(exhibit.columns))
            first, second = self.rng.sample(range(len(exhibit.rows)), 2)
            cells = [_Cell(self.shown, found, row, column, exhibit.fact(row, column)) for row in (first, second)]
            query = self.rng.choice(_HIGHER).format(
                title=exhibit.title,
                doc=self._doc,
                column=exhibit.columns[column],
                first=exhibit.rows[first],
                second=exhibit.rows[second],
            )
            yield self._higher(query, cells, [cell.fact.item for cell in cells])
        yield from self._two_pages()

    def _two_pages(self) -> Iterator[_Draft]:
        """Two measures of one item, in the same unit, on different pages."""
        alike: dict[tuple[str, str, str], list[_Cell]] = {}
        for cell in self.cells:
            row = cell.found.exhibit.row_name
            if row not in ("company", "line", "part"):
                alike.setdefault((row, cell.fact.item, cell.fact.unit), []).append(cell)
        for first, second in (pair for cells in alike.values() for pair in itertools.combinations(cells, 2)):
            if first.evidence[1].page != second.evidence[1].page and first.fact.answer != second.fact.answer:
                names = [first.column_name, second.column_name]
                one, other = map(lower, names)
                query = f"Which is higher for {first.fact.item} in the {self._doc}: {one} or {other}?"
                yield self._higher(query, [first, second], names)

    def _higher(self, query: str, cells: Sequence[_Cell], names: Sequence[str]) -> _Draft:
        best = max(range(len(cells)), key=lambda n: float(cells[n].fact.answer))
        evidence = tuple(cell.evidence for cell in cells)
        return _Draft(
            query, names[best], AnswerFormat.STR, QuestionKind.COMPARISON, _source(cells[0]), self.document, evidence
        )

    def unanswerable(self) -> Iterator[_Draft]:
        """Asked like what can be answered, but for an item, a measure or a year that the documents do not have."""
        for cell in self.cells:
            exhibit = cell.found.exhibit
            missing = self.family.missing_items.get(exhibit.title if exhibit.row_name == "line" else exhibit.row_name)
            if missing and cell.row == 0:
                phrase = exhibit.phrase(self.rng.choice(missing), cell.column)
                yield self._in_vain(phrase, cell.fact.unit, "table")
        for metric in self.family.missing_metrics:
            yield self._in_vain(lower(metric.name), metric.unit, "text")
        years = [document.year for document in self.family.documents]
        if self.document.year in (years[0], years[-1]):
            year = years[0] - self.rng.randint(1, 2) if self.document.year == years[0] else years[-1] + 1
            fact = self.rng.choice(self.cells).fact
            yield self._in_vain(fact.phrase, fact.unit, "layout", year)

    def _in_vain(self, phrase: str, unit: str, source: str, year: int | None = None) -> _Draft:
        query = self._words(self.rng.choice(_LOOKUP), year or self.document.year, phrase=phrase, unit=_in(unit))
        return _Draft(query, NOT_ANSWERABLE, AnswerFormat.NONE, QuestionKind.UNANSWERABLE, source, self.document)

    def _value(
        self,
        templates: Sequence[str],
        fact: Fact,
        source: str,
        evidence: tuple[tuple[Document, Place], ...],
        kind: QuestionKind,
        **more: str,
    ) -> _Draft:
        """A question whose answer is a fact's value."""
        query = self._words(
            self.rng.choice(templates), self.document.year, phrase=fact.phrase, unit=_in(fact.unit), **more
        )
        return _Draft(query, fact.answer, _format(fact.answer), kind, source, self.document, evidence)

    def _draft(
        self,
        query: str,
        answer: str,
        kind: QuestionKind,
        source: str,
        place: Place,
        answer_format: AnswerFormat = AnswerFormat.STR,
    ) -> _Draft:
        return _Draft(query, answer, answer_format, kind, source, self.document, ((self.document, place),))

    def _words(self, template: str, year: int, **more: str) -> str:
        doc = f"{self.document.label} {year} of {self.document.company}"
        return template.format(doc=doc, company=self.document.company, year=year, **more)

    @property
    def _doc(self) -> str:
        return f"{self.document.label} {self.document.year} of {self.document.company}"


def _across_years(rng: Random, former: Shown, shown: Shown) -> list[_Draft]:
    """Two documents at once: how a value changed, and when another one was higher."""
    drafts = []
    pairs = [
        (before, after)
        for before, after in zip(_cells(former), _cells(shown), strict=True)
        if before.fact.answer != after.fact.answer
    ]
    for templates, pair in zip((_CHANGE, _LATER), rng.sample(pairs, 2), strict=True):
        before, after = (cell.fact for cell in pair)
        query = rng.choice(templates).format(
            phrase=after.phrase,
            labels=_plural(shown.document.label),
            company=shown.document.company,
            former=former.document.year,
            year=shown.document.year,
            unit=_in(after.unit),
        )
        later = float(after.answer) > float(before.answer)
        if templates is _CHANGE:
            decimals = len(after.answer.partition(".")[2])
            answer = f"{abs(float(after.answer) - float(before.answer)):.{decimals}f}"
            kind = QuestionKind.MULTI_HOP
        else:
            answer, kind = str((shown if later else former).document.year), QuestionKind.COMPARISON
        evidence = tuple(cell.evidence for cell in pair)
        drafts.append(_Draft(query, answer, _format(answer), kind, _source(pair[1]), former.document, evidence))
    return drafts


def _cells(shown: Shown) -> list[_Cell]:
    return [
        _Cell(shown, found, row, column, found.exhibit.fact(row, column))
        for found in shown.exhibits
        for row in range(len(found.exhibit.rows))
        for column in range(len(found.exhibit.columns))
    ]


def _source(cell: _Cell) -> str:
    return {Form.TABLE: "table", Form.CARDS: "figures"}.get(cell.found.exhibit.form, "chart")


def _format(answer: str) -> AnswerFormat:
    return AnswerFormat.FLOAT if "." in answer else AnswerFormat.INT


def _plural(label: str) -> str:
    return label if label.endswith("s") else f"{label}s"


def _in(unit: str) -> str:
    return f" (in {unit})" if unit else ""
