"""carousel.LSTM beside torch.nn.LSTM, ONNX Runtime, OpenVINO and JAX, on the CPU.

One layer in one direction, fp32, the same weights, inputs and number of threads (2 without
--threads). The grid has 13 points, written as batch, time, input, hidden. Each number is a ratio
measured in one run, in turn: a round measures every candidate once, its time is divided by ours of
the same round, and the median over the rounds counts; tables show the quartiles. Before each
measurement we wait until no thread of this process is busy, for thread pools go on spinning after a
call, ONNX Runtime's for some 40 ms; then comes one call that is not counted, then as many as fill
30 ms. Each library is first seen to compute what torch computes.

Every library runs as its users run it: ONNX Runtime with default options and bound inputs and
outputs; OpenVINO from the same ONNX graph for low latency in f32; JAX compiled, as the faster of
two forms at each point (inputs multiplied before the scan, or within it). A training step sets the
gradients to None, runs forward, and backward from a fixed random gradient of the outputs, into the
weights and the input. The best peer is the fastest of ONNX Runtime, OpenVINO and JAX at that point.
None is given a state, and each may make of that what it can: ours leaves out the products of the
recurrent weights with zeros, where there is but one step.

    infer_vs_torch             torch's time over ours without gradients, geometric mean of the grid
    infer_vs_best_peer         likewise the best peer's time over ours, which is absent where one of
                               the three is not installed
    train_vs_torch             likewise a training step, torch's time over ours
    *_min                      the smallest over the grid of what stands before
    stepper_vs_ort_128, _512   one step of one sequence, I = H = 128 and 512, its state fed back:
                               ONNX Runtime's time over that of lstm.stepper. Its loop is only the
                               run of a bound session; ours gets the input and returns h
    ragged_train_vs_torch      training on lengths drawn from 10 to 100 % of T, unsorted: torch
                               packs and pads, ours takes lengths; geometric mean
    bf16_train_vs_torch_fp32   training under autocast to bf16 where H is 512 or more and B 16 or
                               more: torch's fp32 time over our bf16 time, geometric mean
    bf16_train_vs_torch_bf16   the same over torch's bf16 time
    variant_cost_max           the dearest variant, at the point where it is dearest: its training
                               step over the plain cell's. The projection has P = 4H/5, with which a
                               step has as many multiplications as without; the trace, which has
                               no backward, is over the forward of a training step; all lengths
                               are full; one step in a hundred is a reset
    error_vs_torch             our largest error against float64 over torch's, the worst of all
                               outputs, gradients and points; errors are shares of the largest exact
                               value, and one below a rounding, 2^-24, counts as that
    error_rms_vs_torch         the same with the root mean square of the errors, and its geometric
    error_rms_vs_torch_mean    mean instead of the worst
    error_peak_vs_torch        the largest of all our errors over the largest of all of torch's
    train_memory_vs_torch      memory that training steps add at their peak, ours over torch's, the
                               worse of two points; each in a fresh process, from the system's mark
                               of the highest resident memory
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable

import torch

import _layer_memory
import _layer_peers as peers
import _layer_plot
import _layer_speed as speed
import _layer_variants
from _harness import Outcome, run
from _layer_cases import GRID, QUICK_GRID, RAGGED, Found, Point, say
from _layer_error import error
from _layer_timing import Effort

GROUPS = ("infer", "train", "stepper", "ragged", "bf16", "variants", "error", "memory")
IDLE_LOAD = 0.5  # of the last minute, as the system counts it
PANELS = {"infer": "Inference", "train": "Training step"}


def groups(available: list[str], threads: int, quick: bool) -> dict[str, Callable[[], Found]]:
    """Returns what there is to measure, by the name that ``--only`` knows."""
    effort = Effort(
        rounds=3 if quick else 9, least_seconds=0.005 if quick else 0.03, threads=threads
    )
    grid = QUICK_GRID if quick else GRID
    ragged = (Point(16, 50, 16, 32),) if quick else RAGGED
    few = (Point(16, 24, 8, 64),)
    return {
        "infer": functools.partial(speed.inference, grid, available, effort),
        "train": functools.partial(speed.training, grid, available, effort),
        "stepper": functools.partial(speed.stepping, available, effort),
        "ragged": functools.partial(speed.unequal_lengths, ragged, effort),
        "bf16": functools.partial(speed.bf16, grid, effort),
        "variants": functools.partial(
            _layer_variants.variants, few if quick else _layer_variants.POINTS, effort
        ),
        "error": functools.partial(error, grid, 1 if quick else 3),
        "memory": functools.partial(
            _layer_memory.memory,
            (Point(16, 50, 64, 128),) if quick else _layer_memory.POINTS,
            1 if quick else 3,
            threads,
        ),
    }


def measure(arguments: argparse.Namespace) -> Outcome:
    """Measures the chosen groups, or all."""
    torch.set_num_threads(arguments.threads)
    peers.limit_jax_threads(arguments.threads)
    notes = busy_with_others()
    for name in peers.NEEDS:
        if absent := peers.missing(name):
            notes.append(f"{name} was left out: not installed here: {', '.join(absent)}")
            say(notes[-1])
    available = [name for name in peers.NEEDS if not peers.missing(name)]
    chosen = arguments.only or GROUPS
    found: dict[str, Found] = {}
    for name, group in groups(available, arguments.threads, arguments.quick).items():
        if name not in chosen:
            continue
        found[name] = group()
        for note in found[name].notes:
            say(note)
    notes += [note for each in found.values() for note in each.notes]
    if "jax" in available and peers.jax_threads() not in (None, 0, arguments.threads):
        notes.append(f"JAX computed with {peers.jax_threads()} threads, not {arguments.threads}")
        say(notes[-1])
    results = {key: value for each in found.values() for key, value in each.results.items()}
    panels = {title: found[name].ratios for name, title in PANELS.items() if name in found}
    return Outcome(
        results=results,
        columns=["key", "result"],
        rows=list(results.items()),
        tables=[each.table for each in found.values() if each.table.rows],
        notes=notes,
        plot=functools.partial(_layer_plot.draw, panels) if panels else None,
        partial=chosen != GROUPS,
    )


def busy_with_others() -> list[str]:
    """Returns a warning where the machine has been working before we began.

    With as many threads as cores, one other program makes threads wait for each other for whole
    time slices of the system, 4 to 24 ms, and hits each library differently.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < IDLE_LOAD:
        return []
    say(f"the machine is not idle (load {load:.1f}): what follows may be far off")
    return [f"the load was {load:.1f} before the start: the machine may not have been idle"]


def some_groups(text: str) -> list[str]:
    """Returns the groups that are named with commas between them."""
    names = text.split(",")
    if unknown := [name for name in names if name not in GROUPS]:
        raise argparse.ArgumentTypeError(
            f"expected some of {','.join(GROUPS)}, got {','.join(unknown)}"
        )
    return names


if __name__ == "__main__":
    run(
        measure,
        options={
            "--threads": {"type": int, "default": 2, "help": "of every library alike"},
            "--only": {
                "type": some_groups,
                "metavar": "GROUPS",
                "help": f"some of {','.join(GROUPS)}; writes nothing",
            },
        },
        libraries=[name for name in peers.NEEDS if not peers.missing(name)],
    )
