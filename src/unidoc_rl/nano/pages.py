"""Pages to learn from: drawn as the sample world draws them, rendered as `ingest` does, with every letter's place.

They come from worlds whose seeds nobody can ask `unidoc sample` for, so that no page that is ever scored is among them.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from numpy.typing import NDArray
from PIL import Image

from unidoc_rl import boxes
from unidoc_rl.nano.disguise import disguised
from unidoc_rl.params import SampleParams
from unidoc_rl.sample import documents, world
from unidoc_rl.sample.asking import everything, in_vain
from unidoc_rl.types import Box, Question

READABLE = SampleParams().readable
UNASKED = 2**32  # seeds of `unidoc sample` are smaller
DPI = 150
QUALITY = 90  # of the picture file
DISGUISED = 0.5  # of the families to learn from
KEPT = 40  # families that are kept drawn, of some 20 pages and 5 MB each

_Cell = tuple[Box, Box, Box]  # a value in a table, its row's name and its column's head


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to which this page has the answer."""

    question: Question
    regions: tuple[Box, ...]  # what one would cut out to read it
    places: tuple[Box, ...]  # where in these it stands


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPage:
    file_name: str
    number: int
    jpeg: bytes
    width: int
    height: int
    letters: str  # all that stand on the page, spaces left out
    places: NDArray[np.float32]  # (letters, 4): the pixels of each
    words: NDArray[np.int32]  # (words, 2): the first letter of each, and the one after its last
    pictures: NDArray[np.float32]  # (pictures, 4): where letters stand that `letters` does not tell
    # (values, 4): of each in a table, its first letter, the one after its last, and the first of its row's name and of
    # its column's head
    cells: NDArray[np.int32]
    asked: tuple[Asked, ...]
    in_vain: tuple[Question, ...]  # asked about its document, which does not say it

    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.jpeg)).convert("RGB")


def one_of(rng: Random, asked: Sequence[Asked]) -> Asked:
    """Each kind of question, of each kind of source, as often, as the sample asks them: a table has many values."""
    kinds: dict[tuple[str, str], list[Asked]] = {}
    for one in asked:
        kinds.setdefault((one.question.kind, one.question.source_type), []).append(one)
    return rng.choice(kinds[rng.choice(sorted(kinds))])


@lru_cache(KEPT)
def family(seed: int, index: int) -> tuple[DrawnPage, ...]:
    """All pages of all documents of a company."""
    drawn = world.family(seed, index)
    rng = Random(f"{seed}/{index}/disguise")
    if seed >= UNASKED and rng.random() < DISGUISED:
        drawn = disguised(drawn, rng)
    pages: list[DrawnPage] = []
    with tempfile.TemporaryDirectory() as folder:
        for document in drawn.documents:
            path = Path(folder) / f"{document.file_name}.pdf"
            shown = documents.draw(document, path)
            asked: dict[int, list[Asked]] = {}
            for question in everything(drawn, shown, seed, READABLE):
                (evidence,) = question.evidence
                asked.setdefault(evidence.page, []).append(Asked(question, evidence.regions, evidence.places))
            unsaid = tuple(in_vain(drawn, shown, seed, READABLE))
            pages += rendered(path, document.file_name, asked, _cells(shown), unsaid)
    return tuple(pages)


def _cells(shown: documents.Shown) -> Mapping[int, Sequence[_Cell]]:
    """What stands in tables, by page."""
    found: dict[int, list[_Cell]] = {}
    for exhibit in shown.exhibits:
        for row in exhibit.cells if exhibit.heads else ():
            for place, head in zip(row, exhibit.heads, strict=True):
                name, value = place.parts
                found.setdefault(place.page, []).append((value, name, head.parts[0]))
    return found


def rendered(
    path: Path,
    file_name: str,
    asked: Mapping[int, Sequence[Asked]],
    cells: Mapping[int, Sequence[_Cell]],
    unsaid: tuple[Question, ...],
) -> Iterator[DrawnPage]:
    """The pages of a PDF file, what is asked about them and what stands in their tables, by their numbers."""
    document = pdfium.PdfDocument(path)
    try:
        for number in range(1, len(document) + 1):
            page = document[number - 1]
            scale = DPI / 72
            pixels = page.render(scale=scale, rev_byteorder=False).to_numpy()
            height, width = pixels.shape[:2]
            _, jpeg = cv2.imencode(".jpg", pixels[:, :, :3], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
            letters, places, words = _text(page, scale, page.get_height())
            found = page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE])
            pictures = np.array([picture.get_bounds() for picture in found], np.float32).reshape(-1, 4)
            yield DrawnPage(
                file_name,
                number,
                jpeg.tobytes(),
                width,
                height,
                letters,
                places,
                words,
                _flipped(pictures, scale, page.get_height()),
                _first_letters(cells.get(number, ()), places, width, height),
                tuple(asked.get(number, ())),
                unsaid,
            )
            page.close()
    finally:
        document.close()


def _first_letters(cells: Sequence[_Cell], places: NDArray[np.float32], width: int, height: int) -> NDArray[np.int32]:
    """Of each, what DrawnPage has of it."""
    middles = (places[:, :2] + places[:, 2:]) / 2

    def inside(box: Box) -> NDArray[np.intp]:
        cut = boxes.to_pixels(box, width, height)
        return np.flatnonzero(((middles > cut[:2]) & (middles < cut[2:])).all(axis=1))

    found = [[inside(box) for box in cell] for cell in cells]
    rows = [(value[0], value[-1] + 1, name[0], head[0]) for value, name, head in found]
    return np.array(rows, np.int32).reshape(-1, 4)


def _flipped(corners: NDArray[np.float32], scale: float, height: float) -> NDArray[np.float32]:
    """Rectangles of the PDF's space (left, bottom, right, top) as pixels from the top left."""
    left, bottom, right, top = corners.T
    return np.stack([left, height - top, right, height - bottom], axis=1) * np.float32(scale)


def _text(page: pdfium.PdfPage, scale: float, height: float) -> tuple[str, NDArray[np.float32], NDArray[np.int32]]:
    text_page = page.get_textpage()
    text: str = text_page.get_text_range()
    count = pdfium_c.FPDFText_CountChars(text_page)
    if len(text) != count:
        raise ValueError(f"{count} characters, but a text of {len(text)}")
    rectangles = (pdfium_c.FS_RECTF * count)()
    for index in range(count):
        pdfium_c.FPDFText_GetLooseCharBox(text_page, index, rectangles[index])
    left, top, right, bottom = np.frombuffer(rectangles, np.float32).reshape(-1, 4).T
    places = _flipped(np.stack([left, bottom, right, top], axis=1), scale, height)
    seen = np.array([not letter.isspace() and letter.isprintable() for letter in text])
    starts = seen & ~np.concatenate([[False], seen[:-1]])
    numbers = np.cumsum(seen) - seen  # the place of each among those that are seen
    first = numbers[starts]
    ends = np.concatenate([first[1:], [seen.sum()]])
    letters = "".join(letter for letter, is_seen in zip(text, seen, strict=True) if is_seen)
    return letters, places[seen], np.stack([first, ends], axis=1).astype(np.int32)
