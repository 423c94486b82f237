"""Ready features: read as they were written, in any precision and byte order, or refused."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from carousel.data.ready_features import is_features, read_features
from carousel.errors import DataError

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def mfc(values: Any, order: str = ">", count: int | None = None) -> bytes:
    values = np.asarray(values)
    head = np.array(values.size if count is None else count, f"{order}i4")
    return head.tobytes() + values.astype(f"{order}f4").tobytes()


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_features(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


@settings(max_examples=50)
@given(
    x=arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2), elements=FINITE),
    form=st.sampled_from(["<f4", ">f4", "<f8", ">f8", "g", "turned", ">", "<"]),
    told=st.booleans(),
)
def test_features_are_read_as_they_are(
    x: np.ndarray, form: str, told: bool, tmp_path_factory: Any
) -> None:
    sphinx = form in "<>"
    path = tmp_path_factory.mktemp("f") / ("a.MFC" if sphinx else "a.npy")
    if sphinx:
        path.write_bytes(mfc(x, form))
    else:
        path.write_bytes(npy(np.asfortranarray(x) if form == "turned" else x.astype(form)))
    found = read_features(path, size=x.shape[1] if told or sphinx else None)
    assert np.array_equal(found, x)
    assert found.dtype == np.float32
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    found += 1  # it is the caller's, and no part of the file
    assert path.stat().st_size


def test_half_precision_and_sphinx_width(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((7, 13))
    path = tmp_path / "a.npy"
    path.write_bytes(npy(x.astype(np.float16)))
    assert np.array_equal(read_features(str(path)), x.astype(np.float16).astype(np.float32))
    path = tmp_path / "a.mfc"
    for order in "<>":
        path.write_bytes(mfc(x, order))
        assert np.array_equal(read_features(path), x.astype(np.float32))
    assert read_features(path, size=91).shape == (1, 91)


def test_a_count_that_reads_the_same_both_ways_is_of_sphinx(tmp_path: Path) -> None:
    values = np.arange(0x00010100, dtype=np.float32)
    path = tmp_path / "a.mfc"
    path.write_bytes(mfc(values))
    assert np.array_equal(read_features(path, size=257).ravel(), values)


GOOD = np.ones((3, 4), np.float32)
BAD = np.where(np.arange(12).reshape(3, 4) == 6, np.inf, GOOD)
NOT_A_NUMBER = np.where(np.arange(39).reshape(3, 13) > 26, np.nan, 1.0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npy", b"", "the file is empty; compute"),
        ("a.npy", b"text", "expected an array of numbers as numpy.save .*write it anew"),
        ("a.npy", npy(GOOD)[:-1], "expected an array .* or a part"),
        ("a.npy", npy(GOOD)[:70], "expected an array .* or a part"),
        ("a.npy", npy(np.array([[{}]]), allow_pickle=True), "expected an array .*Python objects"),
        ("a.npy", npy(GOOD.astype(np.int16)), "floating-point numbers, got int16; save array"),
        ("a.npy", npy(GOOD.astype(np.complex64)), "floating-point numbers, got complex64"),
        ("a.npy", npy(np.array([("a", 1.0)], "U1,f4")), "floating-point numbers, got"),
        ("a.npy", npy(GOOD[0]), r"two dimensions, .* got the shape \(4,\); save one"),
        ("a.npy", npy(GOOD[None]), r"two dimensions, .* got the shape \(1, 3, 4\)"),
        ("a.npy", npy(np.float32(1)), r"two dimensions, .* got the shape \(\)"),
        ("a.npy", npy(GOOD[:0]), r"a frame and a feature at least, got the shape \(0, 4\)"),
        ("a.npy", npy(GOOD[:, :0]), r"at least, got the shape \(3, 0\)"),
        ("a.npy", npy(BAD), "finite numbers .* got inf in frame 2 of 3, feature 3; correct"),
        ("a.npy", npy(np.full((1, 1), -1e39)), "got -inf in frame 1 of 1, feature 1"),
        ("a.mfc", mfc(NOT_A_NUMBER), "got nan in frame 3 of 3, feature 2"),
        ("a.mfc", b"", r"got 0 bytes whose first four \(none\) are no such count"),
        ("a.mfc", b"\0\0\0", "got 3 bytes whose first four 00 00 00 are"),
        ("a.mfc", mfc(np.ones(26))[:-4], "got 104 bytes whose first four 00 00 00 1a .*cut off"),
        ("a.mfc", mfc(np.ones(26)) + b"\0", "got 109 bytes"),
        ("a.mfc", mfc(np.ones(26), count=25), "got 108 bytes"),
        ("a.mfc", mfc(np.ones(26), count=-1), "first four ff ff ff ff"),
        ("a.mfc", mfc([]), "expected a frame at least, got none"),
        ("a.mfc", mfc(np.ones(27)), "frames of 13 features, got 27 numbers, .*give the size"),
        ("a.mfcc", mfc(np.ones(26)), ".npy or .mfc, got one that ends in '.mfcc'; write it"),
        ("a", b"", "got one that ends in ''"),
    ],
)
def test_files_that_are_no_features_are_refused(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert re.search(words, refused(path))


def test_other_sizes_and_places_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy(GOOD))
    assert "expected 3 features a frame, got 4 in 3 frames; compute" in refused(path, size=3)
    sphinx = tmp_path / "a.mfc"
    sphinx.write_bytes(mfc(np.ones(26)))
    assert "expected frames of 12 features, got 26 numbers" in refused(sphinx, size=12)
    for ending in (".npy", ".mfc"):
        missing = tmp_path / f"b{ending}"
        assert "it cannot be read (No such file or directory); check the path" in refused(missing)
        missing.mkdir()
        assert "it cannot be read (Is a directory)" in refused(missing)


@given(
    places=st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 176),
)
def test_damage_is_refused_in_our_words_or_harmless(
    places: list[tuple[int, int]], cut: int, tmp_path_factory: Any
) -> None:
    content = bytearray(npy(GOOD))
    assert len(content) == 176
    for place, byte in places:
        content[place] = byte
    path = tmp_path_factory.mktemp("f") / "a.npy"
    path.write_bytes(content[: cut or None])
    refusals = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's, about escapes in a broken header
        try:
            found = read_features(path)
        except DataError as error:
            refusals.append(str(error))
    assert refusals[0].startswith(f"{path}: ") if refusals else found.ndim == 2


def test_endings() -> None:
    for name in ("a.npy", Path("b/a.mfc"), "A.NPY", "a.wav.mfc"):
        assert is_features(name)
    for name in ("a.wav", "npy", "a.npz", Path("a.mfc/b"), "", "a.npy.gz"):
        assert not is_features(name)
