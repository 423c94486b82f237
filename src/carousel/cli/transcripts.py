"""What ``carousel predict`` does with a recogniser: files or a microphone in, transcripts out."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from carousel.cli import standard_output
from carousel.cli.standard_input import incoming_names
from carousel.cli.waiting import counted
from carousel.data.storage import write_atomically
from carousel.errors import OptionError
from carousel.options import option, options
from carousel.tasks.speech_recognition.recognition import ListeningOptions

_PAUSE = 0.8  # seconds of silence that end an utterance
_NOTHING = 20.0  # seconds of silence behind which a stream in which nothing was said begins anew


@options
class TranscribingOptions:
    """How a recogniser's transcripts are written."""

    listen: int | None = option(
        default=None,
        help="transcribe raw 16-bit mono samples of this rate from standard input as they come, "
        "such as a microphone's (arecord -q -t raw -f S16_LE -r 16000); of a streaming model",
        unit="Hz",
        low=8_000,
        high=192_000,
    )
    times: bool = option(
        default=False, help="a line a word: begin and end in seconds, confidence, the word"
    )


def transcribe(
    model: Path,
    input: str | None,
    chosen: TranscribingOptions,
    listening: ListeningOptions,
    out: Path | None,
    device: str,
    *,
    as_json: bool,
) -> None:
    """Transcribes a file, the files of a folder, those that a list names, or what is being said."""
    import carousel

    if chosen.times and (as_json or listening.best > 1):
        other = "--json has the times of all words" if as_json else "--best gives whole transcripts"
        raise OptionError(f"{other}; leave --times out")
    if chosen.listen is not None:
        if input is not None or out is not None:
            raise OptionError(
                f"--listen hears standard input and prints, so that "
                f"{'INPUT' if input is not None else '--out'} would do nothing; leave it out"
            )
        _listen(carousel.load(model).to(device), chosen, listening, as_json=as_json)
        return
    if input is None:
        raise OptionError(
            "predict with a recogniser needs INPUT: an audio file, a folder of them, or - for a "
            "list of files on standard input, one a line; or --listen for a microphone"
        )
    files = _files(input)
    recognizer = carousel.load(model).to(device)
    written: list[str] = []
    is_counted = len(files) > 1 and (out is not None or not sys.stdout.isatty())
    with counted("recordings") if is_counted else contextlib.nullcontext() as progress:
        for number, path in enumerate(files, start=1):
            found = recognizer.transcribe(path, listening=listening)
            text = _shown(path, found, many=len(files) > 1, times=chosen.times, as_json=as_json)
            if out is not None:
                written.append(text)
            else:
                print(text, flush=True)
            if progress is not None:
                progress(number, len(files))
            if getattr(sys.stdout, "failed", False):  # the reader has left
                return
    if out is not None:
        content = "".join(f"{text}\n" for text in written)
        # A name that is no text stands there in the bytes that it has on the disk.
        write_atomically(out, content.encode("utf-8", "surrogateescape"))
        print(f"wrote {len(written):,} transcripts to {out}", file=sys.stderr)


def _listen(
    recognizer: Any, chosen: TranscribingOptions, listening: ListeningOptions, *, as_json: bool
) -> None:
    """Prints what is said, an utterance a line; at a terminal also while it is said."""
    import numpy as np

    assert chosen.listen is not None
    rate, rest = chosen.listen, b""
    shows = sys.stdout.isatty() and not (as_json or chosen.times)
    stream = recognizer.stream(rate, listening=listening)
    is_last = False
    while not is_last:
        data = rest + os.read(0, max(2, 2 * (rate // 10)))
        is_last = len(data) == len(rest)
        rest = data[len(data) // 2 * 2 :]
        samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
        partial = str(stream.feed(samples))
        if shows and partial:
            print(f"\r\033[K{partial}", end="", flush=True)
        is_over = stream.silence_seconds > (_PAUSE if partial else _NOTHING)
        if is_over or is_last:
            found = stream.finish()
            if found.text:
                text = _shown("-", found, many=False, times=chosen.times, as_json=as_json)
                print(f"\r\033[K{text}" if shows else text, flush=True)
            if not is_last:
                stream = recognizer.stream(rate, listening=listening)
        if getattr(sys.stdout, "failed", False):  # the reader has left
            return


def _files(input: str) -> list[str]:
    """Returns the files that INPUT means."""
    from carousel.data.audio_files import SUFFIXES

    if input == "-":
        found = incoming_names("give INPUT")
        if not found:
            raise OptionError("standard input names no file; give one a line")
        return found
    place = Path(os.path.expanduser(input))
    if not place.is_dir():
        return [str(place)]
    endings = (*SUFFIXES, ".npy", ".mfc")
    inside = sorted(p for p in place.iterdir() if p.suffix.lower() in endings and p.is_file())
    if not inside:
        raise OptionError(
            f"{place}: expected a folder with audio files ({', '.join(endings)}), got none"
        )
    return [str(path) for path in inside]


def _shown(path: str, found: Any, *, many: bool, times: bool, as_json: bool) -> str:
    """Returns a transcript as JSON, as its text, or as a line a word; of many with the file."""
    if as_json:
        return standard_output.as_json({"audio": path, **found.to_dict()})
    before = f"{path}\t" if many else ""
    if times:
        return "\n".join(
            f"{before}{word.begin:.2f}\t{word.end:.2f}\t{word.confidence:.3f}\t{word.text}"
            for word in found.words
        )
    return "\n".join(f"{before}{each}" for each in (found, *found.others))
