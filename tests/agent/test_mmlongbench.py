"""MMLongBench-Doc's scoring: what its protocol gives, worked out by hand, and its definition of likeness.

mmlongbench_scores.jsonl holds 220 pairs of each format, made of words and numbers at random, with what the authors' own
script (eval/eval_score.py of MMLongBench-Doc, at 263f15d) gave them; and in its first line, to all of them together.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unidoc_rl.agent.mmlongbench import by_protocol, likeness, verdict, worth
from unidoc_rl.agent.rewards import score
from unidoc_rl.evaluate.measures import evaluation, row_of
from unidoc_rl.params import RewardParams
from unidoc_rl.types import Answer, AnswerFormat, Evidence, Outcome, Question, Reply, Said, Trajectory, Turn

INT, FLOAT, STR, LIST, NONE = (
    AnswerFormat.INT,
    AnswerFormat.FLOAT,
    AnswerFormat.STR,
    AnswerFormat.LIST,
    AnswerFormat.NONE,
)

WORKED = """
Int   | 8                     | 8                       | 1
Int   | 8                     | 8.0                     | 1
Int   | 8                     | 8.9                     | 1
Int   | 8                     | -8                      | 0
Int   | 8                     | 9                       | 0
Int   | 8                     | eight                   | 0
Int   | 8                     | 8 items                 | 0
Int   | 8                     | 1e400                   | 0
Int   | 8.0                   | 8                       | 0
Int   | 2,966                 | 2966                    | 0
Int   | 0                     | -0.5                    | 1
Int   | 30                    | 3e1                     | 1
Float | 14%                   | 14                      | 1
Float | 14%                   | 0.14                    | 1
Float | 14%                   | 1400                    | 1
Float | 14%                   | 14.1%                   | 1
Float | 14%                   | 14.2                    | 0
Float | 14%                   | $14                     | 1
Float | 14%                   | 14 (see page 3)         | 1
Float | 14%                   | 14 percent              | 0
Float | 0.109                 | 0.11                    | 1
Float | 0.109                 | 0.1079                  | 0
Float | 0.109                 | 0.114                   | 0
Float | 0.023                 | 0.02                    | 1
Float | 0.023                 | 0.025                   | 0
Float | 73.0                  | 73.04                   | 1
Float | 0.45                  | 45%                     | 1
Float | 30216492.00           | 30216492                | 1
Float | 30216492.00           | 30,216,492              | 0
Float | 1.93                  | -1.93                   | 0
Float | 3.0                   | nan                     | 0
Float | 3.0                   |                         | 0
Str   | Less well-off         | Less well-off           | 1
Str   | Less well-off         | less well-off (page 5)  | 1
Str   | Less well-off         | "Less well-off"         | 1
Str   | Less well-off         | less well off           | 12/13
Str   | abcd                  | abc                     | 3/4
Str   | abcd                  | ab                      | 0
Str   | abcd                  | abx                     | 0
Str   | abcdef                | abcdxy                  | 4/6
Str   | Poland                | The country is Poland   | 0
Str   | $12                   | 12                      | 1
Str   | 12                    | 13                      | 0
Str   | 1234                  | 1235                    | 0
Str   | 555-1234              | 555-1235                | 0
Str   | 555-1234              | 555-1234                | 1
Str   | 2015-03-24            | 2015-03-25              | 0
Str   | 2015-03               | 2015-04                 | 0
Str   | page 10               | page 11                 | 0
Str   | pages 10 and 11       | pages 10 and 12         | 0
Str   | 10 a.m.               | 11 a.m.                 | 0
Str   | see train.py          | see trail.py            | 0
Str   | main.ipynb            | pain.ipynb              | 0
Str   | a.b@example.com       | a.c@example.com         | 0
Str   | https://a.org/x       | https://a.org/y         | 0
Str   | Mr. B (chair)         | mr. b                   | 1
Str   | (all)                 | (none)                  | 1
Str   | 12.5 apples           | 12.6 apples             | 10/11
None  | Not answerable        | not answerable          | 1
None  | Not answerable        | Not answerable.         | 14/15
None  | Not answerable        | 42                      | 0
None  | Not answerable        | Fail to answer          | 0
List  | ['White', '10%']      | ['10%', 'white']        | 1
List  | ['White', '10%']      | ['10', 'White']         | 1
List  | ['White', '10%']      | ['11%', 'White']        | 0
List  | ['White', '10%']      | ['White']               | 0
List  | ['White', '10%']      | White, 10%              | 0
List  | ['3', '4']            | ['4', '3']              | 1
List  | ['3', '4']            | [3, 4]                  | 1
List  | ['3', '4']            | ['3', '5']              | 0
List  | [2005, 2006]          | ['2005', '2006']        | 1
List  | ['0', '0']            | ['0', '0']              | 1
List  | ['0', '0']            | ['0']                   | 0
List  | ['abcd', 'efgh']      | ['abcd', 'efgx']        | 3/4
List  | ['abcd', 'efgh']      | ['abcx', 'efg']         | 3/4
List  | ['abcd', 'efgh']      | ['abcd', 'efxx']        | 0
List  | ['abcd', 'efgh']      | ['abcd', 'efgh', 'i']   | 0
List  | ['abcd', 'efgh']      | ['abcd', 'efgh'         | 0
List  | abcd                  | abcd                    | 1
List  | abcd                  | ['abcd']                | 1
List  | ['2015-03-24', 'x']   | ['2015-03-25', 'x']     | 0
"""


def _pairs() -> list[tuple[AnswerFormat, str, str, float]]:
    told = [[part.strip() for part in line.split("|")] for line in WORKED.strip().split("\n")]
    pairs = [(AnswerFormat(form), true, given, _fraction(value)) for form, true, given, value in told]
    # What the rules say of numbers, for many of them: whole ones are the same or not; others may be a hundredth apart.
    pairs += [(INT, str(one), str(other), float(one == other)) for one, other in product((0, 7, 12, 305), repeat=2)]
    shares = (2.5, 30.3, 512.0, 98.75)
    pairs += [
        (FLOAT, str(one), f"{one * scale * factor:.6f}", float(near))
        for one in shares
        for scale in (0.01, 1, 100)
        for factor, near in ((1, True), (0.995, True), (1.005, True), (1.3, False), (0.9, False))
    ]
    # One letter of n is another one: (n - 1) / n; of three letters, two are still more than half.
    words = ("tea", "chart", "Hungary", "immigration", "golden gate park", "television advertising")
    for form, word in product((STR, LIST), words):
        pairs.append((form, word, word.upper(), 1.0))
        pairs.append((form, word, f"z{word[1:]}", (len(word) - 1) / len(word)))
        pairs.append((form, word, "z" * len(word), 0.0))
        pairs.append((form, word, f"{word}{word}", 0.0))
    return pairs


def _fraction(text: str) -> float:
    over, _, under = text.partition("/")
    return int(over) / int(under or 1)


PAIRS = _pairs()


def test_the_protocol_gives_what_was_worked_out() -> None:
    assert len(PAIRS) >= 200
    wrong = [(*pair, worth(*pair[:3])) for pair in PAIRS if worth(*pair[:3]) != pytest.approx(pair[3])]
    assert wrong == []


# --- held against the authors' own script -----------------------------------------------------------------------------

SCORES = Path(__file__).with_name("mmlongbench_scores.jsonl")


def recorded() -> tuple[dict[str, float], list[tuple[AnswerFormat, str, str, float]]]:
    whole, *lines = map(json.loads, SCORES.read_text(encoding="utf-8").splitlines())
    return whole, [(AnswerFormat(form), true, told, value) for form, true, told, value in lines]


def test_the_authors_own_script_gives_each_pair_the_same() -> None:
    _, pairs = recorded()
    assert {form: count >= 200 for form, count in Counter(form for form, *_ in pairs).items()} == dict.fromkeys(
        AnswerFormat, True
    )
    assert [pair for pair in pairs if worth(*pair[:3]) != pytest.approx(pair[3])] == []


def test_the_authors_own_script_gives_the_same_accuracy_and_f1() -> None:
    whole, pairs = recorded()
    episodes = [answered(str(n), form, true, told) for n, (form, true, told, _) in enumerate(pairs)]
    judged = score(episodes, RewardParams(), lambda asked: [verdict(question, told) for question, told in asked])
    found = evaluation(map(row_of, judged))
    assert (found.accuracy.value, found.f1.value) == pytest.approx((whole["accuracy"], whole["f1"]))


def answered(uid: str, form: AnswerFormat, true: str, told: str) -> Trajectory:
    evidence = () if form is NONE else (Evidence("a.pdf", 1, (), None),)
    question = Question(uid, "Which?", true, form, "", "", "a.pdf", evidence)
    turn = Turn(Reply("", 1, 1, 0.0), Said("", "", Answer(told)), (), 0.0)
    return Trajectory(question, 0, "", (turn,), Outcome.ANSWERED, "", None)


# --- what holds of all answers ----------------------------------------------------------------------------------------

letters = st.text("ab ", max_size=7)


@settings(max_examples=300)
@given(letters, letters)
def test_likeness_is_what_anls_is_defined_as(one: str, other: str) -> None:
    def changes(left: str, right: str) -> int:
        if not left or not right:
            return len(left) + len(right)
        if left[0] == right[0]:
            return changes(left[1:], right[1:])
        return 1 + min(changes(left[1:], right), changes(left, right[1:]), changes(left[1:], right[1:]))

    share = changes(one, other) / max(len(one), len(other), 1)
    assert likeness(one, other) == pytest.approx(1 - share if share < 0.5 else 0)


BRACKETS = st.text("[]{}(),:'1a", max_size=12).map("[{}]".format)


@given(st.sampled_from(AnswerFormat), st.text(max_size=30), st.text(max_size=30) | BRACKETS)
@example(AnswerFormat.LIST, "['a']", "[{[1]: 2}]")
def test_whatever_is_written_has_a_worth(form: AnswerFormat, reference: str, answer: str) -> None:
    assert 0 <= worth(form, reference, answer) <= 1


@pytest.mark.parametrize(
    ("form", "answer", "value"),
    [(NONE, "The report does not say.", 1.0), (NONE, "Paris", 0.0), (STR, "not answerable", 0.0), (STR, "Pariz", 0.8)],
)
def test_an_answer_in_many_words_that_there_is_none_is_one(form: AnswerFormat, answer: str, value: float) -> None:
    reference = "Not answerable" if form is NONE else "Paris"
    question = Question("q", "Where?", reference, form, "", "", "a.pdf", ())
    (verdict,) = by_protocol([(question, answer)])
    assert verdict.value == pytest.approx(value)


@pytest.mark.parametrize("reference", ["None", "Unknown", "N/A", "Don't know", "Not answerable"])
def test_an_answer_that_is_its_reference_is_right_whatever_it_says(reference: str) -> None:
    question = Question("q", "What did most of them answer?", reference, STR, "", "", "a.pdf", ())
    itself, other = by_protocol([(question, reference), (question, "It is not stated.")])
    is_none = reference == "Not answerable"
    assert (itself.value, itself.refuses) == (1, is_none)
    assert (other.value, other.refuses) == (is_none, True)
