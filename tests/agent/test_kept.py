"""Replies stay as they came, within their bound, whoever else is at work there, and whoever is killed."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from unidoc_rl.agent.kept import BLOCK, FOLDERS, LOOKED, Kept, digest
from unidoc_rl.errors import UnidocError

ROOM = 100  # short replies to a folder
MOST = ROOM * BLOCK * FOLDERS
OURS = (n for n in itertools.count() if digest(n).startswith("ab"))  # whose replies come into one folder
QUIET = [n for n in itertools.islice(OURS, 3 * ROOM) if not digest(n).endswith(LOOKED)]
LOOKS = next(n for n in OURS if digest(n).endswith(LOOKED))


def known(kept: Kept, asked: Iterable[int]) -> list[int]:
    return [one for one in asked if kept.get(one) is not None]


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    kept = Kept(tmp_path, MOST)
    elsewhere = [n for n in range(1000) if digest(n).startswith("cd")]
    for one in (*QUIET, *elsewhere):
        kept.put(one, f"reply {one}")
    half = tmp_path / "ab" / f"{digest('killed')}.123-456"
    half.write_text("a killed process has not ended th")
    for file in tmp_path.glob("??/*"):
        os.utime(file, (1, 1) if file != half else (0, 0))
    used = known(kept, QUIET[::10])
    kept.put(LOOKS, "the last")
    assert not half.exists()
    assert {*used, LOOKS} <= {*known(kept, [*QUIET, LOOKS])}
    assert len(known(kept, [*QUIET, LOOKS])) == ROOM
    assert known(kept, elsewhere) == elsewhere  # another folder, which is not full


def test_long_replies_take_more_room(tmp_path: Path) -> None:
    kept = Kept(tmp_path, MOST)
    for one in QUIET[:ROOM]:
        kept.put(one, "x" * 2 * BLOCK)
    kept.put(LOOKS, "the last")
    assert len(known(kept, QUIET)) == ROOM // 2 - 1


def test_without_a_bound_nothing_goes(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    for one in (*QUIET, LOOKS):
        kept.put(one, f"reply {one}")
    (tmp_path / "ab" / f"{digest('killed')}.123-456").write_text("a killed process has not ended th")
    assert sorted(kept) == sorted(f"reply {one}" for one in (*QUIET, LOOKS))


WRITING = f"""
import itertools
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unidoc_rl.agent import kept

folder, seed = sys.argv[1:]
kept.LOOKED = ""  # at every one
replies = kept.Kept(Path(folder), {MOST})
draw = random.Random(seed)

def write(one):
    known = replies.get(one)
    assert known in (None, f"reply {{one}}"), known
    replies.put(one, f"reply {{one}}")

with ThreadPoolExecutor(4) as pool:
    for number in itertools.count():
        list(pool.map(write, draw.sample({QUIET}, 16)))
        print(number, flush=True)
"""


def test_several_write_and_clear_away_at_once_until_they_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITING, str(tmp_path)]
    processes = [subprocess.Popen([*command, seed], stdout=subprocess.PIPE, text=True) for seed in "ab"]
    for process in processes:
        with process:
            assert process.stdout
            assert [process.stdout.readline().strip() for _ in range(15)] == [str(number) for number in range(15)]
            os.kill(process.pid, signal.SIGKILL)
    kept = Kept(tmp_path, MOST)
    kept.put(LOOKS, "the last")
    assert 1 < len([*tmp_path.glob("ab/*")]) <= ROOM
    assert {kept.get(one) for one in QUIET} <= {None, *(f"reply {one}" for one in QUIET)}


@pytest.mark.parametrize("name", ["text", "text/below"])
def test_where_nothing_can_be_kept_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a file, and no folder")
    with pytest.raises(UnidocError, match=f"{name}: replies cannot be kept there"):
        Kept(tmp_path / name)


def test_a_folder_that_was_removed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "replies")
    kept.put("What?", "This.")
    shutil.rmtree(tmp_path / "replies")
    kept.put("What?", "That.")
    assert kept.get("What?") == "That."


def test_a_damaged_reply_is_told_and_not_taken_for_one_that_was_never_given(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.put("What?", "This.")
    (file,) = tmp_path.glob("??/*")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UnidocError, match="replies cannot be kept there"):
        kept.get("What?")
