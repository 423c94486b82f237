"""Files and folders that appear whole or not at all; what was there before survives any failure.

Knows nothing of what is stored.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from carousel.data.exchange import exchange_paths
from carousel.errors import OutputError

PARTIAL = ".partial"  # suffix of what is still being written
RETIRED = ".retired"  # suffix of a folder that is about to be deleted

Foreign = Callable[[Path], str]

REMEDIES = {
    errno.ENOSPC: "free some space or choose another place",
    errno.EDQUOT: "free some space or choose another place",
    errno.EACCES: "choose a place that you may write to, or change its permissions",
    errno.EPERM: "choose a place that you may write to, or change its permissions",
    errno.EROFS: "choose a place that is not read-only",
    errno.EFBIG: "choose a file system that holds larger files",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "check the disk, or choose another place",
}


def write_atomically(path: str | Path, data: bytes) -> None:
    """Writes ``data`` so that ``path`` holds either the old bytes or all the new ones, never a mix.

    The bytes go to a file beside the target, reach the disk, and are renamed over it; the rename
    reaches the disk too. Holds under ``kill -9`` and power loss on a POSIX file system. Missing
    folders on the way are made; a symbolic link is followed.

    Args:
        path: the file to write.
        data: its whole content.

    Raises:
        OutputError: if it cannot be written; the old file is untouched.
    """
    target = _real(path)
    _check_no_device(target)
    partial = _beside(target, PARTIAL)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_through(partial, data)
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _output_error(target, error) from error
    finally:
        _remove_quietly(partial)


def remove_partials(path: str | Path) -> None:
    """Deletes what killed writers of ``path`` left beside it; for when no other writer runs."""
    target = _real(path)
    for leftover in partials(target):
        _remove_quietly(leftover)


def partials(path: str | Path) -> list[Path]:
    """Returns what unfinished writers of ``path``, living or killed, have beside it."""
    return _besides(_real(path), PARTIAL)


@contextlib.contextmanager
def replace_folder(
    target: str | Path, force: bool = False, foreign: Foreign | None = None
) -> Iterator[Path]:
    """Builds a folder out of sight and puts it at ``target`` only when it is complete.

        with replace_folder("weather.model", force=True, foreign=not_ours) as folder:
            (folder / "config.json").write_text(...)

    If the block raises, nothing changes. If the process is killed, the old folder is whole, and an
    unfinished one stays beside it under a name that starts with a dot and ends with ``.partial``.
    An old folder is exchanged for the new one in one step where the system can do that (Linux and
    macOS on local disks); elsewhere it is moved aside first, and a kill between the two moves
    leaves it whole under a name that ends with ``.retired``; the next call moves it back.

    Args:
        target: the folder to make or replace.
        force: replace a folder that exists.
        foreign: looks into a folder that would be replaced and returns, in words, what in it the
            caller did not write, or "". Such a folder stays, so that a slip of the hand cannot
            delete somebody's files; an empty folder may always be replaced.

    Yields:
        The folder to fill.

    Raises:
        OutputError: if the target exists and may not be replaced, or cannot be written.
    """
    goal = _real(target)
    _recover(goal)
    _check_replaceable(goal, force, foreign)
    partial = _beside(goal, PARTIAL)
    try:
        with _as_output_error(goal):
            goal.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        # The block may fail at files of its own; only what ails a disk is said of the target.
        with _as_output_error(goal, only=REMEDIES):
            yield partial
        with _as_output_error(goal):
            _sync_tree(partial)
            # Asked again: training takes long, and someone may have put a folder there meanwhile.
            _check_replaceable(goal, force, foreign)
            _put_in_place(partial, goal)
    finally:
        _remove_quietly(partial)


def check_target(target: str | Path, force: bool = False, foreign: Foreign | None = None) -> None:
    """Raises what ``replace_folder`` would, before hours of work and not after them.

    Raises:
        OutputError: if the target exists and may not be replaced, or cannot be made.
    """
    goal = _real(target)
    _check_replaceable(goal, force, foreign)
    _probe(goal)


def check_file_target(target: str | Path, force: bool = False) -> None:
    """Raises what ``write_atomically`` would, before the work; a file that exists needs ``force``.

    Raises:
        OutputError: if the target exists and may not be replaced, or cannot be written.
    """
    goal = _real(target)
    if os.path.isdir(goal):
        raise OutputError(f"{goal}: expected the name of a file, found a folder; add a name to it")
    _check_no_device(goal)
    if os.path.lexists(goal) and not force:
        raise OutputError(
            f"{goal}: exists already; give --force (force=True) to replace it, or another name"
        )
    _probe(goal)


def _check_no_device(goal: Path) -> None:
    """Refuses what a file would take the place of, and nobody could read from any more."""
    if os.path.exists(goal) and not (os.path.isfile(goal) or os.path.isdir(goal)):
        raise OutputError(
            f"{goal}: expected the name of a file, found a pipe or device; give another name"
        )


def _probe(goal: Path) -> None:
    """Makes what a writer of ``goal`` would make first, and takes it away again."""
    missing = [place for place in reversed(goal.parents) if not os.path.exists(place)]
    made = []
    try:
        with _as_output_error(goal):
            for place in [*missing, _beside(goal, PARTIAL)]:
                place.mkdir()
                made.append(place)
    finally:
        for place in reversed(made):
            with contextlib.suppress(OSError):  # someone may have put a file there meanwhile
                place.rmdir()


def _check_replaceable(goal: Path, force: bool, foreign: Foreign | None) -> None:
    if not os.path.lexists(goal):
        return
    if not goal.is_dir():
        raise OutputError(
            f"{goal}: expected a folder or nothing there, found a file; "
            "choose another name or move the file away"
        )
    if not force:
        raise OutputError(
            f"{goal}: exists already; give --force (force=True) to replace it, "
            "or choose another name"
        )
    found = foreign(goal) if foreign is not None and any(goal.iterdir()) else ""
    if found:
        raise OutputError(
            f"{goal}: will not be replaced, because it holds something else: {found}; "
            "choose another name, or move that away yourself"
        )


def _put_in_place(partial: Path, goal: Path) -> None:
    if not goal.exists():
        os.rename(partial, goal)
    elif exchange_paths(partial, goal):
        pass  # the old folder now has the partial name, which the caller deletes
    else:
        retired = _beside(goal, RETIRED)
        os.rename(goal, retired)
        try:
            os.rename(partial, goal)
        except OSError:
            os.rename(retired, goal)
            raise
        _remove_quietly(retired)
    _sync_folder(goal.parent)


def _recover(goal: Path) -> None:
    """Moves back a folder that a killed process had moved aside and not yet replaced."""
    retired = _besides(goal, RETIRED)
    if retired and not os.path.exists(goal):
        os.rename(retired.pop(), goal)
    for leftover in retired:
        _remove_quietly(leftover)


def _write_through(path: Path, data: bytes) -> None:
    """Writes a new file and waits for the disk; its mode follows the user's umask."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            _sync(Path(place) / name)
        _sync_folder(Path(place))


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder; its rename is journalled
        _sync(folder)


def _sync(path: Path) -> None:
    # Windows flushes only through a writable descriptor; a POSIX folder opens read-only.
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{suffix}")


def _besides(target: Path, suffix: str) -> list[Path]:
    # Escaped, because a name such as "load[1]" would be read as a pattern.
    return sorted(target.parent.glob(f".{glob.escape(target.name)}.*{suffix}"))


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(os.path.expanduser(path)))


def _remove_quietly(path: Path) -> None:
    # What is left over takes space but harms nothing, and must not hide the error that led here.
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_output_error(target: Path, only: Container[int] | None = None) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise _output_error(target, error) from error


def _output_error(target: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    remedy = REMEDIES.get(error.errno or 0, "choose another place")
    return OutputError(
        f"{target}: cannot be written ({reason}); what was there before is untouched; {remedy}"
    )
