"""How far two correct LSTMs may differ: a running error analysis, derived in docs/numerics.md.

Every number is carried with a bound of what rounding may have done to it. The forward recursion and
its gradient are written out once, by hand, in these numbers; what comes out at the other end is the
bound of each output, state and gradient, for any order of summation. Knows nothing of engines.

Shape letters: T time, B batch, I input size, H hidden size, P projection size (H where there is
none), L layers, D directions. u is the unit roundoff.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

UNIT_ROUNDOFF = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}

# Absolute error of the implementation's σ and tanh in units of u; a test measures it.
ACTIVATION_ERROR = 4

# Largest |σ''| and |tanh''|: 1/(6√3) and 4/(3√3), from setting the third derivative to zero.
SIGMOID_CURVATURE = 1 / (6 * math.sqrt(3))
TANH_CURVATURE = 4 / (3 * math.sqrt(3))

# The bound is itself computed in float64 from float64 values; this pays for that many times over.
OWN_ROUNDING = 1 + 2.0**-20


@dataclass(frozen=True)
class Bounded:
    """A value and a bound of the absolute error of any computed version of it."""

    value: Tensor
    error: Tensor

    @property
    def size(self) -> Tensor:
        """The largest magnitude that a computed version can have."""
        return self.value.abs() + self.error

    def __getitem__(self, index: object) -> Bounded:
        return Bounded(self.value[index], self.error[index])

    def where(self, condition: Tensor, other: Bounded) -> Bounded:
        """Chooses, which rounds nothing."""
        return Bounded(
            torch.where(condition, self.value, other.value),
            torch.where(condition, self.error, other.error),
        )

    def keep(self, condition: Tensor) -> Bounded:
        """Sets to zero where the condition is false, which rounds nothing."""
        return Bounded(self.value * condition, self.error * condition)


def exact(value: Tensor) -> Bounded:
    """Takes a number that both implementations are given, so that it has no error."""
    value = value.detach().double()
    return Bounded(value, torch.zeros_like(value))


def stack(parts: Sequence[Bounded]) -> Bounded:
    return Bounded(torch.stack([p.value for p in parts]), torch.stack([p.error for p in parts]))


def concatenate(parts: Sequence[Bounded]) -> Bounded:
    return Bounded(torch.cat([p.value for p in parts], -1), torch.cat([p.error for p in parts], -1))


class Arithmetic:
    """The rules of docs/numerics.md for one dtype's unit roundoff."""

    def __init__(self, u: float) -> None:
        self.u = u

    def gamma(self, n: int) -> float:
        """γ_n = n u / (1 - n u), what n roundings do to a product (Higham, Lemma 3.1)."""
        assert n * self.u < 1
        return n * self.u / (1 - n * self.u)

    def product(self, *factors: Bounded) -> Bounded:
        """Rule P: Π (|x|+e) (1 + γ_{k-1}) - Π |x|, in any order of the k factors."""
        value = torch.stack(torch.broadcast_tensors(*(f.value for f in factors))).prod(0)
        size = torch.stack(torch.broadcast_tensors(*(f.size for f in factors))).prod(0)
        return Bounded(value, size * (1 + self.gamma(len(factors) - 1)) - value.abs())

    def sum(self, *terms: Bounded, products: Sequence[tuple[Bounded, Bounded]] = ()) -> Bounded:
        """Rule S: Σ x + Σ a·W in any order, n terms in all; the error is γ_n Σ|·| + carried."""
        n = len(terms) + sum(W.value.shape[0] for _, W in products)
        value = sum((t.value for t in terms), torch.zeros((), dtype=torch.float64))
        error = sum((t.error for t in terms), torch.zeros((), dtype=torch.float64))
        size = sum((t.size for t in terms), torch.zeros((), dtype=torch.float64))
        for a, W in products:
            value = value + a.value @ W.value
            largest = a.size @ W.size
            error = error + (largest - a.value.abs() @ W.value.abs())
            size = size + largest
        return Bounded(value, error + self.gamma(n) * size)

    def sigmoid(self, x: Bounded) -> Bounded:
        """Rule A: the slope is at most σ'(x) + e sup|σ''| within e of x, and at most 1/4."""
        y = torch.sigmoid(x.value)
        slope = (y * (1 - y) + SIGMOID_CURVATURE * x.error).clamp(max=0.25)
        return Bounded(y, slope * x.error + ACTIVATION_ERROR * self.u)

    def tanh(self, x: Bounded) -> Bounded:
        """Rule A: the slope is at most tanh'(x) + e sup|tanh''| within e of x, and at most 1."""
        y = torch.tanh(x.value)
        slope = (1 - y * y + TANH_CURVATURE * x.error).clamp(max=1.0)
        return Bounded(y, slope * x.error + ACTIVATION_ERROR * self.u)

    def sigmoid_slope(self, y: Bounded) -> Bounded:
        """Rule D: y(1-y), however it is computed: |1-2y| e + e² + γ_2 (|y| + y²)."""
        carried = (1 - 2 * y.value).abs() * y.error + y.error**2
        return Bounded(y.value * (1 - y.value), carried + self.gamma(2) * (y.size + y.size**2))

    def tanh_slope(self, y: Bounded) -> Bounded:
        """Rule D: 1 - y²: 2|y| e + e² + γ_2 (1 + y²)."""
        carried = 2 * y.value.abs() * y.error + y.error**2
        return Bounded(1 - y.value**2, carried + self.gamma(2) * (1 + y.size**2))


@dataclass(frozen=True)
class Kept:
    """What one step keeps for the gradient."""

    x: Bounded
    h: Bounded  # entering, after a reset
    c: Bounded
    i: Bounded
    f: Bounded
    g: Bounded
    o: Bounded
    tanh_c: Bounded
    m: Bounded  # o ⋆ tanh(c'), h' before its projection
    real: Tensor
    keep: Tensor


@dataclass(frozen=True)
class Direction:
    """One layer in one direction: its weights by kind, and whether it visits time backwards."""

    weights: dict[str, Bounded]
    backwards: bool

    def order(self, T: int) -> list[int]:
        return list(reversed(range(T))) if self.backwards else list(range(T))


def bound(
    parameters: dict[str, Tensor],
    inputs: Tensor,
    h_0: Tensor,
    c_0: Tensor,
    cotangents: tuple[Tensor, Tensor, Tensor],
    *,
    dtype: torch.dtype,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
) -> dict[str, Bounded]:
    """Returns every output and gradient of the layer with its error bound E in ``dtype``.

    Two implementations in ``dtype``, or one in ``dtype`` and one finer, differ by at most 2E.

    Args:
        parameters: under ``torch.nn.LSTM``'s names; as ``dtype`` holds them.
        inputs: (T, B, I).
        h_0: (L·D, B, P).
        c_0: (L·D, B, H).
        cotangents: of outputs (T, B, D·P), h_n and c_n; the gradients are those of their product.
        dtype: of the implementations; what is analysed, not what this computes in.
        lengths: (B,), or None where every sequence has T steps.
        reset: (T, B), or None where nothing is reset.

    Returns:
        "output", "h_n", "c_n" and the gradients "d input", "d h_0", "d c_0" and "d NAME" of each
        parameter.
    """
    rules = Arithmetic(UNIT_ROUNDOFF[dtype])
    T, B, _ = inputs.shape
    D = 2 if "weight_ih_l0_reverse" in parameters else 1
    steps = torch.arange(T)[:, None]
    real = (steps < (torch.full((B,), T) if lengths is None else lengths)).unsqueeze(-1)
    cut = torch.zeros(T, B, 1, dtype=torch.bool) if reset is None else reset.unsqueeze(-1) & real
    x = [exact(step) for step in inputs]
    finals, tapes, directions = [], [], []
    for k in range(h_0.shape[0]):
        direction = _direction(parameters, k // D, k % D)
        if k % D == 0:
            sides = []
        outputs, final, tape = _forward(
            rules, direction, x, exact(h_0[k]), exact(c_0[k]), real, cut
        )
        sides.append(outputs)
        finals.append(final)
        tapes.append(tape)
        directions.append(direction)
        if k % D == D - 1:
            x = [concatenate(both) for both in zip(*sides, strict=True)]
    found = {
        "output": stack(x),
        "h_n": stack([h for h, _ in finals]),
        "c_n": stack([c for _, c in finals]),
    }
    above = [exact(step) for step in cotangents[0]]
    initial: dict[int, tuple[Bounded, Bounded]] = {}
    for layer in reversed(range(len(directions) // D)):
        sources: list[list[Bounded]] = []
        for d in reversed(range(D)):
            k = layer * D + d
            P = h_0.shape[-1]
            into = [step[..., d * P : (d + 1) * P] for step in above]
            ends = (exact(cotangents[1][k]), exact(cotangents[2][k]))
            pre, initial[k], gradients = _backward(rules, directions[k], tapes[k], into, ends)
            suffix = f"l{layer}" + ("_reverse" if d else "")
            found |= {f"d {kind}_{suffix}": value for kind, value in gradients.items()}
            sources.append(pre)
        widths = [directions[layer * D + d].weights["weight_ih"] for d in reversed(range(D))]
        above = [
            rules.sum(products=list(zip(pres, widths, strict=True)))
            for pres in zip(*sources, strict=True)
        ]
    found["d input"] = stack(above)
    found["d h_0"] = stack([initial[k][0] for k in sorted(initial)])
    found["d c_0"] = stack([initial[k][1] for k in sorted(initial)])
    return found


def violations(found: dict[str, Bounded], *candidates: dict[str, Tensor]) -> dict[str, float]:
    """Returns each name whose values, among themselves or beside the analysis, differ by over 2E.

    The number is the largest difference in units of 2E.
    """
    return {name: ratio for name, ratio in ratios(found, *candidates).items() if not ratio <= 1}


def ratios(found: dict[str, Bounded], *candidates: dict[str, Tensor]) -> dict[str, float]:
    """Returns, for each name, the largest difference in units of the allowed 2E."""
    worst = {}
    for name, bounded in found.items():
        allowed = 2 * bounded.error * OWN_ROUNDING
        values = [bounded.value] + [c[name].detach().double() for c in candidates if name in c]
        differences = torch.stack(
            [(a - b).abs() for n, a in enumerate(values) for b in values[n + 1 :]]
        )
        # Where nothing can be rounded (padding, resets) the bound is 0: so must be the difference.
        units = torch.where(differences == 0, 0, differences / allowed)
        worst[name] = float(units.max()) if units.numel() else 0.0
    return worst


def _direction(parameters: dict[str, Tensor], layer: int, d: int) -> Direction:
    suffix = f"_l{layer}" + ("_reverse" if d else "")
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    weights = {
        kind: exact(parameters[kind + suffix]) for kind in kinds if kind + suffix in parameters
    }
    return Direction(weights, backwards=d == 1)


def _transposed(matrix: Bounded) -> Bounded:
    return Bounded(matrix.value.T, matrix.error.T)


def _forward(
    rules: Arithmetic,
    direction: Direction,
    x: list[Bounded],
    h: Bounded,
    c: Bounded,
    real: Tensor,
    cut: Tensor,
) -> tuple[list[Bounded], tuple[Bounded, Bounded], dict[int, Kept]]:
    """Runs one layer in one direction; outputs and tape are indexed by time."""
    weights = direction.weights
    biases = [weights[kind] for kind in ("bias_ih", "bias_hh") if kind in weights]
    outputs, tape = {}, {}
    for t in direction.order(len(x)):
        crossed = t + 1 if direction.backwards else t
        keep = ~cut[crossed] if crossed < len(x) else torch.ones_like(cut[0])
        h, c = h.keep(keep), c.keep(keep)
        products = [
            (x[t], _transposed(weights["weight_ih"])),
            (h, _transposed(weights["weight_hh"])),
        ]
        pre = rules.sum(*biases, products=products)
        H = c.value.shape[-1]
        i, f, g, o = (
            (rules.tanh if n == 2 else rules.sigmoid)(pre[..., n * H : (n + 1) * H])
            for n in range(4)
        )
        c_new = rules.sum(rules.product(f, c), rules.product(i, g))
        tanh_c = rules.tanh(c_new)
        m = rules.product(o, tanh_c)
        h_new = m
        if "weight_hr" in weights:
            h_new = rules.sum(products=[(m, _transposed(weights["weight_hr"]))])
        tape[t] = Kept(x[t], h, c, i, f, g, o, tanh_c, m, real[t], keep)
        outputs[t] = h_new.keep(real[t])
        h, c = h_new.where(real[t], h), c_new.where(real[t], c)
    return [outputs[t] for t in range(len(x))], (h, c), tape


def _backward(
    rules: Arithmetic,
    direction: Direction,
    tape: dict[int, Kept],
    into: list[Bounded],
    ends: tuple[Bounded, Bounded],
) -> tuple[list[Bounded], tuple[Bounded, Bounded], dict[str, Bounded]]:
    """Runs the gradient of one layer in one direction, against its order of time.

    Returns the gradients of the sums before the activation by time, of the initial state, and of
    the weights by kind.
    """
    weights = direction.weights
    dh, dc = ends
    pres: dict[int, Bounded] = {}
    dhs: dict[int, Bounded] = {}
    recurrent: list[tuple[Bounded, Bounded]] = []
    for t in reversed(direction.order(len(into))):
        at = tape[t]
        # The product with W_hh joins the sum that it is part of, so that one γ covers any order.
        later = dh
        dh_new = rules.sum(into[t], later, products=recurrent).keep(at.real)
        passed = rules.sum(later, products=recurrent).keep(~at.real)
        dhs[t] = dh_new
        dm = dh_new
        if "weight_hr" in weights:
            dm = rules.sum(products=[(dh_new, weights["weight_hr"])])
        through_h = rules.product(dm, at.o, rules.tanh_slope(at.tanh_c))
        dc_new = rules.sum(dc.keep(at.real), through_h)
        pres[t] = concatenate(
            [
                rules.product(dc_new, at.g, rules.sigmoid_slope(at.i)),
                rules.product(dc_new, at.c, rules.sigmoid_slope(at.f)),
                rules.product(dc_new, at.i, rules.tanh_slope(at.g)),
                rules.product(dm, at.tanh_c, rules.sigmoid_slope(at.o)),
            ]
        )
        dc = rules.product(dc_new, at.f).where(at.real, dc).keep(at.keep)
        dh = passed.keep(at.keep)
        recurrent = [(pres[t].keep(at.keep), weights["weight_hh"])]
    dh = rules.sum(dh, products=recurrent)
    T = len(into)
    rows = {
        "pre": _rows([pres[t] for t in range(T)]),
        "x": _rows([tape[t].x for t in range(T)]),
        "h": _rows([tape[t].h for t in range(T)]),
    }
    gradients = {
        "weight_ih": rules.sum(products=[(_transposed(rows["pre"]), rows["x"])]),
        "weight_hh": rules.sum(products=[(_transposed(rows["pre"]), rows["h"])]),
    }
    if "bias_ih" in weights:
        ones = exact(torch.ones(len(rows["pre"].value), 1))
        bias = rules.sum(products=[(_transposed(rows["pre"]), ones)])[..., 0]
        gradients["bias_ih"] = gradients["bias_hh"] = bias
    if "weight_hr" in weights:
        rows |= {
            "dh": _rows([dhs[t] for t in range(T)]),
            "m": _rows([tape[t].m for t in range(T)]),
        }
        gradients["weight_hr"] = rules.sum(products=[(_transposed(rows["dh"]), rows["m"])])
    return [pres[t] for t in range(T)], (dh, dc), gradients


def _rows(steps: list[Bounded]) -> Bounded:
    together = stack(steps)
    return Bounded(together.value.flatten(0, 1), together.error.flatten(0, 1))
