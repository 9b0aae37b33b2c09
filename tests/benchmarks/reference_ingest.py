"""The peer: pages the way the reference makes them, pdf2image over poppler, one JPEG a page; no words."""

from __future__ import annotations

import sys
from pathlib import Path

from pdf2image import convert_from_path, pdfinfo_from_path

PAGES_AT_ONCE = 20  # the reference holds a whole document in memory; this is kinder to it


def main(documents: Path, out: Path, dpi: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(documents.glob("*.pdf")):
        pages = pdfinfo_from_path(path)["Pages"]
        for first in range(1, pages + 1, PAGES_AT_ONCE):
            last = min(first + PAGES_AT_ONCE - 1, pages)
            for n, image in enumerate(convert_from_path(path, dpi, first_page=first, last_page=last), start=first):
                image.save(out / f"{path.stem}_{n}.jpg", quality=90)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
