"""Two paths change places in one step, where the system can do that.

Python has no word for it, so the C library is asked: ``renameat2`` on Linux (since 3.15, glibc
2.28) and ``renamex_np`` on macOS (since 10.12).
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

AT_FDCWD = -100  # linux/fcntl.h: paths are relative to the working directory
RENAME_EXCHANGE = 2  # linux/fs.h
RENAME_SWAP = 2  # sys/stdio.h of macOS


def exchange_paths(one: Path, other: Path) -> bool:
    """Exchanges two existing paths of one file system atomically.

    Returns:
        False where system or file system cannot; then nothing has changed.

    Raises:
        OSError: if it could, but failed: no permission, a path that is missing, no space.
    """
    first, second = os.fsencode(one), os.fsencode(other)
    if os.name != "posix":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        failed = library.renameat2(AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE)
    elif sys.platform == "darwin" and hasattr(library, "renamex_np"):
        failed = library.renamex_np(first, second, RENAME_SWAP)
    else:
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), os.fspath(one))
