"""A run that is killed leaves no half folder, and the next one goes on to the same result."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sample.reading import digests
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import SampleParams
from unidoc_rl.sample.stage import sample

DOCUMENTS = 60


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    arguments = [
        "--documents",
        str(killed / "d"),
        "--questions",
        str(killed / "q"),
        "--set",
        f"sample.documents={DOCUMENTS}",
    ]
    command = [sys.executable, "-c", "from unidoc_rl.cli import main; main()", "sample", *arguments]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    families = killed / ".d.work" / "families"
    while len(_done(families)) < 4:
        with pytest.raises(subprocess.TimeoutExpired):  # it must not end before it is killed
            process.wait(timeout=0.1)
    workers = [os.pidfd_open(pid) for pid in _session(process.pid) if pid != process.pid]
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert _visible(killed) == []
    for worker in workers:  # they end by themselves, and soon
        assert select.select([worker], [], [], 20)[0], "a worker outlives the run that started it"
        os.close(worker)
    made = {path: path.stat().st_ino for path in _done(families)}
    assert len(made) < DOCUMENTS // 4

    sample(killed / "d", killed / "q", SampleParams(documents=DOCUMENTS), workers=2)
    kept = {path.stat().st_ino for path in (killed / "d").glob("*.pdf")}
    assert set(made.values()) <= kept  # not drawn a second time
    assert sorted(path.name for path in killed.iterdir()) == ["d", "q"]  # and nothing left over

    sample(whole / "d", whole / "q", SampleParams(documents=DOCUMENTS), workers=2)
    assert digests(killed) == digests(whole)


@pytest.mark.slow
def test_a_run_with_other_parameters_replaces_the_former_result(tmp_path: Path) -> None:
    sample(tmp_path / "d", tmp_path / "q", SampleParams(documents=10, seed=1), workers=1)
    former = digests(tmp_path)
    sample(tmp_path / "d", tmp_path / "q", SampleParams(documents=11, seed=1), workers=1)
    assert len(list((tmp_path / "d").glob("*.pdf"))) == 11
    assert len(former.items() & digests(tmp_path).items()) >= 10
    for mine in (tmp_path / "d/mine.pdf", tmp_path / "q/mine.json"):
        mine.write_text("not to be lost")
        with pytest.raises(UnidocError, match=rf"{mine.parent}: holds {mine.name}, which `unidoc sample` has not made"):
            sample(tmp_path / "d", tmp_path / "q", SampleParams(documents=10, seed=1), workers=1)
        assert mine.read_text() == "not to be lost"
        mine.unlink()


def _done(families: Path) -> list[Path]:
    """The documents of families that are complete."""
    return [path for path in families.glob("*/*/*.pdf") if path.parent.suffix != ".part"]


def _visible(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def _session(session: int) -> list[int]:
    """The processes of a session."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(path.read_text().rpartition(")")[2].split()[3]) == session:
                pids.append(int(path.parent.name))
    return pids
