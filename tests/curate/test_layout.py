"""Regions of a page are those that were proposed, and of too many the most certain."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from unidoc_rl.corpus import PAGE_SCHEMA, PAGES
from unidoc_rl.curate.layout import MOST, Layout


def test_of_too_many_regions_the_most_certain_are_kept_in_their_order(with_regions: Path, tmp_path: Path) -> None:
    rows = pq.read_table(with_regions / PAGES).to_pylist()[:2]
    for row, scores in zip(rows, ([0.5] * MOST, [0.1, 0.9, 0.5] * (MOST // 2)), strict=True):
        row["regions"] = [
            {"kind": "text", "score": score, "x1": n, "y1": 0, "x2": n + 1, "y2": 1} for n, score in enumerate(scores)
        ]
    pq.write_table(pa.Table.from_pylist(rows, PAGE_SCHEMA), tmp_path / PAGES)
    layout = Layout(tmp_path)
    few, many = (layout.regions(row["id"]) for row in rows)
    assert [region.box.x1 for region in few] == list(range(MOST))
    assert [region.box.x1 for region in many] == [n for n in range(3 * MOST // 2) if n % 3]
