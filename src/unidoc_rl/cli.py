"""The command `unidoc`: one command a stage, under the stage's name, `status` and `doctor`.

Only click is imported at the top, so that `--help` answers at once. Exit status: 0, all of it worked; 1, it failed;
2, the command line was wrong; 3, it finished, but left something out and said what.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unidoc_rl.errors import UnidocError

if TYPE_CHECKING:
    from unidoc_rl.params import Params

LEFT_OUT = 3


class _StageCommand(click.Command):
    """A command whose help ends with the stage's section of params.yaml, from the one place that defines it."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from unidoc_rl.params import Params

        section = Params.model_fields[str(self.name)].default
        rows = [
            (f"{self.name}.{key}", f"{field.description}  [{getattr(section, key)}]")
            for key, field in type(section).model_fields.items()
        ]
        with formatter.section(f"Parameters (section {self.name} of params.yaml, or --set)"):
            formatter.write_dl(rows)


def _with_params(command: Callable[..., None]) -> Callable[..., None]:
    """The two options of every command that reads parameters."""
    command = click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Change one parameter for this run, for example --set ingest.dpi=200.",
    )(command)
    return click.option(
        "--params",
        "params_file",
        type=click.Path(path_type=Path),
        help="The parameter file; ./params.yaml if it is there, else every default.",
    )(command)


def _load(params_file: Path | None, overrides: tuple[str, ...]) -> Params:
    from unidoc_rl.params import load

    return load(params_file, overrides)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="unidoc-rl", message="unidoc %(version)s")
def cli() -> None:
    """Turn your own documents into your own document agent.

    Each stage is a command that reads folders and writes one, whole or not at all, and can be killed and run again:

    \b
        unidoc ingest my/pdfs --out corpus          pages, words and regions of every document
        unidoc status                               what the stages have made so far
        unidoc doctor                               what this machine has, and what is missing

    `dvc repro` runs all stages in order.
    """


@cli.command(cls=_StageCommand)
@click.option("--documents", required=True, type=click.Path(), help="The folder of PDF files to make.")
@click.option("--questions", required=True, type=click.Path(), help="The folder of question files to make.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one a core where not said.")
@_with_params
def sample(
    documents: str, questions: str, workers: int | None, params_file: Path | None, overrides: tuple[str, ...]
) -> None:
    """Make the demonstration world: PDF files, and questions about them.

    The documents look like what people have (reports, slides, statements); the questions come with their answers,
    the pages and regions that hold them, and whether one must zoom in to read them. The same seed gives the same
    bytes. With documents of your own, this stage is not needed.

    \b
        unidoc sample --documents documents --questions questions --set sample.documents=100
    """
    from unidoc_rl.sample.stage import sample as run

    made = run(documents, questions, _load(params_file, overrides).sample, workers=workers)
    click.echo(f"{documents}: {made['documents']} documents, {made['pages']} pages")
    click.echo(f"{questions}: {made['train']} train, {made['validation']} validation, {made['test']} test questions")


@cli.command(cls=_StageCommand)
@click.argument("documents")
@click.option("--out", required=True, type=click.Path(), help="The corpus folder to make, local or s3://bucket/prefix.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one a core where not said.")
@_with_params
def ingest(documents: str, out: str, workers: int | None, params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Turn DOCUMENTS into a corpus: page images, their words with boxes, and regions.

    DOCUMENTS is a folder (searched with all below it), one file, a list (a .txt file with a path or s3:// address a
    line), or s3://bucket/prefix. A PDF is a document. So is a picture file, the pictures named <document>_<n>, or a
    folder of pictures, whose pages come in the order of their names.

    Run again over the same folder, it works only on what is new or changed. A file that cannot be used is named, with
    the reason and what to do, and the others go on; the exit status is then 3, unless ingest.may_leave_out allows it.

    \b
        unidoc ingest my/pdfs --out corpus
        unidoc ingest s3://bucket/reports --out corpus --set ingest.dpi=200
    """
    from unidoc_rl.ingest.stage import ingest as run

    params = _load(params_file, overrides).ingest
    made = run(documents, out, params, workers=workers)
    click.echo(f"{out}: {made['documents']} documents, {made['pages']} pages")
    if made["left_out"]:
        click.echo(f"{made['left_out']} files left out; {out}/report.json names each, and what to do")
    if made["left_out"] > params.may_leave_out:
        sys.exit(LEFT_OUT)


@cli.command()
@click.argument("artifacts", default="artifacts", type=click.Path(file_okay=False, path_type=Path))
def status(artifacts: Path) -> None:
    """Tell what the stages have made so far below ARTIFACTS (./artifacts), and where to look."""
    from unidoc_rl import status

    for line in status.lines(artifacts):
        click.echo(line)


@cli.command()
@_with_params
def doctor(params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Look at this machine and the servers named in params.yaml, and say what each missing thing would prevent."""
    from unidoc_rl.doctor import examine

    findings = examine(_load(params_file, overrides).services)
    for finding in findings:
        click.echo(finding.line())
    if any(finding.prevents_all for finding in findings):
        sys.exit(1)


def main() -> None:
    """The entry point: an error meant for a person is one line, everything else a traceback."""
    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except UnidocError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _fail(f"{error.filename or error}: the disk is full; free some space and run again, what is finished is kept")
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; run the same command again to go on where it stopped", status=130)


def _fail(message: str, status: int = 1) -> Any:
    click.echo(f"unidoc: {message}", err=True)
    sys.exit(status)
