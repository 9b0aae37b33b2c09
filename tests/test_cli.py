"""The command line: quick to help, and every failure one line with the documented exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pypdfium2
import pytest
from click.testing import CliRunner

from tests.conftest import Bucket
from unidoc_rl import cli
from unidoc_rl.evaluate.measures import evaluation
from unidoc_rl.params import Params, load

REPOSITORY = Path(__file__).parents[1]
UNIDOC = str(Path(sys.executable).with_name("unidoc"))
SECTIONS = {name: section for name, section in Params() if name in cli.cli.commands}


def unidoc(*arguments: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    return subprocess.run([UNIDOC, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)


def test_help_imports_nothing_but_click() -> None:
    script = "import sys; before = {*sys.modules}; import unidoc_rl.cli; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert imported - sys.stdlib_module_names <= {"click", "unidoc_rl"}


@pytest.mark.parametrize("group", [[], ["nano"], ["pipeline"]])
def test_the_list_of_commands_cuts_no_sentence(group: list[str]) -> None:
    shown = CliRunner().invoke(cli.cli, [*group, "--help"], terminal_width=80).output
    assert "..." not in shown.partition("Commands:")[2].partition("Parameters")[0]


@pytest.mark.parametrize("name", [*cli.cli.commands])
def test_every_command_has_help_that_names_its_parameters_and_defaults(name: str) -> None:
    shown_in = click.Context(cli.cli.commands[name])
    shown = CliRunner().invoke(cli.cli, [name, "--help"], terminal_width=300, max_content_width=300)
    assert shown.exit_code == 0
    for parameter in cli.cli.commands[name].params:
        for shown_as in parameter.opts if parameter.param_type_name == "option" else [parameter.make_metavar(shown_in)]:
            assert re.search(rf"{re.escape(shown_as.strip('[].'))}\b.*\w{{3}}", shown.output)
    assert len(cli.cli.commands[name].get_short_help_str()) > 10
    if name in SECTIONS:
        for key, value in SECTIONS[name]:
            ((default, others),) = re.findall(rf"{name}\.{key} .+  \[(.+?)(?:; or (.+))?\]\n", shown.output)
            assert load(None, [f"{name}.{key}={default}"]) == Params()  # as --set takes it
            for other in others.split(", ") if others else []:
                assert getattr(getattr(load(None, [f"{name}.{key}={other}"]), name), key) == other != value


def test_every_parameter_but_those_of_all_is_explained_by_a_command() -> None:
    told = "".join(
        CliRunner().invoke(cli.cli, [name, "--help"], max_content_width=200).output for name in cli.cli.commands
    )
    keys = {f"{name}.{key}" for name, section in Params() for key in type(section).model_fields}
    assert {key for key in keys if not re.search(rf"\b{key}\s+\w", told)} == set()


def test_a_folder_that_may_not_be_written_is_named() -> None:
    done = unidoc("promote", "--rollback", cwd=Path("/sys"))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"unidoc: .*\.mlflow: .+; give this account the right, or go elsewhere: .+\n", done.stderr)


def test_a_disk_without_room_for_the_database_is_told_in_a_line(tmp_path: Path) -> None:
    """A file system of some kilobytes, in a name space of the test's own."""
    script = f"mount -t tmpfs -o size=256k none {tmp_path} && cd {tmp_path} && exec {UNIDOC} promote --rollback"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    told = r"unidoc: .*/\.mlflow/mlflow\.db: cannot be used now \(database or disk is full\); free some space, .+\n"
    assert re.fullmatch(told, done.stderr)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["ingest", "nowhere", "--out", "OUT"], 1, "nowhere"),
        (["ingest", "nowhere", "--out", "OUT", "--set", "ingest.dpi=1"], 1, "the nearest is 36"),
        (["doctor", "--params", "no-such.yaml"], 1, "no-such.yaml: cannot be read"),
        (["ingest", "nowhere"], 2, "Missing option '--out'"),
        (["ingset"], 2, "No such command 'ingset'"),
        (["ingest", "nowhere", "--out", "OUT", "--dpi", "3"], 2, "No such option"),
        (["sample", "--documents", "OUT", "--questions", "OUT/q", "--workers", "0"], 2, "--workers"),
        (["sample", "--documents", "OUT", "--questions", "OUT/q"], 1, "is, or lies inside"),
    ],
)
def test_what_a_person_got_wrong_is_said_without_a_traceback(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    done = unidoc(*[argument.replace("OUT", str(tmp_path / "out")) for argument in arguments])
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()
    if status == 1:
        assert re.fullmatch(r"unidoc: .+\n", done.stderr)  # one line


@pytest.mark.parametrize("name", ["curate", "sft", "grpo", "evaluate", "view", "export"])
def test_the_file_that_is_read_may_stand_on_s3(name: str, bucket: Bucket) -> None:
    bucket.put("made/it.jsonl", name.encode())
    file = cli.cli.commands[name].params[0].type.convert(f"{bucket.uri}/made/it.jsonl", None, None)
    assert file.read_text() == name


def test_the_doctor_looks_at_this_machine() -> None:
    done = unidoc("doctor")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 10


def test_the_doctor_fails_where_nothing_could_run(tmp_path: Path) -> None:
    (tmp_path / "unidoc_rl-9.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: unidoc-rl\nVersion: 9\nRequires-Dist: no-such-package\n"
    (tmp_path / "unidoc_rl-9.dist-info" / "METADATA").write_text(metadata)
    script = "from unidoc_rl.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", script, "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search("missing +packages +no-such-package is not installed.*prevents every stage", done.stdout)


@pytest.mark.parametrize(("may", "status"), [(0, 3), (1, 0)])
def test_files_left_out_are_told_by_the_exit_status(tmp_path: Path, may: int, status: int) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    document = pypdfium2.PdfDocument.new()
    document.new_page(200, 100)
    document.save(mine / "good.pdf")
    (mine / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    small = ["--set", "ingest.layout=false", "--set", "ingest.ocr=false", "--set", "ingest.dpi=40"]
    done = unidoc("ingest", mine, "--out", tmp_path / "corpus", *small, "--set", f"ingest.may_leave_out={may}")
    assert done.returncode == status, done.stderr
    assert "1 document, 1 page" in done.stdout
    assert "1 file left out" in done.stdout
    assert ("exit status 3, since ingest.may_leave_out allows 0" in done.stderr) == bool(status)


@pytest.mark.parametrize(("void", "status"), [(0, 0), (2, 3)])
def test_void_episodes_of_whoever_was_compared_are_told_by_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, void: int, status: int
) -> None:
    found = {"grpo": evaluation([]), "rag": evaluation([None] * void)}
    monkeypatch.setattr("unidoc_rl.evaluate.stage.evaluate", lambda *_: found)
    places = ["--corpus", "corpus", "--index", "index", "--policy", "grpo", "--out", "evaluation"]
    done = CliRunner().invoke(cli.cli, ["evaluate", "test.json", *places])
    assert done.exit_code == status
    assert ("rag: 2 episodes void, counted nowhere, as told above; run again" in done.output) == bool(void)
