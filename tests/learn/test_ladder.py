"""The ladder on a world of ten documents, with a policy that knows nothing: all rows are there, and none made twice."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.agent.models import write_policy
from tests.browser import PHONE, Tab
from tests.learn.dying import AGENT, learn_until_killed, small
from tests.trainings import PROCESSES
from unidoc_rl.errors import UnidocError
from unidoc_rl.evaluate import EVALUATION
from unidoc_rl.evaluate.measures import Evaluation, evaluation
from unidoc_rl.learn import ladder, report, table
from unidoc_rl.learn.ladder import learn
from unidoc_rl.learn.made import Made
from unidoc_rl.learn.rows import ROWS
from unidoc_rl.learn.table import places
from unidoc_rl.params import Params, load


def made(out: Path) -> dict[Path, int]:
    """The folders that stand, and when each was made."""
    below = ["world/*", "trajectories/*", "seed-*/*/*"]
    return {one: one.stat().st_mtime_ns for pattern in below for one in out.glob(pattern) if one.name[0] != "."}


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Path, int]]:
    """A ladder that was killed once, and what stood then."""
    folder = tmp_path_factory.mktemp("learn")
    given = small(write_policy(folder / "model", AGENT, "qwen2_5_vl"))
    process = PROCESSES.Process(target=learn_until_killed, args=(folder, given, 2))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    stood = made(folder / "out")
    before = Path.cwd()
    os.chdir(folder)
    try:
        learn(folder / "out", 1, given)
    finally:
        os.chdir(before)
    return folder, stood


@pytest.mark.slow
def test_killed_it_goes_on_with_what_is_missing_and_then_has_nothing_to_do(
    climbed: tuple[Path, dict[Path, int]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, stood = climbed
    monkeypatch.chdir(folder)
    assert {one.name for one in stood} >= {"documents", "index", "unidoc", "sft-react", "search-r1", "sft-vrag"}
    now = made(folder / "out")
    assert stood.items() <= now.items()
    assert {one.name for one in now} > {row.policy for row in ROWS}
    found = learn(folder / "out", 1, small(folder / "model"))
    assert made(folder / "out") == now
    assert capsys.readouterr().err == ""
    assert [rung.row.name for rung in found.rungs] == [row.name for row in ROWS]
    told = [line.split()[0] for line in report.lines(found)]
    assert all(told.count(row.name) == (2 if row.rewarded else 1) for row in ROWS)


@pytest.mark.slow
def test_a_change_makes_anew_what_hangs_on_it_alone(
    climbed: tuple[Path, dict[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = climbed
    monkeypatch.chdir(folder)
    remade: list[str] = []
    monkeypatch.setattr(ladder, "grpo", lambda *args: remade.append(args[5].name))
    monkeypatch.setattr(ladder, "evaluate", lambda *args: pytest.fail(f"played again: {args[3]}"))
    given = small(folder / "model")
    changed = given.model_copy(update={"grpo": given.grpo.model_copy(update={"kl": 0.5})})
    with pytest.raises(pytest.fail.Exception, match=r"played again: .*search-r1"):
        learn(folder / "out", 1, changed)
    assert remade == ["search-r1"]


@pytest.mark.slow
def test_a_void_episode_of_a_baseline_is_missing_too(
    climbed: tuple[Path, dict[Path, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = climbed
    monkeypatch.chdir(folder)
    played: list[str] = []

    def away(*args: Any) -> dict[str, Evaluation]:
        played.append(args[4].name)
        return {"sft-react": evaluation([]), "rag": evaluation([None])}

    monkeypatch.setattr(ladder, "evaluate", away)
    given = small(folder / "model")
    changed = given.model_copy(update={"evaluate": given.evaluate.model_copy(update={"at_once": 2})})
    for _ in range(2):
        with pytest.raises(UnidocError, match=r"sft-react: 1 are missing, .*; run again"):
            learn(folder / "out", 1, changed)
    assert played == ["sft-react", "sft-react"]  # the folder was not taken for done


@pytest.mark.slow
def test_the_table_has_all_rows_with_intervals_and_says_what_is_not_shown(
    climbed: tuple[Path, dict[Path, int]], tab: Tab
) -> None:
    out = climbed[0] / "out"
    told = json.loads((out / report.TABLE).read_text())
    first, *others = told["rows"]
    assert first["gain"] is None
    for row in others:  # a policy that knows nothing
        assert row["accuracy"]["low"] <= row["accuracy"]["value"] <= row["accuracy"]["high"]
        assert row["verdict"] == "not told apart"
    learned = {row["name"]: row["learned"] for row in told["rows"] if row["learned"]}
    assert [*learned["search-r1"]["parts"]] == ["answer"]
    assert {*learned["vrag"]["parts"]} == {"answer", "search", "format"}
    assert {*learned["unidoc"]["parts"]} == {"answer", "search", "select", "region", "format"}
    assert all(one["seconds"] > 0 and 0 <= one["silent"] <= 1 for one in learned.values())
    for name, actions in {"search-r1": 2, "vrag": 3, "unidoc": 4, "unidoc-turn": 4}.items():
        noted = json.loads((out / "seed-1" / "policies" / name / "grpo.json").read_text())["params"]
        assert (len(noted["agent"]["actions"]), noted["grpo"]["credit"] == "turn") == (actions, name == "unidoc-turn")

    tab.open(out / report.PAGE)
    assert tab.evaluate("document.querySelectorAll('table.plain')[0].rows.length") == 1 + len(ROWS)
    assert tab.evaluate("document.querySelectorAll('svg.plot').length") == 3
    tab.size(*PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE[0]


HISTORY = [
    {"step": 1, "step_time": 2.0, "groups_without_signal": 0.5, "reward": 0.1, "reward/answer": 0.1},
    {"step": 1, "eval_accuracy": 0.5},
]
ALL = [row.name for row in ROWS]


def write_played(
    out: Path,
    missing: str = "",
    seed: int = 0,
    history: Sequence[Mapping[str, float]] = HISTORY,
    uids: Sequence[str] = ("one", "other"),
    right: Collection[str] = ALL,
) -> None:
    """What all rows have learned and played; `missing`: that has played a question less; `right`: in all of them."""
    for row in ROWS:
        policy, played = places(out, seed, row.policy)
        policy.mkdir(parents=True, exist_ok=True)
        (policy / "grpo.json").write_text(json.dumps({"history": history}))
        played.mkdir(parents=True, exist_ok=True)
        file = played / EVALUATION
        before = json.loads(file.read_text()) if file.exists() else {}  # of the baseline, whose row is above
        rows = {uid: {"value": float(row.name in right)} for uid in uids[row.name == missing :]}
        file.write_text(json.dumps({row.baseline or row.policy: {"rows": rows}, **before}))


@pytest.mark.parametrize(("missing", "where"), [("rag", "sft-react"), ("vrag", "vrag"), ("unidoc-turn", "unidoc-turn")])
def test_rows_of_other_questions_are_not_compared(tmp_path: Path, missing: str, where: str) -> None:
    write_played(tmp_path / "whole")
    assert table.ladder(tmp_path / "whole", 1, Params()).questions == 2
    write_played(tmp_path / "less", missing)
    told = f"evaluations/{where}: has 1 of the 2 questions for the row {missing}; remove this"
    with pytest.raises(UnidocError, match=told):
        table.ladder(tmp_path / "less", 1, Params())


def test_a_row_is_told_by_the_means_of_its_seeds_and_beside_the_row_above(tmp_path: Path) -> None:
    tried = ([(0, 0.9), (4, 0.4), (8, 0.6)], [(0, 0.1), (4, 0.8), (8, 0.2)])  # 0: what it began with
    for seed, right in enumerate([["sft", "vrag", "unidoc"], ["sft", "unidoc"]]):
        marks = {"step_time": 2.0 + seed, "groups_without_signal": 0.5 * seed, "reward": 1}
        steps = [{"step": n, "reward/answer": n + 10 * seed, **marks} for n in range(1, 9)]
        history = [*steps, *({"step": step, "eval_accuracy": value} for step, value in tried[seed])]
        write_played(tmp_path, "", seed, history, [f"q{n}" for n in range(20)], right)
    grpo = {"steps": 8, "questions": 4, "group": 5}
    found = table.ladder(tmp_path, 2, Params.model_validate({"grpo": grpo}))
    assert (found.seeds, found.questions, found.episodes) == (2, 20, 160)
    rungs = {rung.row.name: rung for rung in found.rungs}
    assert rungs["vrag"].seeds == [1, 0]
    assert rungs["vrag"].accuracy.value == 0.5
    assert {name: rung.gain and rung.gain.value for name, rung in rungs.items()} == {
        "rag": None, "react": 0, "sft": 1, "search-r1": -1, "vrag": 0.5, "unidoc": 0.5, "unidoc-turn": -1
    }  # fmt: skip
    assert {name: rung.verdict for name, rung in rungs.items()} == {
        "rag": "", "react": "not told apart", "sft": "better", "search-r1": "worse", "vrag": "not told apart",
        "unidoc": "not told apart", "unidoc-turn": "worse",
    }  # fmt: skip
    assert rungs["sft"].learned is None
    learned = rungs["unidoc"].learned
    assert learned is not None
    assert (learned.silent, learned.best, learned.seconds) == (0.25, 6, 20)
    assert learned.parts == {"answer": (6.5, 12.5)}
    assert learned.tried == [(0, 0.5), (4, pytest.approx(0.6)), (8, pytest.approx(0.4))]
    assert learned.curves["reward/answer"] == [(n, n + 5) for n in range(1, 9)]


def test_the_page_says_that_every_comparison_is_held_to_the_same(tmp_path: Path) -> None:
    write_played(tmp_path)
    report.write(tmp_path, table.ladder(tmp_path, 1, Params()))
    told = (tmp_path / report.PAGE).read_text()
    assert "Each of the 6 comparisons is held to 0.05 by itself" in told


def test_the_page_begins_with_a_bar_a_row_the_longest_as_wide_as_there_is_room(tmp_path: Path) -> None:
    write_played(tmp_path)  # all of it right
    report.write(tmp_path, table.ladder(tmp_path, 1, Params()))
    told = (tmp_path / report.PAGE).read_text().partition('class="plain"')[0]
    assert [told.count(f"<th>{row.name}<small>") for row in ROWS] == [1] * len(ROWS)
    assert told.count('<i style="width:100.0%">') == len(ROWS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_of_the_page_stand_out_from_their_ground(tmp_path: Path, tab: Tab, scheme: str) -> None:
    write_played(tmp_path)
    report.write(tmp_path, table.ladder(tmp_path, 1, Params()))
    tab.open(tmp_path / report.PAGE)
    assert tab.faint(scheme) == []


def test_a_folder_that_was_made_anew_in_vain_is_not_taken_for_the_former(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"

    def made_of(what: str, fails: bool = False) -> None:
        def make() -> None:
            folder.mkdir(exist_ok=True)
            (folder / "pages").write_text(what)
            if fails:
                raise UnidocError("some are missing")

        Made(tmp_path, 1).folder(folder, "making", [what], make)

    made_of("all")
    with pytest.raises(UnidocError, match="some are missing"):
        made_of("some", fails=True)
    made_of("all")
    assert (folder / "pages").read_text() == "all"


def test_the_profile_is_possible_and_of_another_world_than_the_demonstration() -> None:
    profile = load(Path(__file__).parents[2] / "profiles" / "learn.yaml")
    assert profile.sample.seed != Params().sample.seed
    assert profile.grpo.steps > Params().grpo.steps


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("curate", "teacher", "http://127.0.0.1:1/v1"),
        ("grpo", "scale", "rank"),
        ("grpo", "credit", "turn"),
        ("agent", "actions", ["search", "answer"]),
        ("rewards", "of", "gated"),
        ("evaluate", "baselines", ["oracle"]),
    ],
)
def test_what_cannot_be_climbed_is_told_before_any_work(tmp_path: Path, section: str, key: str, value: object) -> None:
    with pytest.raises(UnidocError, match=f"{section}.{key}: "):
        learn(tmp_path / "out", 1, Params.model_validate({section: {key: value}}))
    assert not (tmp_path / "out").exists()
