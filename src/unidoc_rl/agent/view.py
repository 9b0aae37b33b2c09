"""Episodes to look through: one HTML file that needs nothing beside it, pictures included.

`view.html`, in this folder, is the page; here it is given its data. What a file of trajectories does not hold, the
pixels, comes from the corpus; a picture that many episodes show is written once.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from unidoc_rl import progress, storage
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.trajectories import answer_of, pictures_of, read
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams
from unidoc_rl.questions import gold_page, gold_pages, gold_regions
from unidoc_rl.types import Box, Malformed, Picture, Question, Search, Trajectory, Turn

PAGE_WIDTH = 500  # pixels at most; a zoom keeps its size, since what it shows is small print
QUALITY = 60
_TEMPLATE = Path(__file__).with_name("view.html")
_DATA = "@DATA@"  # stands once in the template
_NUMBERING = re.compile(r"\s*\d+:\s*")  # before each candidate; the page numbers them itself

_Keys = dict[Picture, int]  # under which pictures stand in the file, each once


def view(trajectories: Path, corpus: str | Path, out: Path, *, limit: int, labels: Sequence[str] = ()) -> int:
    """Writes the first `limit` episodes, whole or not at all; returns how many the file then holds.

    `labels`: why each of them is shown, by which they can then be chosen.
    """
    if out.is_dir():
        raise UnidocError(f"{out}: is a folder; name the file to write, for example {out / 'view.html'}")
    storage.keep_apart(out, trajectories, corpus)
    # The parameters say how pages are shown for the first time; these were, before.
    pictures = Pictures(storage.local_folder(corpus), AgentParams())
    keys: _Keys = {}
    episodes: list[dict[str, Any]] = []
    left_out = 0
    for trajectory in read(trajectories):
        if len(episodes) < limit:
            label = labels[len(episodes)] if labels else ""
            episodes.append({**_episode(trajectory, keys), "label": label})
        else:
            left_out += 1
    if not episodes:
        raise UnidocError(f"{trajectories}: holds no episodes")
    if left_out:
        progress.tell(f"{out}: takes the first {limit} episodes; {left_out} are left out, --limit takes in more")
    drawn = dict(_drawn(pictures, keys))
    data = {"source": trajectories.name, "leftOut": left_out, "episodes": episodes, "pictures": drawn}
    before, after = _TEMPLATE.read_text(encoding="utf-8").split(_DATA)
    # Without a `<`, nothing that a model has written can end the block of the page in which it stands.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    with storage.replacing(out) as new:
        new.write_text(before + text + after, encoding="utf-8")
    return len(episodes)


def _drawn(pictures: Pictures, keys: _Keys) -> Iterator[tuple[int, dict[str, Any]]]:
    with progress.bar(len(keys), "drawing", "picture") as bar:
        for picture, key in keys.items():
            yield key, {"src": as_text(pictures, picture), "width": picture.width, "height": picture.height}
            bar.update()


def as_text(pictures: Pictures, picture: Picture) -> str:
    """The picture as an address that holds all of it."""
    image = pictures.show(picture).copy()
    if not picture.boxes:
        image.thumbnail((PAGE_WIDTH, image.height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")


# --- an episode, as the page reads it ---------------------------------------------------------------------------------


def _episode(trajectory: Trajectory, keys: _Keys) -> dict[str, Any]:
    question, scores = trajectory.question, trajectory.scores
    return {
        "uid": question.uid,
        "sample": trajectory.sample,
        "policy": trajectory.policy,
        "query": question.query,
        "kind": question.kind,
        "outcome": trajectory.outcome,
        "failure": trajectory.failure,
        "expected": question.answer,
        "given": answer_of(trajectory),
        "gold": _gold(question, {picture.page for turn in trajectory.turns for picture in pictures_of(turn)}),
        "scores": scores and {"total": scores.total, "parts": dict(scores.parts), "judged": scores.judged},
        "turns": list(_turns(trajectory.turns, keys)),
    }


def _gold(question: Question, shown: set[str]) -> list[dict[str, Any]]:
    """Each gold page: where on it, whether one must zoom in there (None: nobody has said), and whether it was shown."""
    boxes: dict[str, list[Box]] = {page: [] for page in gold_pages(question)}
    for evidence in question.evidence:
        boxes[gold_page(evidence)].extend(evidence.regions)
    zoom = {page: None if regions is None else bool(regions) for page, regions in gold_regions(question).items()}
    return [{"page": page, "boxes": boxes[page], "zoom": zoom[page], "shown": page in shown} for page in boxes]


def _turns(turns: Sequence[Turn], keys: _Keys) -> Iterator[dict[str, Any]]:
    whole: dict[str, Picture] = {}  # pages as they were shown
    enlarged: set[str] = set()  # those that stand in the episode with all that was drawn on them
    for at, turn in enumerate(turns):
        action, shown = turn.said.action, pictures_of(turn)
        whole |= {picture.page: picture for picture in shown if not picture.boxes}
        candidates = shown if isinstance(action, Search) else []
        # A zoom may go into a candidate that was never kept: then the page has its place here.
        pages = [p.page for p in shown if p.page in whole and not (candidates or (p.boxes and p.page in enlarged))]
        enlarged.update(pages)
        told = (part.strip() for part in turn.observation if isinstance(part, str) and not _NUMBERING.fullmatch(part))
        yield {
            "thought": turn.said.thought,
            "information": turn.said.information,
            "action": {"type": type(action).__name__, **asdict(action)},
            "written": turn.reply.text if isinstance(action, Malformed) else "",
            "tokens": turn.reply.tokens,
            "seconds": turn.reply.seconds,
            "told": " ".join(told),
            "kept": _kept(turns[at + 1 :]),
            "candidates": [_shown(picture, keys) for picture in candidates],
            "pages": [_shown(whole[page], keys) | {"drawn": _boxes(turns[at:], page)} for page in pages],
            "zooms": [_shown(picture, keys) for picture in shown if picture.boxes],
        }


def _shown(picture: Picture, keys: _Keys) -> dict[str, Any]:
    return {"page": picture.page, "picture": keys.setdefault(picture, len(keys))}


def _kept(later: Sequence[Turn]) -> str | None:
    """The page that the agent went on with until it searched again, if it went on with any."""
    kept = None
    for turn in later:
        if isinstance(turn.said.action, Search):
            break
        kept = next((picture.page for picture in pictures_of(turn)), kept)
    return kept


def _boxes(turns: Sequence[Turn], page: str) -> list[Box]:
    return [box for turn in turns for picture in pictures_of(turn) if picture.page == page for box in picture.boxes]
