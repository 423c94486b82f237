"""The folder that a run is kept in: who may use it, what in it is ours, and how it goes away."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType

from carousel.data.storage import partials, remove_partials
from carousel.errors import OutputError
from carousel.training.checkpoint import CHECKPOINT_FILE
from carousel.training.history import HISTORY_FILE

LOCK_FILE = ".lock"
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class RunLock:
    """Keeps a run's folder for one process; the system lets go of it when the process ends.

        with RunLock(folder):
            ...

    Where a file system knows no locks, nothing is locked.

    Args:
        folder: must exist.

    Raises:
        OutputError: on entering, if another process has it, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_FILE
        self._descriptor = -1

    def __enter__(self) -> RunLock:
        while self._descriptor < 0:
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise OutputError(
                    f"{self.path.parent}: the run cannot be kept there ({error.strerror}); "
                    "choose a folder that you may write to"
                ) from error
            try:
                _lock(descriptor)
            except OSError as error:
                if error.errno in _TAKEN:
                    os.close(descriptor)
                    raise OutputError(
                        f"{self.path.parent}: another process is training here; wait for it, stop "
                        "it, or save under another name"
                    ) from error
            # The holder may have let go, and deleted the file, after we opened it.
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                    self._descriptor = descriptor
                    return self
            os.close(descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Deleted while still locked where the system can, so that nobody's lock is deleted.
        if os.name == "posix":
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1
        if os.name != "posix":
            with contextlib.suppress(OSError):
                self.path.unlink()


def check_run_folder(folder: Path) -> None:
    """Refuses a folder that holds somebody's files and no run.

    Raises:
        OutputError: names one of the files.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise OutputError(
            f"{folder}: expected a folder for the run or nothing there, found a file; "
            "move it away, or save under another name"
        )
    if (folder / CHECKPOINT_FILE).exists():
        return
    others = sorted({path.name for path in folder.iterdir()} - _written(folder))
    if others:
        raise OutputError(
            f"{folder}: the run would be kept there, but it holds something else: {others[0]!r} is "
            "no file of a run; move that away, or save under another name"
        )


def forget_run(folder: Path) -> None:
    """Deletes what a run wrote, and its folder if nothing else is in it.

    A folder in which another process trains stays as it is.
    """
    if not folder.is_dir():
        return
    with contextlib.suppress(OutputError), RunLock(folder):
        remove_run_files(folder)
    remove_if_empty(folder)


def remove_run_files(folder: Path) -> None:
    """Deletes what a run wrote; for who holds the lock."""
    for name in (CHECKPOINT_FILE, HISTORY_FILE):
        remove_partials(folder / name)
        # What is left over takes space but harms nothing.
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def remove_if_empty(folder: Path) -> None:
    """Deletes a folder that holds nothing."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _written(folder: Path) -> set[str]:
    names = (CHECKPOINT_FILE, HISTORY_FILE)
    unfinished = {path.name for name in names for path in partials(folder / name)}
    return {*names, *unfinished, LOCK_FILE}


def _lock(descriptor: int) -> None:
    if os.name == "posix":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
