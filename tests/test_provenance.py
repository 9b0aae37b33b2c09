"""What files and folders are known by is what DVC knows them by."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from unidoc_rl import provenance
from unidoc_rl.provenance import commit, identity


@pytest.mark.slow
def test_files_and_folders_have_the_hashes_that_dvc_gives_them(tmp_path: Path) -> None:
    (tmp_path / "data/sub/empty").mkdir(parents=True)
    for name in ("one.json", "data/b.txt", "data/sub.txt", "data/sub/zwölf a.txt", "data/Z.txt"):
        (tmp_path / name).write_text(name)
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "one.json", "data"]):
        subprocess.run([Path(sys.executable).with_name("dvc"), *command], cwd=tmp_path, check=True, env=environment)
    for name in ("one.json", "data"):
        (known,) = yaml.safe_load((tmp_path / f"{name}.dvc").read_text())["outs"]
        assert identity(tmp_path / name) == known["md5"]
    assert len(identity(tmp_path / "data")) <= 36  # more, MLflow does not take


def test_addresses_are_known_by_themselves() -> None:
    assert identity("http://127.0.0.1:8002") == identity("http://127.0.0.1:8002") != identity("http://127.0.0.1:8003")


def test_an_image_tells_the_commit_that_it_was_built_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no checkout of its own, with git and without; and one that was not told it has its version."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setenv("UNIDOC_COMMIT", revision)
    assert re.fullmatch("[0-9a-f]{12,}", commit())
    assert commit() not in revision
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert commit() == revision[:12]
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "c"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert commit() == revision[:12]  # that checkout is of other code
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == revision[:12]
    monkeypatch.setenv("UNIDOC_COMMIT", "unknown")
    assert commit().startswith("version ")
    monkeypatch.delenv("UNIDOC_COMMIT")
    assert commit().startswith("version ")
