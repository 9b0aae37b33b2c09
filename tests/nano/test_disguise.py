"""Documents in other words: the same company and numbers, and questions whose answers still stand on the page."""

from __future__ import annotations

from random import Random

from unidoc_rl import boxes
from unidoc_rl.nano import evaluate, pages
from unidoc_rl.nano.disguise import disguised
from unidoc_rl.nano.parts import passage
from unidoc_rl.sample import world
from unidoc_rl.types import AnswerFormat

SEED = pages.UNASKED + 1


def exhibits(family: world.Family) -> list[world.Exhibit]:
    return [exhibit for document in family.documents for page in document.pages for exhibit in page.exhibits]


def is_other(seed: int, index: int) -> bool:
    return pages.family(seed, index)[0].file_name != world.family(seed, index).documents[0].file_name


def test_the_numbers_stay_and_the_words_are_others_of_the_same_length() -> None:
    for index in range(6):
        family = world.family(SEED, index)
        other = disguised(family, Random(index))
        assert [one.values for one in exhibits(other)] == [one.values for one in exhibits(family)]
        assert [document.style for document in other.documents] == [document.style for document in family.documents]
        before, after = ([row for one in exhibits(own) for row in one.rows] for own in (family, other))
        assert [*map(len, after)] == [*map(len, before)]
        assert sum(one != two for one, two in zip(before, after, strict=True)) > len(before) / 2
        pairs = set(zip(before, after, strict=True))
        assert len(pairs) == len(set(before)) == len(set(after))  # the same word for the same, throughout


def test_half_of_what_is_learned_from_is_disguised_and_nothing_that_is_measured() -> None:
    assert {is_other(SEED, index) for index in range(6)} == {True, False}
    assert not any(is_other(evaluate.SEED, index) for index in range(6))


def test_questions_are_asked_in_the_other_words_too() -> None:
    index = next(index for index in range(9) if is_other(SEED, index))
    asked = [(page, one) for page in pages.family(SEED, index) for one in page.asked]
    told = [
        (
            one.question.answer,
            " ".join(passage(page, boxes.to_pixels(place, page.width, page.height)).text for place in one.places),
        )
        for page, one in asked
        if one.question.answer_format in (AnswerFormat.INT, AnswerFormat.FLOAT) and one.places != one.regions
    ]
    assert len(told) > 20
    right = [answer in text.replace(",", "") for answer, text in told if text.strip()]
    assert sum(right) > 0.95 * len(right)
