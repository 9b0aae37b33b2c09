"""Reads a sample world as anyone would: the PDF files with pypdfium2, the questions from their files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pypdfium2
from PIL import Image

from unidoc_rl import boxes, questions
from unidoc_rl.types import Box, Question, Split


@dataclass
class World:
    documents: Path
    questions: Path
    counts: dict[str, int]
    _open: dict[str, Any] = field(default_factory=dict)
    _texts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return sorted(path.stem for path in self.documents.glob("*.pdf"))

    def split(self, split: Split) -> list[Question]:
        return questions.read(self.questions / f"{split}.json")

    @property
    def all(self) -> list[Question]:
        return [question for split in Split for question in self.split(split)]

    def pdf(self, name: str) -> Any:
        if name not in self._open:
            self._open[name] = pypdfium2.PdfDocument(self.documents / f"{name}.pdf")
        return self._open[name]

    def texts(self, name: str) -> list[str]:
        """The text of every page, in one line."""
        if name not in self._texts:
            self._texts[name] = [one_line(page.get_textpage().get_text_bounded()) for page in self.pdf(name)]
        return self._texts[name]

    def text_in(self, name: str, page: int, box: Box, margin: float = 1.5) -> str:
        """The text whose middle lies in a box, widened by `margin` points."""
        sheet = self.pdf(name)[page - 1]
        width, height = sheet.get_size()
        left, right = box.x1 * width / boxes.SCALE - margin, box.x2 * width / boxes.SCALE + margin
        top, bottom = height - box.y1 * height / boxes.SCALE + margin, height - box.y2 * height / boxes.SCALE - margin
        return one_line(sheet.get_textpage().get_text_bounded(left, bottom, right, top))

    def picture(self, name: str, page: int, scale: float) -> Image.Image:
        image: Image.Image = self.pdf(name)[page - 1].render(scale=scale).to_pil().convert("RGB")
        return image


def one_line(text: str) -> str:
    return " ".join(text.split())


def digests(folder: Path) -> dict[str, str]:
    """The sum of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
