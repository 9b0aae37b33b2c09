"""Pages that have no text layer are read, and every page's parts are found, by the real models."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
import pytest
from reportlab.lib import colors
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, Table

from tests.ingest import files
from unidoc_rl.corpus import Corpus
from unidoc_rl.ingest.stage import ingest
from unidoc_rl.params import IngestParams
from unidoc_rl.types import Box, TextSource

ROWS = [["Region", "Revenue", "Staff"], ["North", "412.7", "1204"], ["South", "98.1", "377"], ["Harbour", "55.0", "12"]]
PROSE = "The harbour office counted every vessel that entered the port during the winter of that year. " * 6


def draw(path: Path) -> Path:
    """A page with a heading, text and a table at known places, in 595 x 842 points."""
    canvas = Canvas(str(path), pagesize=files.A4)
    canvas.setFont("Helvetica-Bold", 20)
    canvas.drawString(60, 760, "Annual report of the port")
    paragraph = Paragraph(PROSE, getSampleStyleSheet()["BodyText"])
    paragraph.wrap(475, 400)
    paragraph.drawOn(canvas, 60, 620)
    table = Table(ROWS, colWidths=155, rowHeights=26, style=[("GRID", (0, 0), (-1, -1), 1, colors.black)])
    table.wrap(475, 400)
    table.drawOn(canvas, 60, 420)
    canvas.save()
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The page as it was drawn, the same page as a scan, and an empty one."""
    folder = tmp_path_factory.mktemp("eyes")
    docs = folder / "docs"
    docs.mkdir()
    page = pypdfium2.PdfDocument(draw(docs / "drawn.pdf"))[0].render(scale=150 / 72).to_pil()
    scan = Canvas(str(docs / "scan.pdf"), pagesize=files.A4)
    scan.drawImage(ImageReader(page), 0, 0, *files.A4)
    scan.showPage()
    scan.showPage()
    scan.save()
    ingest(docs, folder / "corpus", IngestParams(), workers=1)
    return Corpus(folder / "corpus")


@pytest.mark.slow
def test_a_scan_is_read_like_the_page_it_was_made_of(corpus: Corpus) -> None:
    drawn, scan, empty = corpus
    assert [page.text_source for page in corpus] == [TextSource.NATIVE, TextSource.OCR, TextSource.NONE]
    read, written = [word.text for word in scan.words], [word.text for word in drawn.words]
    assert len(set(read) & set(written)) >= 0.9 * len(set(written))
    for text in ("412.7", "Harbour"):
        (one,) = [word.box for word in drawn.words if word.text == text]
        (other,) = [word.box for word in scan.words if word.text == text]
        assert overlap(one, other) > 0.3  # OCR gives a word the height of its line
    assert (empty.words, empty.regions) == ((), ())


@pytest.mark.slow
def test_the_layout_finds_the_table_and_the_text(corpus: Corpus) -> None:
    for page in list(corpus)[:2]:
        kinds = {region.kind: region.box for region in page.regions}
        table = Box(round(60 / 0.595), round((842 - 524) / 0.842), round(535 / 0.595), round((842 - 420) / 0.842))
        assert overlap(kinds["table"], table) > 0.8
        assert "text" in kinds


def overlap(one: Box, other: Box) -> float:
    """The shared area over the area of both together."""
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    shared = max(0, width) * max(0, height)
    area = sum((box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other))
    return shared / (area - shared)
