"""Columns hold what they were made of, and cost no import of pandas."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl import columns


@given(st.lists(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.integers(0, 65_535))), max_size=5))
def test_lists_of_records_come_back(rows: list[list[tuple[str, int]]]) -> None:
    flat = [one for row in rows for one in row]
    fields = {
        "word": columns.texts(word for word, _ in flat),
        "place": columns.numbers([place for _, place in flat], np.uint16),
    }
    made = columns.lists([len(row) for row in rows], columns.records(fields))
    made.validate(full=True)
    assert made.to_pylist() == [[{"word": word, "place": place} for word, place in row] for row in rows]


def test_they_are_made_without_pandas() -> None:
    script = (
        "import sys, numpy as np\n"
        "from unidoc_rl import columns\n"
        "columns.lists([1, 1], columns.records({'a': columns.texts('ab'), 'b': columns.numbers([1, 2], np.int32)}))\n"
        "sys.exit('pandas' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
