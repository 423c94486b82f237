"""What ``carousel predict`` does with a translator: lines in, lines out, as they come."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from carousel.cli import standard_output
from carousel.cli.places import PLOT_FORMATS, TRANSLATION, check_ending
from carousel.cli.standard_input import STANDARD_INPUT, incoming_lines
from carousel.cli.waiting import counted
from carousel.data import text_files
from carousel.data.extras import import_extra
from carousel.data.pairs import one_side
from carousel.data.storage import write_atomically
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import DataError, OptionError
from carousel.options import option, options

_SHOWN = 10  # unseen characters that a warning names
_WARNED = 5  # lines with such that are named one by one


@options
class TranslatingOptions:
    """What a translator translates."""

    text: str | None = option(default=None, help="a sentence to translate, in place of INPUT")
    field: str | None = option(
        default=None,
        help="field of a JSON line that holds the text to translate; default: that of the training",
    )


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
    if plot is not None:
        import_extra("matplotlib", "text")  # whose lack should be known before the work
    if chosen.text is not None and (input is not None or encoding is not None):
        other = "INPUT" if input is not None else "--encoding"
        raise OptionError(f"--text is the text itself, which {other} is not for; leave one out")
    if max_tokens == 0:
        raise OptionError("--max-tokens 0 would write nothing; give more, or leave it out")
    if encoding is not None:
        text_files.known_encoding(encoding)  # what is wrong is refused before the model is read
    path = None if input is None or input == "-" else os.path.expanduser(input)
    file = None if path is None else text_files.one_file(path)
    is_json = file is not None and text_files.ends_in(text_files.JSON_SUFFIXES, file)
    if chosen.field is not None and not is_json:
        raise OptionError(
            "--field belongs to a file of JSON lines, .jsonl or .ndjson; leave it out, or give one"
        )
    translator = carousel.load(model).to(device)
    encoding = text_files.known_encoding(encoding or translator.options.encoding)
    lines: Iterable[str]
    source, piped = "--text", False
    if chosen.text is not None:
        lines = text_files.text_lines(chosen.text) or [""]
    elif path is None:
        lines = incoming_lines(encoding, "give INPUT, or --text")
        source, piped = STANDARD_INPUT, True
    else:
        lines, source = _sources(path, translator.options, chosen.field, encoding), path
    if plot is not None:
        lines = _only_line(lines)
    total = len(lines) if isinstance(lines, list) else 0
    # Between lines on a terminal a bar would be in the way; of what is typed nobody knows the end.
    is_counted = total > 1 and (out is not None or not sys.stdout.isatty())
    found = translator.stream(lines, max_tokens=max_tokens, search=search, source=source)
    written: list[str] = []
    last: Any = None
    try:
        with (
            counted("sentences") if is_counted else contextlib.nullcontext() as progress,
            _warnings(all_of_them=not total) as warn,
        ):
            for number, last in enumerate(found, start=1):
                warn(number, last)
                text = _shown(number, last, search, as_json=as_json)
                if out is not None:
                    written.append(text)
                else:
                    print(text, flush=True)
                if progress is not None:
                    progress(number, total)
                if getattr(sys.stdout, "failed", False):  # the reader has left
                    break
    except (DataError, KeyboardInterrupt):
        # What came through a pipe comes no second time.
        if out is not None and written and piped:
            _write(out, written)
        raise
    if out is not None:
        _write(out, written)
    if plot is not None:
        last.plot(plot)


def _sources(path: str, options: Any, field: str | None, encoding: str) -> list[str]:
    """Returns the texts to translate of a file of text, or of pairs as the model was fitted to."""
    usual = options.target_field if options.reverse else options.source_field
    return one_side(path, field=field or usual, column=int(options.reverse), encoding=encoding)


def _write(out: Path, texts: list[str]) -> None:
    text = "".join(f"{one}\n" for one in texts)
    write_atomically(out, text.encode())
    lines = text.count("\n")
    print(f"wrote {lines:,} line{'s' * (lines != 1)} to {out}", file=sys.stderr)


def _shown(number: int, one: Any, beam: BeamOptions, *, as_json: bool) -> str:
    """Returns a translation as a line; several of them as lines of number, score and text."""
    if as_json:
        return standard_output.as_json(one.to_dict())
    if beam.best == 1:
        return str(one)
    return "\n".join(f"{number}\t{each.score:.4f}\t{each}" for each in (one, *one.others))


@contextlib.contextmanager
def _warnings(all_of_them: bool) -> Iterator[Callable[[int, Any], None]]:
    """Warns of translations that may be none, and at the end says how many more there are.

    What did not end is counted only: its text says it.
    """
    guessed = cut = 0

    def look(number: int, one: Any) -> None:
        nonlocal guessed, cut
        cut += not one.complete
        if one.unseen:
            guessed += 1
            if all_of_them or guessed <= _WARNED:
                _warn_of_unseen(number, one.unseen)

    try:
        yield look
    finally:
        more = 0 if all_of_them else guessed - _WARNED
        if more > 0:
            _warn(
                f"{more:,} more {'line has' if more == 1 else 'lines have'} characters that the "
                f"training sentences never had"
            )
        if cut:
            _warn(
                f"{cut:,} {'translation' if cut == 1 else 'translations'} did not end and "
                f"{'was' if cut == 1 else 'were'} cut at the limit; --max-tokens raises it"
            )


def _warn(words: str) -> None:
    print(f"carousel: warning: {words}", file=sys.stderr)


def _warn_of_unseen(number: int, unseen: str) -> None:
    # What cannot be printed may be an order to the terminal.
    signs = [c if c.isprintable() else f"U+{ord(c):04X}" for c in unseen[:_SHOWN]]
    shown = " ".join(signs) + (" ..." if len(unseen) > _SHOWN else "")
    _warn(
        f"line {number}: the training sentences never had {shown}; what is made of them is a guess"
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
