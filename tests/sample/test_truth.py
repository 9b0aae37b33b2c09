"""What the questions claim, held against the PDF files themselves."""

from __future__ import annotations

import difflib
import re
from collections import Counter

from tests.sample.reading import World
from unidoc_rl import boxes, names
from unidoc_rl.sample import vocabulary
from unidoc_rl.types import AnswerFormat, Question, QuestionKind, Split

_NUMBERS = (AnswerFormat.INT, AnswerFormat.FLOAT)


def _single(world: World) -> list[Question]:
    return [q for q in world.all if q.kind in (QuestionKind.LOOKUP, QuestionKind.CHART) and len(q.evidence) == 1]


def _numbers(text: str) -> list[str]:
    return [number.replace(",", "") for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def _places(world: World, question: Question) -> list[str]:
    """What stands in those of each page."""
    return [" ".join(world.text_in(e.file_name, e.page, box) for box in e.places) for e in question.evidence]


def test_the_gold_place_holds_the_answer(world: World) -> None:
    checked: Counter[str] = Counter()
    for question in world.all:
        texts = _places(world, question)
        if question.kind in (QuestionKind.MULTI_HOP, QuestionKind.COMPARISON, QuestionKind.UNANSWERABLE):
            continue
        if question.source_type == "chart" and not any(texts):
            continue  # a picture: `test_crop.py` reads it
        (text,) = texts
        if question.answer_format in _NUMBERS and "How many" not in question.query:
            assert question.answer in _numbers(text), (question, text)
        elif question.answer_format is AnswerFormat.LIST:
            printed = re.sub(r"\([^)]*\)", " ", text)
            assert all(_has(printed, part) for part in question.answer.split(", ")), (question, text)
        elif question.answer_format is AnswerFormat.STR and question.source_type != "chart":
            assert _has(text, question.answer), (question, text)
        checked[question.source_type] += 1
    assert all(checked[source] >= 2 for source in ("table", "figures", "text", "chart", "layout")), checked


def test_of_a_row_its_name_is_noted_and_the_value_that_is_asked_for(world: World) -> None:
    checked = 0
    for question in _single(world):
        if question.source_type == "table":
            (evidence,) = question.evidence
            name, value = (world.text_in(evidence.file_name, evidence.page, box) for box in evidence.places)
            assert name in question.query
            assert _numbers(value) == [question.answer]  # and no other of its row
            checked += 1
    assert checked > 10


def test_places_lie_in_their_regions_of_which_no_two_are_the_same(world: World) -> None:
    for question in world.all:
        for evidence in question.evidence:
            assert len(set(evidence.regions)) == len(evidence.regions)
            for place in evidence.places:
                assert any(boxes.union([region, place]) == region for region in evidence.regions)


def _has(text: str, words: str) -> bool:
    """Whether all the words are there; a heading's words may stand on two lines."""
    return all(word in text for word in words.split(" "))


def test_a_row_count_is_the_number_of_rows(world: World) -> None:
    counted = 0
    for question in world.all:
        if question.query.startswith("How many rows"):
            evidence = question.evidence[0]
            lines = world.pdf(evidence.file_name)[evidence.page - 1].get_textpage()
            width, height = world.pdf(evidence.file_name)[evidence.page - 1].get_size()
            box = evidence.regions[0]
            # The left part of the table holds the labels only; one of the lines is the head.
            left, right = box.x1, box.x1 + (box.x2 - box.x1) * 0.12
            bottom, top = height * (1 - box.y2 / 1000) - 1, height * (1 - box.y1 / 1000) + 1
            text = lines.get_text_bounded(left * width / 1000 - 1, bottom, right * width / 1000, top)
            assert len(text.strip().splitlines()) - 1 == int(question.answer), (question, text)
            counted += 1
    assert counted >= 2


def test_two_documents_are_needed_where_years_are_compared(world: World) -> None:
    """The difference, or the year of the higher value, follows from the two gold places."""
    seen: Counter[str] = Counter()
    for question in world.all:
        if len({e.file_name for e in question.evidence}) != 2:
            continue
        texts = _places(world, question)
        assert len(texts) == 2
        if not all(texts):
            continue
        before, after = (float(_numbers(text)[-1]) for text in texts)
        if "(in" in texts[0] or question.source_type in ("figures", "chart"):
            continue  # more than one number, or the value not last
        years = [e.file_name.rpartition("-")[2] for e in question.evidence]
        if question.kind == QuestionKind.MULTI_HOP:
            assert abs(abs(after - before) - float(question.answer)) < 1e-6, (question, texts)
        else:
            assert question.answer == (years[1] if after > before else years[0]), (question, texts)
        seen[question.kind] += 1
    assert min(seen[QuestionKind.MULTI_HOP], seen[QuestionKind.COMPARISON]) >= 3


def test_a_hop_goes_from_the_page_that_names_to_the_page_that_tells(world: World) -> None:
    hops = 0
    for question in world.all:
        if question.kind == QuestionKind.MULTI_HOP and len({e.file_name for e in question.evidence}) == 1:
            first, second = question.evidence
            assert first.page != second.page
            named, told = _places(world, question)
            if told:
                assert question.answer in _numbers(told)
                label = re.split(r" [\d,.]+(?: |$)|$", told)[0]
                assert label[:3] in named, (named, told)
                assert label not in question.query  # it must be found out
            hops += 1
    assert hops >= 10


def test_a_fact_is_printed_on_one_page_only(world: World) -> None:
    """The measure that is asked for (or the accounts table) stands on the gold page of the document and on no other."""
    measures = [m.name for d in vocabulary.DIMENSIONS for m in d.metrics] + [m.name for m in vocabulary.COMPANY]
    measures += [title for title, _ in vocabulary.SHARES]
    checked: Counter[str] = Counter()
    for question in _single(world):
        evidence = question.evidence[0]
        texts = world.texts(evidence.file_name)
        title = re.search("table “(.*)”", question.query)
        asked = title[1] if title else next(m for m in measures if m.lower() in question.query.lower())
        pages = [n for n, text in enumerate(texts, 1) if asked.lower() in text.lower()]
        assert pages == [evidence.page], (question, asked)
        checked[question.source_type] += 1
    assert all(checked[source] >= 5 for source in ("table", "figures", "text", "chart")), checked


def test_each_company_and_year_has_one_document(world: World) -> None:
    for question in world.all:
        name = question.file_name
        company = next(words for words in _companies(world) if words.lower().replace(" ", "-") in name)
        assert company in question.query
        others = [other for other in world.names if any(company in text for text in world.texts(other))]
        assert {other.rpartition("-")[0] for other in others} == {name.rpartition("-")[0]}
        assert len({other.rpartition("-")[2] for other in others}) == len(others)
        if question.kind != QuestionKind.UNANSWERABLE:
            assert name.rpartition("-")[2] in question.query


def _companies(world: World) -> set[str]:
    """The names on the covers."""
    return {" ".join(world.texts(name)[0].split(" ")[:2]) for name in world.names}


def test_file_names_are_document_names(world: World) -> None:
    assert [names.document_name(name) for name in world.names] == world.names
    assert {e.file_name for q in world.all for e in q.evidence} <= set(world.names)


def test_splits_share_no_document(world: World) -> None:
    files = {
        split: {q.file_name for q in world.split(split)} | {e.file_name for q in world.split(split) for e in q.evidence}
        for split in Split
    }
    assert all(files.values())
    assert sum(map(len, files.values())) == len(set().union(*files.values())) == len(world.names)


def test_every_kind_and_source_occurs_and_ids_are_unique(world: World) -> None:
    kinds = Counter(question.kind for question in world.all)
    assert all(kinds[kind] >= 10 for kind in QuestionKind), kinds
    assert {q.source_type for q in world.all} == {"text", "table", "chart", "figures", "layout"}
    assert len({q.uid for q in world.all}) == len({q.query for q in world.all}) == len(world.all)


def test_what_is_not_answerable_is_nowhere_in_the_companys_documents(world: World) -> None:
    measures = {m.name for d in vocabulary.DIMENSIONS for m in d.metrics} | {m.name for m in vocabulary.COMPANY}
    items = {item for d in vocabulary.DIMENSIONS for item in d.items}
    items |= {item for sector in vocabulary.SECTORS for item in sector.segments + sector.products}
    items |= {line for accounts in vocabulary.ACCOUNTS for line in accounts.lines}
    missing: Counter[str] = Counter()
    for question in world.all:
        if question.kind != QuestionKind.UNANSWERABLE:
            continue
        assert (question.answer, question.answer_format, question.evidence) == ("Not answerable", AnswerFormat.NONE, ())
        stem = question.file_name.rpartition("-")[0]
        texts = [text for name in world.names if name.startswith(stem) for text in world.texts(name)]
        year = re.search(r"\b20\d\d\b", question.query)
        assert year
        absent = {
            "year": not any(re.search(rf"\b{year[0]}\b", text) for text in texts),
            "item": any(_word(i, question.query) and not any(_word(i, t) for t in texts) for i in items),
            "measure": any(
                m.lower() in question.query.lower() and not any(m.lower() in t.lower() for t in texts) for m in measures
            ),
        }
        assert any(absent.values()), question
        missing.update(what for what, is_absent in absent.items() if is_absent)
    assert all(missing[what] for what in ("year", "item", "measure")), missing


def _word(word: str, text: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text) is not None


def test_documents_of_a_family_are_near_duplicates(world: World) -> None:
    alike = 0
    for name in world.names:
        stem, _, year = name.rpartition("-")
        other = f"{stem}-{int(year) + 1}"
        if other in world.names:
            mine, theirs = (re.sub(r"[\d.,]+", " ", " ".join(world.texts(n))).split() for n in (name, other))
            ratio = difflib.SequenceMatcher(None, mine, theirs, autojunk=False).ratio()
            assert ratio > 0.75, (name, ratio)
            alike += ratio >= 0.9
    assert alike >= 3
