"""The judge without a model: right is right however it is written, and nobody is right by listing what could be."""

from __future__ import annotations

from datetime import date
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl.agent.rules import by_rules
from unidoc_rl.types import AnswerFormat, Question

FORMATS = {
    "str": AnswerFormat.STR,
    "int": AnswerFormat.INT,
    "float": AnswerFormat.FLOAT,
    "list": AnswerFormat.LIST,
    "none": AnswerFormat.NONE,
}
SALES = "What were the net sales of Acme in 2023 (in EUR million)?"
CHOICE = "Which is higher under “Net sales”: Kenya or Hungary?"
YEARS = "In which year were the visits higher: 2015 or 2016?"
COLUMNS = "Name the columns of numbers of the table."

RIGHT = """
int   | How many?  | 306 | 306
int   | How many?  | 306 | 306.0
int   | How many?  | 2966 | 2,966
int   | How many?  | 2966 | 2 966 shareholders
int   | How many?  | 2966 | 2'966
int   | How many?  | 1234567 | 1.234.567
int   | How many?  | 3 | three
int   | How many?  | 3 | There are three bars.
int   | How many?  | 3 | three in the first half
int   | How many?  | -3 | minus three
int   | {SALES}    | 3 | three million
int   | How many?  | -5 | −5
int   | How many?  | -5 | minus 5
int   | How many?  | 44 | **44**
int   | How many?  | 353 | 353 (of whom 120 are women)
int   | When?      | 2013 | In March 2013
int   | {SALES}    | 306 | 0.306 billion
float | {SALES}    | 12.4 | 12.4
float | {SALES}    | 12.4 | EUR 12.4 million
float | {SALES}    | 12.4 | €12.4m
float | {SALES}    | 12.4 | 12,4
float | {SALES}    | 12.4 | 12,400,000
float | {SALES}    | 12.4 | 12,400 thousand
float | {SALES}    | 12.4 | The net sales were 12.4 million USD in 2023.
float | {SALES}    | 12.4 | In 2023, the net sales of Acme were 12.4 (11.9 in 2022).
float | How much?  | 12.4 million | 12.4
float | How much?  | 12.4 million | 12.4 mn
float | How much?  | 2.1 billion | $2,100 million
float | How much?  | 100.0 | 99.1
float | How much?  | 1234.5 | 1.234,5
float | How much?  | .5 | 0.5
float | How much?  | -5.2 | -$5.2
float | How much?  | 34% | 34 %
float | How much?  | 34% | 34
float | How much?  | 34% | 0.34
float | How much?  | 0.34 | 34%
float | How much?  | 11.4 | 11.4 percent
str   | How much?  | 34% | 34 per cent
float | How much?  | 0.03 | three per cent
str   | How much?  | 3 million | three million
str   | How much?  | $5m | 5 million
str   | How much?  | 5.5m | 5.5 million
str   | How much?  | 5.52m | 5.5 million
int   | How much?  | 10k | 10,000
str   | How much?  | $1,200 | 1200
str   | How much?  | -$5.2 million | −5.2 million
str   | How much?  | -5 kg | It was −5 kg.
str   | How much?  | -5 kg | minus 5 kg
str   | {YEARS}    | 2016 | 2016
str   | {YEARS}    | 2016 | They were higher in 2016.
str   | When?      | 2015-03-24 | March 24, 2015
str   | When?      | 2015-03-24 | on the 24th of March 2015
str   | When?      | March 24, 2015 | 24.03.2015
str   | When?      | 24 March 2015 | 3/24/2015
str   | When?      | 3/4/2015 | 4 March 2015
str   | When?      | 1884 April 5 | Apr. 5, 1884
str   | When?      | March 24 | March 24, 2015
str   | When?      | Dec 2018 | December 2018
str   | Where?     | Poland | poland.
str   | Where?     | Poland | Answer: Poland
str   | Where?     | Poland | It is Poland (see the note, page 3).
str   | Where?     | Poland | The country in the first row is Poland.
str   | Did it?    | No | No, sales did not grow.
str   | Is it?     | No | No, goodwill is not included.
str   | Is it?     | Yes | Yes, by more than 5
none  | Where?     | Not answerable | (not answerable)
none  | Where?     | Not answerable | Not answerable (no page says it)
str   | Where?     | the United States | United States
str   | Which?     | Hepatitis A | It is Hepatitis A.
str   | Which?     | Class A | the Class A shares
str   | Which?     | the Class A | Class A
str   | Who?       | Television | Televison
str   | What?      | Golden Gate Park & the Avenues | Golden Gate Park and Avenues
str   | What?      | Less well-off | less well off
str   | What?      | Web site | website
str   | What?      | Iran's nuclear program | Iran’s nuclear program
str   | What?      | 10-K | Form 10-K
str   | Who?       | 3M | It is 3M.
str   | What?      | 45 days | It took 45 days.
str   | What?      | N/A | N/A
str   | What?      | 0-20 | 0–20
str   | What?      | $5-$10 a year | 5 - 10 a year
str   | What?      | 5€-10€ a year | 5 - 10 a year
str   | What?      | 5%-10% a year | 5% – 10% a year
str   | Which?     | BBB- | Rated BBB- by Fitch.
str   | Which?     | BBB- | BBB− (stable)
str   | Which?     | AA-/Stable | AA- / stable
str   | Which?     | A- | It is an A-.
str   | What?      | pre-war | pre- war
str   | What?      | well-known | well- known
str   | What?      | the A-rated | A rated
str   | Where?     | Poland | - Poland
str   | Where?     | Poland | <Poland>
str   | How much?  | <1% | < 1 %
str   | How much?  | <1% | It was <1%.
str   | How much?  | <$5 a year | < 5 a year
str   | How much?  | ≥5 kg | >=5 kg
str   | How much?  | <$5 million | < 5,000,000
float | How much?  | >1% | >1 %
int   | How many?  | 306 | -> 306
int   | How many?  | 306 | 306 (>300)
list  | Which?     | ['AA-', 'AA'] | AA, AA-
str   | {CHOICE}   | Hungary | Hungary
str   | {CHOICE}   | Hungary | Hungary (35.3 against 11.0)
str   | {CHOICE}   | Hungary | The answer is Hungary.
str   | Who?       | Foreign born (excl. PR) | foreign born
str   | Is it so?  | Yes | Yes, it grew by 5 %.
str   | Is it so?  | No | no
str   | Wo?        | 東京 | 東京。
list  | {COLUMNS}  | Sales outlets, Net sales, Market share | Net sales, Market share, Sales outlets
list  | {COLUMNS}  | Sales outlets, Net sales, Market share | The columns are: Sales outlets, Net sales and Market share
list  | {COLUMNS}  | Sales outlets, Net sales | Sales outlets; Net sales
list  | {COLUMNS}  | Sales outlets, Net sales | ["Net sales", "Sales outlets"]
list  | {COLUMNS}  | Sales outlets, Net sales | 1. Sales outlets/// 2. Net sales
list  | Which?     | ['yellow', 'black and white'] | yellow, black and white
list  | Which?     | ['LONG,HEALTHY LIFE', 'READINESS'] | "Readiness", "Long, healthy life"
list  | Which?     | ['White', '10%'] | 10 %, White
list  | Which?     | ['Group A', 'Group B'] | the Group B and the Group A
list  | Which?     | [2005, 2006] | 2006 and 2005
list  | Which?     | ['-5 kg', '3 kg'] | 3 kg, –5 kg
list  | Which?     | ['48897809', '5152012'] | 48,897,809 and 5,152,012
list  | When?      | ['2015-03-24', '2015-03-25'] | 25 March 2015; 24 March 2015
none  | {SALES}    | Not answerable | Not answerable
none  | {SALES}    | Not answerable | The question is not answerable.
none  | {SALES}    | Not answerable | This cannot be determined from the documents.
none  | {SALES}    | Not answerable | I couldn't find this figure in the report of 2022.
none  | {SALES}    | Not answerable | The report doesn't mention it.
none  | {SALES}    | Not answerable | No information is available.
none  | {SALES}    | Not answerable | The documents do not hold the answer.
none  | {SALES}    | Not answerable | Unknown
none  | {SALES}    | Not answerable | N/A
str   | {SALES}    | Not answerable | It is not stated.
"""

WRONG = """
int   | How many?  | 306 | 307
int   | How many?  | 306 | 305 or 306
int   | How many?  | 42 | It is not 42
int   | How many?  | 42 | definitely not 42, rather forty
int   | How many?  | 42 | 42 or forty-three
str   | When?      | 2015-03-04 | not 4 March 2015
str   | Was it?    | yes | yes and no
none  | How much?  | Not answerable | The value is 42; the unit is not mentioned
none  | How much?  | Not answerable | 42 (page not given)
none  | How much?  | Not answerable | forty-two (page not given)
int   | How many?  | 306 | 301, 302, 303, 304, 305, 306, 307
int   | How many?  | 306 | 306-310
int   | How many?  | 306 | many
int   | How many?  | 306 |
int   | How many?  | 306 | 3060
int   | How many?  | 3 | 3.04
int   | How many?  | 3 | two or three
int   | How many?  | 3 | thirty-three
int   | How many?  | 3 | minus three
int   | How many?  | 2 | two hundred
int   | How many?  | 2 | two thirds
int   | Which one? | 20 | twenty-one
int   | {SALES}    | 3 | three billion
int   | How many?  | 5 | -5
int   | How many?  | 5 | minus 5
int   | How many?  | 310 | 306–310
int   | How many?  | 10 | $5-$10
int   | How many?  | 306 | Not answerable
int   | How many?  | 2016 | It is not answerable, as 2016 is missing.
int   | {SALES}    | 306 | 2023
float | {SALES}    | 12.4 | 12.4 billion
float | {SALES}    | 12.4 | 12.4 thousand
float | {SALES}    | 12.4 | 12.9
float | {SALES}    | 12.4 | In 2023 they were 12.4, in 2022 they were 11.9.
float | {SALES}    | 12.4 | 1.24
float | How much?  | 34% | 0.34%
float | How much?  | 34% | 3400
float | How much?  | 34 | 0.34
float | How much?  | 2.1 billion | 2.1 million
float | How much?  | 0.0 | 0.001
float | How much?  | 5.2 | -$5.2
float | How much?  | -5.2 | $5.2
str   | How much?  | $1,200 | 1201
str   | {YEARS}    | 2016 | 2015
str   | {YEARS}    | 2016 | 2015, not 2016
str   | {YEARS}    | 2016 | 2015 and 2016
str   | When?      | 2015-03-24 | March 25, 2015
str   | When?      | 2015-03-24 | March 2015
str   | When?      | 2015-03-24 | March 24, 2015 or March 25, 2015
str   | When?      | 2015-03-24 | 2014-03-24
str   | Where?     | Poland | Holland
str   | Where?     | Poland | not Poland
str   | Which is not in it? | Norway | It is not Norway.
str   | Where?     | Poland | Poland or Hungary
str   | Where?     | Poland | Poland, Hungary, Kenya
str   | Where?     | Poland | Kenya/Poland
str   | Where?     | Poland | Hungary. Poland. Kenya.
str   | Where?     | Poland | Hungary - Poland - Kenya
str   | Where?     | Poland | Hungary • Poland • Kenya
str   | Where?     | Poland | maybe Hungary maybe Poland
str   | Where?     | Poland | It is Hungary. It might be Poland.
none  | Where?     | Not answerable | Poland (page not given)
none  | Where?     | Not answerable | Poland (Hungary is not mentioned)
str   | Where?     | Poland | The report does not mention Poland.
str   | Where?     | Poland | Pol
str   | Which?     | Hepatitis A | Hepatitis B
str   | Which?     | Hepatitis A | Hepatitis
str   | Which?     | Class A | the Class C shares
str   | Which?     | A | It is a B.
str   | Group A or Group B? | Group A | It is Group B.
str   | What?      | direct costs of sales | indirect costs of sales
str   | What?      | immigration | emigration
str   | What?      | Form 10-K of 2015 | Form 10-K of 2016
str   | What?      | 10-K | 10-Q
str   | What?      | 10-K | 10
str   | What?      | 10-K | 10,000
str   | Which?     | 2B | 2A
str   | Who?       | 3M | 3
str   | What?      | 45 days | 30-45 days
str   | What?      | 45 days | 45 months
str   | What?      | Fund | The Fund whose gross income grew by far fastest of all those on this page
str   | {CHOICE}   | Hungary | Kenya
str   | {CHOICE}   | Hungary | Kenya is higher than Hungary
str   | {CHOICE}   | Hungary | Hungary and Kenya
str   | {CHOICE}   | Hungary | The answer is: Kenya, not Hungary.
str   | Who?       | Foreign born (excl. PR) | (excl. PR)
str   | Is it so?  | Yes | No, yes
str   | Is it so?  | No | Yes
str   | Where?     | Poland | !?
str   | What?      | Disney+ | Disney
list  | Which?     | ['AA-', 'BBB'] | AA, BBB
list  | {COLUMNS}  | Sales outlets, Net sales | Sales outlets
list  | {COLUMNS}  | Sales outlets, Net sales | Sales outlets, Net sales, Market share
list  | {COLUMNS}  | Sales outlets, Net sales | Sales outlets, Market share
list  | {COLUMNS}  | Sales outlets, Net sales | Sales outlets, Sales outlets
list  | Which?     | ['46', '27', '64'] | 46, 27, 65
list  | Which?     | ['46', '27', '64'] | 20, 27, 46, 50, 64
list  | Which?     | ['White', '10%'] | not answerable
list  | Which?     | ['-5 kg', '3 kg'] | 5 kg, 3 kg
list  | Which?     | ['Group A', 'Group B'] | Group C, Group B
none  | {SALES}    | Not answerable | 12.4 million
none  | {SALES}    | Not answerable | Acme
none  | {SALES}    | Not answerable | No
none  | {SALES}    | Not answerable |
none  | {SALES}    | Not answerable | 0
str   | {SALES}    | Not answerable | 12.4
"""

Case = tuple[AnswerFormat, str, str, str]


def rows(table: str) -> list[Case]:
    cases = []
    for line in table.strip().splitlines():
        form, query, reference, answer = (cell.strip() for cell in line.split("|"))
        query = query.format(SALES=SALES, CHOICE=CHOICE, YEARS=YEARS, COLUMNS=COLUMNS)
        cases.append((FORMATS[form], query, reference, answer.replace("///", "\n")))
    return cases


def judged(form: AnswerFormat, query: str, reference: str, answer: str) -> float | None:
    question = Question("q", query, reference, form, "", "", "a.pdf", ())
    (verdict,) = by_rules([(question, answer)])
    assert verdict.reason
    return verdict.value


@pytest.mark.parametrize("case", rows(RIGHT), ids="|".join)
def test_right(case: Case) -> None:
    assert judged(*case) == 1


@pytest.mark.parametrize("case", rows(WRONG), ids="|".join)
def test_wrong(case: Case) -> None:
    assert judged(*case) == 0


def test_verdicts_come_in_the_order_of_what_was_asked() -> None:
    question = Question("q", "How many?", "3", AnswerFormat.INT, "", "", "a.pdf", ())
    assert [verdict.value for verdict in by_rules([(question, text) for text in ("3", "4", "3", "")])] == [1, 0, 1, 0]
    assert by_rules([]) == []


numerals = st.text("0123456789.,-−%$€'’ ()[]/\"kmbn")
written = st.text() | numerals | st.text("0 1,.;aA'\"[]()&-\n")
forms = st.sampled_from(AnswerFormat)


@given(forms, written, written, written)
def test_any_text_is_right_or_wrong(form: AnswerFormat, query: str, reference: str, answer: str) -> None:
    assert judged(form, query, reference, answer) in (0, 1)


@given(st.sampled_from([form for form in AnswerFormat if form is not AnswerFormat.NONE]), written)
def test_the_reference_itself_is_right(form: AnswerFormat, reference: str) -> None:
    assert judged(form, "What?", reference, reference) == 1 or not reference.strip()


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "{:,}", "${:,}", "It is {}.", "{} people", "({})"]))
def test_an_integer_is_right_in_every_spelling_and_its_neighbour_in_none(number: int, spelling: str) -> None:
    assert judged(AnswerFormat.INT, "How many?", str(number), spelling.format(number)) == 1
    assert judged(AnswerFormat.INT, "How many?", str(number), spelling.format(number + 1)) == 0


@pytest.mark.parametrize("minus", "-−–‐")
@pytest.mark.parametrize(
    "value", ["5 kg", ".5 kg", "5 °C", "3.2 percentage points", "$5.2 million", "US$5.2 million a year", "5.2%"]
)
def test_the_opposite_sign_is_wrong(minus: str, value: str) -> None:
    less = f"{minus}{value}"
    assert judged(AnswerFormat.STR, "How much?", less, value) == 0
    assert judged(AnswerFormat.STR, "How much?", value, less) == 0
    assert judged(AnswerFormat.STR, "How much?", less, f"It is -{value}.") == 1


@pytest.mark.parametrize("grade", ["D", "BBB", "Rh", "AB", "o"])
def test_another_sign_of_a_grade_is_wrong(grade: str) -> None:
    signed = [grade, f"{grade}+", f"{grade}-"]
    for true, told in product(signed, signed):
        for answer in (told, f"It is {told}.", f"{told} by Fitch", f"({told})"):
            assert judged(AnswerFormat.STR, "Which?", true, answer) == (true == told), (true, answer)


@pytest.mark.parametrize("form", [AnswerFormat.STR, AnswerFormat.FLOAT])
@pytest.mark.parametrize("value", ["1%", "-5", "$5.2 million", ".5", "5 kg"])
def test_another_bound_of_a_number_is_wrong(form: AnswerFormat, value: str) -> None:
    bound = [f"{sign}{value}" for sign in ("", "<", ">", "≤", "≥")]
    for true, told in product(bound, bound):
        for answer in (told, f"It is {told}."):
            assert judged(form, "How much?", true, answer) == (true == told), (true, answer)


@given(
    st.dates(min_value=date(1000, 1, 1)),
    st.sampled_from(["%d %B %Y", "%b %d, %Y", "%d.%m.%Y", "%Y-%m-%d", "%m/%d/%Y", "%B %d %Y"]),
)
def test_a_date_is_right_in_every_spelling(day: date, spelling: str) -> None:
    written = format(day, spelling)
    assert judged(AnswerFormat.STR, "When?", str(day), written) == 1


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "1,",
        "1 ",
        "a ",
        "a,",
        "'",
        "['",
        "(",
        "not ",
        "not be ",
        "no ",
        "1.",
        "-",
        "1/1/",
        "May ",
        "\ufdfa",
        "is not the ",
        "a and ",
    ],
)
@pytest.mark.parametrize("form", AnswerFormat)
def test_a_megabyte_is_judged(unit: str, form: AnswerFormat) -> None:
    """An expression that backtracks would not come to an end here."""
    long = unit * (1_000_000 // len(unit))
    for reference in ("12.4", "Poland", "a, b, c, d, e, f", "3 May 2015", long[:2000]):
        judged(form, "Which?", reference, long)
