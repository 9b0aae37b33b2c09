"""Charts drawn on a page and as a picture: the boxes hold what they say, and do not run out of the frame."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pypdfium2
import pytest
from reportlab.pdfgen.canvas import Canvas

from tests.sample.reading import one_line
from unidoc_rl.sample import charts, style
from unidoc_rl.sample.sheet import Rect, Sheet
from unidoc_rl.sample.world import Form

NAMES = ("Wind power", "Natural gas", "Heating oil", "Biomass", "Purchased steam")
VALUES = ("31.4", "18.2", "12.9", "27.5", "10.0")
FRAME = Rect(80, 100, 480, 320)
FORMS = [Form.COLUMN, Form.BAR, Form.LINE, Form.PIE]


@pytest.fixture(scope="module")
def look() -> style.Style:
    style.register_fonts()
    return style.choose("report", Random(1)).for_pictures()  # the same faces both ways


@pytest.mark.parametrize("form", FORMS)
def test_a_box_holds_the_name_and_value_of_its_item(form: Form, look: style.Style, tmp_path: Path) -> None:
    path = tmp_path / "chart.pdf"
    width, height = look.page
    canvas = Canvas(str(path), pagesize=look.page)
    rects = charts.draw(Sheet(canvas, width, height), FRAME, charts.Chart(form, NAMES, VALUES, 10), look)
    canvas.save()
    page = pypdfium2.PdfDocument(path)[0].get_textpage()
    for rect, name, value in zip(rects, NAMES, VALUES, strict=True):
        assert FRAME.x1 <= rect.x1 < rect.x2 <= FRAME.x2
        assert FRAME.y1 <= rect.y1 < rect.y2 <= FRAME.y2
        text = one_line(page.get_text_bounded(rect.x1 - 1, height - rect.y2 - 1, rect.x2 + 1, height - rect.y1 + 1))
        assert {*name.split(" "), value} <= set(text.replace("%", "").split(" "))


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_has_its_items_where_the_page_has_them(form: Form, look: style.Style, tmp_path: Path) -> None:
    chart = charts.Chart(form, NAMES, VALUES, 10)
    image, found = charts.picture(400, 220, chart, look)
    canvas = Canvas(str(tmp_path / "chart.pdf"), pagesize=(400, 220))
    expected = charts.draw(Sheet(canvas, 400, 220), Rect(6, 6, 394, 214), chart, look)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=4)
    # All that is dark, which is what can be read, lies in one of the boxes.
    dark = np.asarray(image.convert("L")) < 60
    scale = charts.DPI / 72
    assert dark.sum() > 500
    for rect in found:
        top, bottom = int(rect.y1 * scale) - 3, int(rect.y2 * scale) + 4
        dark[top:bottom, int(rect.x1 * scale) - 3 : int(rect.x2 * scale) + 4] = False
    assert not dark.any()
