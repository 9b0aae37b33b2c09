"""Which trajectories are not learned from, and why: one small function a reason, in the order in which they are asked.

What the environment and the judge know comes first, then what the gold annotations know, where there are any. Nobody
is blamed for what the protocol does not allow.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from unidoc_rl.agent.readings import dates, numbers, only_date, plain, same_date, same_number, scale_in
from unidoc_rl.agent.rewards import kept_format, zoomed
from unidoc_rl.agent.rules import items, number_in, says_there_is_none
from unidoc_rl.agent.trajectories import pictures_of
from unidoc_rl.params import Params
from unidoc_rl.questions import gold_page, gold_pages, gold_regions
from unidoc_rl.types import Box, Evidence, Malformed, Outcome, Question, Search, Select, Trajectory, Turn, Zoom

Filter = Callable[[Trajectory, Params], bool]  # whether it is to be rejected
LOOP = 4  # words at least, which a turn that goes round in circles says again and again
ROUNDS = 3  # as often
CHANCE = 2  # standard deviations, of how many have the same position
_BARE = (" yes ", " no ")
_WORD = re.compile(r"[\w.]*\w")
_SEPARATOR = re.compile(r"(?<=\d)[,'’](?=\d{3}(?!\d))")  # of thousands
_CANDIDATE = re.compile(r"\bpage \d+|\bpages \d+(?:(?:,|,? (?:and|or)) \d+)*")  # their numbers are no answer
_THIS_ONE = re.compile(r"\bone\b")  # likewise no number


def void(one: Trajectory, params: Params) -> bool:
    return one.outcome is Outcome.VOID


def gave_up(one: Trajectory, params: Params) -> bool:
    return one.outcome is Outcome.GAVE_UP


def unanswered(one: Trajectory, params: Params) -> bool:
    return one.outcome is not Outcome.ANSWERED


def wrong_answer(one: Trajectory, params: Params) -> bool:
    return one.scores is None or one.scores.parts["answer"] < params.curate.right


def broken_format(one: Trajectory, params: Params) -> bool:
    looking = (Search, Select) if "select" in params.agent.actions else (Search,)
    return kept_format(one, looking) < 1 or any(isinstance(turn.said.action, Malformed) for turn in one.turns)


def wrong_page(one: Trajectory, params: Params) -> bool:
    """A gold page was never kept, or the last that was kept is none; where nothing can be kept, it was never shown."""
    gold = gold_pages(one.question)
    if "select" not in params.agent.actions:
        return not set(gold) <= {picture.page for turn in one.turns for picture in pictures_of(turn)}
    kept = [
        shown[0].page for turn in one.turns if isinstance(turn.said.action, Select) and (shown := pictures_of(turn))
    ]
    return bool(gold) and (not set(gold) <= set(kept) or kept[-1] not in gold)


def needless_zoom(one: Trajectory, params: Params) -> bool:
    """Into a page that reads well as it is, or that has nothing to do with the question."""
    regions = gold_regions(one.question)
    return bool(regions) and any(regions.get(page, ()) == () for page in _zoomed_into(one))


def missing_zoom(one: Trajectory, params: Params) -> bool:
    needed = {page for page, regions in gold_regions(one.question).items() if regions}
    return "zoom" in params.agent.actions and not needed <= _zoomed_into(one)


def wrong_region(one: Trajectory, params: Params) -> bool:
    return "zoom" in params.agent.actions and bool(gold_pages(one.question)) and zoomed(one) < 1


def repetition(one: Trajectory, params: Params) -> bool:
    """The same done twice, or a turn that goes round in circles."""
    acts = [turn for turn in one.turns if isinstance(turn.said.action, (Search, Zoom))]
    done = [(turn.said.action, *_boxes_by_page(turn)) for turn in acts]
    return len(set(done)) < len(done) or any(_loops(turn.reply.text) for turn in one.turns)


def too_long(one: Trajectory, params: Params) -> bool:
    written = [turn.reply.tokens for turn in one.turns]
    most, in_a_turn = params.curate, params.agent.turn_tokens  # what is cut there is no turn when it is played
    return len(written) > most.turns or sum(written) > most.tokens or max(written, default=0) > in_a_turn


def leaked_answer(one: Trajectory, params: Params) -> bool:
    """It was written before the pages that have it could be read: seen, and enlarged where the print is too small.

    What is noted of one of several such pages is what it says. Where the question has the answer in it, nobody can say.
    """
    regions, zooms = gold_regions(one.question), "zoom" in params.agent.actions
    if answer_in_question(one.question):
        return False
    unread = set(regions)
    for turn in one.turns:
        if len(unread) < len(regions) and _says(one.question, turn.said.information):
            return False
        if _tells(one.question, turn):
            return True
        shown = pictures_of(turn)
        unread -= {picture.page for picture in shown if picture.boxes or not (zooms and regions.get(picture.page))}
        if shown and not unread:
            return False
    return False


def answer_in_question(question: Question) -> bool:
    return _says(question, question.query)


def _tells(question: Question, turn: Turn) -> bool:
    if not gold_pages(question):
        return says_there_is_none(question, turn.said.thought)
    searched = turn.said.action.query if isinstance(turn.said.action, Search) else ""
    return _says(question, f"{turn.said.thought} {turn.said.information} {searched}")


def _says(question: Question, text: str) -> bool:
    """Whether a text has the answer in it: all of a list, and numbers and dates however they may be written."""
    told = _CANDIDATE.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    words = _plain(told)
    return all(_stands(item, words, told) or _has_value(told, item, question) for item in items(question))


def _stands(item: str, words: str, told: str) -> bool:
    """Whether it is said; a mere yes or no is, where a clause ends with it: "no page" decides nothing."""
    word = _plain(item)
    return bool(re.search(rf"\b{word.strip()}(?=\s*(?:[.,;:!]|$))", told)) if word in _BARE else word in words


def _has_value(told: str, item: str, question: Question) -> bool:
    if date := only_date(item):
        return any(same_date(date, other) for other in dates(told))
    true = number_in(item, question.answer_format)
    if true is None:
        return False
    if true.scale:  # written out: 12 million is not told by whoever speaks of 12 months
        true = true._replace(value=true.value * true.scale, scale=0)
    elif not true.percent:
        true = true._replace(scale=scale_in(plain(question.query)))
    return any(same_number(true, other, Fraction(0)) for other in numbers(_THIS_ONE.sub(" ", told)))


FILTERS: Mapping[str, Filter] = {
    check.__name__: check
    for check in (
        void,
        gave_up,
        unanswered,
        wrong_answer,
        broken_format,
        wrong_page,
        missing_zoom,
        needless_zoom,
        wrong_region,
        repetition,
        too_long,
        leaked_answer,
    )
}


TOO_EASY, TOO_HARD = "too_easy", "too_hard"
REASONS = (*FILTERS, "twin", TOO_EASY, TOO_HARD, "surplus")  # in the order in which they are counted


def reason(one: Trajectory, params: Params) -> str | None:
    """The first filter that a trajectory does not pass."""
    return next((name for name, rejects in FILTERS.items() if rejects(one, params)), None)


def labelled(one: Trajectory) -> Question:
    """Its question, with what nobody has said of it and the episode found out: whether and where one must zoom in."""
    drawn = {picture.page: picture.boxes for turn in one.turns for picture in pictures_of(turn) if picture.boxes}

    def said(evidence: Evidence) -> Evidence:
        boxes = drawn.get(gold_page(evidence), ())
        return replace(evidence, needs_crop=bool(boxes), regions=evidence.regions or boxes)

    evidence = (each if each.needs_crop is not None else said(each) for each in one.question.evidence)
    return replace(one.question, evidence=tuple(evidence))


class Traits(NamedTuple):
    """Of a trajectory: that of which there may be too many."""

    kind: str
    document: str
    position: int | None  # of the first gold page that was found, among the candidates


def traits(one: Trajectory) -> Traits:
    return Traits(one.question.kind, one.question.file_name, _position(one))


def surplus(kept: Sequence[Traits], balance: float) -> set[int]:
    """Which to leave out, by their numbers: a value that `balance` times the mean number have is had by no more.

    Positions are to teach nothing, and come out as even as chance would have them.
    """
    out: set[int] = set()
    for trait, name in enumerate(Traits._fields):
        values = {number: one[trait] for number, one in enumerate(kept) if number not in out and one[trait] is not None}
        mean = len(values) / max(1, len(set(values.values())))
        most = min(balance * mean, mean + CHANCE * math.sqrt(mean)) if name == "position" else balance * mean
        counted: Counter[object] = Counter()
        for number, value in values.items():
            counted[value] += 1
            if counted[value] > most:
                out.add(number)
    return out


def _position(one: Trajectory) -> int | None:
    gold = gold_pages(one.question)
    for turn in one.turns:
        shown = [picture.page for picture in pictures_of(turn)] if isinstance(turn.said.action, Search) else []
        if found := [place for place, page in enumerate(shown) if page in gold]:
            return found[0]
    return None


def _boxes_by_page(turn: Turn) -> list[tuple[str, tuple[Box, ...]]]:
    """What a zoom showed; of a search nothing, since pages that were kept are not found again."""
    return [(picture.page, picture.boxes) for picture in pictures_of(turn) if picture.boxes]


def _zoomed_into(one: Trajectory) -> set[str]:
    return {picture.page for turn in one.turns if isinstance(turn.said.action, Zoom) for picture in pictures_of(turn)}


def _loops(text: str) -> bool:
    """One round after the other: who compares several pages says alike things of each, but other things between."""
    words = text.split()
    counted = Counter(tuple(words[at : at + LOOP]) for at in range(len(words) - LOOP + 1))
    if max(counted.values(), default=0) < ROUNDS:
        return False
    return any(_goes_round(words, length) for length in range(LOOP, len(words) // ROUNDS + 1))


def _goes_round(words: Sequence[str], length: int) -> bool:
    """Whether so many words are said again and again."""
    same = 0
    for word, later in zip(words, words[length:], strict=False):
        same = same + 1 if word == later else 0
        if same == (ROUNDS - 1) * length:
            return True
    return False


def _plain(text: str) -> str:
    """Words and numbers between spaces, so that 12 is not found in 312."""
    return f" {' '.join(_WORD.findall(_SEPARATOR.sub('', text.casefold())))} "
