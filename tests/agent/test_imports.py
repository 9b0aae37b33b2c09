"""The agent stands alone: who trains, searches, tracks or runs it is handed to it."""

from __future__ import annotations

import subprocess
import sys

import pytest

FOREIGN = {"trl", "pymilvus", "milvus_lite", "kfp", "mlflow", "dvc"}


@pytest.mark.slow
def test_no_file_of_the_agent_brings_in_a_trainer_an_index_a_tracker_or_a_pipeline() -> None:
    code = (
        "import importlib, pkgutil, sys, unidoc_rl.agent as agent\n"
        "for module in pkgutil.iter_modules(agent.__path__):\n"
        "    importlib.import_module(f'unidoc_rl.agent.{module.name}')\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, 'unidoc_rl.index' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *packages, index = done.stdout.split()
    assert not FOREIGN & {*packages}
    assert index == "False"
