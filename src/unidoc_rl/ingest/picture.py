"""Pages that are picture files: opened safely, upright, in red-green-blue, and no larger than a page may be."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from unidoc_rl.ingest.pdf import MAX_PIXELS, Picture
from unidoc_rl.ingest.problems import LeftOut

MAX_FILE_PIXELS = 80_000_000  # what unpacking may take: 240 MB; A3 at 600 dpi has 70 million

_TURNS = {  # what makes a picture upright, by the orientation that its camera noted
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Image.MAX_IMAGE_PIXELS = None  # our own limit is checked before anything is unpacked


def frames(path: Path) -> int:
    """How many pages a picture file holds; only TIFF files hold several."""
    with _opened(path) as image:
        return getattr(image, "n_frames", 1) if image.format == "TIFF" else 1


def load(path: Path, frame: int) -> Picture:
    """One page of a picture file."""
    with _opened(path) as image:
        image.seek(frame)
        _check_size(path, image)
        return _upright(image)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An open picture; what Pillow says of a bad one, while it is open, becomes a reason to leave it out."""
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP", "TIFF")) as image:
            _check_size(path, image)
            yield image
    except UnidentifiedImageError:
        what = "is not a picture" if path.stat().st_size else "is empty"
        raise LeftOut(f"{path.name} {what}", "give it the ending of what it is, or get another copy") from None
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, struct.error) as error:
        if getattr(error, "errno", None) is not None:
            raise  # the disk's word, not Pillow's
        raise LeftOut(f"{path.name} is damaged or cut off ({error})", "get another copy") from None


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_FILE_PIXELS:
        raise LeftOut(
            f"{path.name} has {image.width} x {image.height} pixels, over {MAX_FILE_PIXELS // 1_000_000} million",
            "scale it down",
        )


def _upright(image: Image.Image) -> Picture:
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    flat = _flat(image if turn is None else image.transpose(turn))
    note = ""
    if flat.width * flat.height > MAX_PIXELS:
        share = (MAX_PIXELS / (flat.width * flat.height)) ** 0.5
        note = f"has {image.width} x {image.height} pixels: made smaller"
        flat = flat.resize((round(flat.width * share), round(flat.height * share)), Image.Resampling.LANCZOS)
    return Picture(np.ascontiguousarray(np.asarray(flat)[:, :, ::-1]), note)


def _flat(image: Image.Image) -> Image.Image:
    """On white paper, eight bits a colour."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image, np.float64))
        high = values.max()
        is_share = image.mode == "F" and 0 < high <= 1
        scale = 255 if is_share else min(1, 255 / max(high, 1))
        image = Image.fromarray((values * scale).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(paper, layer).convert("RGB")
    return image.convert("RGB")
