"""What the C library does with the memory that a training step gives back.

The next step asks for the same blocks again. glibc returns large ones to the system, and the end of
its heap where more than 64 MiB are free there, and gets them back page by page, each zeroed: 8 % of
the time of a small translator's step on one core.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

# Numbers and names of mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 1 << 30  # bytes: blocks up to this are kept, and twice as much at the heap's end
_USUAL = 32 << 20  # bytes: what glibc comes to by itself
_OWN_WISHES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Has the C library keep for the next step what this one frees; afterwards it is given back.

    Does nothing where the library is not glibc, or the environment says what glibc should do.
    Counts for the whole process, whose thresholds stay in the end where glibc's own adaptation
    would bring them.
    """
    library = _glibc()
    if library is None or any(name in os.environ for name in _OWN_WISHES):
        yield
        return
    _set(library, _KEPT)
    try:
        yield
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _set(library: ctypes.CDLL, size: int) -> None:
    if not library.mallopt(_M_MMAP_THRESHOLD, size):  # glibc before 2.35 takes no more than this
        library.mallopt(_M_MMAP_THRESHOLD, _USUAL)
    library.mallopt(_M_TRIM_THRESHOLD, min(2 * size, (1 << 31) - 1))
