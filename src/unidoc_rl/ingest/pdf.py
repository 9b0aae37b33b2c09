"""The pages of a PDF: their pixels, and the words of the file's own text layer. PDFium does the work."""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import re
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from numpy.typing import NDArray

from unidoc_rl import boxes
from unidoc_rl.ingest.problems import LeftOut
from unidoc_rl.ingest.tasks import Text

POINTS_PER_INCH = 72
MAX_PIXELS = 24_000_000  # of a rendered page: 72 MB; a larger one is rendered at a lower resolution, and noted
BAND = 256  # rows of pixels rendered at a time on crowded pages
CROWDED = 150  # objects on a page
TAIL = 2048  # bytes at the end of a file within which a whole PDF has its `startxref`
PADDING = b"\0\t\n\f\r "  # behind the end, by mail gateways and tapes; all of it is white space to a PDF
BLOCK = 1 << 16  # bytes of a file that are looked at together
FEW_WORDS = 8  # inside its margins a scan may carry a number or a stamp as text
MARGIN = 0.42  # of the page, from its middle: beyond, courts and archives stamp whole lines on scans
HYPHENS = "\x02\ufffe"  # how PDFium marks a hyphen that breaks a word at the end of a line

NO_TEXT = Text("", [], np.empty((0, 4), np.uint16))

_SEEN = re.compile(r"\S")
_STRANGE = re.compile("[\x00-\x08\x0e-\x1b\ue000-\uf8ff\ufffd]")
_WORD = re.compile(f"[^\\s\\x00-\\x1f{HYPHENS}]+")


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as pixels (rows, columns, blue-green-red), with a remark where something had to be changed."""

    pixels: NDArray[np.uint8]
    note: str = ""


def forget() -> None:
    """PDFium as if it had read nothing yet; no document may be open.

    It leaves the fonts that stand in for missing ones as the last page needed them, and measures the words of the next
    by that: without this, where a word ends would depend on what the worker had read before.
    """
    pdfium_c.FPDF_DestroyLibrary()
    pdfium_c.FPDF_InitLibrary()


class Pdf:
    """An open PDF file."""

    def __init__(self, path: Path) -> None:
        source = _whole(path)
        try:
            self._document = pdfium.PdfDocument(source, autoclose=True)
        except pdfium.PdfiumError as error:
            if isinstance(source, _Unpadded):
                source.close()
            # PDFium keeps the last error it had: a file without pages is "locked" after one that was.
            if error.err_code == pdfium_c.FPDF_ERR_PASSWORD and _is_encrypted(path):
                raise LeftOut("is locked with a password", "save a copy without one") from None
            raise LeftOut("is damaged beyond repair, or has no pages", "get another copy") from None

    def close(self) -> None:
        self._document.close()

    @property
    def _has_form(self) -> bool:
        return bool(pdfium_c.FPDF_GetFormType(self._document) != pdfium_c.FORMTYPE_NONE)

    def _filled_in(self, page: pdfium.PdfPage, n: int) -> pdfium.PdfPage:
        """The page with what stands in its form's fields as part of it, to be seen and read like the rest."""
        pdfium_c.FPDFPage_Flatten(page, pdfium_c.FLAT_NORMALDISPLAY)
        page.close()
        return self._document[n - 1]

    @property
    def pages(self) -> int:
        return len(self._document)

    def page(self, n: int) -> PdfPage:
        """Page n, counted from 1; closed by its user, which frees what PDFium keeps for it."""
        try:
            page = self._document[n - 1]
            if pdfium_c.FPDFPage_GetAnnotCount(page) > 0 and (self._has_form or _has_typed_over(page)):
                page = self._filled_in(page, n)
        except pdfium.PdfiumError:
            raise LeftOut(
                f"page {n} of {self.pages} is damaged", "get another copy, or print it to a new PDF"
            ) from None
        width, height = page.get_size()
        if not (width > 0 and height > 0):
            raise LeftOut(f"page {n} has no size", "print it to a new PDF")
        return PdfPage(page)


class PdfPage:
    def __init__(self, page: pdfium.PdfPage) -> None:
        self._page = page
        self.width, self.height = page.get_size()  # points

    def __enter__(self) -> PdfPage:
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()

    def render(self, dpi: int) -> Picture:
        scale = dpi / POINTS_PER_INCH
        pixels = self.width * self.height * scale * scale
        note = ""
        if pixels > MAX_PIXELS:
            scale *= (MAX_PIXELS / pixels) ** 0.5
            size = f"{self.width / POINTS_PER_INCH * 25.4:.0f} x {self.height / POINTS_PER_INCH * 25.4:.0f} mm"
            note = f"is {size} large: rendered at {scale * POINTS_PER_INCH:.0f} dpi; split it for more detail"
        return Picture(self._render(max(1, round(self.width * scale)), max(1, round(self.height * scale))), note)

    def _render(self, width: int, height: int) -> NDArray[np.uint8]:
        pixels = np.full((height, width, 3), 255, np.uint8)
        bitmap = pdfium_c.FPDFBitmap_CreateEx(
            width, height, pdfium_c.FPDFBitmap_BGR, pixels.ctypes.data_as(ctypes.c_void_p), width * 3
        )
        matrix = pdfium_c.FS_MATRIX(width / self.width, 0, 0, height / self.height, 0, 0)
        # PDFium composes some objects over the whole clip: a page of many is up to three times faster in bands, and
        # the same to the pixel. A page of few (a scan) is slower so, since its picture is scaled for every band.
        band = BAND if self._crowded() else height
        for top in range(0, height, band):
            clip = pdfium_c.FS_RECTF(0, top, width, min(top + band, height))
            pdfium_c.FPDF_RenderPageBitmapWithMatrix(bitmap, self._page, matrix, clip, pdfium_c.FPDF_ANNOT)
        pdfium_c.FPDFBitmap_Destroy(bitmap)
        return pixels

    def _crowded(self) -> bool:
        """Whether the page draws many objects, those inside its forms counted."""
        budget = CROWDED
        stack = [(pdfium_c.FPDFPage_CountObjects, pdfium_c.FPDFPage_GetObject, self._page)]
        while stack:
            count, get, holder = stack.pop()
            budget -= count(holder)
            if budget <= 0:
                return True
            for index in range(count(holder)):
                part = get(holder, index)
                if pdfium_c.FPDFPageObj_GetType(part) == pdfium_c.FPDF_PAGEOBJ_FORM:
                    stack.append((pdfium_c.FPDFFormObj_CountObjects, pdfium_c.FPDFFormObj_GetObject, part))
        return False

    def native_text(self) -> Text:
        """The words of the text layer; none where it is absent, or cannot be what a reader sees."""
        text_page = self._page.get_textpage()
        text = _text_of(text_page.raw)
        spans = [(match.start(), match.group()) for match in _WORD.finditer(text)]
        if not _legible(text):
            return NO_TEXT
        shares = self._shares(_rectangles(text_page.raw, spans))
        middle = (shares[:, :2] + shares[:, 2:]) / 2
        # Words off the page as it is shown are not on it; nan is nowhere.
        seen = np.logical_and.reduce((middle >= 0) & (middle <= 1), axis=1)
        words = [word for (_, word), shown in zip(spans, seen.tolist(), strict=True) if shown]
        inside = np.abs(middle - 0.5).max(axis=1, initial=0) < MARGIN
        if np.count_nonzero(inside & seen) < FEW_WORDS and self._is_scan():
            return NO_TEXT
        return Text(_seen_text(text, spans, seen.tolist()), words, boxes.from_shares(shares[seen]))

    def _is_scan(self) -> bool:
        """Whether pictures cover most of the page."""
        pictures = self._page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE], max_depth=3)
        return bool(sum(map(_area, pictures)) > 0.5 * self.width * self.height)

    def _shares(self, rectangles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rectangles of the PDF's own space as shares of the page as it is shown: turned and cut."""
        origin, across, up = (self._to_shown(x, y) for x, y in ((0, 0), (1000, 0), (0, 1000)))
        turn = np.stack([across - origin, up - origin]) / 1000
        return np.concatenate([rectangles[:, :2] @ turn + origin, rectangles[:, 2:] @ turn + origin], axis=1)

    def _to_shown(self, x: float, y: float) -> NDArray[np.float64]:
        fine = 1_000_000  # PDFium answers in whole pixels of a page of this size
        shown_x, shown_y = ctypes.c_int(), ctypes.c_int()
        pdfium_c.FPDF_PageToDevice(self._page, 0, 0, fine, fine, 0, x, y, shown_x, shown_y)
        return np.array([shown_x.value, shown_y.value]) / fine


def _has_typed_over(page: pdfium.PdfPage) -> bool:
    """Whether text was typed onto the page, as notes that belong to no form."""
    for number in range(pdfium_c.FPDFPage_GetAnnotCount(page)):
        note = pdfium_c.FPDFPage_GetAnnot(page, number)
        is_text = pdfium_c.FPDFAnnot_GetSubtype(note) == pdfium_c.FPDF_ANNOT_FREETEXT
        pdfium_c.FPDFPage_CloseAnnot(note)
        if is_text:
            return True
    return False


def _area(picture: pdfium.PdfObject) -> float:
    """What a picture covers, in square points: 1 x 1 under its matrix, and those of the forms around it."""
    area, part = 1.0, picture
    while part is not None:
        a, b, c, d, _, _ = part.get_matrix().get()
        area *= abs(a * d - b * c)
        part = part.container
    return area


class _Unpadded(io.FileIO):
    """A file as if it ended before its padding: PDFium looks for the end of a PDF in the last 4 kB alone."""

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(path)
        self._size = size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return super().seek(self._size + offset) if whence == os.SEEK_END else super().seek(offset, whence)


def _whole(path: Path) -> Path | _Unpadded:
    """What PDFium can open. It opens a file that was cut off, too, and shows what it finds of it: half a document,
    without a word."""
    size = path.stat().st_size
    if size == 0:
        raise LeftOut("is empty", "get another copy")
    with path.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise LeftOut("is not a PDF", "give it the ending of what it is, or save it as PDF")
        end = _end(file, size)
        file.seek(max(0, end - TAIL))
        if b"startxref" not in file.read(TAIL):
            raise LeftOut("is cut off: its end is missing", "get another copy")
    return path if size - end <= TAIL else _Unpadded(path, end)


def _end(file: BinaryIO, size: int) -> int:
    """Where the padding begins."""
    while size > 0:
        start = max(0, size - BLOCK)
        file.seek(start)
        content = file.read(size - start).rstrip(PADDING)
        if content:
            return start + len(content)
        size = start
    return 0


def _is_encrypted(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"/Encrypt") >= 0


def _text_of(text_page: pdfium_c.FPDF_TEXTPAGE) -> str:
    """One character for every character index of PDFium, so that positions in the text are indices."""
    count = pdfium_c.FPDFText_CountChars(text_page)
    if count <= 0:
        return ""
    buffer = (ctypes.c_ushort * (count + 1))()
    written = pdfium_c.FPDFText_GetText(text_page, 0, count, buffer) - 1  # it counts the zero at the end
    text = bytes(buffer)[: written * 2].decode("utf-16-le", "replace")
    if len(text) == count:
        return text
    codes = (pdfium_c.FPDFText_GetUnicode(text_page, index) for index in range(count))
    return "".join(chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else "\ufffd" for code in codes)


def _legible(text: str) -> bool:
    """False where a font has no table of its characters, so that the text is not what is seen."""
    strange = len(_STRANGE.findall(text))
    return strange == 0 or strange <= 0.3 * len(_SEEN.findall(text))


def _rectangles(text_page: pdfium_c.FPDF_TEXTPAGE, spans: list[tuple[int, str]]) -> NDArray[np.float64]:
    """Around each word: left, bottom, right and top in the PDF's space; nan for one that has no place.

    A word reaches from its first character to its last, as high as its line: two questions to PDFium, where its own
    rectangles of a range look at every character and are four times slower.
    """
    ask = pdfium_c.FPDFText_GetLooseCharBox
    rectangles = (pdfium_c.FS_RECTF * (2 * len(spans)))()
    found = []
    for (start, word), first, last in zip(spans, rectangles[::2], rectangles[1::2], strict=True):
        found.append(ask(text_page, start, first) and ask(text_page, start + len(word) - 1, last))
    left, top, right, bottom = np.frombuffer(rectangles, np.float32).astype(float).reshape(-1, 2, 4).transpose(2, 0, 1)
    around = np.stack([left.min(axis=1), bottom.min(axis=1), right.max(axis=1), top.max(axis=1)], axis=1)
    return np.where(np.array(found, bool)[:, None], around, np.nan)


def _seen_text(text: str, spans: list[tuple[int, str]], seen: list[bool]) -> str:
    """The text of the words that are seen; where others stand between them, a line ends."""
    pieces = (text[start:end] for start, end in pairwise([*(start for start, _ in spans), len(text)]))
    runs = groupby(zip(pieces, seen, strict=True), key=itemgetter(1))
    return "\n".join(_plain("".join(piece for piece, _ in run)) for shown, run in runs if shown)


def _plain(text: str) -> str:
    """The text as one reads it: words broken at the end of a line made whole, no control characters."""
    text = re.sub(f"[{HYPHENS}]\\s*", "", text).replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\x00-\x08\x0b-\x1f\x7f]", "", text).strip()
