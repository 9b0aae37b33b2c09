"""Reading a page from its picture: words by OCR, regions by a layout model. Each is loaded at its first use."""

from __future__ import annotations

import ctypes
import logging
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unidoc_rl import boxes
from unidoc_rl.ingest.pdf import NO_TEXT
from unidoc_rl.ingest.tasks import Text
from unidoc_rl.types import Region

_THREADS = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}  # one page a core; more would wait for each other
_OCR = {
    "Global.use_cls": False,  # lines are upright
    "Global.log_level": "error",
    "Global.return_word_box": True,
    "Det.limit_type": "max",
    "Det.limit_side_len": 1280,  # 960 finds a tenth less of the small print on slides
    "Rec.rec_batch_num": 1,  # lines together are padded to the longest: slower, and twice the memory
    **{f"EngineConfig.onnxruntime.{key}": value for key, value in _THREADS.items()},
}


def is_blank(pixels: NDArray[np.uint8]) -> bool:
    return bool((pixels == pixels[0, 0]).all())


class Eyes:
    def read(self, pixels: NDArray[np.uint8]) -> Text:
        """The words of a page, line by line."""
        height, width = pixels.shape[:2]
        reader = self._ocr  # loaded before memory is given back: that leaves some, too
        _give_back_memory()
        result = reader(pixels)
        _give_back_memory()
        if result.txts is None:
            return NO_TEXT
        words = [(text, np.array(corners, float)) for line in result.word_results for text, _, corners in line]
        around = np.array([[*corners.min(axis=0), *corners.max(axis=0)] for _, corners in words]).reshape(-1, 4)
        shares = around / (width, height, width, height)
        return Text("\n".join(result.txts), [text for text, _ in words], boxes.from_shares(shares))

    def regions(self, pixels: NDArray[np.uint8]) -> tuple[Region, ...]:
        """The parts of a page, from top to bottom."""
        height, width = pixels.shape[:2]
        result = self._layout(pixels)
        found = []
        for kind, corners, score in zip(result.class_names, result.boxes, result.scores, strict=True):
            x1, y1, x2, y2 = (float(corner) for corner in corners)
            found.append(Region(kind, boxes.from_pixels(x1, y1, x2, y2, width, height), round(float(score), 3)))
        return tuple(sorted(found, key=lambda region: (region.box.y1, region.box.x1, region.kind)))

    @cached_property
    def _ocr(self) -> Any:
        from rapidocr import RapidOCR

        return RapidOCR(params=_OCR)

    @cached_property
    def _layout(self) -> Any:
        from rapid_layout import RapidLayout

        logging.disable(logging.INFO)  # it names the path of its model at every start, at no lower level
        return RapidLayout(model_type="pp_layout_cdla", engine_cfg=_THREADS)


def _give_back_memory() -> None:
    """What was freed goes back to the system, else it adds to what the next page needs: OCR needs most of all."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
