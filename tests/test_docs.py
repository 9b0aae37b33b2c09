"""What README.md and docs/ tell to run and to read is there."""

from __future__ import annotations

import importlib
import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

from pipelines.pipeline import KEY_NAMES
from unidoc_rl import params
from unidoc_rl.cli import cli

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#]*)(?:#([^)]*))?\)")
KEY = re.compile(rf"`((?:{'|'.join(params.Params.model_fields)})\.(?!jsonl)\w+)")

of_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def commands(text: str) -> list[list[str]]:
    """What blocks and sentences call, word by word; … stands for the rest of a command that was told before."""
    blocks = re.findall(r"^ *```\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    whole = [line for line in lines if re.match(r" *(unidoc|make) ", line)]
    inline = re.findall(r"`((?:unidoc|make) [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [shlex.split(line.replace("\n", " "), comments=True) for line in whole + inline]


@of_each_page
def test_links_lead_somewhere(page: Path) -> None:
    for path, heading in LINK.findall(page.read_text()):
        target = page.parent / path if path else page
        assert target.exists()
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in [one.lower().replace(" ", "-") for one in headings]


@of_each_page
def test_commands_have_what_they_are_given(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    for program, *words in commands(page.read_text()):
        if program == "make":
            assert words[0] in targets
            continue
        command: click.Command = cli
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command is not cli or words[0].isupper()  # `unidoc COMMAND --help`
        known = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("-")} <= {*known, "--help"}
        params.load(None, [value for option, value in itertools.pairwise(words) if option == "--set"])


@of_each_page
def test_what_is_imported_is_there(page: Path) -> None:
    for module, name in re.findall(r"^ *from (unidoc_rl\S*) import (\w+)$", page.read_text(), re.MULTILINE):
        assert hasattr(importlib.import_module(module), name)


@of_each_page
def test_parameters_that_are_named_are_there(page: Path) -> None:
    for key in KEY.findall(page.read_text()):
        section, name = key.split(".")
        assert name in params.Params.model_fields[section].annotation.model_fields  # type: ignore[union-attr]


def test_every_key_that_tasks_are_given_is_told() -> None:
    text = (REPOSITORY / "docs" / "kubeflow.md").read_text()
    assert {*re.findall(r"`([A-Z_]+)`", text)} >= {*KEY_NAMES}
