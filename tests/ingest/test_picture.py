"""Pictures as pages: upright, on white, and refused before they can fill the memory."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from unidoc_rl.ingest import picture
from unidoc_rl.ingest.pdf import MAX_PIXELS
from unidoc_rl.ingest.problems import LeftOut

RED = (200, 30, 40)


@pytest.mark.parametrize(("ending", "mode"), [("png", "RGB"), ("webp", "RGB"), ("tiff", "RGB"), ("jpg", "CMYK")])
def test_colours_come_through_in_every_format(tmp_path: Path, ending: str, mode: str) -> None:
    path = tmp_path / f"page.{ending}"
    Image.new("RGB", (40, 30), RED).convert(mode).save(path)
    pixels = picture.load(path, 0).pixels
    assert pixels.shape == (30, 40, 3)
    assert np.abs(pixels[15, 20][::-1].astype(int) - RED).max() < 12


def test_see_through_is_white_paper(tmp_path: Path) -> None:
    Image.new("RGBA", (10, 10), (0, 0, 0, 0)).save(tmp_path / "page.png")
    assert (picture.load(tmp_path / "page.png", 0).pixels == 255).all()


def test_sixteen_bits_keep_their_greys(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 100, dtype=np.uint16).reshape(10, 10)
    Image.fromarray(values).save(tmp_path / "page.png")
    grey = picture.load(tmp_path / "page.png", 0).pixels[:, :, 0]
    assert grey.min() == 0
    assert grey.max() == 255
    assert len(np.unique(grey)) > 90


def test_greys_from_nought_to_one_are_greys(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    Image.fromarray(values).save(tmp_path / "page.tiff")
    grey = picture.load(tmp_path / "page.tiff", 0).pixels[:, :, 0]
    assert np.abs(grey - values * 255).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_taken_sideways_stands_upright(tmp_path: Path, orientation: int) -> None:
    image = Image.new("RGB", (60, 20), "white")
    image.paste("black", (0, 0, 20, 10))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "page.png", exif=exif)
    with Image.open(tmp_path / "page.png") as saved:
        upright = np.asarray(ImageOps.exif_transpose(saved))
    assert (picture.load(tmp_path / "page.png", 0).pixels == upright).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@given(st.binary(max_size=60))
def test_whatever_a_camera_noted_the_picture_is_read_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, noted: bytes
) -> None:
    path = tmp_path_factory.mktemp("exif") / "page.jpg"
    Image.new("RGB", (60, 20), "white").save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08" + noted)
    with suppress(LeftOut):
        assert picture.load(path, 0).pixels.size == 60 * 20 * 3


def test_every_page_of_a_tiff_is_a_page(tmp_path: Path) -> None:
    pages = [Image.new("L", (20, 20), grey) for grey in (0, 100, 200)]
    pages[0].save(tmp_path / "scan.tiff", save_all=True, append_images=pages[1:])
    assert picture.frames(tmp_path / "scan.tiff") == 3
    assert [picture.load(tmp_path / "scan.tiff", frame).pixels[5, 5, 0] for frame in range(3)] == [0, 100, 200]


def test_a_large_picture_is_made_smaller_and_noted(tmp_path: Path) -> None:
    Image.new("L", (8000, 4000), 200).save(tmp_path / "page.png")
    shown = picture.load(tmp_path / "page.png", 0)
    height, width = shown.pixels.shape[:2]
    assert width * height <= 1.001 * MAX_PIXELS
    assert width / height == pytest.approx(2, rel=0.01)
    assert "8000 x 4000" in shown.note


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")))
    with pytest.raises(LeftOut, match="60000 x 60000"):
        picture.frames(tmp_path / "bomb.png")


@given(share=st.floats(0, 0.95), ending=st.sampled_from(["jpg", "png", "webp", "tiff"]))
def test_a_picture_cut_off_anywhere_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, share: float, ending: str
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    noise = np.random.default_rng(1).integers(0, 255, (60, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / f"whole.{ending}")
    content = (folder / f"whole.{ending}").read_bytes()
    (folder / f"cut.{ending}").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(LeftOut, match=r"cut\."):
        _load_all(folder / f"cut.{ending}")


def _load_all(path: Path) -> None:
    for frame in range(picture.frames(path)):
        picture.load(path, frame)
