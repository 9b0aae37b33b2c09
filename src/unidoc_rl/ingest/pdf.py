"""The pages of a PDF: their pixels, and the words of the file's own text layer. PDFium does the work."""

from __future__ import annotations

import ctypes
import mmap
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from numpy.typing import NDArray

from unidoc_rl import boxes
from unidoc_rl.ingest.problems import LeftOut
from unidoc_rl.types import Word

POINTS_PER_INCH = 72
MAX_PIXELS = 24_000_000  # of a rendered page: 72 MB; a larger one is rendered at a lower resolution, and noted
BAND = 256  # rows of pixels rendered at a time on crowded pages
CROWDED = 300  # objects on a page
TAIL = 2048  # bytes at the end of a file within which a whole PDF has its `startxref`
FEW_WORDS = 8  # a scan may carry a page number or a stamp as text
HYPHENS = "\x02\ufffe"  # how PDFium marks a hyphen that breaks a word at the end of a line

_WORD = re.compile(f"[^\\s\\x00-\\x1f{HYPHENS}]+")


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as pixels (rows, columns, blue-green-red), with a remark where something had to be changed."""

    pixels: NDArray[np.uint8]
    note: str = ""


@dataclass(frozen=True, slots=True)
class NativeText:
    text: str
    words: tuple[Word, ...]


class Pdf:
    """An open PDF file."""

    def __init__(self, path: Path) -> None:
        _check_whole(path)
        try:
            self._document = pdfium.PdfDocument(path)
        except pdfium.PdfiumError as error:
            # PDFium keeps the last error it had: a file without pages is "locked" after one that was.
            if error.err_code == pdfium_c.FPDF_ERR_PASSWORD and _is_encrypted(path):
                raise LeftOut("is locked with a password", "save a copy without one") from None
            raise LeftOut("is damaged beyond repair, or has no pages", "get another copy") from None

    def close(self) -> None:
        self._document.close()

    @property
    def pages(self) -> int:
        return len(self._document)

    def page(self, n: int) -> PdfPage:
        """Page n, counted from 1; closed by its user, which frees what PDFium keeps for it."""
        try:
            page = self._document[n - 1]
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

    def native_text(self) -> NativeText:
        """The words of the text layer; none where it is absent, or cannot be what a reader sees."""
        text_page = self._page.get_textpage()
        text = _text_of(text_page.raw)
        spans = [(match.start(), match.group()) for match in _WORD.finditer(text)]
        if not _legible(text) or (len(spans) < FEW_WORDS and self._is_scan()):
            return NativeText("", ())
        rectangles = np.array([_rectangle(text_page.raw, start, len(word)) for start, word in spans])
        found = _place(spans, self._thousandths(rectangles.reshape(-1, 4)))
        return NativeText(_plain(text), found)

    def _is_scan(self) -> bool:
        """Whether pictures cover most of the page."""
        covered = 0.0
        for picture in self._page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE], max_depth=3):
            left, bottom, right, top = picture.get_bounds()
            covered += max(0.0, right - left) * max(0.0, top - bottom)
        return bool(covered > 0.5 * self.width * self.height)

    def _thousandths(self, rectangles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rectangles of the PDF's own space as shares of the page as it is shown (rotated, cropped), times 1000."""
        span = 1_000_000
        corners = [self._to_shown(x, y, span) for x, y in ((0, 0), (1000, 0), (0, 1000))]
        origin, across, up = (np.array(corner, np.float64) for corner in corners)
        turn = np.stack([across - origin, up - origin]) / 1000
        return np.concatenate([rectangles[:, :2] @ turn + origin, rectangles[:, 2:] @ turn + origin], axis=1) * (
            boxes.SCALE / span
        )

    def _to_shown(self, x: float, y: float, span: int) -> tuple[int, int]:
        shown_x, shown_y = ctypes.c_int(), ctypes.c_int()
        pdfium_c.FPDF_PageToDevice(self._page, 0, 0, span, span, 0, x, y, shown_x, shown_y)
        return shown_x.value, shown_y.value


def _check_whole(path: Path) -> None:
    """PDFium opens a file that was cut off and shows what it finds of it: half a document, without a word."""
    size = path.stat().st_size
    if size == 0:
        raise LeftOut("is empty", "get another copy")
    with path.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise LeftOut("is not a PDF", "give it the ending of what it is, or save it as PDF")
        file.seek(max(0, size - TAIL))
        if b"startxref" not in file.read():
            raise LeftOut("is cut off: its end is missing", "get another copy")


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
    letters = [char for char in text if not char.isspace()]
    strange = sum(char == "\ufffd" or "\ue000" <= char <= "\uf8ff" or char < " " for char in letters)
    return strange <= 0.3 * len(letters)


def _rectangle(text_page: pdfium_c.FPDF_TEXTPAGE, start: int, length: int) -> tuple[float, float, float, float]:
    """Around a word: the corners (left, top) and (right, bottom) in the PDF's space."""
    left, top, right, bottom = (ctypes.c_double() for _ in range(4))
    around: tuple[float, float, float, float] | None = None
    for index in range(pdfium_c.FPDFText_CountRects(text_page, start, length)):
        pdfium_c.FPDFText_GetRect(text_page, index, left, top, right, bottom)
        part = (left.value, top.value, right.value, bottom.value)
        around = part if around is None else _around(around, part)
    return around or (np.nan, np.nan, np.nan, np.nan)


def _around(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    return min(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2]), min(one[3], other[3])


def _place(spans: list[tuple[int, str]], corners: NDArray[np.float64]) -> tuple[Word, ...]:
    """Words with their boxes; those that lie off the page as it is shown are not on it."""
    words = []
    for (_, text), (x1, y1, x2, y2) in zip(spans, corners.tolist(), strict=True):
        if 0 <= (x1 + x2) / 2 <= boxes.SCALE and 0 <= (y1 + y2) / 2 <= boxes.SCALE:  # false for nan
            words.append(Word(text, boxes.from_pixels(x1, y1, x2, y2, boxes.SCALE, boxes.SCALE)))
    return tuple(words)


def _plain(text: str) -> str:
    """The text as one reads it: words broken at the end of a line made whole, no control characters."""
    text = re.sub(f"[{HYPHENS}]\\s*", "", text).replace("\r\n", "\n").replace("\r", "\n")
    return re.sub("[\x00-\x08\x0b-\x1f\x7f]", "", text).strip()
