"""The dialect: how an agent's text becomes an action, and an action text.

A turn is tagged text: <think>, <information>, and one acting block: <search>, <select>, <bbox> or <answer>. `parse` and
`write` are the only places that know the tags; `teach` puts the same dialect into a tokenizer, so that a saved folder
of a policy speaks it without this code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unidoc_rl.agent.templates import chat_template, response_template
from unidoc_rl.params import ActionName, AgentParams
from unidoc_rl.types import Action, Answer, Malformed, Said, Search, Select, Zoom

LONGEST = 50_000  # characters of a turn that are read; no more are ever meant
TAGS: dict[ActionName, str] = {"search": "search", "select": "select", "zoom": "bbox", "answer": "answer"}
ACTING = tuple(TAGS.values())
_NOTES = ("think", "information")
_TAG = re.compile(rf"<(?P<end>/?)(?P<name>{'|'.join((*_NOTES, *ACTING))})>")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?|[+-]?\.\d+")
_BOXES = re.compile(r"[\[\]\s\d.,+-]*")
_INTEGER = re.compile(r"\s*(\d{1,6})\s*")


@dataclass(frozen=True, slots=True)
class _Block:
    name: str
    text: str
    closed: bool


def parse(text: str) -> Said:
    """A turn understood: the first acting block counts; what is none, or a broken one, is Malformed and says why."""
    blocks = _blocks(text[:LONGEST])
    notes = {name: "\n".join(block.text.strip() for block in blocks if block.name == name) for name in _NOTES}
    acting = next((block for block in blocks if block.name in ACTING), None)
    return Said(notes["think"], notes["information"], _action(acting))


def write(said: Said) -> str:
    """The text of a turn; `parse` gives the same turn again, where no text in it holds a tag."""
    blocks = [("think", said.thought), ("information", said.information), _written(said.action)]
    return "\n".join(f"<{name}>{text}</{name}>" for name, text in blocks if text)


def system_prompt(params: AgentParams) -> str:
    """The rules, as the agent is told them."""
    allowed = "\n".join(line for name, line in _lines(params).items() if name in params.actions)
    zoom = "Zoom in where the print is too small to be sure, and only there. " if "zoom" in params.actions else ""
    return f"""You answer questions about a collection of document pages that you can only see by searching it.

In every turn, think first, then act once:
<think>what you know, what is missing, what to do next</think>
and one of
{allowed}

When a page or a region has taught you something, note it before you act again:
<information>what it says</information>

{zoom}If the documents do not hold the answer, answer that the question is not answerable. \
You have {params.turns} turns."""


def reminder(actions: Sequence[ActionName]) -> str:
    """Of what a turn is."""
    *some, last = (f"<{tag}></{tag}>" for name, tag in TAGS.items() if name in actions)
    return f"A turn holds your thoughts in <think></think> and one of {', '.join(some)} or {last}."


REMINDER = reminder(tuple(TAGS))


def harmless(text: str) -> str:
    """Without what a tokenizer would take for the end of a turn, or for a picture: <|im_end|> and its like; nor with
    halves of characters, of which it takes none: what is typed in another encoding has them."""
    return text.encode(errors="replace").decode().replace("<|", "< |")


def untagged(text: str) -> str:
    """Without tags, whoever may have written it: fit for a part of a turn."""
    while (without := _TAG.sub("", text)) != text:  # what is left may make a tag again
        text = without
    return harmless(text).strip()


def tags() -> list[str]:
    """All of them, for a tokenizer that gives each a token."""
    return [f"<{end}{name}>" for name in (*_NOTES, *ACTING) for end in ("", "/")]


def teach(tokenizer: Any, params: AgentParams) -> None:
    """Puts the dialect into a tokenizer: what it saves then carries the rules and both templates."""
    tokenizer.chat_template = chat_template(system_prompt(params))
    tokenizer.response_template = response_template(ACTING)


def _lines(params: AgentParams) -> dict[ActionName, str]:
    """What each action does."""
    scale = "pixels of that page as you see it" if params.coordinates == "pixels" else "thousandths of that page"
    shows = f"<search>words to look for</search> shows {params.candidates} pages or fewer"
    if "select" in params.actions:
        shows, zoomed = f"{shows}, numbered from 0; none selected before.", "the selected page"
    else:
        shows, zoomed = f"{shows}; none shown before.", "the first of them"
    return {
        "search": shows,
        "select": "<select>number</select> keeps one of the pages that the last search showed.",
        "zoom": f"<bbox>[[x1, y1, x2, y2]]</bbox> shows regions of {zoomed} enlarged; corners in {scale}.",
        "answer": "<answer>the answer, in a few words</answer> ends the task.",
    }


def _blocks(text: str) -> list[_Block]:
    """The blocks in their order, none inside another: one goes to its closing tag.

    A note that is never closed goes to the next tag that opens. One pass over the text, however many tags it holds.
    """
    last_end = {name: text.rfind(f"</{name}>") for name in (*_NOTES, *ACTING)}
    blocks: list[_Block] = []
    opened: re.Match[str] | None = None
    for tag in _TAG.finditer(text):
        if opened is None:
            opened = None if tag["end"] else tag
        elif tag["end"] and tag["name"] == opened["name"]:
            blocks.append(_Block(opened["name"], text[opened.end() : tag.start()], closed=True))
            opened = None
        elif not tag["end"] and last_end[opened["name"]] < opened.end():
            blocks.append(_Block(opened["name"], text[opened.end() : tag.start()], closed=False))
            opened = tag
    if opened is not None:
        blocks.append(_Block(opened["name"], text[opened.end() :], closed=False))
    return blocks


def _action(block: _Block | None) -> Action:
    if block is None:
        return Malformed("There is no action in this turn.")
    if not block.closed:
        return Malformed(f"The block <{block.name}> is not closed.")
    text = block.text.strip()
    if block.name == "search":
        return Search(text) if any(map(str.isalnum, text)) else Malformed("The search says nothing to look for.")
    if block.name == "answer":
        return Answer(text) if text else Malformed("The answer is empty.")
    if block.name == "select":
        number = _INTEGER.fullmatch(text)
        return Select(int(number[1])) if number else Malformed("To select, write the number of a page, such as 0.")
    return _zoom(text)


def _zoom(text: str) -> Action:
    numbers = [float(number) for number in _NUMBER.findall(text)] if _BOXES.fullmatch(text) else []
    if not numbers or len(numbers) % 4 or not all(map(math.isfinite, numbers)):
        return Malformed("A region is four numbers, written as [[x1, y1, x2, y2]].")
    boxes = zip(*(numbers[corner::4] for corner in range(4)), strict=True)
    return Zoom(tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in boxes))


def _written(action: Action) -> tuple[str, str]:
    match action:
        case Search(query):
            return "search", query
        case Select(number):
            return "select", str(number)
        case Zoom(regions):
            return "bbox", "[" + ", ".join(f"[{', '.join(map(_plain, region))}]" for region in regions) + "]"
        case Answer(text):
            return "answer", text
        case Malformed():
            raise ValueError("what was malformed has no text of its own")


def _plain(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")
