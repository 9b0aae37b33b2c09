"""The command `unidoc`: one command a stage, under the stage's name, `status` and `doctor`.

Only click is imported at the top, so that `--help` answers at once. Exit status: 0, all of it worked; 1, it failed;
2, the command line was wrong; 3, it finished, but left something out and said what; 4, a gate was not passed.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unidoc_rl.errors import UnidocError
from unidoc_rl.plural import counted

if TYPE_CHECKING:
    from pipelines.server import Server
    from unidoc_rl.params import Params, Retriever
    from unidoc_rl.shards import Shard
    from unidoc_rl.types import Turn

LEFT_OUT = 3
NOT_PROMOTED = 4
TRIES = 3  # that a server is asked while somebody waits at the screen: a second or two


class _Group(click.Group):
    """Whose help has all of the first sentence of each command, and does not end it in the middle."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, one.get_short_help_str(limit=1000)) for name, one in sorted(self.commands.items())]
            )


class _StageCommand(click.Command):
    """A command whose help ends with its sections of params.yaml, from the one place that defines them.

    `sections`: where it is not the one of the command's own name alone.
    """

    def __init__(self, name: str, sections: Sequence[str] = (), **options: Any) -> None:
        super().__init__(name, **options)
        self._sections = sections or (name,)

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from unidoc_rl.params import Params, possible

        for name in self._sections:
            section = Params.model_fields[name].default
            rows = [
                (f"{name}.{key}", f"{field.description}  [{possible(field)}]")
                for key, field in type(section).model_fields.items()
            ]
            with formatter.section(f"Parameters (section {name} of params.yaml, or --set)"):
                formatter.write_dl(rows)


class _StageGroup(_StageCommand, _Group):
    """Several commands that share a section."""


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


class _File(click.ParamType[Path]):
    """A file, here or on S3."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from unidoc_rl import storage

        return storage.local_file(value)


class _Questions(_File):
    """A file, here or on S3; or a published set: by its name, from the hub, or the folder of a copy."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from unidoc_rl import benchmarks

        if value in benchmarks.PUBLISHED and not Path(value).exists():
            return benchmarks.fetched(value)
        return benchmarks.in_folder(Path(value)) or super().convert(value, param, ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="unidoc-rl", message="unidoc %(version)s")
def cli() -> None:
    """Turn your own documents into your own document agent.

    Each stage is a command that reads folders and writes one, whole or not at all, and can be killed and run again:

    \b
        unidoc ingest my/pdfs --out corpus          pages, words and regions of every document
        unidoc index corpus --out index             what finds these pages
        unidoc curate questions.json …              episodes and questions to learn from
        unidoc sft trajectories/sft.jsonl …         a policy that plays as these episodes do
        unidoc grpo trajectories/rl.jsonl …         one that has learned from what its own episodes earned
        unidoc evaluate questions/test.json …       how well a policy answers, and where it fails
        unidoc promote grpo …                       the registry, and past its gates the alias champion
        unidoc learn --out ladder                   whether each level of it all teaches more than the one below
        unidoc search index "net sales 2023"        the pages that answer to a text
        unidoc ask "net sales in 2023?" …           what an agent answers, and where on which page that stands
        unidoc view episodes.jsonl …                episodes of an agent, to look through in a browser
        unidoc export trajectories/sft.jsonl …      the same as a data set for LLaMA-Factory
        unidoc nano pretrain --out my-nano          a small model that learns to read on this machine
        unidoc pipeline submit …                    all stages in a cluster, by Kubeflow
        unidoc track --retry                        what MLflow could not be told while it was away
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

    params = _load(params_file, overrides)
    made = run(documents, questions, params.sample, workers=workers, services=params.services)
    click.echo(f"{documents}: {counted(made['documents'], 'document')}, {counted(made['pages'], 'page')}")
    click.echo(f"{questions}: {made['train']} train, {made['validation']} validation, {made['test']} test questions")


class _Shard(click.ParamType["Shard"]):
    """Which of how many: 2/4."""

    name = "i/n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        from unidoc_rl.shards import Shard

        place, _, of = str(value).partition("/")
        if not (place.isdecimal() and of.isdecimal() and 1 <= int(place) <= int(of)):
            self.fail(f"{value} is none of several; expected 1/4, 2/4 and so on", param, ctx)
        return Shard(int(place), int(of))


@cli.command(cls=_StageCommand)
@click.argument("documents")
@click.option("--out", required=True, type=click.Path(), help="The corpus folder to make, local or s3://bucket/prefix.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes; one a core where not said.")
@click.option("--shard", type=_Shard(), help="Take one of several shards of the documents: 1/4, 2/4 ...")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Path(),
    help="A corpus whose pages are taken over: of a shard. May stand several times.",
)
@_with_params
def ingest(
    documents: str,
    out: str,
    workers: int | None,
    shard: Shard | None,
    parts: tuple[str, ...],
    params_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Turn DOCUMENTS into a corpus: page images, their words with boxes, and regions.

    DOCUMENTS is a folder (searched with all below it), one file, a list (a .txt file with an s3:// address or a path,
    from the list's folder, a line), or s3://bucket/prefix. A PDF is a document. So is a picture file, the pictures
    named <document>_<n>, or a folder of pictures, whose pages come in the order of their names.

    Run again over the same folder, it works only on what is new or changed. A file that cannot be used is named, with
    the reason and what to do, and the others go on; the exit status is then 3, unless ingest.may_leave_out allows it.
    Several machines may each take a --shard; with a --part for each, the last command makes of them what one machine
    would have made.

    \b
        unidoc ingest my/pdfs --out corpus
        unidoc ingest s3://bucket/reports --out corpus --set ingest.dpi=200
        unidoc ingest s3://bucket/reports --out s3://bucket/part1 --shard 1/2
        unidoc ingest s3://bucket/reports --out corpus --part s3://bucket/part1 --part s3://bucket/part2
    """
    from unidoc_rl.ingest.stage import ingest as run

    params = _load(params_file, overrides)
    made = run(documents, out, params.ingest, workers=workers, shard=shard, parts=parts, services=params.services)
    click.echo(f"{out}: {counted(made['documents'], 'document')}, {counted(made['pages'], 'page')}")
    if made["left_out"]:
        click.echo(f"{counted(made['left_out'], 'file')} left out; {out}/report.json names each, and what to do")
    _end_where_left_out(made["left_out"], "ingest.may_leave_out", params.ingest.may_leave_out)


@cli.command(cls=_StageCommand)
@click.argument("corpus")
@click.option("--out", required=True, type=click.Path(), help="The index folder to make, local or s3://bucket/prefix.")
@click.option(
    "--vectors",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Multi-vectors that index.late_encoder has made elsewhere: an .npz file, an array a page id.",
)
@_with_params
def index(corpus: str, out: str, vectors: Path | None, params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Make the pages of CORPUS findable: by words, by vectors of their text, by multi-vectors of their pictures.

    CORPUS is what `unidoc ingest` makes, local or on S3. Run again, it computes vectors only for pages that are new or
    changed; killed, it goes on where it stopped. Vectors are searched in files of the index, which any number of
    processes may open, or in Milvus, where index.uri names one (MILVUS_TOKEN carries its key).

    \b
        unidoc index corpus --out index
        unidoc index corpus --out index --set index.retrievers=[bm25]
    """
    from unidoc_rl.index.stage import index as run

    params = _load(params_file, overrides)
    made = run(corpus, out, params.index, vectors=vectors, services=params.services)
    rows = "".join(f", {count} {name.removeprefix('rows_')} vectors" for name, count in made.items() if name != "pages")
    click.echo(f"{out}: {counted(made['pages'], 'page')}{rows}")


@cli.command(cls=_StageCommand, sections=("curate", "agent", "rewards"))
@click.argument("questions", required=False, type=_Questions())
@click.option("--corpus", required=True, type=click.Path(), help="The corpus folder that the questions are about.")
@click.option("--index", required=True, help="Its index: a folder, or the address of `unidoc serve-index`.")
@click.option("--out", required=True, type=click.Path(), help="The folder of trajectories to make, or s3://...")
@click.option("--shard", type=_Shard(), help="Take one of several shards of the questions: 1/4, 2/4 ...")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Path(),
    help="What is taken over instead of playing: of a shard. As many as there are shards.",
)
@_with_params
def curate(
    questions: Path | None,
    corpus: str,
    index: str,
    out: str,
    shard: Shard | None,
    parts: tuple[str, ...],
    params_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Turn QUESTIONS, or documents alone, into trajectories that are worth learning from.

    QUESTIONS is a file with answers and gold pages, here or on S3, as `unidoc sample` makes it, or as MMLongBench-Doc,
    SlideVQA and ViDoSeek publish theirs; or a folder of train.json, validation.json and test.json, the last two of
    which are handed on, without what cannot be played over CORPUS. A teacher plays each of them several times; what is
    wrong, broken, needless, repeated or known too early is left out, counted, and kept with its reason. What is made:
    sft.jsonl (episodes to imitate), rl.jsonl (questions for rewards), rejected.jsonl, and card.html to look at. Killed,
    it goes on with what was played.

    The teacher plays what the annotations say, or it is a vision model behind an OpenAI-compatible server
    (curate.teacher; OPENAI_API_KEY carries the key), which needs answers and gold pages alone. Without QUESTIONS, or
    where their folder has no train.json, such a model writes them too, about the pages of the corpus, and checks each
    of them: questions.json; and validation.json and test.json, about documents of their own, unless they are given.
    About documents of those that are given, it writes none. A question for which an endpoint was away, as it was
    written or at every attempt, is left out and named; the exit status is then 3, unless curate.may_leave_out allows
    it.

    What a teacher, weak policy or judge has replied, here or to `unidoc grpo` and `unidoc evaluate`, is kept in
    ~/.cache/unidoc-rl/replies (UNIDOC_CACHE names another folder than ~/.cache/unidoc-rl), under the model's name and
    what it was asked: run again with other filters, or into another folder, nothing is asked twice. Of some gigabytes,
    what was used longest ago goes first. Remove it as you like; you must, where another model is served under an old
    name.

    Several machines may each take a --shard of the questions, or of those that are to be written; with a --part for
    each, the last command makes of them what one machine would have made. What a teacher may be asked is shared out.

    \b
        unidoc curate questions/train.json --corpus corpus --index index --out trajectories
        unidoc curate --corpus corpus --index index --out trajectories --set curate.teacher=http://127.0.0.1:8000/v1
        unidoc curate questions/train.json --corpus corpus --index index --out s3://bucket/part1 --shard 1/2
        unidoc curate questions/train.json --corpus corpus --index index --out trajectories --part s3://bucket/part1 …
    """
    from unidoc_rl.curate.stage import HELD_OUT
    from unidoc_rl.curate.stage import curate as run
    from unidoc_rl.curate.writing import AWAY

    if shard is not None and parts:
        raise click.UsageError("name --shard, to make a part; or a --part for each shard")
    params = _load(params_file, overrides)
    made = run(questions, corpus, index, out, params, shard=shard, parts=parts)
    if made.written:
        asked, written = counted(made.questions, "question"), made.written["written"]
        click.echo(f"{out}/questions.json: {asked}, of {written} that were written")
        for split in [name for name in HELD_OUT if name in made.written]:
            click.echo(f"{out}/{split}.json: {made.written[split]} others, about documents of their own")
        if made.written[AWAY]:
            click.echo(f"{made.written[AWAY]} others are lost: an endpoint was away; run again to have them written")
    if shard is None:
        rewarded = counted(made.rl, "question")
        click.echo(f"{out}: {made.sft} of {made.played} trajectories to imitate, {rewarded} for rewards")
    else:
        click.echo(f"{out}: shard {shard}, {made.played} trajectories of {counted(made.questions, 'question')}")
    for why, count in made.rejected.items():
        if count:
            click.echo(f"left out: {count} {why}")
    if made.left_out:
        told = f"{out}/{'report' if shard is None else 'part'}.json"
        click.echo(f"{counted(len(made.left_out), 'question')} that cannot be played; {told} names each, and why")
    _end_where_left_out(len(made.left_out), "curate.may_leave_out", params.curate.may_leave_out)


@cli.command(cls=_StageCommand, sections=("sft", "agent"))
@click.argument("trajectories", type=_File())
@click.option("--corpus", required=True, type=click.Path(), help="The corpus folder whose pages they show.")
@click.option(
    "--out", required=True, type=click.Path(), help="The policy's folder to make, local or s3://bucket/prefix."
)
@_with_params
def sft(trajectories: Path, corpus: str, out: str, params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Teach a model to play as TRAJECTORIES do, by imitation: a policy that searches, selects, zooms and answers.

    TRAJECTORIES is the sft.jsonl of `unidoc curate`. The model is sft.model, or nano, which this package carries. The
    pictures are made again from the corpus; only the agent's own words are learned. Killed, it goes on from its last
    checkpoint. Under torchrun it learns on many GPUs or machines, which share the folder of --out.

    \b
        unidoc sft trajectories/sft.jsonl --corpus corpus --out sft
        torchrun --nproc-per-node 8 --max-restarts 3 --no-python unidoc sft …
    """
    from unidoc_rl import ranks
    from unidoc_rl.sft.stage import sft as run

    marks = run(trajectories, corpus, out, _load(params_file, overrides))
    if ranks.first():
        click.echo(f"{out}: ready; {_figures(marks)}")


@cli.command(cls=_StageCommand, sections=("grpo", "agent", "rewards"))
@click.argument("questions", type=_Questions())
@click.option(
    "--validation",
    required=True,
    type=_Questions(),
    help="Questions that it is tried on now and then, and never learns from.",
)
@click.option("--corpus", required=True, type=click.Path(), help="The corpus folder that the questions are about.")
@click.option("--index", required=True, help="Its index: a folder, or the address of `unidoc serve-index`.")
@click.option("--policy", required=True, type=click.Path(), help="The policy's folder to begin with.")
@click.option(
    "--out", required=True, type=click.Path(), help="The policy's folder to make, local or s3://bucket/prefix."
)
@_with_params
def grpo(
    questions: Path,
    validation: Path,
    corpus: str,
    index: str,
    policy: str,
    out: str,
    params_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Let a policy learn from what its own episodes earn, by GRPO with a reward for every decision.

    QUESTIONS is the rl.jsonl of `unidoc curate`. Each step plays some of them in groups; what did better than its group
    becomes likelier. Every grpo.save_steps it plays the validation questions; the checkpoint that is best there
    (grpo.best) is what is kept. Killed, it goes on from its last checkpoint. Under torchrun it learns on many GPUs or
    machines, which share the folder of --out.

    \b
        unidoc grpo trajectories/rl.jsonl --validation questions/validation.json --corpus corpus --index index \\
            --policy sft --out grpo
    """
    from unidoc_rl import ranks
    from unidoc_rl.grpo.stage import grpo as run

    marks = run(questions, validation, corpus, index, policy, out, _load(params_file, overrides))
    if ranks.first():
        click.echo(f"{out}: ready; {_figures(marks)}")


@cli.command(cls=_StageCommand, sections=("evaluate", "agent", "rewards"))
@click.argument("questions", type=_Questions())
@click.option("--corpus", required=True, type=click.Path(), help="The corpus folder that the questions are about.")
@click.option("--index", required=True, help="Its index: a folder, or the address of `unidoc serve-index`.")
@click.option("--policy", required=True, help="What plays: a model's folder, or an address, http://host:8000/v1#model.")
@click.option(
    "--beside",
    multiple=True,
    help="What to compare with: another policy; `champion`, the registry's; `scripted`; or the folder of an earlier "
    "evaluation, whose episodes are taken over. May stand several times.",
)
@click.option("--out", required=True, type=click.Path(), help="The folder of the evaluation to make, or s3://...")
@_with_params
def evaluate(
    questions: Path,
    corpus: str,
    index: str,
    policy: str,
    beside: tuple[str, ...],
    out: str,
    params_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Measure how well a policy answers QUESTIONS, from which nothing was learned, and show where it fails.

    QUESTIONS is a file as `unidoc curate` takes it; or vidoseek, slidevqa or mmlongbench, which the hub has, or the
    folder of a copy. Each is played once. Accuracy comes with its interval, by kind of question, source and hops;
    beside it stand what was found, kept and zoomed into, what it cost, and why the rest went wrong. `scripted` plays
    the annotations: what can be reached with this index. Killed, it goes on with what was played; run again where some
    episodes were void, it plays those alone.

    \b
        unidoc evaluate questions/test.json --corpus corpus --index index --policy grpo --beside sft \\
            --set evaluate.baselines=[rag,oracle] --out evaluation
    """
    from unidoc_rl.evaluate.stage import evaluate as run

    found = run(questions, corpus, index, policy, out, _load(params_file, overrides), beside)
    accuracy = next(iter(found.values())).accuracy
    click.echo(f"{out}: {accuracy.value:.1%} right [{accuracy.low:.1%}, {accuracy.high:.1%}] of {accuracy.count}")
    click.echo(f"{out}/report.html shows where, and why not")
    void = {name: one.void for name, one in found.items() if one.void}
    for name, count in void.items():
        lost = counted(count, "episode")
        click.echo(f"{name}: {lost} void, counted nowhere, as told above; run again to play what can be")
    if void:
        sys.exit(LEFT_OUT)


@cli.command(cls=_StageCommand)
@click.argument("policy", required=False, type=click.Path())
@click.option("--evaluation", type=click.Path(), help="The folder of its evaluation.")
@click.option("--out", type=click.Path(), help="The folder to make, with every gate and what it said.")
@click.option("--rollback", is_flag=True, help="Make the previous champion champion again, and nothing else.")
@_with_params
def promote(
    policy: str | None,
    evaluation: str | None,
    out: str | None,
    rollback: bool,
    params_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Register POLICY in MLflow, and make it champion if it passes every gate.

    It is registered as it is, without being loaded, beside its evaluation. Where there is a champion, both are compared
    question by question. Passed, it has the alias `champion`, and the former one `previous`; not passed, it is
    registered all the same, each gate says by how much, and the exit status is 4.

    \b
        unidoc promote grpo --evaluation evaluation --out promotion
        unidoc promote --rollback
    """
    from unidoc_rl.promote import stage

    params = _load(params_file, overrides)
    if rollback:
        now, before = stage.roll_back(params)
        click.echo(f"{params.promote.name}: version {now} is champion again, instead of version {before}")
        return
    if policy is None or evaluation is None or out is None:
        raise click.UsageError("name POLICY, --evaluation and --out; or --rollback alone")
    made = stage.promote(policy, evaluation, out, params)
    for gate in made.gates:
        click.echo(f"{'passed' if gate.passed else 'FAILED'}  {gate.name}: {gate.said}")
    if not made.promoted:
        click.echo(f"{made.name}: version {made.version} is a candidate; champion is {made.champion or 'none'}")
        sys.exit(NOT_PROMOTED)
    click.echo(f"{made.name}: version {made.version} is champion")


@cli.command(cls=_StageCommand, sections=("grpo",))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder of the ladder to make.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="How often each row learns.")
@_with_params
def learn(out: Path, seeds: int, params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Show what each level of the system adds, on a sample world made for it: the ladder.

    Its rows are vanilla RAG, ReAct, imitation, GRPO as in Search-R1, as in VRAG-RL, with a reward for every decision,
    and with that credited turn by turn. Every row is learned anew for each seed and plays the same test questions; all
    that learn from rewards do so in as many episodes. The model is sft.model, or nano, which this package carries.
    ladder.json has the table, ladder.html the curves as well. Killed, it goes on where it stopped. Of grpo.credit,
    agent.actions, rewards.of and evaluate.baselines each row has its own: they cannot be changed.

    \b
        unidoc learn --out ladder --params profiles/learn.yaml       # hours on two cores
        unidoc learn --out ladder --seeds 1 --set grpo.steps=2 --set sample.documents=10
    """
    from unidoc_rl.learn import report
    from unidoc_rl.learn.ladder import learn as run

    if out.parts[:1] == ("s3:",):
        raise click.BadParameter("a ladder stands on this machine: name a folder", param_hint="--out")
    found = run(out, seeds, _load(params_file, overrides))
    for line in report.lines(found):
        click.echo(line)
    click.echo(f"{out / report.PAGE} shows how they learned; {out / report.TABLE} has all numbers")


def _end_where_left_out(count: int, key: str, allowed: int) -> None:
    """Of a stage that has made its folder, though not of all; DVC and Kubeflow go no further."""
    if count > allowed:
        click.echo(f"exit status {LEFT_OUT}, since {key} allows {allowed}", err=True)
        sys.exit(LEFT_OUT)


def _figures(marks: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in marks.items() if "/" not in name)


@cli.command()
@click.argument("index", type=click.Path())
@click.argument("queries", nargs=-1, required=True, metavar="QUERY...")
@click.option("-k", default=10, show_default=True, help="Hits a query.")
@click.option("--document", "documents", multiple=True, help="Search only in this document; may stand several times.")
@click.option("--exclude", "excluded", multiple=True, metavar="PAGE", help="A page id that must not come back.")
@click.option(
    "--retriever",
    "retrievers",
    multiple=True,
    type=click.Choice(["bm25", "dense", "late"]),
    help="Search by this one; may stand several times. All of the index's where not said.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a query, on a line of its own.")
def search(
    index: str,
    queries: tuple[str, ...],
    k: int,
    documents: tuple[str, ...],
    excluded: tuple[str, ...],
    retrievers: tuple[Retriever, ...],
    as_json: bool,
) -> None:
    """Find the pages of INDEX that answer to each QUERY, best first.

    INDEX is what `unidoc index` makes, local or on S3.

    \b
        unidoc search index "net sales by region 2023"
        unidoc search index "revenue" "headcount" -k 3 --document report-2023 --json
    """
    import json
    from dataclasses import asdict

    from unidoc_rl.index.search import Index, whole_characters
    from unidoc_rl.types import Query

    texts = [whole_characters(text) for text in queries]
    asked = [Query(text, frozenset(documents) or None, frozenset(excluded)) for text in texts]
    with Index(index, retrievers or None) as opened:
        found = opened(asked, k)
    for query, hits in zip(texts, found, strict=True):
        if as_json:
            click.echo(json.dumps({"query": query, "hits": [asdict(hit) for hit in hits]}, ensure_ascii=False))
            continue
        if len(queries) > 1:
            click.echo(f"{query}:")
        for hit in hits:
            scores = "  ".join(f"{name} {score:.3f}" for name, score in hit.scores.items())
            click.echo(f"{hit.score:8.4f}  {hit.page}  ({scores})")
        if not hits:
            click.echo("nothing found")


@cli.command(cls=_StageCommand, sections=("agent",))
@click.argument("question")
@click.option("--index", required=True, help="The index folder, or the address of `unidoc serve-index`.")
@click.option("--corpus", required=True, type=click.Path(), help="The corpus folder that the index was made of.")
@click.option("--policy", required=True, help="What plays: a model's folder, or an address, http://host:8000/v1#model.")
@click.option("--document", "documents", multiple=True, help="Search only in this document; may stand several times.")
@click.option("--save", type=click.Path(path_type=Path), help="A .png or .jpg to make: the page, with frames on it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, once the episode has ended.")
@_with_params
def ask(
    question: str,
    index: str,
    corpus: str,
    policy: str,
    documents: tuple[str, ...],
    save: Path | None,
    as_json: bool,
    params_file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Let an agent answer QUESTION, and see how it goes about it and where its answer stands.

    The agent is a model of the Qwen-VL family in a folder, or any that sees pictures behind an OpenAI-compatible
    server: #model names it where several are served, OPENAI_API_KEY carries the key. agent.coordinates must say how
    the model writes boxes. The exit status is 1 where it comes to no answer.

    \b
        unidoc ask "What were the net sales in 2023?" --index index --corpus corpus --policy http://127.0.0.1:8000/v1
        unidoc ask "Who signed?" --index index --corpus corpus --policy policy --document report-2023 --save page.png
    """
    from unidoc_rl import storage
    from unidoc_rl.agent import framed
    from unidoc_rl.agent.ask import ask as play
    from unidoc_rl.agent.ask import evidence, one_line, to_json, where, why_none
    from unidoc_rl.agent.environment import Environment
    from unidoc_rl.agent.pictures import Pictures
    from unidoc_rl.agent.policies import open_policy
    from unidoc_rl.agent.trajectories import answer_of
    from unidoc_rl.index.searching import searching
    from unidoc_rl.types import Query

    if save is not None:
        framed.check(save)
        storage.keep_apart(save, corpus, index)
    params, folder = _load(params_file, overrides).agent, storage.local_folder(corpus)
    pictures = Pictures(folder, params)
    with searching(index, folder, tries=TRIES, documents=documents) as search:
        search([Query(question)], 1)  # a wrong document or a service that is away shows before a model is loaded
        player = open_policy(policy, pictures, params, tries=TRIES)
        see = (lambda _: None) if as_json else _tell
        trajectory = play(question, Environment(search, pictures, params), player, see)
    answered, place = answer_of(trajectory), evidence(trajectory)
    if as_json:
        click.echo(to_json(trajectory))
    if answered is None:
        raise UnidocError(why_none(trajectory))
    if not as_json:
        click.secho(f"\n{one_line(answered)}\n", bold=True)
        click.echo(where(place) if place else "It stands on no page.")
    if save is not None and place is not None:
        framed.save(pictures, place, save)
    elif save is not None:
        click.echo(f"{save}: not made, since the answer stands on no page", err=True)


def _tell(turn: Turn) -> None:
    from unidoc_rl.agent.ask import did, one_line

    if turn.said.information:
        click.secho(f"noted: {one_line(turn.said.information)}", dim=True)
    if line := did(turn):
        click.echo(line)


@cli.command("serve-index")
@click.argument("index", type=click.Path())
@click.option(
    "--corpus",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The corpus folder that it was made of, which the paths of pictures in answers to GET then begin with.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 is everywhere.")
@click.option("--port", default=8002, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--queue", default=256, show_default=True, type=click.IntRange(min=1), help="Queries that may wait.")
def serve_index(index: str, corpus: Path | None, host: str, port: int, queue: int) -> None:
    """Answer searches of INDEX over HTTP, for any number of clients, until interrupted.

    POST /search takes {"queries": [{"text": …, "documents": [...], "excluded": [...]}], "k": 10}; GET /search answers
    in the form of VRAG's and UniDoc-RL's code. GET /health and GET /ready tell whether it is up, and whether it can
    answer. There are no keys: let only those reach it who may read the documents.

    \b
        unidoc serve-index index --corpus corpus
        curl 'http://127.0.0.1:8002/search?queries=revenue+2023'
    """
    from unidoc_rl.index.search import Index
    from unidoc_rl.index.service import serve

    serve(lambda: Index(index, corpus=corpus), index, host=host, port=port, images=corpus, queue=queue)


@cli.command()
@click.argument("trajectories", type=_File())
@click.option("--corpus", required=True, type=click.Path(), help="The corpus folder whose pages the episodes show.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The HTML file to write.")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(min=1), help="Episodes at most.")
def view(trajectories: Path, corpus: str, out: Path, limit: int) -> None:
    """Make one HTML file to look through the episodes in TRAJECTORIES: what was seen, done and earned, turn by turn.

    TRAJECTORIES is a file of episodes, a line of JSON each. The HTML file needs nothing beside it, neither the corpus
    nor a network, and can be sent to anybody who may read the documents: it holds pictures of their pages. In it,
    episodes are filtered and sorted by reward, and the regions that the agent drew lie beside the gold ones.

    \b
        unidoc view episodes.jsonl --corpus corpus --out view.html
        unidoc view episodes.jsonl --corpus corpus --out view.html --limit 1000
    """
    from unidoc_rl.agent.view import view as run

    count = run(trajectories, corpus, out, limit=limit)
    click.echo(f"{out}: {counted(count, 'episode')}, {out.stat().st_size / 1e6:.1f} MB; open it in a browser")


@cli.command(cls=_StageCommand, sections=("agent",))
@click.argument("trajectories", type=_File())
@click.option("--corpus", required=True, type=click.Path(), help="The corpus folder whose pages they show.")
@click.option("--out", required=True, type=click.Path(), help="The folder to make, local or s3://bucket/prefix.")
@_with_params
def export(trajectories: Path, corpus: str, out: str, params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Make a data set for LLaMA-Factory of TRAJECTORIES: ShareGPT's form, with the pictures as files.

    TRAJECTORIES is the sft.jsonl of `unidoc curate`, and the section `agent` says what it said then. LLaMA-Factory
    takes the folder as its dataset_dir, and `unidoc` as the name of the data set.

    \b
        unidoc export trajectories/sft.jsonl --corpus corpus --out sharegpt
    """
    from unidoc_rl.curate.sharegpt import export as run

    made = run(trajectories, corpus, out, _load(params_file, overrides).agent)
    click.echo(f"{out}: {made['trajectories']} conversations, {made['pictures']} pictures")


@cli.command()
@click.argument("artifacts", default="artifacts", type=click.Path(file_okay=False, path_type=Path))
def status(artifacts: Path) -> None:
    """Tell what the stages have made so far below ARTIFACTS (./artifacts), and where to look."""
    from unidoc_rl import status

    for line in status.lines(artifacts):
        click.echo(line)


@cli.group(cls=_Group)
def nano() -> None:
    """The nano model: a document VLM of some eight million parameters, small enough to be trained on a laptop.

    To every stage it is a policy's folder like any other.
    """


@nano.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The policy's folder to make.")
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Of weights and pages; the same seed, on as many cores, the same lessons.",
)
@_with_params
def pretrain(out: Path, seed: int, params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Teach a new nano model to read, from nothing, on pages drawn as it learns.

    Stage by stage: letters in their places, reading aloud, answering from parts of pages, finding regions and pages.
    It takes hours on two cores and uses a GPU where there is one. Killed, it goes on where it stopped, on as many
    cores. What is learned when stands in MLflow (services.mlflow) and in curves.png.

    \b
        unidoc nano pretrain --out my-nano
    """
    from unidoc_rl.nano.pretrain import pretrain as run

    run(out, seed, _load(params_file, overrides).services.mlflow)
    click.echo(f"{out}: ready; `unidoc nano evaluate --model {out}` says what it can read")


@nano.command("evaluate")
@click.option("--model", required=True, type=click.Path(path_type=Path), help="A folder that `pretrain` made.")
@click.option("--lessons", default=200, show_default=True, type=click.IntRange(min=8), help="For each measure.")
@click.option("--card", "on_card", is_flag=True, help="Also write the numbers on the model's card.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def evaluate_nano(model: Path, lessons: int, on_card: bool, as_json: bool) -> None:
    """Measure what the nano model can read, on pages that it has never seen.

    \b
        unidoc nano evaluate --model my-nano --lessons 400
    """
    import json
    from dataclasses import asdict

    from unidoc_rl.nano import card
    from unidoc_rl.nano.evaluate import MEASURES, evaluate

    if on_card:
        card.check(model)
    measured = evaluate(model, lessons)
    if on_card:
        card.note_measures(model, measured)
    if as_json:
        click.echo(json.dumps({name: asdict(one) for name, one in measured.items()}))
        return
    width = max(len(measure.what) for measure in MEASURES)
    for measure in MEASURES:
        one = measured[measure.what]
        interval = f"[{one.low:6.1%}, {one.high:6.1%}]"
        click.echo(f"{measure.what:{width}}  {one.value:6.1%}  {interval}  asked for: {measure.asked}")


@cli.group(cls=_StageGroup)
def pipeline() -> None:
    """All stages as a Kubeflow pipeline: in a cluster, or on this machine as they would run there.

    The cluster is services.kfp; KFP_TOKEN or KFP_COOKIE carries your key, and in a pod its service account does.
    """


@contextmanager
def _in_a_checkout() -> Iterator[None]:
    """Around what is imported from pipelines/, which is no part of the package, and needs what only some have."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UnidocError(
            f"{error.name} is not there: pipelines are defined in the repository; get it, and run `make setup` there "
            "(or pip install --editable '.[cluster]')"
        ) from error


def _with_inputs(command: Callable[..., None]) -> Callable[..., None]:
    """What goes into a pipeline: one's own documents and questions, or the demonstration world."""
    for option in (
        click.option("--profile", help="One of profiles/, paper or learn, for what is not said otherwise."),
        click.option("--model", help="What sft begins with, instead of sft.model; in a cluster one that it can read."),
        click.option("--demo", is_flag=True, help="Make the demonstration world, and take that."),
        click.option("--questions", help="The folder with train.json, validation.json and test.json."),
        click.option("--documents", help="The folder of your documents; in a cluster one that it can read, s3://..."),
    ):
        command = option(command)
    return command


def _inputs(demo: bool, named: Mapping[str, str | None]) -> tuple[str, dict[str, str]]:
    """The pipeline's name, and its arguments."""
    from pipelines.pipeline import DEMO, FOLDERS, OWN

    arguments = {name: value for name, value in named.items() if value}
    folders = [name for name in FOLDERS if name in arguments]
    if len(folders) != (0 if demo else len(FOLDERS)):
        raise click.UsageError("name --documents and --questions; or --demo alone")
    return DEMO if demo else OWN, arguments


@pipeline.command("compile")
@click.option(
    "--out", default="pipelines", show_default=True, type=click.Path(path_type=Path), help="The folder to write into."
)
@_with_params
def compile_pipelines(out: Path, params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Write the YAML that Kubeflow reads, a file for each pipeline."""
    with _in_a_checkout():
        from pipelines.compile import write

        for file in write(out, _load(params_file, overrides)).values():
            click.echo(file)


@pipeline.command("run-local")
@_with_inputs
@click.option(
    "--out",
    default="artifacts/pipeline",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where each run makes a folder.",
)
@_with_params
def run_local(demo: bool, out: Path, params_file: Path | None, overrides: tuple[str, ...], **named: str | None) -> None:
    """Run the compiled pipeline on this machine, task by task, as it would run in a cluster.

    \b
        unidoc pipeline run-local --demo
        unidoc pipeline run-local --documents my/pdfs --questions my/questions
    """
    with _in_a_checkout():
        from pipelines.local import run

        run(_load(params_file, overrides), *_inputs(demo, named), out)
    click.echo(f"{out}: all tasks have succeeded")


@pipeline.command()
@_with_inputs
@click.option("--wait", is_flag=True, help="Tell of every task until the run has ended.")
@_with_params
def submit(demo: bool, wait: bool, params_file: Path | None, overrides: tuple[str, ...], **named: str | None) -> None:
    """Start a run in the cluster, of this commit and these parameters.

    They are a version of the pipeline, which is uploaded where the cluster has it not yet; the images of the commit
    (`make images`) must be there. With --wait, the exit status is 0 only if all of it worked.

    \b
        unidoc pipeline submit --documents s3://bucket/reports --questions s3://bucket/questions --wait
        unidoc pipeline submit --demo
    """
    with _in_a_checkout():
        from pipelines.server import Server
        from pipelines.submit import submit as start

        name, arguments = _inputs(demo, named)
        params = _load(params_file, overrides)
        server = Server(params)
        made = start(params, name, arguments, server)
        click.echo(f"{name}: version {made.version} {'uploaded' if made.uploaded else 'is there already'}")
        click.echo(f"run {made.run}: {made.page}")
        if wait:
            _follow(server, made.run)


@pipeline.command("status")
@click.argument("run")
@click.option("--wait", is_flag=True, help="Tell of every task until the run has ended; else as it is now.")
@_with_params
def run_status(run: str, wait: bool, params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Tell how RUN and its tasks are doing; `submit` has said its id."""
    with _in_a_checkout():
        from pipelines.server import Server
        from pipelines.submit import status as ask

        server = Server(_load(params_file, overrides))
        if wait:
            _follow(server, run)
            return
        whole, tasks = ask(server, run)
        for one in (*tasks, whole):
            click.echo(one.line())
        click.echo(server.page(run))


def _follow(server: Server, run: str) -> None:
    from pipelines.submit import follow

    try:
        follow(server, run, lambda task: click.echo(task.line()))
    except KeyboardInterrupt as error:
        raise UnidocError(f"no longer waited for; it goes on: unidoc pipeline status {run} --wait") from error
    click.echo(f"run {run} has succeeded")


@pipeline.command()
@_with_params
def versions(params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """List the versions that the cluster has, and which one this commit and these parameters are."""
    with _in_a_checkout():
        from pipelines.pipeline import DEMO, OWN
        from pipelines.server import Server
        from pipelines.submit import versions as kept
        from pipelines.version import version

        params = _load(params_file, overrides)
        server = Server(params)
        found = [one for name in (OWN, DEMO) for one in kept(server, name)]
        try:
            mine = version(params)
            not_found = f"this one, {mine}, has not been submitted yet"
        except UnidocError as error:  # which keeps nobody from seeing the others
            mine, not_found = "", str(error)
        for one in found:
            click.echo(f"{one.created}  {one.pipeline:<16}{one.name}{'  (this one)' if one.name == mine else ''}")
        if not any(one.name == mine for one in found):
            click.echo(not_found)


@cli.command()
@click.option("--retry", is_flag=True, required=True, help="Send what is kept below .mlflow/unsent of this folder.")
def track(retry: bool) -> None:
    """Tell MLflow what it could not be told while a stage was at work, each thing once.

    A server that is away holds no stage up: what it is to know is kept on this disk.

    \b
        unidoc track --retry
    """
    from unidoc_rl import tracking

    sent, busy = tracking.retry()
    click.echo(f"{sent} runs sent" + (f"; {busy} are at work, and send by themselves" if busy else ""))


@cli.command(cls=_StageCommand, sections=("services",))
@_with_params
def doctor(params_file: Path | None, overrides: tuple[str, ...]) -> None:
    """Look at this machine and the servers named in params.yaml, and say what each missing thing would prevent."""
    from unidoc_rl.doctor import examine

    findings = examine(_load(params_file, overrides))
    for finding in findings:
        click.echo(finding.line())
    if any(finding.prevents_all for finding in findings):
        sys.exit(1)


def _hush() -> None:
    """Only what this command has to say is on screen: not how the libraries below load weights and make tables."""
    quiet = {
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def main() -> None:
    """The entry point: an error meant for a person is one line, everything else a traceback."""
    _hush()
    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except UnidocError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or error
            _fail(f"{where}: the disk is full; free some space and run again, what is finished is kept")
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        _fail(
            f"{error.filename or error}: {error.strerror}; give this account the right, or go elsewhere: .mlflow is "
            "made in the folder that you are in, and UNIDOC_CACHE names the one of what is kept between runs"
        )
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; run the same command again to go on where it stopped", status=130)


def _fail(message: str, status: int = 1) -> Any:
    click.echo(f"unidoc: {message}", err=True)
    sys.exit(status)
