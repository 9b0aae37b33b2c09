"""Documents for tests: good ones, and every kind of bad one, made on the spot."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

A4 = (595.0, 842.0)
EMPTY_PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>"


def write_pdf(
    path: Path,
    pages: int = 2,
    text: str = "A page of a document",
    size: tuple[float, float] = A4,
    encrypt: StandardEncryption | None = None,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = Canvas(str(path), pagesize=size, encrypt=encrypt, invariant=1)
    for n in range(1, pages + 1):
        canvas.drawString(50, size[1] - 80, f"{text}, number {n}")
        canvas.showPage()
    canvas.save()
    return path


def write_locked(path: Path, password: str = "secret") -> Path:
    return write_pdf(path, encrypt=StandardEncryption(password, ownerPassword="owner"))


def raw_pdf(objects: Sequence[bytes]) -> bytes:
    """A PDF of just these objects, the first of which is the catalogue."""
    parts = [b"%PDF-1.7\n"] + [b"%d 0 obj\n%s\nendobj\n" % pair for pair in enumerate(objects, start=1)]
    places = list(accumulate(len(part) for part in parts))
    table = b"".join(b"%010d 00000 n \n" % place for place in places[:-1])
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, places[-1])
    return b"".join([*parts, head, table, trailer])


def of_pages(pages: Sequence[bytes], *others: bytes) -> bytes:
    """A PDF of these page objects (numbers 3 …), and others behind them."""
    kids = b" ".join(b"%d 0 R" % number for number in range(3, len(pages) + 3))
    tree = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(pages), kids)
    return raw_pdf([b"<</Type/Catalog/Pages 2 0 R>>", tree, *pages, *others])


def write_without_font(path: Path, weight: int) -> Path:
    """A page in a font of this weight that the file does not hold."""
    describes = b"/Type/FontDescriptor/FontName/Foo/Flags 32/FontWeight %d/StemV %d/ItalicAngle 0" % (
        weight,
        weight / 5,
    )
    font = b"<</Type/Font/Subtype/TrueType/BaseFont/Foo/FontDescriptor<<%s>>>>" % describes
    page = EMPTY_PAGE[:-2] + b"/Contents 4 0 R/Resources<</Font<</F %s>>>>>>" % font
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(of_pages([page], stream(zlib.compress(b"BT /F 24 Tf 10 50 Td (Slightly more) Tj ET"))))
    return path


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (entries, len(content), content)


def swollen_content(gigabytes: int) -> bytes:
    """A page whose few kilobytes of drawing commands unpack to gigabytes."""
    packer = zlib.compressobj(9)
    block = b" " * (1 << 24)
    packed = b"".join(packer.compress(block) for _ in range(gigabytes << 6)) + packer.flush()
    return of_pages([EMPTY_PAGE[:-2] + b"/Contents 4 0 R>>"], stream(packed))


def nested_forms(levels: int) -> bytes:
    """A page that draws a form ten times, which draws a form ten times …: ten to the power of `levels` lines."""
    ten = zlib.compress(b"/F Do " * 10)
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 200 200]"
    page = EMPTY_PAGE[:-2] + b"/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>"
    forms = [stream(ten, form + b"/Resources<</XObject<</F %d 0 R>>>>" % (level + 6)) for level in range(levels - 1)]
    return of_pages([page], stream(ten), *forms, stream(zlib.compress(b"0 0 m 99 99 l S "), form))
