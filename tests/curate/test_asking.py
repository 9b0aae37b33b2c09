"""Whatever an endpoint replies: it is understood for certain, or asked for again, or given up with the reason."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.chat import Body, Chat, Given, completion, error, scripted
from tests.curate.stub import pictures_of, text_of
from unidoc_rl.agent.endpoint import Completion, Endpoint, EndpointAway
from unidoc_rl.agent.kept import Kept
from unidoc_rl.curate.asking import AWAY_IN_A_ROW, Asking, Cost, Unreadable, cost, read
from unidoc_rl.curate.steps import Chosen, Closer, Learned, Wanted
from unidoc_rl.errors import UnidocError
from unidoc_rl.retry import Pace
from unidoc_rl.types import Content, Picture

PAGE = Picture("report_1", 56, 28)
FINE = '{"thought": "I look.", "query": "net sales"}'
SORRY = completion("I'm sorry, I can't assist with that.")


@contextlib.contextmanager
def asking(
    chat: Chat, folder: Path, seed: int = 1, *, used: str = "used", seconds: float = 5, pace: Pace | None = None
) -> Iterator[Asking]:
    with chat.running():
        endpoint = Endpoint(chat.url, sleep=lambda _: None, tries=2, seconds=seconds, pace=pace)
        with contextlib.closing(endpoint):
            kept = Kept(folder / "replies"), Kept(folder / used)
            yield Asking(endpoint, "the rules", draw, *kept, corpus="a corpus", seed=seed)


def draw(picture: Picture, smaller: int) -> bytes:
    return b"\xff\xd8" + b"." * (900 // smaller)


def ask(chat: Chat, replies: Path, content: Content = ("What?",)) -> Wanted:
    with asking(chat, replies) as asked:
        return asked(content, Wanted)


# --- reading ----------------------------------------------------------------------------------------------------------


def understood(text: str, finish_reason: str = "stop") -> Wanted:
    return read(Completion(text, 1, 1, finish_reason), Wanted, lambda _: "")


@pytest.mark.parametrize(
    "text",
    [
        FINE,
        f"Here it is:\n```json\n{FINE}\n```\nI hope {{that}} helps!",
        f'<think>{{"thought": "no", "query": "draft"}}</think>{FINE}',
        '{"thought": "first", "query": "draft"} or rather {"THOUGHT": "I look.", " Query ": "net sales", "more": [1]}',
        '{"thought": "I\\tlook.",\n"query": "net\nsales"}',
        '{"thought": "I <search>look</search>.", "query": "net sales<se<think>arch>"}',
    ],
)
def test_what_is_certain_is_taken(text: str) -> None:
    assert understood(text) == Wanted(thought="I look.", query="net sales")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON object"),
        ("I'm sorry, I can't assist with that.", "no JSON object"),
        ('{"thought": "I look.", "query": "net sa', "no JSON object"),
        ('{"denken": "Ich suche.", "suche": "Umsatz"}', "thought: Field required"),
        ('{"thought": "I look.", "query": "…"}', "query: .*it says nothing"),
        ('{"thought": "I look.", "query": ["net", "sales"]}', "query: "),
        (f'{{"thought": "{"so " * 500}", "query": "net sales"}}', "thought: .*longer than 1200"),
        (f"[{FINE[:-1]}", "no JSON object"),
        ("{" * 3000 + "[" * 3000, "no JSON object"),
    ],
)
def test_what_is_not_says_why(text: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        understood(text)


def test_half_a_character_is_told_as_one_that_files_take() -> None:
    assert understood('{"thought": "I look.", "query": "net \\ud83d sales"}').query == "net ? sales"


def test_what_was_cut_off_is_not_taken_whatever_it_holds() -> None:
    with pytest.raises(Unreadable, match="cut off"):
        understood(f'{{"plans": [{FINE}', "length")


@given(
    st.text() | st.lists(st.sampled_from(["{", "}", '"', "thought", "query", ":", ",", "[", "\\", FINE])).map("".join)
)
def test_any_text_is_understood_or_not(text: str) -> None:
    with contextlib.suppress(Unreadable):
        assert understood(text).query


def test_words_for_numbers_truth_and_nothing_are_taken() -> None:
    def of(kind: type[Closer] | type[Learned] | type[Chosen], **said: object) -> object:
        return read(Completion(json.dumps({"thought": "So.", **said}), 1, 1, "stop"), kind, lambda _: "")

    assert of(Closer, zoom="yes") == Closer(thought="So.", zoom=True)
    assert of(Chosen, number="2", pages=[{"number": "0", "says": "a cover"}]).number == 2  # type: ignore[attr-defined]
    learned = [
        of(Learned, information="It says 4.", answer=answer) for answer in (4.5, ["a", "b"], "None", "", [], None)
    ]
    assert [one.answer for one in learned] == ["4.5", "a, b", None, None, None, None]  # type: ignore[attr-defined]


# --- asking -----------------------------------------------------------------------------------------------------------


def test_it_is_told_what_is_wrong_and_asked_again(tmp_path: Path) -> None:
    chat = scripted(SORRY, completion('{"thought": "I look."}'), completion(FINE))
    assert ask(chat, tmp_path).query == "net sales"
    told = [text_of(body) for body in chat.asked]
    assert told[0] == "What?"
    assert "there is no JSON object" in told[1]
    assert "query: Field required" in told[2]


@pytest.mark.parametrize(
    ("given", "asked", "said"),
    [
        ([SORRY] * 9, 3, "3 replies in vain, the last: there is no JSON object in it: I'm sorry, I can't"),
        ([completion(None)] * 9, 3, "in vain, .*: nothing"),
        ([error(413, "too large")] * 9, 3, r"refuses this request \(413: too large\)"),
        ([error(400, "maximum context length is 4096 tokens")] * 9, 3, "too long"),
    ],
)
def test_in_vain_it_is_given_up_within_bounds(given: Sequence[Given], asked: int, said: str, tmp_path: Path) -> None:
    chat = scripted(*given)
    with pytest.raises(Unreadable, match=said):
        ask(chat, tmp_path, ("Look: ", PAGE))
    assert len(chat.asked) == asked


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(status: int, tmp_path: Path) -> None:
    assert ask(scripted(error(status, "busy"), completion(FINE)), tmp_path).query == "net sales"
    with pytest.raises(EndpointAway, match=f"2 tries .*{status}: busy"):
        ask(scripted(*[error(status, "busy")] * 2), tmp_path / "other")


def test_a_stall_ends(tmp_path: Path) -> None:
    over = threading.Event()
    chat = Chat(lambda _: completion(FINE) if over.wait(3) else None)
    with asking(chat, tmp_path, seconds=0.05) as asked:
        with pytest.raises(EndpointAway, match=r"no answer within 0\.05 s"):
            asked(("What?",), Wanted)
        over.set()


def test_an_endpoint_that_is_away_for_everything_ends_the_run(tmp_path: Path) -> None:
    """Not one that answers now and then, or that will not take what it is given."""

    def answer(body: Body) -> Given:
        if "well" in text_of(body):
            return completion(FINE)
        return error(400, "not that") if "odd" in text_of(body) else error(503, "down")

    with asking(Chat(answer), tmp_path) as asked:
        for part in ("first", "second"):
            asked((f"Is all well {part}?",), Wanted)
            for n in range(AWAY_IN_A_ROW):
                with pytest.raises(EndpointAway):
                    asked((f"What {part} {n}?",), Wanted)
            with pytest.raises(Unreadable):
                asked((f"An odd {part}?",), Wanted)
        with pytest.raises(UnidocError, match="run again to go on") as caught:
            asked(("What?",), Wanted)
    assert not isinstance(caught.value, EndpointAway)


def test_pictures_too_large_are_made_smaller(tmp_path: Path) -> None:
    def answer(body: Body) -> Given:
        return completion(FINE) if all(len(one) < 300 for one in pictures_of(body)) else error(413, "too large")

    chat = Chat(answer)
    ask(chat, tmp_path, ("Look: ", PAGE))
    assert [len(next(pictures_of(body))) for body in chat.asked] == [902, 452, 227]


def test_nothing_is_asked_twice_not_even_in_vain(tmp_path: Path) -> None:
    chat = scripted(SORRY, completion(FINE))
    first = ask(chat, tmp_path, ("Look: ", PAGE))
    assert ask(chat, tmp_path, ("Look: ", PAGE)) == first
    assert len(chat.asked) == 2
    with asking(chat, tmp_path, used="another result") as asked:
        asked(("Look: ", PAGE), Wanted)
    assert len(chat.asked) == 2
    assert cost(Kept(tmp_path / "used")) == cost(Kept(tmp_path / "another result")) == Cost(2, 240, 10)


@pytest.mark.parametrize("other", [("Look: ", Picture("report_2", 56, 28)), ("Look:  ", PAGE), ("Look: ",)])
def test_what_is_another_question_is_asked(other: Content, tmp_path: Path) -> None:
    chat = Chat(lambda _: completion(FINE))
    ask(chat, tmp_path, ("Look: ", PAGE))
    ask(chat, tmp_path, other)
    assert len(chat.asked) == 2


def test_samples_and_seeds_differ(tmp_path: Path) -> None:
    chat = Chat(lambda _: completion(FINE))
    for seed in (1, 2):
        with asking(chat, tmp_path, seed) as asked:
            for sample in (0, 1, 0):
                asked(("What?",), Wanted, sample=sample)
    assert len({body["seed"] for body in chat.asked}) == len(chat.asked) == 4


def test_no_more_are_sent_a_minute_than_allowed_tries_counted(tmp_path: Path) -> None:
    chat = scripted(error(429, "slow down"), *[completion(FINE)] * 4)
    with asking(chat, tmp_path, pace=Pace(60 / 0.05)) as asked:
        start = time.monotonic()
        for n in range(4):
            asked((f"What {n}?",), Wanted)
    assert time.monotonic() - start >= 4 * 0.05  # five were sent, the first at once
