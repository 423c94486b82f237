"""What ``carousel predict`` does with a translator: lines in, lines out, as they come."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from carousel.cli.places import PLOT_FORMATS, TRANSLATION, check_ending
from carousel.cli.waiting import counted
from carousel.data import text_files
from carousel.data.storage import write_atomically
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import DataError, OptionError
from carousel.options import option, options

_SHOWN = 10  # unseen characters that a warning names
_WARNED = 5  # lines with such that are named one by one
_STANDARD_INPUT = "standard input"


@options
class TranslatingOptions:
    """What a translator translates."""

    text: str | None = option(default=None, help="a sentence to translate, in place of INPUT")


def translate(
    model: Path,
    input: str | None,
    chosen: TranslatingOptions,
    search: BeamOptions,
    max_tokens: int | None,
    encoding: str | None,
    out: Path | None,
    plot: Path | None,
    device: str,
    *,
    as_json: bool,
) -> None:
    """Translates the lines of a file or of standard input, or a sentence."""
    import carousel

    check_ending("--plot", plot, PLOT_FORMATS[TRANSLATION])
    if chosen.text is not None and (input is not None or encoding is not None):
        other = "INPUT" if input is not None else "--encoding"
        raise OptionError(f"--text is the text itself, which {other} is not for; leave one out")
    if max_tokens == 0:
        raise OptionError("--max-tokens 0 would write nothing; give more, or leave it out")
    encoding = text_files.known_encoding("utf-8" if encoding is None else encoding)
    lines: Iterable[str]
    source, piped = "--text", False
    if chosen.text is not None:
        lines = text_files.text_lines(chosen.text) or [""]
    elif input in (None, "-"):
        lines, source, piped = _incoming(encoding), _STANDARD_INPUT, True
    else:
        assert input is not None
        source = os.path.expanduser(input)
        lines = text_files.file_lines(source, encoding)
    if plot is not None:
        lines = _only_line(lines)
    translator = carousel.load(model).to(device)
    total = len(lines) if isinstance(lines, list) else 0
    # Between lines on a terminal a bar would be in the way; of what is typed nobody knows the end.
    is_counted = total > 1 and (out is not None or not sys.stdout.isatty())
    found = translator.stream(lines, max_tokens=max_tokens, search=search, source=source)
    written: list[str] = []
    last: Any = None
    try:
        with (
            counted("sentences") if is_counted else contextlib.nullcontext() as progress,
            _guesses(all_of_them=not total) as warn,
        ):
            for number, last in enumerate(found, start=1):
                if last.unseen:
                    warn(number, last.unseen)
                text = _shown(number, last, search, as_json=as_json)
                if out is not None:
                    written.append(text)
                else:
                    print(text, flush=True)
                if progress is not None:
                    progress(number, total)
                if getattr(sys.stdout, "failed", False):  # the reader has left
                    return
    except (DataError, KeyboardInterrupt):
        # What came through a pipe comes no second time.
        if out is not None and written and piped:
            _write(out, written)
        raise
    if out is not None:
        _write(out, written)
    if plot is not None:
        last.plot(plot)


def _write(out: Path, texts: list[str]) -> None:
    text = "".join(f"{one}\n" for one in texts)
    write_atomically(out, text.encode())
    lines = text.count("\n")
    print(f"wrote {lines:,} line{'s' * (lines != 1)} to {out}", file=sys.stderr)


def _shown(number: int, one: Any, beam: BeamOptions, *, as_json: bool) -> str:
    """Returns a translation as a line; several of them as lines of number, score and text."""
    if as_json:
        return json.dumps(one.to_dict(), ensure_ascii=False)
    if beam.best == 1:
        return str(one)
    return "\n".join(f"{number}\t{each.score:.4f}\t{each}" for each in (one, *one.others))


@contextlib.contextmanager
def _guesses(all_of_them: bool) -> Iterator[Callable[[int, str], None]]:
    """Warns of lines with characters that training lacked, and at the end says how many more."""
    guessed = 0

    def warn(number: int, unseen: str) -> None:
        nonlocal guessed
        guessed += 1
        if all_of_them or guessed <= _WARNED:
            _warn(number, unseen)

    try:
        yield warn
    finally:
        more = 0 if all_of_them else guessed - _WARNED
        if more > 0:
            print(
                f"carousel: warning: {more:,} more {'line has' if more == 1 else 'lines have'} "
                f"characters that the training sentences never had",
                file=sys.stderr,
            )


def _warn(number: int, unseen: str) -> None:
    # What cannot be printed may be an order to the terminal.
    signs = [c if c.isprintable() else f"U+{ord(c):04X}" for c in unseen[:_SHOWN]]
    shown = " ".join(signs) + (" ..." if len(unseen) > _SHOWN else "")
    print(
        f"carousel: warning: line {number}: the training sentences never had {shown}; what is "
        f"made of them is a guess",
        file=sys.stderr,
    )


def _only_line(lines: Iterable[str]) -> list[str]:
    """Returns the line that is drawn, where there is one."""
    some: list[str] = []
    for line in lines:
        some.append(line)
        if len(some) > 1:
            raise OptionError("--plot draws one sentence, got several; give one line, or --text")
    if not some or not some[0].split():
        raise OptionError("--plot draws one sentence, got none; give one line, or --text")
    return some


def _standard_input() -> Any:
    """Returns standard input's bytes, through a reader of our own where it has a descriptor.

    The thread that waits for a line may do so when the program ends; Python would want the lock of
    ``sys.stdin`` then, which that thread holds, and abort.
    """
    if sys.stdin is None:
        raise DataError("standard input is closed; give INPUT, or --text")
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except OSError:  # no descriptor
        return sys.stdin.buffer


def _incoming(encoding: str) -> Iterator[str]:
    """Returns the lines of standard input as they come, divided as those of a file are."""
    # The bytes are cut behind each that ends a line, which in UTF-16 may be half of one.
    return text_files.divided(
        text_files.decoded_bytes(_standard_input(), encoding, _STANDARD_INPUT)
    )
