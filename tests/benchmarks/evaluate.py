"""What an evaluation costs beside the model: python -m tests.benchmarks.evaluate [--only stage|report].

stage      `unidoc evaluate` of a thousand sample questions with the scripted policy: time, and memory beside that of a
           quarter of them
report     of a thousand questions that a policy with every mistake has played, beside three others: its size, and how
           long Chromium takes to open it

Documents of the sample world, at 110 dpi; searches by bm25 in this process; two cores.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import MB, UNIDOC, run, save, table
from tests.browser import PHONE, Tab, chromium_running
from unidoc_rl import questions
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.rewards import scored
from unidoc_rl.agent.rollouts import play
from unidoc_rl.agent.rules import by_rules
from unidoc_rl.agent.scripted import Mistakes, Scripted
from unidoc_rl.evaluate import report
from unidoc_rl.evaluate.measures import Evaluation, evaluation, row_of
from unidoc_rl.evaluate.stage import paired
from unidoc_rl.index.search import Index
from unidoc_rl.intervals import difference
from unidoc_rl.params import AgentParams, RewardParams
from unidoc_rl.types import Question, Split

PARAMS = AgentParams()
DOCUMENTS = 120  # of the sample world: somewhat more than a thousand questions
MANY, FEW = 1000, 250
CPUS = {0, 1}
POLICIES = {"grpo": 0.08, "sft": 0.12, "before": 0.2, "ceiling": 0.0}  # how often each mistake is made


def made_world(work: Path) -> None:
    def unidoc(*parts: str | Path) -> None:
        subprocess.run([UNIDOC, *parts], check=True)

    number = f"sample.documents={DOCUMENTS}"
    unidoc("sample", "--documents", work / "pdf", "--questions", work / "questions", "--set", number)
    fast = [part for one in ("layout=false", "ocr=false", "dpi=110") for part in ("--set", f"ingest.{one}")]
    unidoc("ingest", work / "pdf", "--out", work / "corpus", *fast)
    unidoc("index", work / "corpus", "--out", work / "index", "--set", "index.retrievers=[bm25]")


def asked(work: Path, count: int) -> list[Question]:
    everything = [one for split in Split for one in questions.read(work / "questions" / f"{split}.json")]
    random.Random(0).shuffle(everything)
    if len(everything) < count:
        raise SystemExit(f"{work}: has {len(everything)} questions; {count} are needed")
    return everything[:count]


# --- the stage --------------------------------------------------------------------------------------------------------


def report_stage(work: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    rows = [("questions", "seconds", "wanted", "of both cores", "memory at the most", "report")]
    for count in (FEW, MANY):
        questions.write(work / "asked.json", asked(work, count))
        out = work / f"evaluation{count}"
        over: list[str | Path] = ["--corpus", work / "corpus", "--index", work / "index"]
        command = [UNIDOC, "evaluate", work / "asked.json", *over, "--policy", "scripted", "--out", out]
        done = run(command, CPUS, work)  # where its runs go, not among those of this checkout
        size = (out / report.FILE).stat().st_size
        figures[f"evaluate_{count}"] = {"seconds": done.wall, "cpu": done.cpu, "peak": done.peak, "report": size}
        wanted = "< 60" * (count == MANY)
        told = (f"{done.wall:.1f}", wanted, f"{done.cpu:.1f}", f"{done.peak / MB:.0f} MB", f"{size / 1e6:.1f} MB")
        rows.append((str(count), *told))
    table("unidoc evaluate, with the scripted policy", rows)
    return figures


# --- the report -------------------------------------------------------------------------------------------------------


def played(work: Path, name: str, often: float, some: list[Question]) -> Evaluation:
    """By a policy that makes every mistake so often."""
    mistakes = Mistakes(**{one.name: often for one in fields(Mistakes)})
    with Index(work / "index") as search:
        environment = Environment(search, Pictures(work / "corpus", PARAMS), PARAMS)
        policy = Scripted(work / "corpus", PARAMS, mistakes, seed=len(name))
        ended = scored(play([(one, 0) for one in some], environment, policy, 64), RewardParams(), by_rules)
        trajectories.write(work / f"{name}.jsonl", ended)
    return evaluation(map(row_of, trajectories.read(work / f"{name}.jsonl")))


def written(work: Path) -> Path:
    some = asked(work, MANY)
    found = {name: played(work, name, often, some) for name, often in POLICIES.items()}
    own, *others = found
    compared = {name: difference(*paired(found[name], found[own])) for name in others}
    told = report.Told(
        found,
        compared,
        queries={one.uid: one.query for one in some},
        played={name: work / f"{name}.jsonl" for name in found},
        folders={},
    )
    report.write(work, work / "corpus", told)
    return work / report.FILE


def report_report(work: Path) -> dict[str, Any]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    file = written(work)
    size = file.stat().st_size
    with tempfile.TemporaryDirectory() as profile, chromium_running(program, Path(profile)) as chromium:
        opening = {name: opened(Tab(chromium), file, name == "phone") for name in ("laptop", "phone")}
    rows = [("", "measured", "wanted"), ("size", f"{size / 1e6:.1f} MB", "< 15 MB")]
    rows += [(f"opened, {name}", f"{seconds:.2f} s", "< 2 s") for name, seconds in opening.items()]
    table(f"A report of {MANY} questions and {len(POLICIES)} policies", rows)
    return {"report": {"bytes": size, **{f"{name}_s": seconds for name, seconds in opening.items()}}}


def opened(tab: Tab, file: Path, phone: bool) -> float:
    if phone:
        tab.size(*PHONE)
    start = time.monotonic()
    tab.open(file)
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, help="where the world is, or is to be made; a folder for a while if none")
    parser.add_argument("--only", choices=["stage", "report"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.world or Path(temporary)
        if not (work / "index").exists():
            made_world(work)
        parts = {"stage": report_stage, "report": report_report}
        figures: dict[str, Any] = {}
        for name, part in parts.items():
            if options.only in (None, name):
                figures |= part(work)
    save("evaluate", figures)


if __name__ == "__main__":
    main()
