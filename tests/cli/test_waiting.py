"""What is shown while a verb works: something at a terminal, nothing elsewhere."""

from __future__ import annotations

import io

import pytest

from carousel.cli.waiting import counted


class Terminal(io.StringIO):
    """Takes what is written as a terminal does."""

    def isatty(self) -> bool:
        return True


def opened(patch: pytest.MonkeyPatch) -> Terminal:
    """Puts a terminal in the place of standard error, which pytest sets anew for each test."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        patch.delenv(name, raising=False)
    patch.setenv("TERM", "xterm")
    found = Terminal()
    patch.setattr("sys.stderr", found)
    return found


def test_a_terminal_is_shown_how_much_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = opened(monkeypatch)
    with counted("tokens") as told:
        assert told is not None
        told(0, 4_000)
        told(1_500, 4_000)
        told(4_000, 4_000)
    shown = terminal.getvalue()
    assert "4000/4000" in shown
    assert "tokens" in shown
    assert shown.endswith("\x1b[2K")  # and it is wiped away when all is done
    assert capsys.readouterr().out == ""


def test_a_failure_passes_and_leaves_the_terminal_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = opened(monkeypatch)
    with pytest.raises(KeyError), counted("tokens") as told:
        assert told is not None
        told(3, 7)
        raise KeyError
    assert terminal.getvalue().count("\x1b[?25h") == terminal.getvalue().count("\x1b[?25l") == 1


def test_nothing_is_told_where_it_would_never_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (io.StringIO(), None):
        monkeypatch.setattr("sys.stderr", place)
        with counted("tokens") as told:
            assert told is None


def test_a_block_that_tells_nothing_is_none_the_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch)
    with counted("tokens") as told:
        assert told is not None
