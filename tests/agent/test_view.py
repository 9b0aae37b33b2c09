"""The viewer of episodes, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.browser import LAPTOP, PHONE, Tab
from tests.conftest import Bucket
from unidoc_rl import cli, s3
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.view import view
from unidoc_rl.corpus import PAGE_SCHEMA, PAGES, write_pages
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import AgentParams
from unidoc_rl.types import (
    Action,
    Answer,
    AnswerFormat,
    Box,
    Content,
    Evidence,
    Malformed,
    Outcome,
    Question,
    Reply,
    Said,
    Scores,
    Search,
    Select,
    Trajectory,
    Turn,
    Zoom,
)

HOSTILE = "</script><img src=x onerror=alert(1)><!--<script>@DATA@ \u2028 &amp; \ud83d half"
GOLD = Box(100, 200, 333, 457)
DRAWN = Box(90, 190, 340, 460)
SIZES = {"a_1": (1240, 1754), "a_2": (1600, 900), "b_1": (700, 990)}  # portrait, landscape, small
EPISODE = trajectories.to_line(
    Trajectory(Question("q", "What?", "x", AnswerFormat.STR, "", "", "a.pdf", ()), 0, "", (), Outcome.VOID, "", None)
).decode()


# --- a small world ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    rows: list[dict[str, Any]] = []
    for page, (width, height) in SIZES.items():
        noise = np.random.default_rng(len(rows)).integers(0, 255, (height // 50, width // 50, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((width, height)).save(folder / f"{page}.jpg")
        row = {"id": page, "document": page[0], "image": f"{page}.jpg", "n": int(page[2]), "width": width}
        rows.append({**row, "height": height, "text": "", "text_source": "none", "words": [], "regions": []})
    write_pages(folder / PAGES, [pa.Table.from_pylist(rows, PAGE_SCHEMA)])
    return folder


@pytest.fixture(scope="module")
def episodes(corpus: Path) -> list[Trajectory]:
    """Answered rightly, answered with markup, out of turns, and void."""
    pictures = Pictures(corpus, AgentParams())
    whole = {page: pictures.whole(page) for page in SIZES}
    found: Content = ("Pages found:", "\n0: ", whole["a_2"], "\n1: ", whole["a_1"], "\n2: ", whole["b_1"])
    right = (
        _turn(Search("net sales"), found),
        _turn(Select(1), ("Page 1: ", whole["a_1"])),
        _turn(Zoom(((90.0, 190.0, 340.0, 460.0),)), ("The region: ", pictures.cut("a_1", [DRAWN])), "small print"),
        _turn(Answer("1,234"), (), "it says 1,234"),
    )
    hostile = (
        _turn(Search(HOSTILE), found, HOSTILE),
        _turn(Zoom(((1, 1, 9, 9),)), (HOSTILE, pictures.cut("a_2", [Box(0, 0, 500, 500)]))),  # the first, not kept
        _turn(Malformed(HOSTILE), (HOSTILE,)),
        _turn(Answer(HOSTILE), ()),
    )
    return [
        _episode("right/1", "lookup", right, Outcome.ANSWERED, _scores(1.0)),
        _episode(HOSTILE, HOSTILE, hostile, Outcome.ANSWERED, _scores(0.0, HOSTILE)),
        _episode("lost", "lookup", right[:1] * 5, Outcome.OUT_OF_TURNS, _scores(0.25)),
        _episode("void", "chart", (), Outcome.VOID, None),
    ]


def _turn(action: Action, observation: Content, information: str = "") -> Turn:
    return Turn(Reply(HOSTILE, 37, 100, 1.26), Said("I think " + HOSTILE, information, action), observation, 0.1)


def _episode(uid: str, kind: str, turns: tuple[Turn, ...], outcome: Outcome, scores: Scores | None) -> Trajectory:
    evidence = (Evidence("a.pdf", 1, (GOLD,), True),)
    question = Question(uid, f"What? {uid}", "1,234", AnswerFormat.INT, kind, "table", "a.pdf", evidence)
    return Trajectory(question, 0, "tester", turns, outcome, "" if scores else "no search", scores)


def _scores(total: float, judged: str = "as the rules say") -> Scores:
    return Scores(total, {"answer": float(total == 1), "search": 0.63, "format": 1.0}, judged)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, corpus: Path, episodes: list[Trajectory]) -> Path:
    folder = tmp_path_factory.mktemp("view")
    trajectories.write(folder / "episodes.jsonl", episodes)
    assert view(folder / "episodes.jsonl", corpus, folder / "view.html", limit=9) == len(episodes)
    return folder / "view.html"


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_picture_stands_once_in_the_file_however_many_show_it(file: Path) -> None:
    text = file.read_text()
    assert text.count("data:image/webp") == len(SIZES) + 2  # two were zoomed into
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text) == []


def test_what_is_left_out_is_told(tmp_path: Path, corpus: Path, file: Path, tab: Tab) -> None:
    out = tmp_path / "new" / "view.html"
    source = file.with_name("episodes.jsonl")
    done = CliRunner().invoke(
        cli.cli, ["view", str(source), "--corpus", str(corpus), "--out", str(out), "--limit", "2"]
    )
    assert done.exit_code == 0
    assert f"{out}: 2 episodes" in done.stdout
    assert "2 are left out" in done.stderr
    tab.open(out)
    assert "2 more are left out" in tab.text("#note")
    assert tab.text("#shown") == "2 of 2 episodes"


def test_episodes_and_corpus_may_stand_on_s3(tmp_path: Path, corpus: Path, file: Path, bucket: Bucket) -> None:
    bucket.put("episodes.jsonl", file.with_name("episodes.jsonl").read_bytes())
    s3.push(corpus, f"{bucket.uri}/corpus")
    given = [f"{bucket.uri}/episodes.jsonl", "--corpus", f"{bucket.uri}/corpus", "--out", str(tmp_path / "view.html")]
    done = CliRunner().invoke(cli.cli, ["view", *given])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "view.html").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("lines", "out", "said"),
    [
        (None, "view.html", "cannot be read"),
        ("", "view.html", "holds no episodes"),
        ("{}\n", "view.html", "line 1 is no trajectory"),
        ("", ".", "is a folder; name the file"),
        (EPISODE, "view.html/view.html", "cannot be written"),
        (EPISODE, "episodes.jsonl", "is, or lies inside"),
    ],
)
def test_what_cannot_be_shown_is_said_and_leaves_the_former_file(
    tmp_path: Path, corpus: Path, lines: str | None, out: str, said: str
) -> None:
    (tmp_path / "view.html").write_text("former")
    if lines is not None:
        (tmp_path / "episodes.jsonl").write_text(lines)
    with pytest.raises(UnidocError, match=said):
        view(tmp_path / "episodes.jsonl", corpus, tmp_path / out, limit=9)
    assert (tmp_path / "view.html").read_text() == "former"


def test_a_page_that_the_corpus_lacks_is_named_and_nothing_is_written(tmp_path: Path, corpus: Path, file: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_pages(tmp_path / "empty" / PAGES, [pa.Table.from_pylist([], PAGE_SCHEMA)])
    with pytest.raises(UnidocError, match="has no page a_2"):
        view(file.with_name("episodes.jsonl"), tmp_path / "empty", tmp_path / "view.html", limit=9)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


# --- in the browser ---------------------------------------------------------------------------------------------------


def test_the_list_is_narrowed_and_sorted(file: Path, tab: Tab) -> None:
    tab.open(file)
    assert listed(tab) == ["1.00", "0.00", "0.25", "–"]
    assert tab.text("#shown") == "4 of 4 episodes"
    tab.enter("#outcome", "=answered")
    assert listed(tab) == ["1.00", "0.00"]
    assert tab.text("#shown") == "2 of 4 episodes"
    tab.enter("#least", "0.5")
    assert listed(tab) == ["1.00"]
    tab.enter("#outcome", "")
    tab.enter("#least", "0")
    assert len(listed(tab)) == 4
    tab.enter("#most", "0.25")
    assert listed(tab) == ["0.00", "0.25"]  # what has no score is in no range but the whole
    tab.enter("#most", "1")
    tab.enter("#kind", "=lookup")
    assert listed(tab) == ["1.00", "0.25"]
    tab.enter("#kind", "")
    tab.enter("#order", "1")
    assert listed(tab) == ["0.00", "0.25", "1.00", "–"]
    tab.enter("#order", "-1")
    assert listed(tab) == ["1.00", "0.25", "0.00", "–"]
    tab.enter("#text", "ONERROR")
    assert listed(tab) == ["0.00"]
    tab.enter("#text", "no such words")
    assert tab.text("#list") == "No episode fits these filters."
    assert tab.evaluate("[...document.querySelectorAll('#outcome option')].map(one => one.text)") == [
        "every outcome",
        "answered (2)",
        "out of turns (1)",
        "void (1)",
    ]


def test_keys_move_through_the_list_and_the_address_follows(file: Path, tab: Tab) -> None:
    tab.open(file)
    addresses = [_address(uid) for uid in ("right/1", HOSTILE.encode("utf-8", "replace").decode(), "lost", "void")]
    for key, at in (("j", 1), ("ArrowDown", 2), ("j", 3), ("j", 3), ("k", 2), ("ArrowUp", 1), ("k", 0), ("k", 0)):
        tab.press(key)
        assert tab.evaluate("location.hash") == addresses[at]
        assert tab.evaluate("document.querySelector('#list [aria-current=true]').hash") == addresses[at]
    tab.open(file, addresses[2])
    assert "lost" in tab.text("h1")
    tab.evaluate(f"new Promise(moved => {{ onhashchange = moved; location.hash = {json.dumps(addresses[3])} }})")
    assert "void" in tab.text("h1")
    assert "no search" in tab.text("header")
    assert tab.text("main > .quiet") == "Not scored."


def test_an_episode_shows_its_turns_and_its_pictures_load(file: Path, tab: Tab) -> None:
    tab.open(file)
    assert tab.texts(".action") == [
        "searched for “net sales”",
        "kept page 1",
        "zoomed into 1 region",
        "answered “1,234”",
    ]
    assert tab.texts(".candidates figcaption") == ["0: a_2", "1: a_1keptgold", "2: b_1"]
    assert tab.texts(".information .text") == ["small print", "it says 1,234"]
    assert tab.texts(".answers .said") == ["1,234", "1,234"]
    assert tab.texts(".parts span:not(.bar)") == ["answer", "1.00", "search", "0.63", "format", "1.00", "total", "1.00"]
    assert tab.place(".parts > :nth-child(5) i")[2] == pytest.approx(tab.place(".parts .bar")[2] * 0.63, abs=1)
    assert "a_1, zoom needed" in tab.text(".answers")
    assert "as the rules say" in tab.text(".answers")
    assert tab.text(".turn .number:not(.n)") == "37 tokens · 1.3 s"
    loaded = tab.evaluate(
        "Promise.all([...document.images].map(one => one.decode().then(() => one.naturalWidth)))"
        ".then(widths => widths.map((width, at) => [document.images[at].alt, width]))"
    )
    assert [page for page, _ in loaded] == ["a_2", "a_1", "b_1", "a_1", "a_1"]
    assert all(0 < width <= 500 for _, width in loaded[:4])


def test_boxes_lie_where_they_were_drawn_and_gold_can_be_hidden(file: Path, tab: Tab) -> None:
    tab.open(file)
    for size in (LAPTOP, PHONE):
        tab.size(*size)
        image = tab.place(".page img")
        for name, box in (("gold", GOLD), ("drawn", DRAWN)):
            expected = [
                image[0] + box.x1 * image[2] / 1000,
                image[1] + box.y1 * image[3] / 1000,
                (box.x2 - box.x1) * image[2] / 1000,
                (box.y2 - box.y1) * image[3] / 1000,
            ]
            assert tab.place(f".page rect.{name}") == pytest.approx(expected, abs=1)
    tab.evaluate("document.querySelector('.legend input').click()")
    assert tab.place(".page rect.gold")[2:] == [0, 0]
    assert tab.place(".page rect.drawn")[2] > 0


def test_a_page_zoomed_into_without_being_kept_is_shown_with_its_boxes(file: Path, tab: Tab) -> None:
    tab.open(file)
    tab.press("j")
    assert tab.texts(".candidates figcaption") == ["0: a_2kept", "1: a_1gold", "2: b_1"]
    assert tab.texts(".turn:nth-child(2) figcaption") == ["a_2", "a_2"]
    x, _, width, _ = tab.place(".turn:nth-child(2) .page rect.drawn")
    image = tab.place(".turn:nth-child(2) .page img")
    assert (x, width) == pytest.approx((image[0], image[2] / 2), abs=1)


def test_a_picture_is_seen_large_until_escape(file: Path, tab: Tab) -> None:
    tab.open(file)
    before = tab.place(".page img")[2]
    tab.evaluate("document.querySelector('.page .frame').click()")
    assert tab.place("dialog img")[2] > before
    assert tab.place("dialog rect.gold")[2] == pytest.approx(tab.place("dialog img")[2] * 0.233, abs=1)
    tab.press("j")
    tab.press("Escape")
    assert tab.evaluate("document.querySelector('dialog').open") is False
    assert "right/1" in tab.text("h1")  # no key moved what lies behind


def test_markup_of_a_model_is_text(file: Path, tab: Tab) -> None:
    tab.open(file)
    tab.press("j")
    shown = HOSTILE.encode("utf-8", "replace").decode()
    assert tab.texts(".action") == [
        f"searched for “{shown}”",
        "zoomed into 1 region",
        f"did nothing that is understood: {shown}",
        f"answered “{shown}”",
    ]
    assert tab.texts("h1, .said, pre") == [f"What? {shown}", "1,234", shown, shown]
    assert tab.evaluate("[...document.images].every(one => one.src.startsWith('data:image/webp'))")
    assert tab.evaluate("document.scripts.length") == 2


def test_where_no_script_may_run_that_is_told(file: Path, tab: Tab) -> None:
    """As in a page of artifacts that shuts in what it shows."""
    for disabled in (True, False):
        tab.call("Emulation.setScriptExecutionDisabled", value=disabled)
        tab.open(file)
        assert ("none may run here" in tab.evaluate("document.body.innerText")) == disabled


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_stand_out_from_their_ground(file: Path, tab: Tab, scheme: str) -> None:
    tab.open(file)
    for _ in range(4):
        assert tab.faint(scheme) == []
        tab.press("j")


def test_nothing_is_wider_than_a_phone(file: Path, tab: Tab) -> None:
    tab.size(*PHONE)
    tab.open(file)
    for _ in range(4):
        assert tab.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        tab.press("j")


def listed(tab: Tab) -> list[str]:
    """The rewards in the list: each of the test's episodes has one of its own."""
    return tab.texts("#list .total")


def _address(uid: str) -> str:
    return "#" + quote(uid, safe="!~*'()") + "/0"  # as encodeURIComponent does
