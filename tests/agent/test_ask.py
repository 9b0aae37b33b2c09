"""The command `ask`: a question of a person's own, over a real corpus and index, played by a server's model."""

from __future__ import annotations

import errno
import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests import servers
from tests.agent.chat import Chat, completion, error, scripted
from tests.agent.world import World, played, reply
from tests.index.test_service import running
from unidoc_rl import cli
from unidoc_rl.agent.ask import Standing, evidence, why_none
from unidoc_rl.agent.ask import ask as play
from unidoc_rl.agent.endpoint import KEY
from unidoc_rl.agent.environment import Environment, Episode
from unidoc_rl.agent.framed import FRAME
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policy import Failed
from unidoc_rl.boxes import to_pixels
from unidoc_rl.errors import Away
from unidoc_rl.index import service
from unidoc_rl.index.search import Index
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Box, Hit, Outcome, Query, Reply, Turn

SEARCH = "<think>t</think><search>bees honey number 1</search>"
FIRST, SECOND = Box(100, 60, 500, 90), Box(0, 900, 300, 1000)
ZOOM = f"<bbox>[{list(FIRST)}, {list(SECOND)}]</bbox>"
ANSWER = "<information>Bees make honey.</information><answer>honey</answer>"
THOUSANDTHS = ("--set", "agent.coordinates=thousandths")


@dataclass
class Done:
    status: int
    out: str
    err: str


Unidoc = Callable[..., Done]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.chdir(tmp_path)  # without a params.yaml


@pytest.fixture
def ask(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Unidoc:
    """Runs the command as the shell would."""

    def run(policy: str | Path, *options: str | Path, question: str = "What do bees make?", **named: str) -> Done:
        places = {"index": str(world.corpus.parent / "index"), "corpus": str(world.corpus)} | named
        arguments = [part for name, place in places.items() for part in (f"--{name}", place)]
        words = ["unidoc", "ask", question, *arguments, "--policy", str(policy), *THOUSANDTHS, *map(str, options)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        assert "Traceback" not in shown.err
        return Done(int(str(ended.value.code or 0)), shown.out, shown.err)

    return run


def saying(*turns: str) -> Chat:
    return scripted(*map(completion, turns))


# --- what is told -----------------------------------------------------------------------------------------------------


def test_the_way_the_answer_and_where_it_stands_are_told(ask: Unidoc) -> None:
    turns = (SEARCH, "<select>1</select>", "<select>0</select>", ZOOM, "<bbox>[[0,0,9,9]]</bbox>", "hm", ANSWER)
    with saying("<select>2</select>", *turns).running() as chat:
        done = ask(chat.url)
    assert done.status == 0
    assert done.err == ""
    searched, *rest = done.out.splitlines()[1:]
    assert re.fullmatch(r"searched: bees honey number 1 → bees_1, bees_2, \w+", searched)
    assert done.out.startswith("did nothing: There is no page to select; search first.\n")
    assert rest == [
        "kept page bees_2",
        "kept page bees_1",
        "zoomed into 2 regions of bees_1",
        "zoomed into 1 region of bees_1",
        "did nothing: There is no action in this turn.",
        "noted: Bees make honey.",
        "",
        "honey",
        "",
        "bees, page 1, [0, 0, 9, 9] in thousandths of it",
    ]


def test_a_turn_is_told_when_it_ends_not_when_all_have_ended(ask: Unidoc, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    turns = iter([SEARCH, "<select>0</select>", ANSWER])

    def answer(_: Any) -> Any:
        told.append(capsys.readouterr().out)
        return completion(next(turns))

    with Chat(answer).running() as chat:
        ask(chat.url)
    assert [text.partition(" ")[0] for text in told] == ["", "searched:", "kept"]


def test_what_would_control_the_terminal_does_not_reach_it(ask: Unidoc) -> None:
    hostile = "\x1b[2J\x07\u202e"
    turns = (f"<search>bees{hostile}</search>", f"<information>a{hostile}\nb</information><answer>c{hostile}</answer>")
    with saying(*turns).running() as chat:
        done = ask(chat.url)
    assert done.status == 0
    assert not set(hostile[0] + hostile[-2:]) & set(done.out)
    assert "noted: a [2J b\n" in done.out


def test_as_json_it_is_one_object_for_programs(ask: Unidoc) -> None:
    with saying(SEARCH, ZOOM, ANSWER).running() as chat:
        done = ask(f"{chat.url}#served", "--json")
        assert chat.listed == 0  # the model was named
    told = json.loads(done.out)
    assert done.status == 0
    assert list(told) == ["answer", "outcome", "document", "page", "boxes", "turns"]
    turns = told.pop("turns")
    assert told == {
        "answer": "honey",
        "outcome": "answered",
        "document": "bees",
        "page": 1,
        "boxes": [list(FIRST), list(SECOND)],
    }
    assert [list(turn["said"]["action"]) for turn in turns] == [["query"], ["regions"], ["text"]]


# --- where an answer stands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "place"),
    [
        ((SEARCH, "<select>1</select>", "<answer>x</answer>"), Standing("bees", 2, ())),
        ((SEARCH, ZOOM, "<bbox>[[900,9,900,9]]</bbox>", "<answer>x</answer>"), Standing("bees", 1, (FIRST, SECOND))),
        ((SEARCH, ZOOM, "<select>1</select>", "<answer>x</answer>"), Standing("bees", 2, ())),
        ((SEARCH, ZOOM, "<search>ships grain 2</search>", "<answer>x</answer>"), Standing("ships", 2, ())),
        ((SEARCH, ZOOM, "<answer>The documents do not say.</answer>"), None),
        ((SEARCH, ZOOM, "<answer>Not answerable</answer>"), None),
        ((SEARCH, ZOOM, *["hm"] * 8), None),
        (("<answer>x</answer>",), None),
    ],
)
def test_it_stands_where_the_agent_looked_last(world: World, turns: tuple[str, ...], place: Standing | None) -> None:
    episode = played(world.environment(AgentParams(coordinates="thousandths")), *turns)
    assert evidence(episode.trajectory("x")) == place


def test_an_answer_that_stands_nowhere_is_told_and_not_drawn(ask: Unidoc, tmp_path: Path) -> None:
    with saying(SEARCH, "<answer>not answerable</answer>").running() as chat:
        done = ask(chat.url, "--save", tmp_path / "page.png")
    assert done.status == 0
    assert done.out.endswith("not answerable\n\nIt stands on no page.\n")
    assert "page.png: not made" in done.err
    assert not [*tmp_path.iterdir()]


# --- as a picture -----------------------------------------------------------------------------------------------------


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def page(world: World, name: str) -> Any:
    return pixels(world.corpus / f"images/bees/{name}.jpg")


def test_the_picture_is_the_page_with_its_regions_untouched_in_frames(ask: Unidoc, world: World) -> None:
    with saying(SEARCH, ZOOM, ANSWER).running() as chat:
        assert ask(chat.url, "--save", "new/folder/page.png").status == 0
    drawn, original = pixels(Path("new/folder/page.png")), page(world, "bees_1")
    height, width = original.shape[:2]
    assert drawn.shape == original.shape
    framed = (drawn == FRAME).all(axis=2)
    left, upper, right, lower = to_pixels(FIRST, width, height)
    assert (drawn[upper:lower, left:right] == original[upper:lower, left:right]).all()
    around = framed[upper - 4 : lower + 4, left - 4 : right + 4]
    for edge in (around[0], around[-1], around[:, 0], around[:, -1]):
        assert edge.all()
    left, upper, right, lower = to_pixels(SECOND, width, height)  # in a corner of the page: its frame lies inside
    assert framed[upper:, 0].all()
    assert framed[-1, left:right].all()
    outside = drawn[height // 2, width // 2].mean() / original[height // 2, width // 2].mean()
    assert 0.7 < outside < 0.95


def test_without_a_zoom_all_of_the_page_is_framed(ask: Unidoc, world: World, tmp_path: Path) -> None:
    (tmp_path / "page.JPG").write_bytes(b"of an earlier question")
    with saying(SEARCH, "<select>1</select>", ANSWER).running() as chat:
        assert ask(chat.url, "--save", "page.JPG").status == 0
    with Image.open(tmp_path / "page.JPG") as image:
        assert image.format == "JPEG"
    drawn, original = pixels(tmp_path / "page.JPG"), page(world, "bees_2")
    assert drawn.shape == original.shape
    for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
        assert np.abs(edge - FRAME).max() < 40  # JPEG
    assert np.abs(drawn[9:-9, 9:-9] - original[9:-9, 9:-9]).mean() < 2


@pytest.mark.parametrize(("name", "said"), [("page.gif", "ends in .png or .jpg or .jpeg"), ("folder.png", "a folder")])
def test_what_cannot_be_written_is_said_before_any_work(ask: Unidoc, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with saying(SEARCH, ANSWER).running() as chat:
        done = ask(chat.url, "--save", name)
        assert (chat.listed, chat.asked) == (0, [])
    assert done.status == 1
    assert name in done.err
    assert said in done.err


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_a_picture_is_written_whole_or_not_at_all(
    ask: Unidoc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    to_memory = Image.Image.save

    def save(image: Image.Image, file: Any, *arguments: Any, **options: Any) -> None:
        if not isinstance(file, Path):  # what the model is shown
            return to_memory(image, file, *arguments, **options)
        file.write_bytes(b"half")
        raise OSError(number, "no", str(file))

    (tmp_path / "page.png").write_bytes(b"of an earlier question")
    monkeypatch.setattr(Image.Image, "save", save)
    with saying(SEARCH, ANSWER).running() as chat:
        done = ask(chat.url, "--save", "page.png")
    assert done.status == 1
    assert "honey" in done.out
    assert "page.png" in done.err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of an earlier question"]


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [False, True])
def test_an_episode_without_an_answer_fails_and_says_why(ask: Unidoc, as_json: bool) -> None:
    with saying(SEARCH, ZOOM).running() as chat:
        done = ask(chat.url, "--set", "agent.turns=2", "--save", "page.png", *["--json"] * as_json)
    assert done.status == 1
    assert done.err == "unidoc: no answer: its turns are used up; agent.turns says how many there are\n"
    assert not Path("page.png").exists()
    if as_json:
        told = json.loads(done.out)
        assert len(told.pop("turns")) == 2
        assert told == {"answer": None, "outcome": "out_of_turns", "document": None, "page": None, "boxes": []}


def test_a_conversation_too_long_for_the_server_is_no_answer(ask: Unidoc) -> None:
    told = "This model's maximum context length is 4096 tokens."
    with scripted(completion(SEARCH), error(400, told)).running() as chat:
        done = ask(chat.url)
    assert done.status == 1
    assert done.out.startswith("searched: ")
    assert done.err.startswith("unidoc: no answer: ")
    assert told in done.err


@pytest.mark.parametrize("model", ["", "#served"])  # not there to be asked its name; or not for the first turn
def test_a_server_that_is_away_is_named(ask: Unidoc, model: str) -> None:
    with servers.closed_port() as port:
        done = ask(f"http://127.0.0.1:{port}/v1{model}")
    assert done.status == 1
    assert done.out == ""
    assert f"http://127.0.0.1:{port}/v1: away" in done.err


def test_a_server_that_goes_away_leaves_what_was_told(ask: Unidoc) -> None:
    with scripted(completion(SEARCH), None, None, None).running() as chat:
        done = ask(chat.url)
    assert done.status == 1
    assert done.out.startswith("searched: ")
    assert f"{chat.url}: away" in done.err


def test_a_search_that_goes_away_voids_the_episode_and_no_turn_is_told(world: World) -> None:
    def away(queries: Sequence[Query], k: int) -> list[list[Hit]]:
        raise Away("search service: away")

    class Searching:
        name = "searching"

        def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
            return [reply(SEARCH) for _ in episodes]

    told: list[Turn] = []
    environment = Environment(away, Pictures(world.corpus, AgentParams()), AgentParams())
    trajectory = play("What do bees make?", environment, Searching(), told.append)
    assert (trajectory.outcome, told) == (Outcome.VOID, [])
    assert why_none(trajectory) == "no answer: search service: away"


@pytest.mark.slow
def test_a_folder_is_a_model_that_plays_in_this_process(ask: Unidoc, tmp_path: Path) -> None:
    from tests.agent.models import write_policy  # here, since transformers takes seconds to import

    small = AgentParams(turns=2, turn_tokens=16)
    folder = write_policy(tmp_path / "policy", small, "qwen2_5_vl")  # of random weights: it never gets anywhere
    done = ask(folder, "--set", "agent.turns=2", "--set", "agent.turn_tokens=16")
    assert done.status == 1
    assert "unidoc: no answer: its turns are used up" in done.err
    assert done.out.count("did nothing") == 2
    shutil.rmtree(folder)
    folder.mkdir()
    assert f"{folder}: cannot be loaded as a policy" in ask(folder).err


@pytest.mark.parametrize("name", ["gpt-4o", "ftp://host/v1", "Qwen/Qwen2.5-VL-3B-Instruct"])
def test_a_policy_that_is_neither_address_nor_folder_is_named(ask: Unidoc, name: str) -> None:
    done = ask(name)
    assert done.status == 1
    assert done.err.startswith(f"unidoc: policy {name}: no such folder; expected a folder with a model, or the address")


# --- where it searches ------------------------------------------------------------------------------------------------


def test_it_searches_only_the_documents_named(ask: Unidoc) -> None:
    with saying(SEARCH, ANSWER).running() as chat:
        done = ask(chat.url, "--document", "ships", "--document", "steel", "--set", "agent.candidates=6")
    searched = done.out.splitlines()[0].partition("→ ")[2]
    assert sorted(searched.split(", ")) == ["ships_1", "ships_2", "steel_1", "steel_2"]


def test_a_wrong_document_is_named_before_the_model_is_asked(ask: Unidoc) -> None:
    with saying(SEARCH, ANSWER).running() as chat:
        done = ask(chat.url, "--document", "ship")
        assert (chat.listed, chat.asked) == (0, [])
    assert done.status == 1
    assert "has no document 'ship'; the nearest name is 'ships'" in done.err


def test_the_index_may_be_a_service(ask: Unidoc, world: World) -> None:
    opened = service.app(lambda: Index(world.corpus.parent / "index"))
    with running(opened) as url, saying(SEARCH, ZOOM, ANSWER).running() as chat:
        done = ask(chat.url, index=url)
    assert done.status == 0
    assert done.out.endswith("honey\n\nbees, page 1, [100, 60, 500, 90], [0, 900, 300, 1000] in thousandths of it\n")


def test_a_search_service_that_is_away_is_named(ask: Unidoc) -> None:
    with servers.closed_port() as port, saying(SEARCH, ANSWER).running() as chat:
        done = ask(chat.url, index=f"http://127.0.0.1:{port}")
    assert done.status == 1
    assert f"search service http://127.0.0.1:{port}: away" in done.err


def test_help_explains_the_keys_of_the_agent() -> None:
    shown = " ".join(CliRunner().invoke(cli.cli, ["ask", "--help"]).output.split())
    for key in AgentParams.model_fields:
        assert f" agent.{key} " in shown
