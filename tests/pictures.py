"""The pictures of docs/pictures, taken of what `make demo` made: python -m tests.pictures [ARTIFACTS]."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from tests import servers
from tests.benchmarks.measure import UNIDOC, run
from tests.browser import Tab, chromium_running
from unidoc_rl.mlflow_server import opened

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
WIDE = (1280, 860)
DRAWN = "new Promise(drawn => setTimeout(drawn, 15000))"


def take(artifacts: Path) -> None:
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("needs Chromium (Debian: chromium)")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium_running(program, Path(folder) / "profile") as chromium:
        tab = Tab(chromium)
        tab.size(*WIDE)
        tab.open(artifacts / "evaluation" / "report.html")
        _save(tab, "report")
        tab.open(_viewed(artifacts, Path(folder)))
        _save(tab, "episode")
        shutil.copytree(artifacts.parent / ".mlflow", Path(folder) / "mlflow")
        with servers.mlflow_server(Path(folder) / "mlflow", port := servers.free_port()):
            _go(tab, _comparison(f"http://127.0.0.1:{port}"))
            for folded in ("Visualizations", "Parameters"):  # what is above the figures
                heads = "[...document.querySelectorAll('[aria-expanded]')]"
                tab.evaluate(f"{heads}.find(one => one.innerText == '{folded}').click()")
            tab.evaluate(DRAWN)
            _save(tab, "runs")


def _viewed(artifacts: Path, folder: Path) -> Path:
    """The ceiling's first episodes: a search, a choice, a zoom, an answer."""
    page = folder / "view.html"
    episodes = artifacts / "evaluation" / "scripted.jsonl"
    run([UNIDOC, "view", episodes, "--corpus", artifacts / "corpus", "--out", page, "--limit", "5"], {0, 1})
    return page


def _comparison(address: str) -> str:
    """MLflow's page of the policy that was evaluated, and of those beside it."""
    client, experiment = opened(address)
    found = client.search_runs([experiment], "attributes.run_name LIKE 'evaluate%'", order_by=["start_time"])
    runs, experiments = (quote(json.dumps(ids)) for ids in ([one.info.run_id for one in found], [experiment]))
    return f"{address}/#/compare-runs?runs={runs}&experiments={experiments}"


def _go(tab: Tab, address: str) -> None:
    """To an application that goes on drawing when it has loaded."""
    tab.call("Page.navigate", url=address)
    tab.evaluate(DRAWN)
    tab.evaluate("document.querySelector('[data-component-id=\"mlflow.assistant.chat_panel.close\"]')?.click()")
    tab.evaluate(DRAWN)


def _save(tab: Tab, name: str) -> None:
    tab.picture().save(PICTURES / f"{name}.png")
    print(PICTURES / f"{name}.png")


if __name__ == "__main__":
    take(Path(sys.argv[1] if len(sys.argv) > 1 else "artifacts").absolute())
