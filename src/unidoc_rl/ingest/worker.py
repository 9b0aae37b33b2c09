"""One worker of `ingest`, as a process: python -m unidoc_rl.ingest.worker SOCKET SETTINGS.

It turns pages into pictures, words and regions, and says `Step` after each. A document that cannot be read is an
answer; one that makes PDFium crash, hang or eat memory ends this process, and only this one.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

# Before numpy and onnxruntime are imported: one thread a worker, and no spinning while it waits.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")

import cv2
import numpy as np
from numpy.typing import NDArray

from unidoc_rl.ingest import picture
from unidoc_rl.ingest.eyes import Eyes, is_blank
from unidoc_rl.ingest.pdf import NO_TEXT, Pdf, Picture, forget
from unidoc_rl.ingest.pool import Step
from unidoc_rl.ingest.problems import LeftOut
from unidoc_rl.ingest.tasks import Count, Counted, DiskError, Failed, Pages, Read, Row, Settings, Source, Text, stamps
from unidoc_rl.types import TextSource

MEMORY = 1 << 30  # bytes of data; the system refuses more, and the document is left out
Frames = list[tuple[Path, int]]  # the pages of pictures: files, and places in them
_ENCODING = {
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 90],
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 3],
    "webp": [cv2.IMWRITE_WEBP_QUALITY, 85],
}


class Reader:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._eyes = Eyes()

    def answer(self, task: Count | Read, step: Callable[[], None]) -> Counted | Pages | Failed | DiskError:
        try:
            answer = self._count(task) if isinstance(task, Count) else self._read(task, step)
            if stamps(task.source.paths) != task.source.stamps:
                raise LeftOut("was changed while it was read", "run again")
            return answer
        except LeftOut as problem:
            return Failed(problem.reason, problem.advice)
        except MemoryError:
            return Failed(f"needs more than {MEMORY >> 20} MB for a page", "print it to a new PDF, or scale it down")
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return DiskError(error.errno, error.strerror or "", error.filename)
            return Failed(f"cannot be read ({error.strerror})", "check the file and its permissions")

    def _count(self, task: Count) -> Counted:
        with _opened(task.source) as document:
            count = _length(document)
        numbers = task.source.numbers
        return Counted(numbers if len(numbers) == count else tuple(range(1, count + 1)))

    def _read(self, task: Read, step: Callable[[], None]) -> Pages:
        with _opened(task.source) as document:
            return Pages([self._row(task, document, position, step) for position in range(task.start, task.stop)])

    def _row(self, task: Read, document: Pdf | Frames, position: int, step: Callable[[], None]) -> Row:
        shown, native, n = self._page(task.source, document, position)
        text, source = native, TextSource.NATIVE if native.words else TextSource.NONE
        if self._settings.ocr and not native.words and not is_blank(shown.pixels):
            text = self._eyes.read(shown.pixels)
            source = TextSource.OCR if text.words else TextSource.NONE
        regions = self._eyes.regions(shown.pixels) if self._settings.layout and not is_blank(shown.pixels) else ()
        self._write(shown.pixels, task.folder / f"{n}.{self._settings.image_format}")
        step()
        height, width = shown.pixels.shape[:2]
        return Row(n, width, height, shown.note, text, source, regions)

    def _page(self, source: Source, document: Pdf | Frames, position: int) -> tuple[Picture, Text, int]:
        n = source.numbers[position] if len(source.numbers) == _length(document) else position + 1
        if not isinstance(document, Pdf):
            return picture.load(*document[position]), NO_TEXT, n
        with document.page(n) as page:
            return page.render(self._settings.dpi), page.native_text(), n

    def _write(self, pixels: NDArray[np.uint8], path: Path) -> None:
        kind = self._settings.image_format
        whole, encoded = cv2.imencode(f".{kind}", pixels, _ENCODING[kind])
        if not whole:
            raise LeftOut(
                f"has a page of {pixels.shape[1]} x {pixels.shape[0]} pixels, too long for {kind}", "split it"
            )
        path.write_bytes(encoded.tobytes())


@contextmanager
def _opened(source: Source) -> Iterator[Pdf | Frames]:
    """A document while it is read; the only one that is open."""
    if source.kind == "pictures":
        yield _frames(source)
        return
    forget()
    document = Pdf(source.paths[0])
    try:
        yield document
    finally:
        document.close()


@lru_cache(maxsize=1)
def _frames(source: Source) -> Frames:
    return [(path, frame) for path in source.paths for frame in range(picture.frames(path))]


def _length(document: Pdf | Frames) -> int:
    return document.pages if isinstance(document, Pdf) else len(document)


def _end_with_parent() -> None:
    """Linux ends this process when its parent is gone, so that nobody writes after a kill."""
    if sys.platform == "linux":
        import ctypes
        import signal

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def main() -> None:
    _end_with_parent()
    cv2.setNumThreads(1)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    connection = Connection(int(sys.argv[1]))
    reader = Reader(Settings(**json.loads(sys.argv[2])))
    with suppress(EOFError, ConnectionError):  # the parent has no more work, or is gone
        connection.send(Step())
        while True:
            connection.send(reader.answer(connection.recv(), lambda: connection.send(Step())))


if __name__ == "__main__":
    main()
