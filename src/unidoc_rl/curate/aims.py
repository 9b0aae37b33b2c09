"""What written questions are about: pages and regions, drawn so that each kind of them has its share."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from unidoc_rl.curate.layout import Layout
from unidoc_rl.types import Region, Split

TWO_PAGES = 1 / 3  # of the questions need as many, where their document has them
TURN = 10  # documents, of which one is for each purpose but learning; of fewer documents, all are one turn
DULL = frozenset({"header", "footer"})  # kinds of region of which nobody asks
GOLDEN = (math.sqrt(5) - 1) / 2  # however many of its multiples one takes, their fractions lie evenly from 0 to 1


class Aim(NamedTuple):
    """What a question is to be about, or one of the two things."""

    page: str
    region: int | None  # its number, counted from 1; None: the page has none


class Plan(NamedTuple):
    """Of a question."""

    number: int
    aims: tuple[Aim, ...]
    answerable: bool  # else it is about something near that is not there
    split: Split


def plans(
    layout: Layout,
    count: int,
    unanswerable: float,
    seed: int,
    held_out: Sequence[Split] = (),
    apart: Collection[str] = (),
) -> Iterator[Plan]:
    """Documents in turn, their pages in turn, and of each page the kind of region that was aimed at least so far.

    `unanswerable`: the share of questions, about each document, that nothing is to answer. `held_out`: what questions
    are wanted for beside learning, each about documents of its own. `apart`: documents about which none is wanted.
    """
    rng = random.Random(seed)
    known = sorted(layout.pages_of.keys() - set(apart))
    documents = rng.sample(known, len(known))
    pages = {
        document: [page for page in layout.pages_of[document] if layout.regions(page)] or layout.pages_of[document]
        for document in documents
    }
    waiting: dict[str, list[str]] = {document: [] for document in documents}
    aimed: Counter[str] = Counter()
    for number in range(count):
        turn, place = divmod(number, len(documents))
        document, start = documents[place], place * GOLDEN % 1
        answerable = int(turn * unanswerable + start) == int((turn + 1) * unanswerable + start)
        many = 2 if answerable and len(pages[document]) > 1 and rng.random() < TWO_PAGES else 1
        if len(waiting[document]) < many:
            waiting[document] = _again(pages[document], waiting[document], rng)
        aims = tuple(_aim(layout, waiting[document].pop(), aimed, rng) for _ in range(many))
        yield Plan(number, aims, answerable, _split(place, len(documents), held_out))


def _split(place: int, documents: int, held_out: Sequence[Split]) -> Split:
    """Of the document in this place; the first one is learned from."""
    at = place % min(TURN, documents)
    return held_out[at - 1] if 1 <= at <= len(held_out) else Split.TRAIN


def _again(pages: Sequence[str], left: Sequence[str], rng: random.Random) -> list[str]:
    """All of them once more, below what is left, which comes again last."""
    return [*left, *(page for page in rng.sample(pages, len(pages)) if page not in left), *left]


def _aim(layout: Layout, page: str, aimed: Counter[str], rng: random.Random) -> Aim:
    known = list(enumerate(layout.regions(page), start=1))
    if not known:
        return Aim(page, None)
    rng.shuffle(known)
    number, region = min(known, key=lambda one: (one[1].kind in DULL, aimed[one[1].kind]))
    aimed[region.kind] += 1
    return Aim(page, number)


def kind_of(aim: Aim, known: Sequence[Region]) -> str:
    return known[aim.region - 1].kind if aim.region else "page"
