"""The program ``carousel``: its verbs, and what happens when one fails."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from carousel.cli.standard_output import is_utf8
from carousel.data.streams import Closed, LastingStream
from carousel.errors import CarouselError, TrainingInterruptedError

BAD_INPUT = 2
# A process that a signal ends exits with 128 and the signal's number, by the shells' custom.
SIGNALLED = 128
INTERRUPTED = SIGNALLED + 2


def build() -> App:
    """Returns the program with all its verbs."""
    from carousel.cli.evaluate import evaluate
    from carousel.cli.fit import fit
    from carousel.cli.info import info
    from carousel.cli.inspect import inspect
    from carousel.cli.predict import predict

    app = App(
        name="carousel",
        help="The LSTM, end to end: fit, evaluate and use sequence models.",
        help_format="plaintext",
        version=_version,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    app.command(fit)
    app.command(evaluate)
    app.command(predict)
    app.command(inspect)
    app.command(info)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
        arguments: the words after its name; by default those of the process.

    Returns:
        The exit code: 0; 2 for bad input; 128 plus the number of the signal that stopped it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Where the shell has closed one, Python has None, and would write to the other in its place.
    out = LastingStream(sys.stdout or Closed(), "standard output", expendable=False)
    err = LastingStream(sys.stderr or Closed())
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return _run(words)
    finally:
        if out.escaped:
            # In UTF-8 it was the name of a file, in bytes that are no text.
            remedy = "--out keeps it" if is_utf8(out) else "set PYTHONIOENCODING=utf-8"
            err.write(
                f"carousel: warning: standard output is {out.stream.encoding}, and what that lacks "
                f"was written as \\u and a number; {remedy}\n"
            )
        out.silence()
        err.silence()


def _run(words: Sequence[str]) -> int:
    try:
        build()(words, exit_on_error=False, print_error=False)
        print(end="", flush=True)  # what the disk refuses, it refuses only now
    except CycloptsError as error:
        return _fail(f"{error}\nsee: {' '.join(['carousel', *_verb(words), '--help'])}")
    except TrainingInterruptedError as interruption:
        print(f"carousel: {interruption}", file=sys.stderr)
        return SIGNALLED + interruption.signal_number
    except CarouselError as error:
        return _fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return _fail(
            "this needs more memory than there is; give less at a time, such as a smaller "
            "--batch-size or --beam, or take a smaller model, by --hidden-size"
        )
    except KeyboardInterrupt:
        print("carousel: interrupted; no file is left half written", file=sys.stderr)
        return INTERRUPTED
    return 0


def _is_out_of_memory(error: BaseException) -> bool:
    """Returns whether there was too little memory, of the machine or of its GPU."""
    # PyTorch has a class for some of these only, and each system its own words.
    signs = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)


def _fail(message: str) -> int:
    print(f"carousel: error: {message}", file=sys.stderr)
    return BAD_INPUT


def _verb(words: Sequence[str]) -> Sequence[str]:
    """Returns the words that name the command, for the hint where its help is."""
    from carousel.tasks.loading import TASKS

    if words[:1] == ["fit"]:
        return words[:2] if words[1:2] and words[1] in TASKS else words[:1]
    return [word for word in words[:1] if word in ("evaluate", "predict", "inspect", "info")]


def _version() -> str:
    from importlib import metadata

    return metadata.version("carousel-lstm")
