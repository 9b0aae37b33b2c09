"""Whole episodes as lessons: what the agent does from a question to its answer, as the scripted policy plays it."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from random import Random

from unidoc_rl.agent import scripted
from unidoc_rl.agent.dialect import system_prompt
from unidoc_rl.nano import acts
from unidoc_rl.nano.model import PROTOCOL, TOKEN
from unidoc_rl.nano.pages import Asked, DrawnPage, one_of
from unidoc_rl.nano.parts import Opened, open_page
from unidoc_rl.nano.regions import centre, covered, on_page, widened
from unidoc_rl.nano.talk import RULES, Lesson, Part, Spot, Talk

QUESTIONS = 6  # to learn from what to search for
FEWEST = PROTOCOL.min_pixels // TOKEN**2  # tokens of a picture
FIRST = 0.7  # how often the page is the first that is found
# Of a page that was found, by its number, and of a question: where its evidence stands, the middle and all of it.
Choice = Callable[[int, Asked], tuple[Spot, list[Spot]]]


def asking(rng: Random, opened: Opened) -> Lesson | None:
    """What to search for."""
    asked = opened.page.asked
    if not asked:
        return None
    talk = Talk(rules(rng))
    for one in rng.sample(asked, min(QUESTIONS, len(asked))):
        query = _unheard_of(rng, one.question.query)
        acts.search(talk, query, talk.hear(query), thought(rng, scripted.STARTS))
    return talk.lesson()


def rules(rng: Random) -> str:
    """Of an episode, or none: a part of one is learned at less cost alone."""
    return rng.choice((RULES, system_prompt(PROTOCOL)))


def thought(rng: Random, ways: Sequence[str]) -> str:
    """Before a reply that can do without."""
    return rng.choice(("", *ways))


def _unheard_of(rng: Random, query: str) -> str:
    """The same with words that nobody can know by heart, half of those that are searched for."""
    known = set(scripted.keywords(query).split())

    def other(word: re.Match[str]) -> str:
        return _shaped(rng, word[0]) if word[0] in known and rng.random() < 0.5 else word[0]

    return re.sub(r"[^\W_]+", other, query)


def _shaped(rng: Random, word: str) -> str:
    """Other letters in the same places, and digits for digits."""
    likes = (string.digits, string.ascii_uppercase, string.ascii_lowercase)
    return "".join(rng.choice(next((like for like in likes if letter in like), letter)) for letter in word)


def playing(rng: Random, pages: Sequence[DrawnPage]) -> Lesson | None:
    """An episode whose answer stands on one page, and a further question about the pages that were found."""
    page = rng.choice(pages)
    if not page.asked:
        return None
    one, found = one_of(rng, page.asked), three(rng, page, pages, FIRST)
    talk = Talk(system_prompt(PROTOCOL))
    heard = talk.hear(one.question.query)
    acts.search(talk, one.question.query, heard, rng.choice(scripted.STARTS))
    choice = show(talk, found)
    _read(rng, talk, found, page, one, heard, choice)
    page = rng.choice([other for other in found if other.asked])
    one = one_of(rng, page.asked)
    _read(rng, talk, found, page, one, talk.hear(one.question.query), choice)
    return talk.lesson()


def retrying(rng: Random, pages: Sequence[DrawnPage]) -> Lesson | None:
    """An episode in which the page is found by the second search alone."""
    page = rng.choice(pages)
    if not page.asked:
        return None
    one, missed, found = one_of(rng, page.asked), _others(rng, page, pages, 3), three(rng, page, pages, FIRST)
    talk = Talk(system_prompt(PROTOCOL))
    heard = talk.hear(one.question.query)
    acts.search(talk, one.question.query, heard, rng.choice(scripted.STARTS))
    show(talk, missed)
    acts.search_again(talk, one.question.query, heard, rng.choice(scripted.RETRIES))
    _read(rng, talk, found, page, one, heard, show(talk, found))
    return talk.lesson()


def refusing(rng: Random, pages: Sequence[DrawnPage]) -> Lesson | None:
    """An episode whose question nothing answers: after two searches, and a look at what stands first, it says so."""
    page = rng.choice(pages)
    if not page.in_vain:
        return None
    query = rng.choice(page.in_vain).query
    talk = Talk(system_prompt(PROTOCOL))
    heard = talk.hear(query)
    acts.search(talk, query, heard, rng.choice(scripted.STARTS))
    _look_in_vain(rng, talk, three(rng, page, pages, FIRST))
    acts.search_again(talk, query, heard, rng.choice(scripted.RETRIES), scripted.NOT_SAID)
    _look_in_vain(rng, talk, three(rng, page, pages, FIRST))
    acts.refuse(talk, rng.choice(scripted.REFUSALS), scripted.NOT_SAID)
    return talk.lesson()


def _look_in_vain(rng: Random, talk: Talk, found: Sequence[DrawnPage]) -> None:
    show(talk, found)
    acts.select(talk, 0, None, (), rng.choice(scripted.KEEPS).format(number=0))
    talk.hear("Page 0: ", open_page(found[0]).whole)


def _read(
    rng: Random, talk: Talk, found: Sequence[DrawnPage], page: DrawnPage, one: Asked, heard: int, choice: Choice
) -> None:
    """What follows a search, up to the answer."""
    number, opened = found.index(page), open_page(page)
    acts.select(talk, number, *choice(number, one), rng.choice(scripted.KEEPS).format(number=number))
    part = talk.hear(f"Page {number}: ", opened.whole)
    acts.zoom(talk, on_page(one, opened), part, opened.whole, rng.choice(scripted.ZOOMS))
    seen = opened.zoomed(widened(rng, one.regions, page), FEWEST)
    part = talk.hear("The region: ", seen)
    acts.answer(talk, one, page, heard, part, seen, rng.choice(scripted.ENDS))


def show(talk: Talk, found: Sequence[DrawnPage]) -> Choice:
    """The pages that were found; tells where on one of them the evidence of a question stands: its middle, and all."""
    opened = [open_page(page) for page in found]
    told: list[Part] = ["Pages found:"]
    for number, page in enumerate(opened):
        told += [f"\n{number}: ", page.whole]
    first = talk.number
    talk.hear(*told)

    def where(number: int, asked: Asked) -> tuple[Spot, list[Spot]]:
        part, page = first + 2 * number + 2, opened[number]
        return Spot(part, centre(asked, page)), [
            spot for one in on_page(asked, page) for spot in covered(one, part, page.whole)
        ]

    return where


def three(rng: Random, page: DrawnPage, pages: Sequence[DrawnPage], first: float) -> list[DrawnPage]:
    """A page and two others, it first as often as that at least."""
    others = _others(rng, page, pages, 2)
    at = 0 if rng.random() < first else rng.randrange(3)
    return [*others[:at], page, *others[at:]]


def _others(rng: Random, page: DrawnPage, pages: Sequence[DrawnPage], count: int) -> list[DrawnPage]:
    """So many: of its document, the same of other years, any of the family."""
    alike = [other for other in pages if other.number == page.number and other is not page]
    near = [other for other in pages if other.file_name == page.file_name and other is not page]
    others: list[DrawnPage] = []
    while len(others) < count:
        other = rng.choice(rng.choice([alike or near, near or alike, list(pages)]))
        if other not in (page, *others):
            others.append(other)
    return others
