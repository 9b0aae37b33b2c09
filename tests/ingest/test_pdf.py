"""What is taken out of a PDF: where its words stand on the page as it is shown, and its pixels."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from tests.ingest import files
from unidoc_rl import boxes
from unidoc_rl.ingest import pdf
from unidoc_rl.ingest.pdf import Pdf
from unidoc_rl.ingest.problems import LeftOut
from unidoc_rl.types import Box


def dark_box(pixels: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Around everything that is drawn."""
    rows, columns = np.where((pixels < 128).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@settings(max_examples=40)
@given(
    x=st.floats(100, 400),
    y=st.floats(100, 500),  # reportlab lays the paper on its side where the page is turned
    size=st.floats(8, 40),
    turned=st.sampled_from([0, 90, 180, 270]),
    cut=st.sampled_from([0, 40]),
)
def test_a_words_box_lies_around_its_ink_however_the_page_is_turned_or_cut(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float, size: float, turned: int, cut: int
) -> None:
    path = tmp_path_factory.mktemp("pdf") / "word.pdf"
    canvas = Canvas(str(path), pagesize=files.A4, cropBox=(cut, cut / 2, 595 - cut / 4, 842 - cut))
    canvas.setPageRotation(turned)
    canvas.setFont("Helvetica", size)
    canvas.drawString(x, y, "Humber")
    canvas.showPage()
    canvas.save()
    with Pdf(path).page(1) as page:
        pixels = page.render(100).pixels
        text = page.native_text()
    ink = dark_box(pixels)
    box = boxes.to_pixels(Box(*text.boxes[0].tolist()), pixels.shape[1], pixels.shape[0])
    assert text.words == ["Humber"]
    assert all(abs(a - b) <= 0.35 * size * 100 / 72 + 2 for a, b in zip(ink, box, strict=True))


def test_the_text_reads_as_it_is_seen(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "text.pdf"))
    canvas.drawString(50, 700, "Net  sales of Ångström & Søn: 1,204.5 €")
    canvas.drawString(50, 680, "second line")
    canvas.save()
    with Pdf(tmp_path / "text.pdf").page(1) as page:
        text = page.native_text()
    assert text.text.split() == ["Net", "sales", "of", "Ångström", "&", "Søn:", "1,204.5", "€", "second", "line"]
    assert text.words == text.text.split()


def test_what_was_filled_into_a_form_is_seen_and_read(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "form.pdf"))
    canvas.acroForm.textfield(name="name", value="Ada", x=100, y=690, width=200, height=20)
    canvas.showPage()
    canvas.save()
    with Pdf(tmp_path / "form.pdf").page(1) as page:
        assert page.native_text().text == "Ada"
        assert dark_box(page.render(72).pixels)


def test_what_was_typed_onto_a_page_is_seen_and_read(tmp_path: Path) -> None:
    """As a note that belongs to no form."""
    fonts = b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    note = b"<</Type/Annot/Subtype/FreeText/F 4/Rect[20 20 180 50]/AP<</N 5 0 R>>>>"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R%s/Annots[%s]>>" % (fonts, note)
    below = files.stream(zlib.compress(b"BT /F 14 Tf 20 150 Td (Order form) Tj ET"))
    typed = zlib.compress(b"BT /F 14 Tf 5 10 Td (Approved) Tj ET")
    over = files.stream(typed, b"/Type/XObject/Subtype/Form/BBox[0 0 160 30]" + fonts)
    (tmp_path / "typed.pdf").write_bytes(files.of_pages([page], below, over))
    with Pdf(tmp_path / "typed.pdf").page(1) as shown:
        assert shown.native_text().words == ["Order", "form", "Approved"]
        assert dark_box(shown.render(72).pixels)[3] > 150


def test_words_off_the_page_are_not_on_it(tmp_path: Path) -> None:
    canvas = Canvas(str(tmp_path / "off.pdf"))
    canvas.drawString(50, 700, "seen")
    canvas.drawString(50, 5000, "unseen")
    canvas.save()
    with Pdf(tmp_path / "off.pdf").page(1) as page:
        text = page.native_text()
    assert text.words == ["seen"]
    assert text.text == "seen"


def test_each_half_of_a_sheet_has_its_own_text(tmp_path: Path) -> None:
    """A sheet that was cut in two by crop boxes holds the text of both halves in both."""
    canvas = Canvas(str(tmp_path / "halves.pdf"), pagesize=(800, 500))
    for left in (0, 400):
        canvas.setCropBox((left, 0, left + 400, 500))
        for height, side, words in (
            (400, 50, "Dear"),
            (380, 50, "reader,"),
            (400, 450, "Net sales"),
            (380, 450, "rose."),
            (360, 50, "welcome."),
        ):
            canvas.drawString(side, height, words)
        canvas.showPage()
    canvas.save()
    document = Pdf(tmp_path / "halves.pdf")
    texts = []
    for n in (1, 2):
        with document.page(n) as page:
            texts.append(page.native_text().text)
    assert texts == ["Dear\nreader,\nwelcome.", "Net sales\nrose."]


def test_a_stamp_on_a_scan_is_not_its_text(tmp_path: Path) -> None:
    """Else a scanned page with a printed page number would never be read."""
    canvas = Canvas(str(tmp_path / "scan.pdf"), pagesize=files.A4)
    canvas.drawInlineImage(Image.new("L", (60, 80), 230), 0, 0, *files.A4)
    canvas.drawString(280, 20, "Page 7")
    canvas.drawString(60, 825, "Case 1:20-cv-01234-ABC Document 12-3 Filed 03/04/20 Page 7 of 10")
    canvas.save()
    with Pdf(tmp_path / "scan.pdf").page(1) as page:
        assert page.native_text().words == []


@pytest.mark.parametrize(("unit", "share", "words"), [(10, 1.0, []), (0.1, 0.1, ["Page", "7"])])
def test_a_scan_is_known_whatever_units_it_is_drawn_in(
    tmp_path: Path, unit: float, share: float, words: list[str]
) -> None:
    """Many scanners' programs draw the picture in a form, whose units are its own."""
    canvas = Canvas(str(tmp_path / "scan.pdf"), pagesize=files.A4)
    side, height = (share * length / unit**2 for length in files.A4)
    canvas.beginForm("inner")
    canvas.drawInlineImage(Image.new("L", (60, 80), 230), 0, 0, side, height)
    canvas.endForm()
    canvas.beginForm("outer")
    canvas.scale(unit, unit)
    canvas.doForm("inner")
    canvas.endForm()
    canvas.scale(unit, unit)
    canvas.doForm("outer")
    canvas.scale(1 / unit, 1 / unit)
    canvas.drawString(280, 20, "Page 7")
    canvas.save()
    with Pdf(tmp_path / "scan.pdf").page(1) as page:
        assert page.native_text().words == words


def crowded(path: Path) -> Path:
    canvas = Canvas(str(path), pagesize=files.A4)
    for number in range(600):
        canvas.setFillAlpha(0.5)
        canvas.setFillColorRGB(number % 7 / 7, number % 5 / 5, number % 3 / 3)
        canvas.circle(number * 37 % 595, number * 61 % 842, 3 + number % 40, fill=1)
        canvas.drawString(number * 17 % 500, number * 29 % 842, f"word {number}")
    canvas.save()
    return path


def test_bands_show_the_same_page_to_the_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = Pdf(crowded(tmp_path / "crowded.pdf"))
    with document.page(1) as page:
        monkeypatch.setattr(pdf, "BAND", 100)
        banded = page.render(150).pixels
        monkeypatch.setattr(pdf, "CROWDED", 10**9)
        whole = page.render(150).pixels
    assert (banded == whole).all()


def test_a_page_of_five_metres_is_shown_smaller_and_noted(tmp_path: Path) -> None:
    path = files.write_pdf(tmp_path / "poster.pdf", pages=1, size=(14173, 5669))
    with Pdf(path).page(1) as page:
        picture = page.render(150)
    height, width = picture.pixels.shape[:2]
    assert 0.95 * pdf.MAX_PIXELS < width * height <= 1.001 * pdf.MAX_PIXELS
    assert "5000 x 2000 mm" in picture.note


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>not found</html>", "not a PDF"),
        (b"%PDF-1.7\nnothing else\nstartxref\n0\n%%EOF", "damaged"),
        (files.of_pages([]), "no pages"),
    ],
)
def test_what_is_no_pdf_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.pdf"
    path.write_bytes(content)
    with pytest.raises(LeftOut, match=reason):
        Pdf(path)


@given(share=st.floats(0.05, 0.95))
def test_a_pdf_that_was_cut_off_is_never_half_a_document(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    content = files.write_pdf(folder / "whole.pdf", pages=20).read_bytes()
    (folder / "cut.pdf").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(LeftOut, match=r"cut off|not a PDF|empty"):
        Pdf(folder / "cut.pdf")


@pytest.mark.parametrize("padding", [b"\0" * 100, b"\0" * 3000, b"\0" * 4096, b" \r\n" * pdf.BLOCK, b"\0" * pdf.BLOCK])
def test_what_is_padded_behind_its_end_is_whole(tmp_path: Path, padding: bytes) -> None:
    """Without the end, and the table that it names, PDFium takes the last object of a number for the page."""
    other = b"3 0 obj\n%s\nendobj\n" % files.EMPTY_PAGE.replace(b"200 200", b"100 100")
    content = files.of_pages([files.EMPTY_PAGE] * 20).replace(b"startxref", other + b"startxref")
    (tmp_path / "padded.pdf").write_bytes(content + padding)
    document = Pdf(tmp_path / "padded.pdf")
    assert document.pages == 20
    assert document.page(1).width == 200
    document.close()


def test_what_is_padded_and_cut_off_or_damaged_is_told(tmp_path: Path) -> None:
    whole = files.write_pdf(tmp_path / "whole.pdf", pages=20).read_bytes()
    for content, reason in (
        (whole[: len(whole) // 2], "cut off"),
        (whole[: whole.rindex(b"startxref")], "cut off"),
        (b"%PDF-1.7", "cut off"),
        (files.of_pages([]), "no pages"),
    ):
        (tmp_path / "bad.pdf").write_bytes(content + b"\0" * 4096)
        with pytest.raises(LeftOut, match=reason):
            Pdf(tmp_path / "bad.pdf")
    (tmp_path / "bad.pdf").write_bytes(b"\0" * 4096)
    with pytest.raises(LeftOut, match="not a PDF"):
        Pdf(tmp_path / "bad.pdf")


def test_a_password_is_asked_for_and_an_empty_one_is_none(tmp_path: Path) -> None:
    with pytest.raises(LeftOut, match="password"):
        Pdf(files.write_locked(tmp_path / "locked.pdf"))
    (tmp_path / "bad.pdf").write_bytes(files.of_pages([]))
    with pytest.raises(LeftOut, match="no pages"):  # not "password" still, of the file before
        Pdf(tmp_path / "bad.pdf")
    assert Pdf(files.write_locked(tmp_path / "open.pdf", password="")).pages == 2


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    (tmp_path / "damaged.pdf").write_bytes(files.of_pages([files.EMPTY_PAGE, b"(no page)"]))
    document = Pdf(tmp_path / "damaged.pdf")
    document.page(1)
    with pytest.raises(LeftOut, match="page 2 of 2"):
        document.page(2)
