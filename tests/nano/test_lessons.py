"""What the nano model is taught is true: letters stand where they are said to, and replies are what the page says."""

from __future__ import annotations

import re
import string
from collections import Counter
from dataclasses import replace
from itertools import islice
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from unidoc_rl import boxes
from unidoc_rl.agent.dialect import parse
from unidoc_rl.agent.encoding import IMAGE, UNSAID
from unidoc_rl.agent.scripted import NOT_ANSWERABLE
from unidoc_rl.nano import lessons, pages, specimens
from unidoc_rl.nano.batches import Maker
from unidoc_rl.nano.glyphs import ACROSS, DOWN, EMPTY, NOWHERE, PLACES, UNKNOWN, class_of, glyphs, in_order
from unidoc_rl.nano.looks import UNTOLD
from unidoc_rl.nano.model import PROTOCOL, TOKEN, make_tokenizer
from unidoc_rl.nano.parts import Seen, open_page
from unidoc_rl.nano.recipe import Stage
from unidoc_rl.nano.talk import Lesson, Turn
from unidoc_rl.params import SampleParams
from unidoc_rl.types import Answer, Search, Select, Zoom

SEEDS = st.integers(0, 10_000)


@pytest.fixture(scope="module")
def family() -> tuple[pages.DrawnPage, ...]:
    return pages.family(pages.UNASKED, 1)


def taken(task: str, family: tuple[pages.DrawnPage, ...], seed: int, count: int = 3) -> list[Lesson]:
    return list(islice(lessons.of(task, Random(seed), [family]), count))


def pairs(lesson: Lesson) -> list[tuple[str, str]]:
    """All that is asked, and what is to be replied."""
    return [(str(turn.told[0][0]), turn.reply) for turn in lesson.turns]


def ink(seen: Seen) -> np.ndarray:
    """How far each square of a token is from one colour."""
    grey = np.asarray(seen.image.convert("L"), float)
    squares = grey.reshape(grey.shape[0] // TOKEN, TOKEN, -1, TOKEN).swapaxes(1, 2)
    return np.asarray(squares.reshape(-1, TOKEN * TOKEN).std(axis=1))


@settings(max_examples=5)
@given(SEEDS)
def test_where_letters_are_said_to_stand_there_is_ink(family: tuple[pages.DrawnPage, ...], seed: int) -> None:
    for lesson in taken("looking", family, seed):
        (seen,) = lesson.seen
        assert seen.glyphs.shape == (seen.image.width * seen.image.height // TOKEN**2, PLACES)
        crowded = (seen.glyphs > EMPTY).sum(axis=1) >= 3
        assert ink(seen)[crowded].min(initial=99) > 3
        bare = (seen.glyphs == EMPTY).all(axis=1)
        if crowded.sum() > 3 and bare.any():  # in the largest letters the middle of one is far from its end
            assert np.median(ink(seen)[bare]) < np.median(ink(seen)[crowded])


def test_a_specimen_is_full_of_letters(family: tuple[pages.DrawnPage, ...]) -> None:
    printed = [lesson.seen[0] for lesson in taken("printing", specimens.specimen(pages.UNASKED, 1), 1, 8)]
    looked = [lesson.seen[0] for lesson in taken("looking", family, 1, 8)]
    crowded, usual = (
        sum((seen.glyphs > EMPTY).sum() for seen in some) / sum(seen.tokens for seen in some)
        for some in (printed, looked)
    )
    assert crowded > 2 * usual
    for seen in printed:
        assert ink(seen)[(seen.glyphs > EMPTY).sum(axis=1) >= 3].min(initial=99) > 3
    everything = np.unique(np.concatenate([seen.glyphs for seen in printed]))
    assert set(everything[everything > EMPTY]) >= set(map(class_of, string.digits))


@settings(max_examples=5)
@given(SEEDS)
def test_read_aloud_is_what_stands_in_the_picture(family: tuple[pages.DrawnPage, ...], seed: int) -> None:
    for lesson in taken("transcribing", family, seed):
        (seen,) = lesson.seen
        said = len("".join(lesson.turns[0].reply.split()))
        # Two letters whose middles lie in one place count once; of a neighbour that is cut, a letter may be seen.
        assert 0.5 * said <= (seen.glyphs > EMPTY).sum() <= said + 8


@settings(max_examples=5)
@given(SEEDS)
def test_token_by_token_a_line_has_its_letters_in_order(family: tuple[pages.DrawnPage, ...], seed: int) -> None:
    for lesson in taken("sounding", family, seed, 6):
        (seen,) = lesson.seen
        said = [class_of(letter) for letter in "".join(lesson.turns[0].reply.split())]
        told = seen.letters[seen.letters > EMPTY].tolist()
        assert any(told[at : at + len(said)] == said for at in range(len(told) - len(said) + 1))  # neighbours are cut


@settings(max_examples=5)
@given(SEEDS)
def test_what_is_copied_stands_where_it_is_said_to(family: tuple[pages.DrawnPage, ...], seed: int) -> None:
    for task in ("rows", "valuing", "answering", "asking", "listening"):
        for lesson in taken(task, family, seed):
            for turn in lesson.turns:
                for letter, spot in zip(turn.reply, turn.spots, strict=bool(turn.spots)):
                    if spot:
                        source = lesson.parts[spot.part]
                        if spot.heard:
                            text = lesson.parts[spot.heard[0]]
                            assert isinstance(text, str)
                            assert text[spot.heard[1]].lower() == letter.lower()
                        if isinstance(source, Seen):
                            there = source.glyphs[spot.at]
                            assert class_of(letter) in there or UNKNOWN in there
                        else:
                            assert source[spot.at] == letter


@settings(max_examples=5)
@given(SEEDS)
def test_all_of_a_search_and_of_a_value_is_copied(family: tuple[pages.DrawnPage, ...], seed: int) -> None:
    for task, action in (("asking", Search), ("valuing", Answer)):
        for lesson in taken(task, family, seed):
            for turn in lesson.turns:
                said = parse(turn.reply)
                assert isinstance(said.action, action)
                text = said.action.query if isinstance(said.action, Search) else said.action.text
                start = turn.reply.rindex(text)
                spots = turn.spots[start : start + len(text)]
                assert all(spot or letter == " " for letter, spot in zip(text, spots, strict=True))


def test_questions_of_each_kind_and_source_are_as_frequent(family: tuple[pages.DrawnPage, ...]) -> None:
    """A page has dozens of values in tables, and one in its text."""
    asked = max((page.asked for page in family), key=len)
    every = Counter((one.question.kind, one.question.source_type) for one in asked)
    rng = Random(0)
    drawn = Counter(
        (one.question.kind, one.question.source_type) for one in (pages.one_of(rng, asked) for _ in range(700))
    )
    assert max(every.values()) > 10 * min(every.values())
    assert set(drawn) == set(every)
    assert max(drawn.values()) < 2 * min(drawn.values())


def test_a_corner_stands_where_it_lies(family: tuple[pages.DrawnPage, ...]) -> None:
    for lesson in taken("locating", family, 2):
        (seen,) = lesson.seen
        across = seen.image.width // TOKEN
        for turn in lesson.turns:
            action = parse(turn.reply).action
            assert isinstance(action, Zoom)
            numbers = [number for region in action.regions for number in region]
            for n, found in enumerate(re.finditer(r"\d+", turn.reply)):
                (spot,) = set(turn.spots[found.start() : found.end()])
                assert spot is not None
                assert lesson.parts[spot.part] is seen
                start = (spot.at // across if n % 2 else spot.at % across) * TOKEN
                assert start <= numbers[n] <= start + TOKEN


def test_a_token_is_looked_for_where_its_letters_stand(family: tuple[pages.DrawnPage, ...]) -> None:
    maker = Maker()
    tokenizer = make_tokenizer(PROTOCOL)
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    for lesson in taken("rows", family, 3, 6):
        (rows,) = maker.collated("rows", [lesson]).rows
        first = rows.ids[0].tolist().index(image)
        said = rows.labels[0] != UNSAID
        *copied, end = (rows.spots[0, said] - first).tolist()
        assert end == [NOWHERE - first] * 3
        for token, (start, stop, _) in zip(rows.ids[0, said].tolist(), copied, strict=False):
            letters = str(tokenizer.decode([token])).strip()
            if letters:
                assert class_of(letters[0]) in lesson.seen[0].glyphs[start]
                assert class_of(letters[-1]) in lesson.seen[0].glyphs[stop]


def test_the_pieces_of_a_page_s_words_begin_where_their_first_letters_stand(
    family: tuple[pages.DrawnPage, ...],
) -> None:
    maker, tokenizer = Maker(), make_tokenizer(PROTOCOL)
    taught = taken("looking", family, 5, 8)
    batch = maker.collated("looking", taught)
    pieces = [(square, str(tokenizer.decode([token])).strip()) for square, token in batch.words.tolist()]
    assert all(class_of(piece[0]) in batch.glyphs[square] for square, piece in pieces if piece.isascii())
    told = sum(len(piece) for _, piece in pieces)
    shown = sum(int((seen.squares != NOWHERE).sum()) for lesson in taught for seen in lesson.seen)
    assert 0.9 * shown < told < 1.1 * shown


def test_a_word_that_is_copied_is_looked_for_among_the_words_of_the_question(
    family: tuple[pages.DrawnPage, ...],
) -> None:
    maker, tokenizer = Maker(), make_tokenizer(PROTOCOL)
    for lesson in taken("asking", family, 4):
        (rows,) = maker.collated("asking", [lesson]).rows
        ids = rows.ids[0].tolist()
        copied = [(token, spots) for token, spots in zip(ids, rows.spots[0].tolist(), strict=True) if max(spots) >= 0]
        assert len(copied) > 5 * len(lesson.turns)
        for token, (start, stop, heard) in copied:
            assert heard == start
            letters = str(tokenizer.decode([token])).strip()
            if letters:
                assert letters[0] in str(tokenizer.decode([ids[start]]))
                assert letters[-1] in str(tokenizer.decode([ids[stop]]))


def test_the_name_of_a_row_has_been_heard_in_the_question(family: tuple[pages.DrawnPage, ...]) -> None:
    maker, tokenizer = Maker(), make_tokenizer(PROTOCOL)
    told = 0
    for lesson in taken("answering", family, 6, 6):
        (rows,) = maker.collated("answering", [lesson]).rows
        ids = rows.ids[0].tolist()
        for token, (start, _, heard) in zip(ids, rows.spots[0].tolist(), strict=True):
            letters = str(tokenizer.decode([token])).strip()
            if heard not in (start, NOWHERE) and letters:
                told += 1
                assert letters[0].lower() in str(tokenizer.decode([ids[heard]])).lower()
                assert not letters.isdigit()
    assert told > 10


@settings(max_examples=5)
@given(SEEDS)
def test_of_two_rows_that_are_told_the_higher_one_is_named(family: tuple[pages.DrawnPage, ...], seed: int) -> None:
    """By numbers that are not the page's, which one cannot know by heart."""
    names, others = Counter[bool](), 0
    for lesson in taken("listening", family, seed, 80):
        query, told = map(str, lesson.parts[:2])
        said = parse(lesson.turns[0].reply)
        assert isinstance(said.action, Answer)
        if compared := re.fullmatch(
            r"(.+) ([\d.,]+) ?%? (.+) ([\d.,]+) ?%?", said.information if " or " in query else ""
        ):
            first, one, second, other = compared.groups()
            higher = float(one.replace(",", "")) > float(other.replace(",", ""))
            assert said.action.text == (first if higher else second)
            assert first in told
            assert second in told
            names[higher] += 1
            others += one not in {page.letters[at:end] for page in family for at, end in page.words.tolist()}
            answer = lesson.turns[0].spots[lesson.turns[0].reply.index("<answer>") + len("<answer>") :]
            spots = answer[: len(said.action.text)]
            assert {spot.part for spot in spots if spot} == {0}
    assert min(names[True], names[False]) > 0
    assert others > sum(names.values()) / 2


def answer_squares(turn: Turn) -> set[int]:
    """Where in the last picture the answer stands, which is copied from the note of it."""
    noted = [turn.spots[spot.at] for spot in turn.spots[turn.reply.index("<answer>") :] if spot]
    return {spot.at for spot in noted if spot}


def test_the_evidence_is_on_the_page_that_is_chosen_and_in_the_region_that_is_cut_out(
    family: tuple[pages.DrawnPage, ...],
) -> None:
    maker = Maker()
    image = make_tokenizer(PROTOCOL).convert_tokens_to_ids(IMAGE)
    for lesson in taken("playing", family, 6, 4):
        (rows,) = maker.collated("playing", [lesson]).rows
        rests = rows.evidence[0, rows.ids[0] == image] != NOWHERE
        *found, whole, region = torch.split(rests, [seen.tokens for seen in lesson.seen])[:5]
        select, zoom, answer = lesson.turns[1:4]
        chosen, cut = parse(select.reply).action, parse(zoom.reply).action
        assert isinstance(chosen, Select)
        assert [bool(page.any()) for page in found] == [n == chosen.number for n in range(3)]
        assert isinstance(cut, Zoom)
        drawn = whole.reshape(-1, lesson.seen[3].image.width // TOKEN).nonzero().float()
        x1, y1, x2, y2 = cut.regions[0]
        corners = [y1 // TOKEN, x1 // TOKEN, (y2 - 1) // TOKEN, (x2 - 1) // TOKEN]
        assert [*drawn.amin(0).tolist(), *drawn.amax(0).tolist()] == corners
        stands = answer_squares(answer)
        assert stands <= {spot.at for spot in answer.spots if spot}
        assert not stands or stands == set(region.nonzero()[:, 0].tolist())
        assert (rows.shown[0, rows.ids[0] != image] == NOWHERE).all()
        assert (rows.shown[rows.evidence != NOWHERE] == rows.evidence[rows.evidence != NOWHERE]).all()


def test_a_picture_knows_of_no_question_that_comes_later(family: tuple[pages.DrawnPage, ...]) -> None:
    for lesson in taken("answering", family, 6, 6):
        (rows,) = Maker().collated("answering", [lesson]).rows
        there = rows.evidence[0] == 0
        first = rows.ids[0].tolist().index(make_tokenizer(PROTOCOL).convert_tokens_to_ids(IMAGE))
        assert set((there.nonzero()[:, 0] - first).tolist()) == {spot.at for spot in lesson.turns[0].evidence}
        assert rows.shown.max() <= 0


def test_a_word_that_is_seen_was_told_where_it_is_looked_for(family: tuple[pages.DrawnPage, ...]) -> None:
    maker, tokenizer = Maker(), make_tokenizer(PROTOCOL)
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    told = 0
    for lesson in taken("recognising", family, 7, 16):
        (rows,) = maker.collated("recognising", [lesson]).rows
        ids, shown = rows.ids[0].tolist(), rows.told[0, rows.ids[0] == image].tolist()
        for square, at in enumerate(shown):
            if at > UNTOLD:
                told += 1
                assert at < ids.index(image)
                said = re.search(r"[^\W\d_]{3,}$", str(tokenizer.decode(ids[: at + 1])))
                assert said is not None  # so much of a word that it is told from most others
                first = said[0][0]
                assert {class_of(first.lower()), class_of(first.upper())} & set(lesson.seen[0].glyphs[square])
        assert (rows.told[0, rows.ids[0] != image] == NOWHERE).all()
    assert told > 20


def test_a_value_in_a_table_looks_for_the_name_of_its_row_and_the_head_of_its_column(
    family: tuple[pages.DrawnPage, ...],
) -> None:
    """On the whole page, where the name stands at its left and the head above it."""
    looked = 0
    for lesson in taken("locating", family, 6, 12):
        (rows,) = Maker().collated("locating", [lesson]).rows
        (seen,) = lesson.seen
        first = rows.ids[0].tolist().index(make_tokenizer(PROTOCOL).convert_tokens_to_ids(IMAGE))
        across = seen.image.width // TOKEN
        for token in (rows.cells[0, :, 0] != NOWHERE).nonzero()[:, 0].tolist():
            square, name, head = (at - first for at in (token, *rows.cells[0, token].tolist()))
            letters = [at for at, own in enumerate(seen.squares.tolist()) if own == square]
            assert any(seen.page.letters[at].isdigit() for at in letters)
            assert name % across < square % across
            assert name // across == square // across
            assert head // across < square // across
            looked += 1
    assert looked > 20


def test_an_episode_is_played_to_its_answer_and_goes_on_with_a_further_question(
    family: tuple[pages.DrawnPage, ...],
) -> None:
    known = {asked.question.query: (page, asked.question) for page in family for asked in page.asked}
    for lesson in taken("playing", family, 6, 6):
        search, *after = [parse(turn.reply).action for turn in lesson.turns]
        queries = [query for query, _ in pairs(lesson) if query in known]
        assert type(search) is Search
        assert len(queries) == 2
        assert len(after) == 6
        for n, query in enumerate(queries):
            select, zoom, answer = after[3 * n : 3 * n + 3]
            page, question = known[query]
            assert isinstance(select, Select)
            assert lesson.seen[select.number].page is page
            assert type(zoom) is Zoom
            assert [seen.page for seen in lesson.seen[3 + 2 * n : 5 + 2 * n]] == [page, page]
            assert answer == Answer(question.answer)


def test_a_page_that_was_not_found_is_searched_for_again(family: tuple[pages.DrawnPage, ...]) -> None:
    known = {asked.question.query: (page, asked.question) for page in family for asked in page.asked}
    for lesson in taken("retrying", family, 6, 6):
        first, second, select, zoom, answer = [parse(turn.reply).action for turn in lesson.turns]
        query, _ = pairs(lesson)[0]
        page, question = known[query]
        assert isinstance(first, Search)
        assert second == Search(query) != first
        assert page not in [seen.page for seen in lesson.seen[:3]]
        assert isinstance(select, Select)
        assert lesson.seen[3 + select.number].page is page
        assert type(zoom) is Zoom
        assert answer == Answer(question.answer)


def test_what_nothing_answers_is_refused_after_two_searches(family: tuple[pages.DrawnPage, ...]) -> None:
    known = {asked.question.query for page in family for asked in page.asked}
    for lesson in taken("refusing", family, 6, 6):
        query, _ = pairs(lesson)[0]
        acted = [parse(turn.reply).action for turn in lesson.turns]
        assert query not in known
        assert [type(action) for action in acted] == [Search, Select, Search, Select, Answer]
        assert acted[-1] == Answer(NOT_ANSWERABLE)
        assert [lesson.seen[n].page for n in (3, 7)] == [lesson.seen[n].page for n in (0, 4)]
        assert not any(turn.evidence for turn in lesson.turns)


def test_a_letter_is_in_the_place_in_which_its_middle_lies(family: tuple[pages.DrawnPage, ...]) -> None:
    page = family[2]
    places = glyphs(page, (0, 0, page.width, page.height), 40 * TOKEN, 30 * TOKEN)
    high, wide = 30 * DOWN, 40 * ACROSS
    drawn = places.reshape(30, 40, DOWN, ACROSS).swapaxes(1, 2).reshape(high, wide)
    middle = (page.places[:, :2] + page.places[:, 2:]) / 2
    across, down = middle[:, 0] * wide / page.width, middle[:, 1] * high / page.height
    assert (drawn[down.astype(int), across.astype(int)] != EMPTY).all()
    assert (drawn > EMPTY).sum() <= len(page.letters)
    for near in (-0.25, 0.25):  # of a place: close to an edge it may be seen on either side
        assert (drawn[down.astype(int), np.clip((across + near).astype(int), 0, wide - 1)] != EMPTY).all()
        assert (drawn[np.clip((down + near).astype(int), 0, high - 1), across.astype(int)] != EMPTY).all()
    empty = glyphs(page, (0, 0, 3, 3), TOKEN, TOKEN)
    assert (empty == EMPTY).all() or (empty == UNKNOWN).any()


def test_nothing_is_told_of_letters_in_pictures(family: tuple[pages.DrawnPage, ...]) -> None:
    page, half = family[2], family[2].width / 2
    pictured = replace(page, pictures=np.array([[0, 0, half, page.height]], np.float32))
    bare, told = (
        in_order(one, (0, 0, page.width, page.height), 20 * TOKEN, 30 * TOKEN).reshape(30, 20, -1)
        for one in (page, pictured)
    )
    assert (bare[:, :10] > EMPTY).any()
    assert (told[:, :10] == UNKNOWN).all()
    assert (told[:, 10:] == bare[:, 10:]).all()


@settings(max_examples=4)
@given(SEEDS)
def test_regions_lie_on_their_pictures_and_hold_something(family: tuple[pages.DrawnPage, ...], seed: int) -> None:
    for lesson in taken("locating", family, seed, 2):
        (seen,) = lesson.seen
        grey = np.asarray(seen.image.convert("L"))
        for _, reply in pairs(lesson):
            action = parse(reply).action
            assert isinstance(action, Zoom)
            for x1, y1, x2, y2 in action.regions:
                assert 0 <= x1 < x2 <= seen.image.width
                assert 0 <= y1 < y2 <= seen.image.height
                assert grey[int(y1) : int(y2), int(x1) : int(x2)].std() > 3


@settings(max_examples=4)
@given(SEEDS)
def test_the_page_to_choose_is_the_only_one_that_answers(family: tuple[pages.DrawnPage, ...], seed: int) -> None:
    for lesson in taken("choosing", family, seed, 2):
        images = [seen.image.tobytes() for seen in lesson.seen]
        assert len(set(images)) == 3
        for query, reply in pairs(lesson):
            action = parse(reply).action
            assert isinstance(action, Select)
            (page,) = (page for page in family if any(asked.question.query == query for asked in page.asked))
            assert open_page(page).whole.image.tobytes() == images[action.number]


def test_an_answer_is_the_question_s(family: tuple[pages.DrawnPage, ...]) -> None:
    known = {asked.question.query: asked.question.answer for page in family for asked in page.asked}
    for lesson in taken("answering", family, 5, 10):
        for query, reply in pairs(lesson):
            action = parse(reply).action
            assert isinstance(action, Answer)
            assert known[query] == action.text


def test_a_value_that_is_asked_for_stands_in_its_place(family: tuple[pages.DrawnPage, ...]) -> None:
    checked = 0
    for page in family:
        queries = [asked.question.query for asked in page.asked]
        assert len(set(queries)) == len(queries)
        for asked in filter(lessons.is_value, page.asked):
            *_, value = asked.places  # of a row, after its name
            cut = boxes.to_pixels(value, page.width, page.height)
            middle = (page.places[:, :2] + page.places[:, 2:]) / 2
            inside = np.asarray(((middle > cut[:2]) & (middle < cut[2:])).all(axis=1))
            printed = "".join(letter for letter, own in zip(page.letters, inside, strict=True) if own)
            if inside.any():
                assert asked.question.answer in printed.replace(",", "")
                checked += 1
    assert checked > 10


def test_a_batch_is_the_same_whenever_it_is_made() -> None:
    stage = Stage("x", {"transcribing": 1, "rows": 1}, 10, 60, 1e-3, 0)
    fresh, used = Maker(), Maker()
    used.batch(stage, 3, 0)
    one, other = fresh.batch(stage, 3, 1), used.batch(stage, 3, 1)
    assert one.task == other.task
    assert (one.pixels == other.pixels).all()
    assert all((mine.ids == yours.ids).all() for mine, yours in zip(one.rows, other.rows, strict=True))
    another = used.batch(stage, 4, 1)
    assert one.pixels.shape != another.pixels.shape or (one.pixels != another.pixels).any()


def test_what_is_learned_from_is_in_no_world_that_can_be_asked_for() -> None:
    with pytest.raises(ValidationError):
        SampleParams(seed=pages.UNASKED)
