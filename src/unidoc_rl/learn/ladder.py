"""Climbs the ladder: a world made for it, every row learned and played anew for each seed, and a table of all.

out/world/                     documents, questions, corpus and index
out/trajectories/<protocol>/   what is imitated by those who may do no more
out/seed-1/policies/<name>/    what has learned; `rows.py` says how
out/seed-1/evaluations/<name>/ what it played on the test questions
out/ladder.json, ladder.html   the table, and the curves, of the seeds that are through

Each folder is whole or absent, and made by the stage of its kind. Killed, it goes on where it stopped. All rows learn
from rewards in as many steps and episodes, of the same questions; what they begin with has imitated the same questions,
as far as they can be played without what the row leaves out.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from unidoc_rl.curate import SFT
from unidoc_rl.curate.stage import CHANGES_NOTHING, RL, curate
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate.stage import evaluate
from unidoc_rl.grpo.stage import grpo
from unidoc_rl.index.stage import index
from unidoc_rl.ingest.stage import ingest
from unidoc_rl.learn import report
from unidoc_rl.learn.made import Made
from unidoc_rl.learn.rows import OVERRULED, PROTOCOLS, ROWS, Protocol, Row, imitator, learning, playing
from unidoc_rl.learn.table import Ladder, ladder, places
from unidoc_rl.nano import WEIGHTS
from unidoc_rl.params import Params
from unidoc_rl.sample.stage import sample
from unidoc_rl.sft.stage import sft
from unidoc_rl.spread import nearly_zero_is_zero
from unidoc_rl.types import Split

WORLD = 3  # folders of it


@nearly_zero_is_zero()  # sft and grpo, too; but the threads that learn are started by what comes before them
def learn(out: Path, seeds: int, params: Params) -> Ladder:
    """Makes all that is missing below `out`; returns the table."""
    _check(params)
    out.mkdir(parents=True, exist_ok=True)
    learned = len(PROTOCOLS) + sum(row.rewarded is not None for row in ROWS)
    played = len({row.policy for row in ROWS})
    climb = _Climb(out, seeds, params, Made(out, WORLD + len(PROTOCOLS) + seeds * (learned + played)))
    for seed in range(seeds):
        climb.seed(seed)
        found = ladder(out, seed + 1, params)
        report.write(out, found)
    return found


def _check(params: Params) -> None:
    """What would be known only after hours."""
    if params.curate.teacher is not None:
        raise UnidocError("curate.teacher: it plays with all actions alone; the ladder takes the annotations (null)")
    if params.grpo.scale == "rank":
        raise UnidocError("grpo.scale: ranks are of whole episodes, and a row of the ladder gives credit to turns")
    for section, key in OVERRULED:
        given, usual = (getattr(getattr(one, section), key) for one in (params, Params()))
        if given != usual:
            raise UnidocError(f"{section}.{key}: each row of the ladder has its own; leave it as by default ({usual})")


class _Climb:
    def __init__(self, out: Path, seeds: int, params: Params, made: Made) -> None:
        self._out = out
        self._seeds = seeds
        self._params = params
        self._made = made
        self._documents, self._questions, self._corpus, self._index = (
            out / "world" / name for name in ("documents", "questions", "corpus", "index")
        )
        world = self._world()
        self._taught = {protocol: self._curated(protocol, world) for protocol in PROTOCOLS}

    def seed(self, number: int) -> None:
        """All rows, in their order."""
        begun: dict[Protocol, str] = {}
        played: set[str] = set()
        for row in ROWS:
            if row.protocol not in begun:
                begun[row.protocol] = self._imitated(row, number)
            key = self._rewarded(row, number, begun[row.protocol]) if row.rewarded else begun[row.protocol]
            if row.policy not in played:
                self._played(row, number, key)
                played.add(row.policy)

    # --- what all of them share ---------------------------------------------------------------------------------------

    def _world(self) -> str:
        params = self._params
        drawn = self._made.folder(
            self._documents,
            "the world: drawing documents",
            ["sample", params.sample],
            lambda: sample(self._documents, self._questions, params.sample, services=params.services),
        )
        taken_in = self._made.folder(
            self._corpus,
            "the world: taking documents in",
            [drawn, params.ingest],
            lambda: _whole(
                self._corpus,
                ingest(self._documents, self._corpus, params.ingest, services=params.services)["left_out"],
                params.ingest.may_leave_out,
            ),
        )
        return self._made.folder(
            self._index,
            "the world: making pages findable",
            [taken_in, params.index],
            lambda: index(self._corpus, self._index, params.index, services=params.services),
        )

    def _curated(self, protocol: Protocol, world: str) -> str:
        params, folder = playing(self._params, protocol), self._trajectories(protocol)
        asked = self._asked(Split.TRAIN)

        def make() -> None:
            report = curate(asked, self._corpus, str(self._index), folder, params)
            _whole(folder, len(report.left_out), params.curate.may_leave_out)

        what = f"trajectories of {', '.join(params.agent.actions)}"
        curating = params.curate.model_dump_json(exclude=CHANGES_NOTHING)
        return self._made.folder(folder, what, [world, curating, params.agent, params.rewards], make)

    def _trajectories(self, protocol: Protocol) -> Path:
        return self._out / "trajectories" / protocol

    def _asked(self, split: Split) -> Path:
        return self._questions / f"{split}.json"

    # --- of a row, and a seed -----------------------------------------------------------------------------------------

    def _imitated(self, row: Row, seed: int) -> str:
        params, learned = learning(self._params, row, seed), self._trajectories(row.protocol) / SFT
        model = Path(params.sft.model or WEIGHTS)
        policy, _ = places(self._out, seed, imitator(row.protocol))
        return self._made.folder(
            policy,
            self._told(policy.name, seed, "imitating"),
            [self._taught[row.protocol], params.sft, params.agent, model if model.is_dir() else str(model)],
            partial(sft, learned, self._corpus, policy, params),
        )

    def _rewarded(self, row: Row, seed: int, begun: str) -> str:
        """All learn from the questions that can be solved by all means."""
        params, learned = learning(self._params, row, seed), self._trajectories("unidoc") / RL
        begun_with, _ = places(self._out, seed, imitator(row.protocol))
        policy, _ = places(self._out, seed, row.policy)
        validation, index = self._asked(Split.VALIDATION), str(self._index)
        return self._made.folder(
            policy,
            self._told(row.name, seed, "learning from rewards"),
            [begun, self._taught["unidoc"], params.grpo, params.agent, params.rewards],
            partial(grpo, learned, validation, self._corpus, index, begun_with, policy, params),
        )

    def _played(self, row: Row, seed: int, policy: str) -> None:
        """And as every baseline that this policy is."""
        baselines = [one.baseline for one in ROWS if one.policy == row.policy and one.baseline]
        params = playing(self._params, row.protocol)
        params = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"baselines": baselines})})
        place, out = places(self._out, seed, row.policy)

        def make() -> None:
            found = evaluate(self._asked(Split.TEST), self._corpus, str(self._index), str(place), out, params)
            _whole(out, sum(one.void for one in found.values()), 0)

        what = self._told(row.policy, seed, "playing the test questions")
        self._made.folder(out, what, [policy, params.evaluate, params.agent, params.rewards], make)

    def _told(self, row: str, seed: int, what: str) -> str:
        return f"seed {seed + 1} of {self._seeds}: {row}: {what}"


def _whole(folder: Path, missing: int, may: int) -> None:
    if missing > may:
        raise UnidocError(f"{folder}: {missing} are missing, for the reasons that were told above; run again")
