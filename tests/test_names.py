"""A document's name is safe in paths and page ids, whatever its file is called."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unidoc_rl import names

stems = st.text() | st.text("\udc80\udcff/\\ .-_aä\u0301\u093f語", max_size=300)


@given(stems)
@example("..")
@example("-rf")
@example("ä" * 200)
@example("\udcff.")
def test_any_file_gets_a_safe_name(stem: str) -> None:
    name = names.document_name(stem)
    assert name
    assert len(name.encode()) <= names.MAX_BYTES
    assert name[0] not in ".-_"
    assert not any(char.isspace() or char in '/\\:*?"<>|\0' or unicodedata.category(char)[0] == "C" for char in name)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("वार्षिक रिपोर्ट", "वार्षिक_रिपोर्ट"),  # signs of vowels are no letters, and do not combine
        ("รายงานประจำปี", "รายงานประจำปี"),
        ("plan ❤\ufe0f", "plan"),  # what chooses between two forms of a sign goes with it
    ],
)
def test_letters_keep_their_marks(stem: str, name: str) -> None:
    assert names.document_name(stem) == name


@given(stems)
@example(".\u0301a")
def test_a_name_stays_as_it_is(stem: str) -> None:
    name = names.document_name(stem)
    assert names.document_name(name) == name
    assert unicodedata.is_normalized("NFC", name)


@given(stems)
@example("ä" * 200)
def test_a_file_has_one_name_however_its_letters_are_composed(stem: str) -> None:
    assert names.document_name(unicodedata.normalize("NFD", stem)) == names.document_name(
        unicodedata.normalize("NFC", stem)
    )


@given(st.text("aä語", min_size=130), st.text("aä語", min_size=130))
def test_long_names_that_differ_stay_different(one: str, other: str) -> None:
    assert (names.document_name(one) == names.document_name(other)) == (one == other)


@given(stems, st.integers(1, 10**9))
def test_a_page_id_tells_its_document_and_number(stem: str, n: int) -> None:
    name = names.document_name(stem)
    assert names.split_page_id(names.page_id(name, n)) == (name, n)
