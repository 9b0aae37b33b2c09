"""What playing costs beside the model: python -m tests.benchmarks.agent [--only memory|speed|parsing].

memory     ten thousand episodes, as `rollouts` plays them into a file
speed      a turn's cost, many episodes at once, and beside both the reference's manner, written here: one episode
           after the other, and before every turn all pictures of its conversation from their files, at full size
parsing    a megabyte of text in a turn

Documents of A4 from the sample world, at 150 dpi; searches by bm25 in this process. What plays is the scripted policy,
to which each picture is drawn as it comes, one after the other, as to a model in this process.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

import pypdfium2
from PIL import Image

from tests.agent.test_dialect import HEAVY
from tests.benchmarks.measure import MB, UNIDOC, resident, save, table
from unidoc_rl import boxes, questions
from unidoc_rl.agent.dialect import parse
from unidoc_rl.agent.endpoint_policy import _png
from unidoc_rl.agent.environment import Environment, Episode
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.policy import Failed
from unidoc_rl.agent.rollouts import play, rollouts
from unidoc_rl.agent.scripted import Scripted
from unidoc_rl.corpus import Corpus
from unidoc_rl.index.search import Index
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Message, Picture, Question, Reply, Split

PARAMS = AgentParams()
A4_POINTS, A4_PIXELS = (595, 842), (1240, 1754)
DOCUMENTS = 200  # of the sample world, a third of them on A4
AT_ONCE = 64
ROUNDS, ASKED = 3, 96  # questions in each
EARLY, LATE, REMEMBERED = 1000, 10_000, 500  # episodes, and the questions that they are about
DRAWN = 20  # in every so manieth of these, pictures are drawn: it shall end in two minutes


# --- what is played --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class World:
    corpus: Path
    index: Path
    questions: Path

    def asked(self) -> list[Question]:
        """Whose pages can be found by their words, and those that nothing answers; in no order."""
        corpus = Corpus(self.corpus)
        known = {page for page, text in zip(corpus.column("id"), corpus.column("text"), strict=True) if text.strip()}
        everything = [one for split in Split for one in questions.read(self.questions / f"{split}.json")]
        found = [one for one in everything if set(questions.gold_pages(one)) <= known]
        random.Random(0).shuffle(found)
        return found

    def environment(self, pictures: Pictures) -> Environment:
        return Environment(Index(self.index, ["bm25"]), pictures, PARAMS)


def made_world(work: Path) -> World:
    """What only pictures tell is left out."""
    world, documents, chosen = World(work / "corpus", work / "index", work / "questions"), work / "pdf", work / "a4.txt"

    def unidoc(*parts: str | Path) -> None:
        subprocess.run([UNIDOC, *parts], check=True)

    number = f"sample.documents={DOCUMENTS}"
    unidoc("sample", "--documents", documents, "--questions", world.questions, "--set", number)
    chosen.write_text("".join(f"{file}\n" for file in sorted(documents.glob("*.pdf")) if points(file) == A4_POINTS))
    fast = [part for one in ("layout=false", "ocr=false", "dpi=150") for part in ("--set", f"ingest.{one}")]
    unidoc("ingest", chosen, "--out", world.corpus, *fast)
    unidoc("index", world.corpus, "--out", world.index, "--set", "index.retrievers=[bm25]")
    return world


def points(file: Path) -> tuple[int, int]:
    width, height = pypdfium2.PdfDocument(file)[0].get_size()
    return round(width), round(height)


class Drawing:
    """A policy: Scripted, with what every new picture costs in the episodes about some questions."""

    name = "scripted"

    def __init__(self, world: World, pictures: Pictures, drawn: Sequence[Question]) -> None:
        self._script = Scripted(world.corpus, PARAMS)
        self._pictures = pictures
        self._drawn = {question.uid for question in drawn}

    def reply(self, episodes: Sequence[Episode]) -> list[Reply | Failed]:
        for episode in episodes:
            if episode.question.uid in self._drawn:
                self.draw(episode)
        return self._script.reply(episodes)

    def draw(self, episode: Episode) -> None:
        for picture in shown(episode.messages[-1:]):
            self._pictures.show(picture)


class Reference:
    """Draws before every turn what the conversation holds, and keeps nothing."""

    def __init__(self, corpus: Path) -> None:
        pages = Corpus(corpus).table("id", "image").to_pylist()
        self._files = {page["id"]: corpus / page["image"] for page in pages}

    def draw(self, episode: Episode) -> None:
        for picture in shown(episode.messages):
            with Image.open(self._files[picture.page]) as page:
                hull = boxes.union(picture.boxes) if picture.boxes else None
                part = page.crop(boxes.to_pixels(hull, *page.size)) if hull else page
                part.resize((picture.width, picture.height))


def shown(messages: Sequence[Message]) -> Iterator[Picture]:
    return (part for message in messages for part in message.content if isinstance(part, Picture))


# --- memory ----------------------------------------------------------------------------------------------------------


def report_memory(world: World) -> dict[str, Any]:
    asked = world.asked()[:REMEMBERED]
    pictures = Pictures(world.corpus, PARAMS)
    policy, environment = Drawing(world, pictures, asked[::DRAWN]), world.environment(pictures)
    rows, figures = [("episodes", "memory", "grown")], {}
    with tempfile.TemporaryDirectory() as folder:
        for episodes in (EARLY, LATE):  # the second goes on where the first ended
            samples = -(-episodes // len(asked))
            rollouts(asked, samples, environment, policy, AT_ONCE, Path(folder, "trajectories.jsonl"))
            figures[str(episodes)] = resident() / MB
            grown = figures[str(episodes)] / figures[str(EARLY)] - 1
            rows.append((f"{samples * len(asked):,}", f"{figures[str(episodes)]:.0f} MB", f"{100 * grown:.1f} %"))
    table(f"`rollouts` into a file, pictures drawn in every {DRAWN}th episode", [*rows, ("wanted", "", "<= 5 %")])
    return {"resident_mb": figures}


# --- speed -----------------------------------------------------------------------------------------------------------

Taken = list[tuple[str, float]]  # turns: how they acted, and the seconds of all but the model


def report_speed(world: World) -> dict[str, Any]:
    """Rounds over the same questions, each beginning with nothing drawn."""
    asked = world.asked()[:ASKED]
    turns: Taken = []
    rates: dict[str, list[float]] = {"the reference's manner": [], "one after the other": [], f"{AT_ONCE} at once": []}
    for _ in range(ROUNDS):
        pictures = Pictures(world.corpus, PARAMS)
        theirs = one_by_one(world, asked, pictures, Reference(world.corpus).draw)
        ours = one_by_one(world, asked, pictures, Drawing(world, pictures, asked).draw)
        many = together(world, asked, Pictures(world.corpus, PARAMS))
        one_s, reference_s = (fmean(seconds for _, seconds in taken) for taken in (ours, theirs))
        for name, rate in zip(rates, (1 / reference_s, 1 / one_s, many), strict=True):
            rates[name].append(rate)
        turns += [*ours, *encoded(world, asked)]
    costs = {kind: [seconds for one, seconds in turns if one == kind] for kind in sorted({kind for kind, _ in turns})}
    costs = {"every turn": [seconds for kind, seconds in turns if kind != PNG]} | costs
    print_costs(world, costs)
    rate_of = {name: median(each) for name, each in rates.items()}
    print_rates(rate_of)
    figures = {kind: {"median": 1000 * median(each), "mean": 1000 * fmean(each)} for kind, each in costs.items()}
    return {"ms": figures, "turns_a_second": rate_of}


PNG = "a picture's PNG, for an endpoint"


def one_by_one(world: World, asked: Sequence[Question], pictures: Pictures, draw: Callable[[Episode], None]) -> Taken:
    environment, script = world.environment(pictures), Scripted(world.corpus, PARAMS)
    taken = []
    for question in asked:
        episode = environment.reset(question)
        while episode.outcome is None:
            replies = [reply for reply in script.reply([episode]) if isinstance(reply, Reply)]
            start = time.perf_counter()
            environment.step([episode], replies)
            if episode.outcome is None:
                draw(episode)
            taken.append((type(episode.turns[-1].said.action).__name__, time.perf_counter() - start))
    return taken


def together(world: World, asked: Sequence[Question], pictures: Pictures) -> float:
    """Turns a second."""
    policy, environment = Drawing(world, pictures, asked), world.environment(pictures)
    start = time.perf_counter()
    turns = sum(len(one.turns) for one in play([(question, 0) for question in asked], environment, policy, AT_ONCE))
    return turns / (time.perf_counter() - start)


def encoded(world: World, asked: Sequence[Question]) -> Taken:
    """The gold page that each question needs first."""
    pictures, taken = Pictures(world.corpus, PARAMS), []
    for page in dict.fromkeys(page for question in asked for page in questions.gold_pages(question)[:1]):
        image = pictures.show(pictures.whole(page))
        start = time.perf_counter()
        _png(image)
        taken.append((PNG, time.perf_counter() - start))
    return taken


def print_costs(world: World, costs: dict[str, list[float]]) -> None:
    sizes = Corpus(world.corpus).table("width", "height").to_pylist()
    a4 = sum((row["width"], row["height"]) == A4_PIXELS for row in sizes)
    rows = []
    for kind, seconds in costs.items():
        told = [f"{1000 * each:.2f} ms" for each in (median(seconds), fmean(seconds), quantiles(seconds, n=20)[-1])]
        rows.append((kind, f"{len(seconds):,}", *told, "median <= 15 ms" if kind == "every turn" else ""))
    heading = ("", "measured", "median", "mean", "slowest of twenty", "wanted")
    table(f"A turn without the model; {a4} of {len(sizes)} pages are A4 at 150 dpi", [heading, *rows])


def print_rates(rate_of: dict[str, float]) -> None:
    reference, *_, many = rate_of
    rows = [
        (name, f"{rate:.1f}", f"{1000 / rate:.1f} ms", f"{rate / rate_of[reference]:.1f}", ">= 40" * (name == many))
        for name, rate in rate_of.items()
    ]
    heading = ("", "turns a second", "a turn", "times the reference", "wanted")
    table(f"{ASKED} episodes on two cores, pictures drawn one by one; medians of {ROUNDS} rounds", [heading, *rows])


def report_parsing(_: object) -> dict[str, Any]:
    """The worst of the texts that the tests think of."""
    slowest = 0.0
    for piece in HEAVY:
        text = piece * (1_000_000 // len(piece))
        start = time.monotonic()
        parse(text)
        slowest = max(slowest, time.monotonic() - start)
    rows = [("", "slowest"), ("1 MB of text in a turn", f"{slowest * 1000:.0f} ms"), ("wanted", "< 50 ms")]
    table("Understanding a turn", rows)
    return {"slowest_s": slowest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="what to play over; made, with the other two, where not given")
    parser.add_argument("--index", type=Path, help="an index of that corpus, made for bm25")
    parser.add_argument("--questions", type=Path, help="a folder of question files about it")
    parser.add_argument("--only", choices=["memory", "speed", "parsing"])
    options = parser.parse_args()
    given = [options.corpus, options.index, options.questions]
    if any(given) and not all(given):
        parser.error("--corpus, --index and --questions go together")
    parts = {
        "memory": report_memory,
        "speed": report_speed,
        "parsing": report_parsing,
    }  # memory first, while nothing else has taken any
    with tempfile.TemporaryDirectory() as work:
        world = World(*given) if all(given) else made_world(Path(work))
        figures = {name: part(world) for name, part in parts.items() if options.only in (None, name)}
    save("agent", figures)


if __name__ == "__main__":
    main()
