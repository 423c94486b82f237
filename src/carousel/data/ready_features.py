"""Features that somebody else computed: NumPy's ``.npy`` and Sphinx's ``.mfc`` files.

Knows nothing of what the numbers mean, nor how they were computed.

Letters: T frames, F features of a frame.
"""

from __future__ import annotations

import tokenize
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from carousel.errors import DataError

SUFFIXES = (".npy", ".mfc")
SPHINX_SIZE = 13  # cepstra of a frame where nothing else is said

# What NumPy raises for a header that is none: it is a Python expression.
_BAD_HEADER = (ValueError, TypeError, SyntaxError, tokenize.TokenError)


def is_features(path: str | Path) -> bool:
    """Whether a path ends as files of features do, in capitals or not."""
    return Path(path).suffix.lower() in SUFFIXES


def read_features(path: str | Path, *, size: int | None = None) -> Float32[np.ndarray, "T F"]:
    """Reads the features of one recording.

    Args:
        path: a ``.npy`` file of floating-point numbers (T, F), of any precision, or a Sphinx
            ``.mfc``: a 32-bit count of numbers and these, 32-bit floating-point ones, frame by
            frame, big-endian or little-endian. No Python object is ever loaded from it.
        size: F; by default what the array has, and 13 for ``.mfc``, which does not say it.

    Returns:
        (T, F), one frame at least, all finite.

    Raises:
        DataError: for a file that is missing, none of the two, damaged, empty, or not finite; or
            frames of another size.
    """
    assert size is None or size >= 1
    path = Path(path)
    if not is_features(path):
        raise DataError(
            f"expected a file of features, {' or '.join(SUFFIXES)}, got one that ends in "
            f"{path.suffix!r}; write it with numpy.save",
            source=path,
        )
    try:
        values = _sphinx(path, size) if path.suffix.lower() == ".mfc" else _numpy(path, size)
    except OSError as error:
        problem = error.strerror or str(error)
        raise DataError(f"it cannot be read ({problem}); check the path", source=path) from error
    if not np.isfinite(values).all():
        frame, place = np.argwhere(~np.isfinite(values))[0].tolist()
        raise DataError(
            f"expected finite numbers of single precision, got {values[frame, place]} in frame "
            f"{frame + 1} of {len(values)}, feature {place + 1}; correct it, or leave the "
            "recording out",
            source=path,
        )
    return values


def _numpy(path: Path, size: int | None) -> Float32[np.ndarray, "T F"]:
    if path.stat().st_size == 0:
        raise DataError("the file is empty; compute the features anew", source=path)
    try:
        # Mapped, because this compares the header with the file's size before it asks for memory.
        stored = np.lib.format.open_memmap(path, mode="r")
    except _BAD_HEADER as error:
        raise DataError(
            f"expected an array of numbers as numpy.save writes it, got something else or a part "
            f"of it ({error}); write it anew",
            source=path,
        ) from error
    if stored.dtype.kind != "f":
        raise DataError(
            f"expected floating-point numbers, got {stored.dtype}; save array.astype('float32')",
            source=path,
        )
    if stored.ndim != 2:
        raise DataError(
            f"expected an array of two dimensions, frames and features, got the shape "
            f"{stored.shape}; save one recording a file, transposed if its frames come last",
            source=path,
        )
    if 0 in stored.shape:
        raise DataError(
            f"expected a frame and a feature at least, got the shape {stored.shape}; leave the "
            "recording out",
            source=path,
        )
    if size is not None and stored.shape[1] != size:
        raise DataError(
            f"expected {size} features a frame, got {stored.shape[1]} in {stored.shape[0]} "
            "frames; compute all recordings alike, and transpose it if its frames come last",
            source=path,
        )
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
        return np.array(stored, np.float32, order="C")


def _sphinx(path: Path, size: int | None) -> Float32[np.ndarray, "T F"]:
    data = path.read_bytes()
    held = len(data) // 4 - 1
    # Sphinx's own order comes first, for a count that reads the same both ways.
    orders: tuple[Literal["big", "little"], ...] = ("big", "little")
    fits = [order for order in orders if int.from_bytes(data[:4], order) == held]
    if not fits or len(data) % 4:
        raise DataError(
            f"expected a Sphinx file, a count and so many numbers of 4 bytes, got {len(data)} "
            f"bytes whose first four {data[:4].hex(' ') or '(none)'} are no such count in either "
            "byte order; is it cut off, or of another program? convert it to .npy",
            source=path,
        )
    if held == 0:
        raise DataError("expected a frame at least, got none; leave it out", source=path)
    width = SPHINX_SIZE if size is None else size
    if held % width:
        raise DataError(
            f"expected frames of {width} features, got {held} numbers, which is no multiple of "
            "it; give the size that the file has",
            source=path,
        )
    values = np.frombuffer(data, ">f4" if fits[0] == "big" else "<f4", offset=4)
    return values.reshape(-1, width).astype(np.float32)
