"""The store of vectors: what was written is read, what is damaged is said, what was brought in is looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from unidoc_rl.errors import UnidocError
from unidoc_rl.index import vectors
from unidoc_rl.index.late import Brought
from unidoc_rl.index.vectors import Vectors

Pages = Sequence[Mapping[str, NDArray[Any]]]


def some_pages(lengths: Sequence[int], seed: int = 0) -> list[dict[str, NDArray[Any]]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "codes": rng.integers(-127, 128, (length, 8), dtype=np.int8),
            "scales": rng.random(length).astype(np.float32),
            "centroids": rng.random((min(length, 3), 8)).astype(np.float16),
        }
        for length in lengths
    ]


def assert_reads(path: Path, pages: Pages) -> None:
    reader = Vectors()
    assert reader.count(path) == len(pages)
    for position, page in enumerate(pages):
        read = reader.page(path, position)
        assert read.keys() == page.keys()
        for name, array in page.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=vectors.PAGES_A_FILE))
def test_what_was_written_is_read(lengths: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "document" / "0-64.safetensors"
        vectors.write(path, some_pages(lengths))
        assert_reads(path, some_pages(lengths))
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_pages_are_views_that_nobody_can_write_to(tmp_path: Path) -> None:
    path = tmp_path / "piece.safetensors"
    vectors.write(path, some_pages([5, 7]))
    codes = Vectors().page(path, 1)["codes"]
    assert codes.base is not None
    assert not codes.flags.writeable


def test_a_file_cut_off_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    vectors.write(whole, some_pages([2, 1]))
    content = whole.read_bytes()
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(UnidocError, match=r"cut\.safetensors: is missing or damaged .* run `unidoc index` again"):
            Vectors().count(cut)


@pytest.mark.parametrize(
    "tensors",
    [
        {"codes": np.zeros((3, 8), np.int8)},
        {"codes": np.zeros((3, 8), np.int8), "codes.offsets": np.array([0, 2], np.int64)},
        {"codes": np.zeros((3, 8), np.int8), "codes.offsets": np.array([0, 4, 3], np.int64)},
        {"codes": np.zeros((3, 8), np.float64), "codes.offsets": np.array([0, 3], np.int64)},
        {},
    ],
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    path = tmp_path / "piece.safetensors"
    save_file(tensors, path)
    with pytest.raises(UnidocError, match=r"piece\.safetensors: is missing or damaged"):
        Vectors().page(path, 0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match=r"gone\.safetensors: is missing or damaged"):
        Vectors().count(tmp_path / "gone.safetensors")


def test_more_files_than_may_be_open_at_once_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_OPEN", 2)
    for number in range(5):
        vectors.write(tmp_path / str(number), some_pages([4], seed=number))
    reader = Vectors()
    first = reader.page(tmp_path / "0", 0)["codes"]
    for number in [*range(5), *range(5)]:
        expected = some_pages([4], seed=number)[0]["codes"]
        np.testing.assert_array_equal(reader.page(tmp_path / str(number), 0)["codes"], expected)
    np.testing.assert_array_equal(first, some_pages([4], seed=0)[0]["codes"])


def brought(path: Path, arrays: Mapping[str, NDArray[Any]], ids: Sequence[str]) -> dict[str, NDArray[Any]]:
    np.savez_compressed(path, allow_pickle=True, **arrays)
    archive = vectors.Archive(path, ids, 4)
    return {page: archive.page(page) for page in ids}


def test_arrays_are_named_by_page_or_by_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {
        "aliyun4_1.jpg": rng.random((5, 4)).astype(np.float16),
        "v1.2_3": rng.random((7, 4)).astype(np.float32),
        "images/a/a_1.PNG": rng.random((2, 4)).astype(np.float32),
        "of no page": np.zeros((1, 9)),
    }
    found = brought(tmp_path / "vectors.npz", arrays, ["v1.2_3", "aliyun4_1", "a_1"])
    assert list(found) == ["v1.2_3", "aliyun4_1", "a_1"]
    for page, key in zip(found, ["v1.2_3", "aliyun4_1.jpg", "images/a/a_1.PNG"], strict=True):
        np.testing.assert_array_equal(found[page], arrays[key].astype(np.float32))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a_2": np.ones((2, 4), np.float32)}, r"no vectors of 1 of 2 pages \(a_1\); expected .*a_1\.jpg"),
        ({}, r"no vectors of 2 of 2 pages \(a_1, a_2\)"),
        ({"a_1": np.ones((2, 4)), "a_2": np.ones((2, 4))}, "a_1: numbers of type float64"),
        ({"a_1": np.ones((2, 4), np.float32), "a_2": np.ones((2, 5), np.float32)}, "a_2: .* dimension 5; expected 4"),
        ({"a_1": np.ones(4, np.float32), "a_2": np.ones((2, 4), np.float32)}, r"a_1: .* shape \(4,\)"),
        ({"a_1": np.full((2, 4), np.nan, np.float32), "a_2": np.ones((2, 4), np.float32)}, "a_1: .* not finite"),
        ({"a_1": np.array(["x"], object), "a_2": np.ones((2, 4), np.float32)}, "a_1: .*[Oo]bject arrays"),
        ({"a_1": np.ones((2, 4), np.float32), "a_1.jpg": np.ones((2, 4), np.float32)}, "both of page a_1"),
    ],
)
def test_what_cannot_be_taken_is_said_by_file_and_key(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], message: str
) -> None:
    with pytest.raises(UnidocError, match=rf"vectors\.npz: .*{message}"):
        brought(tmp_path / "vectors.npz", arrays, ["a_1", "a_2"])


def test_only_the_first_missing_pages_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnidocError, match=r"9 of 9 pages \(a_0, a_1, a_2, a_3, a_4 …\)"):
        brought(tmp_path / "vectors.npz", {}, [f"a_{n}" for n in range(9)])


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.npz", tmp_path / "vectors.npz"
    np.savez(whole, a_1=np.ones((2, 4), np.float32))
    for content in (b"", b"nonsense", whole.read_bytes()[:-30]):
        path.write_bytes(content)
        with pytest.raises(UnidocError, match=r"vectors\.npz: cannot be read .* expected an \.npz file"):
            vectors.Archive(path, ["a_1"], 4)
    np.save(tmp_path / "one.npy", np.ones((2, 4), np.float32))
    with pytest.raises(UnidocError, match=r"one\.npy: cannot be read"):
        vectors.Archive(tmp_path / "one.npy", ["a_1"], 4)
    with pytest.raises(UnidocError, match=r"gone\.npz: cannot be read"):
        vectors.Archive(tmp_path / "gone.npz", ["a_1"], 4)


def test_an_archive_with_a_flipped_bit_is_refused_or_read_right(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    whole, path = tmp_path / "whole.npz", tmp_path / "vectors.npz"
    np.savez_compressed(whole, a_1=array)
    content = whole.read_bytes()
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with suppress(UnidocError):
            np.testing.assert_array_equal(vectors.Archive(path, ["a_1"], 4).page("a_1"), array)


def test_an_archive_is_opened_once_however_many_pieces_are_asked_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unidoc_rl.index.colqwen.encoder_folder", lambda model: tmp_path)
    monkeypatch.setattr("unidoc_rl.index.colqwen.dimension_of", lambda folder: 4)
    monkeypatch.setattr("unidoc_rl.index.late.identity", lambda folder: "model-0")
    path, ids = tmp_path / "vectors.npz", ["a_1", "a_2", "b_1"]
    np.savez(path, a_1=np.eye(4, dtype=np.float32), a_2=np.eye(4, dtype=np.float32), b_1=np.ones((2, 5), np.float32))
    brought = Brought("model", path, ids)
    path.unlink()
    for page in ids[:2]:
        (arrays,) = brought.pages([f"images/a/{page}.jpg"], tmp_path)
        np.testing.assert_array_equal(arrays["codes"], 127 * np.eye(4, dtype=np.int8))
    with pytest.raises(UnidocError, match=r"b_1: .* dimension 5; expected 4"):
        brought.pages(["images/b/b_1.jpg"], tmp_path)
