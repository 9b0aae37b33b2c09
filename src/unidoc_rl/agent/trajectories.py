"""Trajectories in files: a line of JSON an episode, without pixels, which `pictures.py` makes again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from unidoc_rl.errors import UnidocError
from unidoc_rl.types import Answer, Picture, Trajectory, Turn

FORMAT = 1  # of a line
_TRAJECTORY: TypeAdapter[Trajectory] = TypeAdapter(Trajectory)


def to_line(trajectory: Trajectory) -> bytes:
    data: dict[str, Any] = {"format": FORMAT, **_TRAJECTORY.dump_python(trajectory, mode="json")}
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"  # a model may write half a character


def from_line(line: bytes) -> Trajectory:
    """A ValueError says what is wrong with it."""
    data = json.loads(line)
    version = data.pop("format", None) if isinstance(data, dict) else None
    if version != FORMAT:
        raise ValueError(
            f"its format is {version}; this version reads {FORMAT}, of the sft.jsonl of `unidoc curate` and the "
            "episodes.jsonl of `unidoc evaluate`"
        )
    return _TRAJECTORY.validate_python(data)


def read(path: Path) -> Iterator[Trajectory]:
    """The trajectories of a file, one in memory at a time."""
    return (trajectory for _, trajectory in placed(path))


def placed(path: Path) -> Iterator[tuple[int, Trajectory]]:
    """Likewise, each with the byte at which its line begins."""
    begin = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield begin, _checked(path, number, line)
                begin += len(line)
    except OSError as error:
        raise UnidocError(f"{path}: cannot be read ({error}); expected trajectories, a line of JSON each") from error


def digest(path: Path) -> str:
    """Of what was said and done in the trajectories of a file, however long it took."""
    told = hashlib.sha256()
    for one in read(path):
        turns = tuple(replace(turn, seconds=0.0, reply=replace(turn.reply, seconds=0.0)) for turn in one.turns)
        told.update(to_line(replace(one, turns=turns)))
    return told.hexdigest()


def write(path: Path, trajectories: Iterable[Trajectory]) -> None:
    with path.open("wb") as file:
        file.writelines(map(to_line, trajectories))


def resume(path: Path) -> tuple[list[Trajectory], BinaryIO]:
    """The episodes that a file holds whole, without their turns, and the file, to add to.

    A line that a killed run has not ended is cut off.
    """
    done: list[Trajectory] = []
    whole = 0
    if path.exists():
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                done.append(replace(_checked(path, number, line), turns=()))
                whole += len(line)
        os.truncate(path, whole)
    path.parent.mkdir(parents=True, exist_ok=True)
    return done, path.open("ab")


def pictures_of(turn: Turn) -> list[Picture]:
    """That a turn was shown."""
    return [part for part in turn.observation if isinstance(part, Picture)]


def answer_of(trajectory: Trajectory) -> str | None:
    return next((turn.said.action.text for turn in trajectory.turns if isinstance(turn.said.action, Answer)), None)


def _checked(path: Path, number: int, line: bytes) -> Trajectory:
    try:
        return from_line(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UnidocError(f"{path}: line {number}: {where}: {first['msg']}") from None
    except ValueError as error:
        raise UnidocError(f"{path}: line {number} is no trajectory ({error})") from error
