"""How long the layer takes beside other libraries: inference, training, steps, unequal lengths.

Shape letters: T time, B batch, I input size, H hidden size.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import _layer_peers as peers
from _harness import Spread, Table
from _layer_cases import (
    STEPPER_SIZES,
    Found,
    Point,
    inputs,
    milliseconds,
    must_agree,
    our_layer,
    say,
    spread_cells,
    torch_layer,
    training_step,
)
from _layer_timing import Effort, Times, Work, compare, geometric_mean, significant

OURS = "carousel"


def inference(grid: Sequence[Point], available: Sequence[str], effort: Effort) -> Found:
    """Measures the forward pass of the grid, without gradients, against all who are there."""
    names = ["torch", *available]
    rows: list[list[str | float]] = []
    over_torch: list[float] = []
    over_best: list[float] = []
    ratios: dict[str, dict[str, Spread]] = {}
    for point in grid:
        theirs = torch_layer(point).eval()
        ours, x = our_layer(theirs).eval(), inputs(point)
        with torch.inference_mode():
            expected = theirs(x)[0]
            must_agree(OURS, ours(x)[0], expected)
            candidates: dict[str, Work] = {
                "torch": functools.partial(theirs, x),
                OURS: functools.partial(ours, x),
            }
            for name in available:
                candidate = peers.peer(name, theirs, x, effort.threads)
                candidate.work()
                must_agree(name, candidate.outputs(), expected)
                candidates[name] = candidate.work
            times = compare(candidates, effort)
        ratios[str(point)] = {name: times.ratio(name, OURS) for name in names}
        over_torch.append(ratios[str(point)]["torch"].median)
        best = None
        if set(available) == set(peers.NEEDS):
            best = ratios[str(point)][times.fastest(available)]
            over_best.append(best.median)
        cells = milliseconds(times, ["torch", *peers.NEEDS, OURS])
        cells += [*spread_cells(ratios[str(point)]["torch"]), *spread_cells(best)]
        rows.append([str(point), *cells, ours.engine.name])
        say(f"inference {point}: {over_torch[-1]:.2f} over torch, {_of(times, names)}")
    results = {**summary("infer_vs_torch", over_torch), **summary("infer_vs_best_peer", over_best)}
    columns = ["B,T,I,H", "torch", *peers.NEEDS, OURS]
    columns += ["over torch", "quartiles", "over best peer", "quartiles", "engine"]
    title = "Inference: milliseconds of one call, and how many times as fast ours is"
    return Found(
        results=results, table=Table(title=title, columns=columns, rows=rows), ratios=ratios
    )


def training(grid: Sequence[Point], available: Sequence[str], effort: Effort) -> Found:
    """Measures a training step of the grid against torch; JAX is shown beside it."""
    rows: list[list[str | float]] = []
    over_torch: list[float] = []
    ratios: dict[str, dict[str, Spread]] = {}
    for point in grid:
        theirs, x = torch_layer(point), inputs(point)
        ours = our_layer(theirs)
        candidates = {"torch": training_step(theirs, x), OURS: training_step(ours, x)}
        if "jax" in available:
            candidates["jax"] = peers.jax_training_step(theirs, x)
        times = compare(candidates, effort)
        others = [name for name in candidates if name != OURS]
        ratios[str(point)] = {name: times.ratio(name, OURS) for name in others}
        over_torch.append(ratios[str(point)]["torch"].median)
        cells = milliseconds(times, ["torch", "jax", OURS])
        cells += spread_cells(ratios[str(point)]["torch"])
        rows.append([str(point), *cells, ours.engine.name])
        say(f"training {point}: {over_torch[-1]:.2f} over torch, {_of(times, others)}")
    columns = ["B,T,I,H", "torch", "jax", OURS, "over torch", "quartiles", "engine"]
    title = "Training step: milliseconds of forward and backward, and how many times as fast"
    return Found(
        results=summary("train_vs_torch", over_torch),
        table=Table(title=title, columns=columns, rows=rows),
        ratios=ratios,
    )


def stepping(available: Sequence[str], effort: Effort) -> Found:
    """Measures one step of one sequence with its state fed back, I = H."""
    notes, rows, results = [], [], {}
    for H in STEPPER_SIZES:
        point = Point(1, 1, H, H)
        theirs = torch_layer(point).eval()
        ours, x = our_layer(theirs).eval(), inputs(point)
        with torch.inference_mode():
            candidates = {"torch": _fed_back(theirs, x)}
            if hasattr(ours, "stepper"):
                candidates[OURS] = _stepper(ours, theirs, x)
            else:
                notes.append(f"stepping, H = {H}: carousel.LSTM has no stepper yet")
            if "onnxruntime" in available:
                candidate = peers.onnxruntime_stepper(theirs, x, effort.threads)
                expected = _steps(theirs, x, 3)
                for _ in range(3):
                    candidate.work()
                must_agree("onnxruntime", candidate.outputs(), expected)
                candidates["onnxruntime"] = candidate.work
            times = compare(candidates, effort)
        ratio = None
        if {OURS, "onnxruntime"} <= set(candidates):
            ratio = times.ratio("onnxruntime", OURS)
            results[f"stepper_vs_ort_{H}"] = significant(ratio.median)
        cells = milliseconds(times, ["torch", "onnxruntime", OURS])
        in_microseconds = [significant(1e3 * c) if isinstance(c, float) else c for c in cells]
        rows.append([H, *in_microseconds, *spread_cells(ratio)])
        say(f"stepping {H}: {_of(times, list(candidates))}")
    columns = ["I = H", "torch", "onnxruntime", OURS, "over onnxruntime", "quartiles"]
    title = "Stepping: microseconds of one step of one sequence, its state fed back"
    table = Table(title=title, columns=columns, rows=rows)
    return Found(results=results, table=table, notes=notes)


def unequal_lengths(points: Sequence[Point], effort: Effort) -> Found:
    """Measures a training step on sequences of 10 to 100 % of T, against torch's packed path."""
    rows: list[list[str | float]] = []
    over_torch: list[float] = []
    for point in points:
        theirs, x = torch_layer(point), inputs(point)
        ours, lengths = our_layer(theirs), drawn_lengths(point)

        def packed(
            x: Tensor, layer: torch.nn.LSTM = theirs, lengths: Tensor = lengths, T: int = point.T
        ) -> Tensor:
            output, _ = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
            padded: Tensor = pad_packed_sequence(output, total_length=T)[0]
            return padded

        def ragged(x: Tensor, layer: torch.nn.Module = ours, lengths: Tensor = lengths) -> Tensor:
            output: Tensor = layer(x, lengths=lengths)[0]
            return output

        must_agree(OURS, ragged(x).detach(), packed(x))
        candidates = {
            "torch": training_step(theirs, x, packed),
            OURS: training_step(ours, x, ragged),
        }
        times = compare(candidates, effort)
        ratio = times.ratio("torch", OURS)
        over_torch.append(ratio.median)
        cells = [*milliseconds(times, ["torch", OURS]), *spread_cells(ratio)]
        rows.append([str(point), significant(float(lengths.float().mean()) / point.T, 3), *cells])
        say(f"unequal lengths {point}: {ratio.median:.2f} over torch")
    columns = ["B,T,I,H", "real steps", "torch, packed", OURS, "over torch", "quartiles"]
    title = "Unequal lengths: milliseconds of a training step"
    return Found(
        results={"ragged_train_vs_torch": significant(geometric_mean(over_torch))},
        table=Table(title=title, columns=columns, rows=rows),
    )


def bf16(grid: Sequence[Point], effort: Effort) -> Found:
    """Measures a training step under autocast to bf16 where H >= 512 and B >= 16."""
    columns = ["B,T,I,H", "torch fp32", "torch bf16", OURS, "over fp32", "quartiles"]
    columns += ["over bf16", "quartiles"]
    title = "bf16 autocast: milliseconds of a training step"
    rows: list[list[str | float]] = []
    reason = None if bf16_instructions() else "this CPU has no bf16 instructions that oneDNN uses"
    over_fp32: list[float] = []
    over_bf16: list[float] = []
    for point in () if reason else [p for p in grid if p.H >= 512 and p.B >= 16]:
        theirs, x = torch_layer(point), inputs(point)
        ours = our_layer(theirs)
        candidates = {
            "torch fp32": training_step(theirs, x),
            "torch bf16": training_step(theirs, x, _under_autocast(theirs)),
            OURS: training_step(ours, x, _under_autocast(ours)),
        }
        times = compare(candidates, effort)
        ratios = [times.ratio(name, OURS) for name in ("torch fp32", "torch bf16")]
        over_fp32.append(ratios[0].median)
        over_bf16.append(ratios[1].median)
        cells = milliseconds(times, list(candidates))
        rows.append([str(point), *cells, *(c for ratio in ratios for c in spread_cells(ratio))])
        say(f"bf16 {point}: {over_fp32[-1]:.2f} over fp32, {over_bf16[-1]:.2f} over bf16")
    results = {}
    if over_fp32:
        results["bf16_train_vs_torch_fp32"] = significant(geometric_mean(over_fp32))
        results["bf16_train_vs_torch_bf16"] = significant(geometric_mean(over_bf16))
    return Found(
        results=results,
        table=Table(title=title, columns=columns, rows=rows),
        notes=[f"bf16 was not measured: {reason}"] if reason else [],
    )


def bf16_instructions() -> bool:
    """Returns whether PyTorch runs an LSTM in bf16 on this CPU."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def drawn_lengths(point: Point) -> Tensor:
    """Returns (B,) lengths drawn uniformly from 10 to 100 % of T, unsorted, the longest being T."""
    shortest = -(-point.T // 10)
    generator = torch.Generator().manual_seed(2)
    lengths = torch.randint(shortest, point.T + 1, (point.B,), generator=generator)
    lengths[int(lengths.argmax())] = point.T  # a batch is as long as its longest sequence
    return lengths


def summary(key: str, ratios: Sequence[float]) -> dict[str, float]:
    """Returns geometric mean and smallest of the ratios under a key, nothing of no ratios."""
    if not ratios:
        return {}
    return {key: significant(geometric_mean(ratios)), f"{key}_min": significant(min(ratios))}


def _of(times: Times, names: Sequence[str]) -> str:
    shown = [name for name in dict.fromkeys([*names, OURS]) if name in times.by_name]
    return ", ".join(f"{name} {1e3 * times.seconds(name).median:.4g} ms" for name in shown)


def _under_autocast(layer: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    def call(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            output: Tensor = layer(x)[0]
        return output

    return call


def _fed_back(layer: torch.nn.Module, x: Tensor) -> Work:
    state = None

    def step() -> Tensor:
        nonlocal state
        output: Tensor
        output, state = layer(x, state)
        return output

    return step


def _steps(layer: torch.nn.Module, x: Tensor, count: int) -> Tensor:
    step = _fed_back(layer, x)
    for _ in range(count - 1):
        step()
    output = step()
    assert isinstance(output, Tensor)
    return output


def _stepper(ours: Any, theirs: torch.nn.LSTM, x: Tensor) -> Work:
    """Returns one step of our stepper, which was seen to compute what torch does."""
    checked, timed, row = ours.stepper(1), ours.stepper(1), x[0]
    for _ in range(3):
        h = checked.step(row)
    must_agree("carousel's stepper", h[None], _steps(theirs, x, 3))
    return functools.partial(timed.step, row)
