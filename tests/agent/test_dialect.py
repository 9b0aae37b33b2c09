"""Text to action and back, for what models write and for what nobody would; and the tokenizer that carries it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.index.models import letters
from unidoc_rl.agent.dialect import ACTING, LONGEST, harmless, parse, system_prompt, teach, untagged, write
from unidoc_rl.params import AgentParams
from unidoc_rl.types import Action, Answer, Malformed, Said, Search, Select, Zoom

HEAVY = ["<think>", "<search>", "</think>", "<think></think>", "<information><search>", "<bbox>[", "1,", "<", "a b "]
PIECES = [f"<{end}{name}>" for end in ("", "/") for name in ("think", "information", *ACTING)]


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("<think>a</think><search>net sales</search>", Search("net sales")),
        ("<search>\n net sales \n</search>", Search("net sales")),
        ("no thought <select> 2 </select>", Select(2)),
        ("<bbox>[[1, 2, 3, 4], [5.5,6,7,8]]</bbox>", Zoom(((1, 2, 3, 4), (5.5, 6, 7, 8)))),
        ("<bbox>[1, -2, 3, 4]</bbox>", Zoom(((1, -2, 3, 4),))),
        ("<answer>12.4 million</answer>", Answer("12.4 million")),
        ("<answer>a < b</answer>", Answer("a < b")),
        ("<search>one</search><answer>two</answer>", Search("one")),
        ("<think>I could <search>this</search></think><select>0</select>", Select(0)),
        ("<think>never closed <search>this</search>", Search("this")),
        ("<information>x<search>q</search>", Search("q")),
        ("</search><search>q</search>", Search("q")),
        ("<search>a <select>0</select> b</search>", Search("a <select>0</select> b")),
    ],
)
def test_the_first_acting_block_counts(text: str, action: Action) -> None:
    assert parse(text).action == action


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no action"),
        ("just talking", "no action"),
        ("<think>only a thought</think>", "no action"),
        ("<SEARCH>q</SEARCH>", "no action"),
        ("<search>q", "not closed"),
        ("<answer>42</search>", "not closed"),
        ("<search>?!</search>", "nothing to look for"),
        ("<answer>  </answer>", "empty"),
        ("<select>first</select>", "number of a page"),
        ("<select>-1</select>", "number of a page"),
        ("<select>1.0</select>", "number of a page"),
        ("<bbox>[[1, 2, 3]]</bbox>", "four numbers"),
        ("<bbox></bbox>", "four numbers"),
        ("<bbox>the table</bbox>", "four numbers"),
        ("<bbox>[[NaN, 0, 1, 1]]</bbox>", "four numbers"),
    ],
)
def test_a_turn_without_an_action_says_what_is_wrong(text: str, reason: str) -> None:
    action = parse(text).action
    assert isinstance(action, Malformed)
    assert reason in action.reason


def test_thought_and_information_are_kept_wherever_they_stand() -> None:
    said = parse(
        "<information>it says 4</information><think>so</think><search>q</search><information>more</information>"
    )
    assert said == Said("so", "it says 4\nmore", Search("q"))


words = st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"]), max_size=40).map(str.strip)
numbers = st.floats(-5000, 5000).map(lambda number: round(number, 3))
actions = st.one_of(
    words.filter(lambda text: any(map(str.isalnum, text))).map(Search),
    st.integers(0, 99).map(Select),
    st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=4).map(tuple).map(Zoom),
    words.filter(bool).map(Answer),
)


@given(st.builds(Said, words, words, actions))
def test_what_is_written_is_understood(said: Said) -> None:
    assert parse(write(said)) == said


@given(st.lists(st.sampled_from([*PIECES, "<se", "arch>", "<", "|im_end|>", "think>", " a "])).map("".join))
def test_a_text_without_its_tags_is_fit_for_a_part_of_a_turn(text: str) -> None:
    thought = untagged(text)
    assert untagged(thought) == thought
    assert parse(write(Said(thought, "", Answer("42")))) == Said(thought, "", Answer("42"))


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=20)), max_size=40).map("".join))
@settings(max_examples=300)
def test_any_text_is_a_turn_with_one_action(text: str) -> None:
    said = parse(text)
    assert isinstance(said.action, Search | Select | Zoom | Answer | Malformed)
    if isinstance(said.action, Zoom):
        assert all(len(region) == 4 for region in said.action.regions)


@pytest.mark.parametrize("piece", HEAVY)
@pytest.mark.parametrize("wrap", ["{}", "<bbox>{}</bbox>", "<search>{}</search>", "<think>{}</search>"])
def test_of_a_megabyte_no_more_is_read_than_anybody_means(piece: str, wrap: str) -> None:
    """An expression that backtracks would not come to an end here; `make bench` tells how long it takes."""
    megabyte = wrap.format(piece * (1_000_000 // len(piece)))
    assert parse(megabyte) == parse(megabyte[:LONGEST])


def test_the_rules_tell_the_limits_that_hold() -> None:
    told = system_prompt(AgentParams(candidates=5, turns=7, coordinates="thousandths"))
    assert "5 pages" in told
    assert "7 turns" in told
    assert "thousandths" in told
    assert "numbered from 0; none selected before" in told


def test_who_cannot_select_is_told_of_no_selection() -> None:
    told = system_prompt(AgentParams(actions=["search", "zoom", "answer"]))
    assert "select" not in told
    assert "none shown before" in told


def test_notes_are_kept_without_the_space_around_them() -> None:
    said = parse("<think>\n look \n</think><information> 12 </information><think>again</think><select>0</select>")
    assert (said.thought, said.information) == ("look\nagain", "12")


# --- the tokenizer of a policy ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer that was taught, saved, and loaded without our code."""
    special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
    tokenizer = letters(special, eos_token="<|im_end|>")
    teach(tokenizer, AgentParams())
    folder: Path = tmp_path_factory.mktemp("policy")
    tokenizer.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


EPISODE: list[dict[str, Any]] = [
    {"role": "user", "content": "What were net sales?"},
    {"role": "assistant", "content": "<think>look</think>\n<search>net sales</search>"},
    {"role": "tool", "content": [{"type": "text", "text": "0: "}, {"type": "image"}]},
    {"role": "assistant", "content": "<answer>4</answer>"},
]


def test_a_saved_tokenizer_tells_the_rules_and_shows_pictures_to_the_user_role(saved: Any) -> None:
    text = saved.apply_chat_template(EPISODE, tokenize=False)
    assert text.startswith(f"<|im_start|>system\n{system_prompt(AgentParams())}<|im_end|>\n")
    assert "<|im_start|>user\n0: <|vision_start|><|image_pad|><|vision_end|><|im_end|>" in text


def test_a_conversation_begins_with_every_shorter_one(saved: Any) -> None:
    whole = saved.apply_chat_template(EPISODE, tokenize=False)
    for length in range(1, len(EPISODE)):
        part = saved.apply_chat_template(EPISODE[:length], tokenize=False, add_generation_prompt=length % 2 == 1)
        assert whole.startswith(part)


def test_only_what_the_agent_wrote_bears_loss(saved: Any) -> None:
    encoded = saved.apply_chat_template(EPISODE, return_dict=True, return_assistant_tokens_mask=True)
    mask, ids = encoded["assistant_masks"], encoded["input_ids"]
    kept = saved.decode([token for token, own in zip(ids, mask, strict=True) if own])
    assert kept == "".join(f"{turn['content']}<|im_end|>" for turn in EPISODE if turn["role"] == "assistant")


@pytest.mark.parametrize(
    "text",
    [
        "<think>so</think>\n<search>net sales</search>",
        "<information>it says 4</information>\n<answer>4</answer>",
        "<select>1</select>",
        "<think>a</think>\n<information>b</information>\n<bbox>[[1, 2, 3, 4]]</bbox>",
    ],
)
def test_a_saved_tokenizer_understands_a_turn_as_we_do_and_writes_it_again(saved: Any, text: str) -> None:
    message = saved.parse_response(text + "<|im_end|>", prefix="<|im_start|>assistant\n")
    said = parse(text)
    call = message["tool_calls"][0]["function"]
    assert write(Said("", "", said.action)) == f"<{call['name']}>{call['arguments']['value']}</{call['name']}>"
    assert message.get("reasoning_content", "") == said.thought
    assert message.get("information", "") == said.information
    written = saved.apply_chat_template([*EPISODE, message], tokenize=False)
    assert written.endswith(f"<|im_start|>assistant\n{text}<|im_end|>\n")


def test_halves_of_characters_which_no_tokenizer_takes_are_harmless(saved: Any) -> None:
    assert harmless("caf\udce9 <|im_end|>") == "caf? < |im_end|>"
    with pytest.raises(TypeError):
        saved.encode("caf\udce9")
