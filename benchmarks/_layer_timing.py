"""Fair times of short calls: in turn, after quiet, long enough, and what follows from them.

Libraries with thread pools of their own disturb each other: after a call the threads of one spin
for up to some 40 ms before they sleep, and take the cores from the next. So before each measurement
we wait until this process uses no processor. Knows nothing of what is measured.
"""

from __future__ import annotations

import dataclasses
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from _harness import Spread, in_turn

Work = Callable[[], object]

QUIET_SLICE = 0.004  # seconds; shorter ones meet the timer's own coarseness
QUIET_SHARE = 0.1  # of one processor
QUIET_AT_MOST = 0.3  # seconds; whoever spins longer than this is measured as the nuisance it is


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effort:
    """How long a measurement may take.

    Args:
        rounds: how many times each candidate is measured, one more being thrown away.
        least_seconds: how long one measurement lasts at least; short calls are repeated for it.
        threads: of every library alike.
    """

    rounds: int
    least_seconds: float
    threads: int


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of one call of each candidate, round by round; round n of all belong together."""

    by_name: Mapping[str, Sequence[float]]

    def seconds(self, name: str) -> Spread:
        """Returns the seconds of one call."""
        return Spread.of(self.by_name[name])

    def ratio(self, slower: str, faster: str) -> Spread:
        """Returns how many times as long one takes as another, compared round by round."""
        pairs = zip(self.by_name[slower], self.by_name[faster], strict=True)
        return Spread.of([a / b for a, b in pairs])

    def fastest(self, names: Sequence[str]) -> str:
        """Returns which of these has the smallest median."""
        return min(names, key=lambda name: self.seconds(name).median)


def compare(candidates: Mapping[str, Work], effort: Effort) -> Times:
    """Measures the candidates in turn, with the garbage collector off.

    Each is called before, which compiles what is compiled late and tells how often it must be
    repeated. A measurement is: wait for quiet, one call that is not counted (it wakes the threads),
    then as many calls as ``least_seconds`` needs; its value is the mean over these calls.
    """
    with _no_garbage_collection():
        measures = {name: _measure(work, effort) for name, work in candidates.items()}
        return Times(in_turn(measures, effort.rounds))


def _measure(work: Work, effort: Effort) -> Callable[[], float]:
    repeats = repeats_of(work, effort.least_seconds)

    def measure() -> float:
        settle()
        if repeats > 1:
            work()
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - start) / repeats

    return measure


def repeats_of(work: Work, least_seconds: float) -> int:
    """Returns how many calls last ``least_seconds``; the first call, which may compile, is free."""
    work()
    calls = 1
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        took = time.perf_counter() - start
        if took >= least_seconds / 4:
            return max(1, math.ceil(calls * least_seconds / took))
        calls *= 4


def settle() -> None:
    """Waits until this process's threads use no processor."""
    end = time.perf_counter() + QUIET_AT_MOST
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(QUIET_SLICE)
        if time.process_time() - before < QUIET_SHARE * QUIET_SLICE:
            return


def geometric_mean(ratios: Sequence[float]) -> float:
    """Returns the mean that treats twice as fast and twice as slow alike."""
    return statistics.geometric_mean(ratios)


def significant(value: float, digits: int = 4) -> float:
    """Returns the number with so many significant digits."""
    return float(f"{value:.{digits}g}")


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
