"""A run's folder belongs to one process, and only what a run wrote goes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from carousel.errors import NonFiniteError, OutputError
from carousel.training import RunOptions, train
from carousel.training.run_folder import LOCK_FILE, RunLock, check_run_folder, forget_run
from training.small_task import SmallTask

HOLD = """
import sys, time
from pathlib import Path
from carousel.training.run_folder import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, *files: str) -> Path:
    folder.mkdir()
    for name in files:
        (folder / name).write_text("x")
    return folder


def test_only_what_a_run_wrote_goes(tmp_path: Path) -> None:
    ours = ["checkpoint.safetensors", "history.jsonl", ".history.jsonl.0123abcd.partial"]
    mixed = fill(tmp_path / "mixed", *ours, "notes.txt")
    pure = fill(tmp_path / "pure", *ours)
    for folder in (mixed, pure, tmp_path / "absent"):
        check_run_folder(folder)
        forget_run(folder)
    assert names(tmp_path) == ["mixed"]
    assert names(mixed) == ["notes.txt"]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"notes\.txt"):
        check_run_folder(fill(tmp_path / "m.run", "notes.txt", "history.jsonl"))
    with pytest.raises(OutputError, match="found a file"):
        check_run_folder(tmp_path / "m.run" / "notes.txt")
    check_run_folder(fill(tmp_path / "empty"))


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    run = RunOptions(max_steps=3, progress="none", checkpoint=str(tmp_path), resume=True)
    train(SmallTask(run), run)
    kept = names(tmp_path)
    with RunLock(tmp_path):
        with pytest.raises(OutputError, match="another process is training"):
            train(SmallTask(run), run)
        forget_run(tmp_path)  # leaves it to who holds it
        assert names(tmp_path) == sorted([*kept, LOCK_FILE])
    train(SmallTask(run), run)
    assert names(tmp_path) == kept


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(OutputError, match="another process"), RunLock(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with RunLock(tmp_path):
        pass
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be deleted elsewhere")
def test_a_lock_on_a_deleted_file_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from carousel.training import run_folder

    real, left = run_folder._lock, [1]

    def lock(descriptor: int) -> None:
        if left:  # the holder lets go, and deletes the file, between our opening and our locking it
            left.pop()
            (tmp_path / LOCK_FILE).unlink()
        real(descriptor)

    monkeypatch.setattr(run_folder, "_lock", lock)
    with (
        RunLock(tmp_path),
        pytest.raises(OutputError, match="another process"),
        RunLock(tmp_path),
    ):
        pass


def test_a_run_that_got_nowhere_leaves_nothing(tmp_path: Path) -> None:
    run = RunOptions(max_steps=9, progress="none", checkpoint=str(tmp_path / "run"))
    with pytest.raises(NonFiniteError, match="nothing was kept"):
        train(SmallTask(run, poison=0), run)
    assert names(tmp_path) == []
    late = RunOptions(
        max_steps=9, progress="none", checkpoint=str(tmp_path / "run"), checkpoint_every=1
    )
    with pytest.raises(ZeroDivisionError):
        train(SmallTask(late, before_step=lambda call: 1 // (4 - call)), late)
    assert names(tmp_path / "run") == ["checkpoint.safetensors", "history.jsonl"]


def test_restart_begins_anew(tmp_path: Path) -> None:
    first = RunOptions(max_steps=3, progress="none", checkpoint=str(tmp_path))
    train(SmallTask(first), first)
    with pytest.raises(OutputError, match=r"--resume .* --force without --resume"):
        train(SmallTask(first), first)
    again = RunOptions(
        max_steps=5, learning_rate=0.5, progress="none", checkpoint=str(tmp_path), restart=True
    )
    task = SmallTask(again)
    assert train(task, again).steps == task.calls == 5
