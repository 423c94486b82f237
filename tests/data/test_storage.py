"""Files and folders appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from carousel.data import storage
from carousel.data.exchange import exchange_paths
from carousel.data.storage import (
    check_file_target,
    check_target,
    remove_partials,
    replace_folder,
    write_atomically,
)
from carousel.errors import OutputError


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def failing(code: int) -> Any:
    """A system call that fails."""

    def call(*arguments: Any, **named: Any) -> Any:
        raise OSError(code, os.strerror(code))

    return call


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file"
    for data in (b"", b"one", os.urandom(100_000)):
        write_atomically(target, data)
        assert contents(tmp_path) == {"new/folder/file": data}


def test_a_large_file_survives_short_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda where, data: real(where, data[:7]))
    write_atomically(tmp_path / "file", b"0123456789" * 9)
    assert (tmp_path / "file").read_bytes() == b"0123456789" * 9


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomically(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.parametrize("call", ["write", "fsync", "open", "replace"])
@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EACCES, "permissions"), (errno.EROFS, "read-only")],
)
def test_a_failed_write_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, remedy: str
) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(code))
        with pytest.raises(OutputError, match=remedy) as caught:
            write_atomically(target, b"new")
    assert str(target) in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert contents(tmp_path) == {"file": b"old"}


def test_a_disk_that_fills_up_midway_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, room = os.write, iter([3, 3])

    def write(where: int, data: Any) -> int:
        size = next(room, None)
        if size is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(where, data[:size])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OutputError, match="No space left"):
        write_atomically(tmp_path / "file", b"0123456789")
    assert contents(tmp_path) == {}


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".file.0123abcd.partial").write_bytes(b"half")
    (tmp_path / ".other.0123abcd.partial").write_bytes(b"half")
    remove_partials(tmp_path / "file")
    assert contents(tmp_path) == {".other.0123abcd.partial": b"half"}


def make(target: Path, text: str, **options: Any) -> None:
    with replace_folder(target, **options) as folder:
        (folder / "config.json").write_text(text)
        (folder / "deep").mkdir()
        (folder / "deep" / "weights").write_text(text)


def without_config(folder: Path) -> str:
    return "" if (folder / "config.json").exists() else "no config.json"


def folder_of(text: str) -> dict[str, bytes]:
    return {"model/config.json": text.encode(), "model/deep/weights": text.encode()}


def test_a_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with replace_folder(target) as folder:
        (folder / "config.json").write_text("1")
        assert not target.exists()
        assert folder.parent == target.parent  # the same file system, so that a rename suffices
    assert contents(tmp_path) == {"model/config.json": b"1"}


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_is_replaced_only_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(storage, "exchange_paths", lambda one, other: False)
    target = tmp_path / "model"
    make(target, "1")
    with pytest.raises(OutputError, match="--force"):
        make(target, "2")
    with pytest.raises(OutputError, match="--force"):
        check_target(target)
    assert contents(tmp_path) == folder_of("1")
    check_target(target, force=True)
    make(target, "3", force=True, foreign=without_config)
    assert contents(tmp_path) == folder_of("3")


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    make(tmp_path / "model", "1", force=True, foreign=without_config)  # it was empty
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years")
    with pytest.raises(OutputError, match=r"config\.json"):
        make(tmp_path / "home", "2", force=True, foreign=without_config)
    assert contents(tmp_path / "home") == {"thesis.tex": b"years"}


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("text")
    with pytest.raises(OutputError, match="found a file"):
        make(tmp_path / "model", "1", force=True)
    assert contents(tmp_path) == {"model": b"text"}


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), OutputError("full")])
def test_a_failed_block_changes_nothing(tmp_path: Path, error: BaseException) -> None:
    make(tmp_path / "model", "1")
    with (
        pytest.raises(type(error)) as caught,
        replace_folder(tmp_path / "model", force=True) as folder,
    ):
        (folder / "config.json").write_text("2")
        raise error
    assert caught.value is error
    assert contents(tmp_path) == folder_of("1")


def test_an_error_that_is_not_about_the_target_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replace_folder(tmp_path / "model"):
        (tmp_path / "data.csv").read_bytes()
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_folder_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    make(tmp_path / "model", "1")
    monkeypatch.setattr(storage, "exchange_paths", lambda one, other: False)
    with monkeypatch.context() as broken:
        broken.setattr(os, call, failing(code))
        with pytest.raises(OutputError, match="untouched"):
            make(tmp_path / "model", "2", force=True)
    assert contents(tmp_path) == folder_of("1")


def test_a_second_move_that_fails_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "model", "1")
    monkeypatch.setattr(storage, "exchange_paths", lambda one, other: False)
    real = os.rename

    def rename(one: Any, other: Any) -> None:
        if str(one).endswith(".partial"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(one, other)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OutputError, match="No space left"):
        make(tmp_path / "model", "2", force=True)
    assert contents(tmp_path) == folder_of("1")


def test_a_folder_moved_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    make(tmp_path / "model", "1")
    (tmp_path / "model").rename(tmp_path / ".model.0123abcd.retired")
    with pytest.raises(OutputError, match="--force"):
        make(tmp_path / "model", "2")
    assert contents(tmp_path) == folder_of("1")


def test_a_folder_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="--force"),
        replace_folder(tmp_path / "model") as folder,
    ):
        (folder / "config.json").write_text("mine")
        make(tmp_path / "model", "theirs")
    assert contents(tmp_path) == folder_of("theirs")


def test_exchange_is_refused_where_a_path_is_missing(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    if sys.platform in ("linux", "darwin"):
        with pytest.raises(FileNotFoundError):
            exchange_paths(tmp_path / "one", tmp_path / "other")
    else:
        assert not exchange_paths(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("check", [check_target, check_file_target])
def test_a_place_that_cannot_be_made_is_known_before_the_work(tmp_path: Path, check: Any) -> None:
    (tmp_path / "file").write_text("text")
    for place, remedy in [
        ("x" * 250, "a shorter name"),  # fits alone, but not with the suffix of what is unfinished
        ("x" * 300 + "/model", "a shorter name"),
        ("file/model", "another place"),
    ]:
        with pytest.raises(OutputError, match=remedy):
            check(tmp_path / place)
    check(tmp_path / "new" / "folder" / "model")
    assert contents(tmp_path) == {"file": b"text"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OutputError, match="found a pipe or device; give another name"):
            check_file_target(tmp_path / name, force=True)
        with pytest.raises(OutputError, match="found a pipe or device; give another name"):
            write_atomically(tmp_path / name, b"text")
    assert (tmp_path / "pipe").is_fifo()


def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / ".load[1].0123abcd.partial").write_bytes(b"half")
    (tmp_path / ".load1.0123abcd.partial").write_bytes(b"another's half")
    remove_partials(tmp_path / "load[1]")
    assert contents(tmp_path) == {".load1.0123abcd.partial": b"another's half"}


REPLACE_FOR_EVER = """
import itertools, sys
from carousel.data.storage import replace_folder
for generation in itertools.count():
    with replace_folder(sys.argv[1], force=True) as folder:
        for name in "abc":
            (folder / name).write_text(str(generation))
    print(generation, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the exchange of two paths in one step")
def test_a_killed_process_leaves_a_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for kill in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", REPLACE_FOR_EVER, target], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(5 + kill):
            process.stdout.readline()
        time.sleep(0.0007 * kill)  # so that the kills fall into different moments of the work
        process.send_signal(signal.SIGKILL)
        process.communicate()
        found = contents(target)
        assert sorted(found) == ["a", "b", "c"]
        assert len(set(found.values())) == 1
