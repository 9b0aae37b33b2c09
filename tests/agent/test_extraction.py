"""What a model pulls out of an answer is what is scored: it does not know the reference, and nobody guesses for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.chat import Body, Chat, Given, completion, scripted
from unidoc_rl.agent.endpoint import KEY, Endpoint
from unidoc_rl.agent.extraction import ExtractingJudge, read
from unidoc_rl.agent.judge import open_judge
from unidoc_rl.agent.judging import Verdict
from unidoc_rl.agent.kept import Kept
from unidoc_rl.types import AnswerFormat, Question


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("UNIDOC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(KEY, raising=False)


def question(form: AnswerFormat, reference: str) -> Question:
    return Question("q1", "Which share is it?", reference, form, "", "", "a.pdf", ())


def judged(chat: Chat, *asked: tuple[Question, str], name: str = "mmlongbench+") -> list[Verdict]:
    """As a stage would have it."""
    with chat.running():
        return open_judge(f"{name}{chat.url}#served")(asked)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("ANSWER: 14%", "14%"),
        ("It adds them up.\n\n**Answer:** `14.5`\n", "14.5"),
        ("<think>ANSWER: 3</think>\n**Short answer: less well-off**", "less well-off"),
        ("ANSWER: ['red', \"blue\"]", "['red', \"blue\"]"),
        ("ANSWER: -$3: in all", "-$3: in all"),
        ("answer: 'not answerable'.", "Not answerable"),
        ("ANSWER: **Fail to answer**", "Fail to answer"),
        ("ANSWER: 14%\nor so I think", None),
        ("The answer is 14%", None),
        ("ANSWER:", None),
        ("**ANSWER:** **", None),
        ("", None),
    ],
)
def test_the_last_line_tells_the_short_answer(reply: str, answer: str | None) -> None:
    assert read(reply) == answer


@given(st.text() | st.text().map("ANSWER:{}".format))
def test_whatever_is_replied_is_an_answer_or_none(reply: str) -> None:
    assert read(reply) != ""


@pytest.mark.parametrize(
    ("form", "reference", "told", "value", "refuses"),
    [
        (AnswerFormat.INT, "8", "8", 1, False),
        (AnswerFormat.INT, "8", "9", 0, False),
        (AnswerFormat.FLOAT, "14%", "14.05%", 1, False),
        (AnswerFormat.STR, "Paris", "Pariz", 0.8, False),
        (AnswerFormat.LIST, "['White', '10%']", "['10%', 'white']", 1, False),
        (AnswerFormat.NONE, "Not answerable", "not answerable", 1, True),
        (AnswerFormat.NONE, "Not answerable", "Fail to answer", 0, False),
        (AnswerFormat.STR, "Paris", "Not answerable", 0, True),
    ],
)
def test_what_is_pulled_out_is_scored_by_the_protocol(
    form: AnswerFormat, reference: str, told: str, value: float, refuses: bool
) -> None:
    (verdict,) = judged(scripted(completion(f"So it says.\nANSWER: {told}")), (question(form, reference), "a long one"))
    assert verdict.value == pytest.approx(value)
    assert verdict.refuses is refuses
    assert told.casefold() in verdict.reason.casefold()


def test_the_model_knows_question_and_answer_and_no_reference() -> None:
    chat = scripted(completion("ANSWER: 14%"))
    judged(chat, (question(AnswerFormat.STR, "the reference"), "Some say 13%, but it is 14%."))
    rules, given = (message["content"] for message in chat.asked[0]["messages"])
    assert re.findall(r"<(\w+) \w+>\n(.*)\n</", given) == [
        ("question", "Which share is it?"),
        ("answer", "Some say 13%, but it is 14%."),
    ]
    assert "the reference" not in rules
    assert chat.asked[0]["temperature"] == 0


def test_an_answer_is_read_once_whatever_it_is_compared_with() -> None:
    def answer(body: Body) -> Given:
        return completion("RIGHT" if "You grade" in body["messages"][0]["content"] else "ANSWER: 14")

    chat = Chat(answer)
    asked = [(question(AnswerFormat.INT, reference), "fourteen") for reference in ("14", "15")]
    assert [verdict.value for verdict in judged(chat, *asked)] == [1, 0]
    assert [verdict.value for verdict in judged(chat, *asked)] == [1, 0]
    assert len(chat.asked) == 1
    assert [verdict.value for verdict in judged(chat, *asked, name="")] == [1, 1]  # who grades reads another reply
    assert len(chat.asked) == 3


def test_a_reply_that_is_not_understood_is_no_verdict_and_asked_for_again_later() -> None:
    chat = scripted(completion("Well."), completion("ANSWER: 1", "length"), completion("Hm."), completion("ANSWER: 14"))
    asked = question(AnswerFormat.INT, "14"), "fourteen"
    wanted = "one line: ANSWER: and the short answer"
    why = f"not judged: two replies that do not end with {wanted}, the last: ANSWER: 1"  # and it was cut off
    assert judged(chat, asked) == [Verdict(None, why)]
    assert [verdict.value for verdict in judged(chat, asked)] == [1]
    assert chat.asked[1]["messages"][1]["content"][-1]["text"] == f"\n\nYour whole reply is to be {wanted}."


def test_what_is_kept_needs_no_server(tmp_path: Path) -> None:
    asked = question(AnswerFormat.INT, "14")
    with scripted(completion("ANSWER: 14")).running() as chat:
        ExtractingJudge(Endpoint(chat.url, "served"), Kept(tmp_path))([(asked, "fourteen")])
    judge = ExtractingJudge(Endpoint(chat.url, "served", tries=1), Kept(tmp_path))
    known, away = judge([(asked, "fourteen"), (asked, "about fourteen")])
    assert (known.value, away.value) == (1, None)
    assert re.match("not judged: .* away", away.reason)
