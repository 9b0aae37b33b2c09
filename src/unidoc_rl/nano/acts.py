"""How the agent acts in a lesson, and where what it says stands: in the question, in a picture, in its own note."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unidoc_rl import boxes
from unidoc_rl.agent.dialect import write
from unidoc_rl.agent.scripted import LONGEST_NOTE, NOT_ANSWERABLE, keywords
from unidoc_rl.nano.glyphs import NOWHERE
from unidoc_rl.nano.pages import Asked, DrawnPage
from unidoc_rl.nano.parts import Passage, Seen, passage
from unidoc_rl.nano.regions import Region, covered, square
from unidoc_rl.nano.talk import Spot, Spots, Talk, letters, squares
from unidoc_rl.types import Action, Answer, Question, QuestionKind, Said, Search, Select, Zoom


def search(talk: Talk, query: str, heard: int, thought: str = "") -> None:
    """With those words of the question that do not only ask."""
    words = keywords(query)
    spots: list[Spot | None] = []
    at = 0
    for word in words.split():
        start = query.index(word, at)
        spots += [*([None] if spots else []), *letters(heard, start, len(word))]
        at = start + len(word)
    talk.say(_written(Search(words), thought), {"<search>": tuple(spots)})


def search_again(talk: Talk, query: str, heard: int, thought: str, noted: str = "") -> None:
    """With the whole question."""
    talk.say(_written(Search(query), thought, noted), {"<search>": letters(heard, 0, len(query))})


def refuse(talk: Talk, thought: str, noted: str) -> None:
    talk.say(_written(Answer(NOT_ANSWERABLE), thought, noted))


def select(talk: Talk, number: int, spot: Spot | None, evidence: Sequence[Spot], thought: str = "") -> None:
    talk.say(_written(Select(number), thought), {"<select>": (spot,) * len(str(number))}, evidence)


def zoom(talk: Talk, regions: Sequence[Region], part: int, seen: Seen, thought: str = "") -> None:
    """The numbers of a corner stand where it lies."""
    reply = _written(Zoom(tuple(regions)), thought)
    start = reply.index("<bbox>") + len("<bbox>")
    spots: list[Spot | None] = [None] * (len(reply) - start)
    for n, number in enumerate(re.finditer(r"\d+", reply[start:])):
        region, corner = regions[n // 4], n % 4 // 2
        x, y = region[2 * corner] - corner, region[2 * corner + 1] - corner  # the last pixel that is inside
        spots[number.start() : number.end()] = [Spot(part, square(x, y, seen))] * len(number[0])
    talk.say(reply, {reply[:start]: tuple(spots)}, [spot for one in regions for spot in covered(one, part, seen)])


def answer(talk: Talk, asked: Asked, page: DrawnPage, heard: int, part: int, seen: Seen, thought: str = "") -> None:
    """From what the evidence says in a picture."""
    said = evidence(asked, page)
    read = _heard(squares(part, seen, said.letters), said.text, heard, asked.question.query)
    conclude(talk, asked.question, said.text, read, heard, thought)


def conclude(talk: Talk, question: Question, said: str, read: Spots, heard: int, thought: str = "") -> None:
    """With a note of what the evidence says; the answer is the last of it that is like it, a value ends it.

    `read`: where each of the letters that are said stands.
    """
    noted = said if 0 < len(said) <= LONGEST_NOTE else question.answer
    reply = _written(Answer(question.answer), thought, noted)
    own = tuple(read[at] for at in last(question.answer, said))
    start = reply.index("<information>") + len("<information>")
    copied = {
        "<information>": read if noted == said else own,
        "<answer>": _named(question, heard)
        or tuple(Spot(talk.number, start + at) for at in last(question.answer, noted)),
    }
    talk.say(reply, copied, [spot for spot in own or read if spot])


def _named(question: Question, heard: int) -> Spots:
    """Of two that a question names, one is written as it is there."""
    if question.kind is not QuestionKind.COMPARISON:
        return ()
    return tuple(Spot(heard, at) for at in last(question.answer, question.query))


def evidence(asked: Asked, page: DrawnPage) -> Passage:
    """What it says, in one line."""
    several = [passage(page, boxes.to_pixels(place, page.width, page.height)) for place in asked.places]
    said = [one for one in several if one.text]
    read = [letter for one in said for letter in (NOWHERE, *one.letters)]  # a space before each but the first
    return Passage(" ".join(one.text for one in said).replace("\n", " "), tuple(read[1:]))


def _heard(read: Spots, text: str, part: int, query: str) -> Spots:
    """The same; of words that stand in the question, where there: it has the names of rows, and not their values."""
    spots = list(read)
    for word in re.finditer(r"[^\W\d]+", text):
        said = re.search(rf"\b{word[0]}\b", query, re.IGNORECASE)
        for n, at in enumerate(range(*word.span())):
            spot = spots[at]
            spots[at] = spot._replace(heard=(part, said.start() + n)) if spot and said else spot
    return tuple(spots)


def last(answer: str, text: str) -> list[int]:
    """At which letters of a text the answer stands; pages write 52,230 and answers 52230."""
    kept = [at for at, letter in enumerate(text) if letter != ","]
    matches = re.finditer(rf"(?<![\w.]){re.escape(answer)}(?!\w|\.\d)", "".join(text[at] for at in kept))
    last = max((match.start() for match in matches), default=None)
    return [] if last is None else kept[last : last + len(answer)]


def _written(action: Action, thought: str, note: str = "") -> str:
    return write(Said(thought, note, action))
