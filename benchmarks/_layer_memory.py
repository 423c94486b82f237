"""How much memory a training step takes at its peak, each candidate in a process of its own.

python benchmarks/_layer_memory.py torch 64,50,512,512 2        prints bytes

The process makes layer, input and output gradient, trains a tiny layer once so that libraries and
threads are there, and notes the memory that it holds. Then it sets the system's mark of the highest
memory back and takes three training steps. The growth to the new mark is the step's: what forward
keeps, the gradients, packed weights, and whatever an allocator does not give back between steps.
Linux only.

Shape letters: T time, B batch, I input size, H hidden size.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from _harness import ROOT, Spread, Table, in_turn
from _layer_cases import Found, Point, inputs, our_layer, say, torch_layer, training_step
from _layer_timing import significant

POINTS = (Point(64, 50, 512, 512), Point(16, 500, 80, 320))
NAMES = ("torch", "carousel")
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"  # what proc(5) says is to be written there to set VmHWM back


def memory(points: Sequence[Point], rounds: int, threads: int) -> Found:
    """Measures the peak of a training step of both layers, in turn."""
    columns = ["B,T,I,H", *NAMES, "over torch"]
    title = "Memory: MiB that a training step adds at its peak"
    rows: list[list[str | float]] = []
    ratios: list[float] = []
    usable = sys.platform == "linux"
    for point in points if usable else ():
        taken = in_turn(
            {name: functools.partial(grown, name, point, threads) for name in NAMES}, rounds, 0
        )
        theirs, ours = (Spread.of(taken[name]).median for name in NAMES)
        ratios.append(ours / theirs)
        cells = [significant(value / 2**20) for value in (theirs, ours)]
        rows.append([str(point), *cells, significant(ratios[-1], 3)])
        say(f"memory {point}: {ratios[-1]:.2f} of torch's")
    return Found(
        results={"train_memory_vs_torch": significant(max(ratios))} if ratios else {},
        table=Table(title=title, columns=columns, rows=rows),
        notes=[] if usable else ["memory was not measured: Linux only"],
    )


def grown(name: str, point: Point, threads: int) -> float:
    """Returns the bytes that a training step adds, from a fresh process."""
    words = [sys.executable, str(ROOT / "benchmarks" / Path(__file__).name)]
    words += [name, str(point), str(threads)]
    return float(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def kilobytes(field: str) -> int:
    """Returns a field of this process's status: VmRSS, what it holds, or VmHWM, its peak."""
    for line in STATUS.read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"{STATUS} has no {field}: expected Linux's own")


def main(name: str, point: Point, threads: int) -> None:
    """Measures one candidate in this process and prints its bytes."""
    torch.set_num_threads(threads)
    step = training_step(_layer(name, point), inputs(point), gradient=_gradient(point))
    tiny = Point(4, 3, 16, 16)
    training_step(_layer(name, tiny), inputs(tiny), gradient=_gradient(tiny))()
    FORGET.write_text(FORGET_PEAK)
    before = kilobytes("VmRSS")
    for _ in range(3):
        step()
    print(1024 * (kilobytes("VmHWM") - before))


def _layer(name: str, point: Point) -> torch.nn.Module:
    theirs = torch_layer(point)
    return theirs if name == "torch" else our_layer(theirs)


def _gradient(point: Point) -> torch.Tensor:
    return torch.randn(point.T, point.B, point.H)


if __name__ == "__main__":
    main(sys.argv[1], Point(*map(int, sys.argv[2].split(","))), int(sys.argv[3]))
