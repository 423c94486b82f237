"""SIGINT and SIGTERM end a run between two steps, after saving."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from carousel.errors import TrainingInterruptedError
from carousel.training import RunOptions, train
from carousel.training.signals import StopSignals
from training.small_task import SmallTask, start


def send_at(step: int, number: int, times: int = 1):
    def before_step(call: int) -> None:
        if call == step:
            for _ in range(times):
                os.kill(os.getpid(), number)

    return before_step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(tmp_path: Path, number: signal.Signals) -> None:
    plain = RunOptions(max_steps=20, average=0.9, progress="none")
    whole = SmallTask(plain)
    train(whole, plain)
    kept = RunOptions(
        max_steps=20, average=0.9, progress="none", checkpoint=str(tmp_path), resume=True
    )
    handlers = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]
    with pytest.raises(TrainingInterruptedError) as caught:
        train(SmallTask(kept, before_step=send_at(7, number)), kept)
    assert caught.value.signal_number == number
    message = str(caught.value)
    assert f"stopped by {number.name} after step 7" in message
    assert f"the checkpoint of step 7 is in {tmp_path}" in message
    assert "--resume" in message
    assert [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)] == handlers
    again = SmallTask(kept)
    train(again, kept)
    assert again.calls == 13
    assert torch.equal(whole.module.head.weight, again.module.head.weight)


def test_without_a_folder_the_message_says_that_nothing_was_saved() -> None:
    run = RunOptions(max_steps=20, progress="none")
    with pytest.raises(TrainingInterruptedError, match="nothing was saved") as caught:
        train(SmallTask(run, before_step=send_at(7, signal.SIGINT)), run)
    assert "--resume" not in str(caught.value)


def test_a_second_ctrl_c_acts_at_once(tmp_path: Path) -> None:
    run = RunOptions(max_steps=20, progress="none", checkpoint=str(tmp_path), checkpoint_every=3)
    task = SmallTask(run, before_step=send_at(7, signal.SIGINT, times=2))
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(task, run)
    assert task.calls == 7
    assert signal.getsignal(signal.SIGINT) is handler


def test_other_threads_watch_nothing() -> None:
    seen: list[object] = []

    def enter() -> None:
        before = signal.getsignal(signal.SIGINT)
        with StopSignals() as signals:
            seen.extend([signals.received, signal.getsignal(signal.SIGINT) is before])

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [0, True]


def test_a_process_that_is_asked_to_end_leaves_a_run_to_go_on_with(tmp_path: Path) -> None:
    values = {
        "name": "unfinished",
        "run": {
            "max_steps": 100_000,
            "log_every": 1,
            "progress": "plain",
            "checkpoint": str(tmp_path / "run"),
        },
        "task": {"pause": 0.002},
    }
    process = start(tmp_path, [values])
    words = tmp_path / "stderr"
    while process.is_alive() and not (words.exists() and "step" in words.read_text()):
        time.sleep(0.01)
    process.terminate()
    process.join()
    assert process.exitcode == 1
    assert "TrainingInterruptedError: stopped by SIGTERM" in words.read_text()
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
