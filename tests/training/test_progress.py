"""What a terminal, a pipe and a program see, on stderr."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from carousel.errors import NonFiniteError
from carousel.training import RunOptions, train
from carousel.training.history import Record
from carousel.training.progress import (
    JsonProgress,
    LiveProgress,
    Moment,
    NoProgress,
    PlainProgress,
    duration,
    make_progress,
)
from training.small_task import SmallTask


def moment(step: int, is_line: bool = False, **metrics: float) -> Moment:
    record = Record(
        step=step,
        epoch=1,
        loss=0.25,
        learning_rate=0.001,
        grad_norm=0.5,
        throughput=12345.6,
        elapsed=30.0,
        metrics=metrics,
    )
    return Moment(record=record, used=0.25, is_line=is_line)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_time_left_follows_the_budget() -> None:
    assert moment(1).seconds_left == pytest.approx(90.0)
    assert Moment(record=moment(1).record, used=0.0, is_line=False).seconds_left is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0:00"), (61.0, "1:01"), (3599.6, "1:00:00"), (7384.0, "2:03:04")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_pipe_gets_plain_lines_now_and_then_and_every_score() -> None:
    stream, now = io.StringIO(), [0.0]
    progress = PlainProgress(stream, every=5.0, clock=lambda: now[0])
    for step, seconds in [(1, 0.0), (2, 1.0), (3, 4.9), (4, 5.0), (5, 6.0)]:
        now[0] = seconds
        progress.show(moment(step))
    progress.show(moment(6, mse=0.125))
    progress.note("goes on [bold]")
    lines = stream.getvalue().splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["1", "4", "6"]
    assert lines[0] == (
        "step 1  epoch 1  loss 0.25  rate 0.001  items/s 12,346  elapsed 0:30  left 1:30"
    )
    assert lines[2].endswith("mse 0.125")
    assert lines[-1] == "goes on [bold]"


def test_a_program_gets_json_lines() -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.show(moment(1))
    progress.show(moment(2, is_line=True, mse=0.5))
    progress.note("x")
    line, note = map(json.loads, stream.getvalue().splitlines())
    assert line == {
        "event": "progress",
        "step": 2,
        "epoch": 1,
        "loss": 0.25,
        "learning_rate": 0.001,
        "grad_norm": 0.5,
        "throughput": 12345.6,
        "elapsed": 30.0,
        "metrics": {"mse": 0.5},
        "used": 0.25,
        "seconds_left": 90.0,
    }
    assert note == {"event": "note", "text": "x"}


def test_a_terminal_gets_a_table_that_keeps_the_last_score() -> None:
    stream, now = Terminal(), [0.0]
    console = Console(file=stream, force_terminal=True, width=80, _environ={"TERM": "xterm"})
    progress = LiveProgress(console, every=1.0, clock=lambda: now[0])
    progress.show(moment(1, mse=0.125))
    progress.show(moment(2))
    assert "step" in stream.getvalue()
    assert "2 " not in stream.getvalue().split("step")[-1].split("\n")[0]
    now[0] = 1.0
    progress.show(moment(3))
    progress.note("goes on [bold]")
    progress.close()
    last = stream.getvalue().split("step")[-1]
    assert "3" in last.split("\n")[0]
    assert "0.125" in last
    assert "goes on [bold]" in stream.getvalue()
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is shown again


@pytest.mark.parametrize(
    ("stream", "term", "kind"),
    [
        (io.StringIO(), "xterm", PlainProgress),
        (Terminal(), "xterm", LiveProgress),
        (Terminal(), "dumb", PlainProgress),
    ],
)
def test_auto_looks_where_it_writes(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, term: str, kind: type
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    progress = make_progress("auto", stream)
    progress.close()
    assert isinstance(progress, kind)


def test_the_others_are_what_they_are_called() -> None:
    assert isinstance(make_progress("none"), NoProgress)
    assert isinstance(make_progress("json"), JsonProgress)
    assert isinstance(make_progress("plain", Terminal()), PlainProgress)


def test_a_run_reports_on_stderr_only(capfd: pytest.CaptureFixture[str]) -> None:
    run = RunOptions(max_steps=10, log_every=4, validate_every=5, progress="json")
    result = train(SmallTask(run), run)
    out, errors = capfd.readouterr()
    assert out == ""
    events = [json.loads(line) for line in errors.splitlines()]
    assert [event["step"] for event in events] == [4, 5, 8, 10]
    assert [event["used"] for event in events] == [0.4, 0.5, 0.8, 1.0]
    assert events[-1]["seconds_left"] == 0.0
    assert [event["metrics"] for event in events] == [r.metrics for r in result.history]


def test_a_progress_of_your_own_is_closed_whatever_happens() -> None:
    class Counting(NoProgress):
        shown = closed = 0

        def show(self, moment: Moment) -> None:
            self.shown += 1

        def close(self) -> None:
            self.closed += 1

    run = RunOptions(max_steps=10)
    fine, broken = Counting(), Counting()
    train(SmallTask(run, metric=""), run, progress=fine)
    with pytest.raises(NonFiniteError):
        train(SmallTask(run, poison=0), run, progress=broken)
    assert (fine.shown, fine.closed, broken.closed) == (10, 1, 1)
