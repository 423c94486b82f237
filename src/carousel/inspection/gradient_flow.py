"""How far gradients reach: from what a layer says at a step back to its states at all earlier ones.

Knows nothing of losses, of layers above or below, or of autograd: the backward pass of the cell is
written out from the gates that were recorded.

Shape letters: T steps, I input size, H hidden size, K end steps, R directions that are followed
back from an end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from carousel.errors import OptionError, ShapeError
from carousel.inspection.contents import GradientFlow, LayerValues

EXACT_UP_TO = 64  # units: so many directions are followed back, and so the norm is exact
SIGN_VECTORS = 16  # random ones that are followed back where there are more units
_SEED = 1991  # of the sign vectors, which are the same in every run
_AT_ONCE = 1 << 21  # numbers in one of the about eight arrays that are alive, 16 MiB each
_LEAST, _MOST = 1e-50, 1e50  # gains beyond are 0 and infinite; float32 ends before
_FAR = 16  # powers of two by which gradients grow or fade before they are scaled to about 1

Ends = Sequence[int] | Int[np.ndarray, " K"] | None
Gradients = tuple[Float[np.ndarray, "K R H"], ...]  # of h, and of c where there is one


@runtime_checkable
class _Cell(Protocol):
    """One layer as the backward pass sees it, its steps in the order in which it read."""

    size: int  # H
    dtype: type[np.floating[Any]]  # of the pass; what it starts from is float32

    def start(self, s: int, of: int, directions: np.ndarray) -> Gradients:
        """Returns the gradients at step s of h_s (of = 0) or c_s (of = 1) times directions."""
        ...

    def before(self, s: int, gradients: Gradients) -> Gradients:
        """Returns the gradients at step s - 1 from those at step s."""
        ...


def gradient_flow(
    name: str, layer: LayerValues, ends: Ends = None, count: int = 24
) -> GradientFlow:
    """Returns how strongly a layer's states at some steps depend on its states at all earlier ones.

        of_h[k, s] = √(‖∂h_e/∂h_s‖²_F / H),   of_c[k, s] = √(‖∂c_e/∂c_s‖²_F / H),   e = ends[k]

    the root mean square by which a small change of random direction grows (above 1) or fades. The
    derivatives are total: through the memory, every gate and every hidden state between, with the
    inputs as they were; a change of c_s changes h_s too. With δ for a gradient with respect to what
    a gate is before its activation, one step back is

        δi = dc ⋆ g ⋆ i(1-i)    δf = dc ⋆ c_{s-1} ⋆ f(1-f)    δg = dc ⋆ i ⋆ (1-g²)
        δo = dh ⋆ tanh(c) ⋆ o(1-o)
        dh_{s-1} = W_iᵀδi + W_fᵀδf + W_gᵀδg + W_oᵀδo
        dc_{s-1} = dc ⋆ f + dh_{s-1} ⋆ o_{s-1} ⋆ (1 - tanh²(c_{s-1}))

    where W are the recurrent weights. Up to 64 units all H directions at an end are followed back,
    in float64, and the norms are exact. Of larger layers 16 random vectors v of signs ±1 are, in
    float32, the same in every run and others at every end: the expected mean of ‖vᵀJ‖² is ‖J‖²_F,
    its standard deviation at most √(2/16) = 0.35 of that, so that a gain is right to about a sixth,
    and the geometric mean of 24 to about a twentieth.

    Args:
        name: of the layer.
        layer: the values of T steps.
        ends: steps from 0 to T - 1, along the axis in either direction; by default ``count`` steps
            that are spread evenly, the last one that the layer read among them.
        count: end steps, where they are not given; fewer in a shorter sequence.

    Returns:
        The gains: 1 at the end step itself, NaN at the steps that the layer read after it, which
        are those before it on the axis where ``reverse``.

    Raises:
        OptionError: for a layer without the textbook's weights, or steps that are not there.

    Reference:
        vanishing gradients: Hochreiter (1991), Diploma thesis, TU München; Hochreiter and
        Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735, section 3; Pascanu, Mikolov and Bengio
        (2013), arXiv:1211.5063, section 2. Sign vectors: Hutchinson (1990),
        doi:10.1080/03610919008812866.
    """
    if layer.weights is None:
        raise OptionError(
            f"layer {name!r}: expected the textbook's cell, whose gradients follow from its gates "
            "and recurrent weights, got a layer without weights: a variant (peepholes, coupled "
            "gates, zoneout ...), or one with a projection; ask for the flow of another layer"
        )
    T = len(layer)
    chosen = _checked_ends(ends, T, count, reverse=layer.reverse)
    reading = T - 1 - chosen if layer.reverse else chosen
    cell = _Lstm(layer)
    of_h, of_c = (_gains(cell, reading, of, T) for of in (0, 1))
    if layer.reverse:
        of_h, of_c = of_h[:, ::-1].copy(), of_c[:, ::-1].copy()
    return GradientFlow(layer=name, ends=chosen, of_h=of_h, of_c=of_c)


def plain_rnn_flow(
    name: str,
    rnn: torch.nn.RNN,
    inputs: np.ndarray | Tensor,
    ends: Ends = None,
    count: int = 24,
) -> GradientFlow:
    """Returns the same of a plain RNN, which has no memory besides its hidden state.

        h_s = φ(W_ih x_s + b_ih + W_hh h_{s-1} + b_hh)
        dh_{s-1} = W_hhᵀ (dh_s ⋆ φ'_s),   φ' = 1 - h² of the tanh, 1 or 0 of the rectifier

    A product of such matrices can vanish or explode exponentially with the number of steps.

    Args:
        name: what it is called, such as "plain RNN".
        rnn: of one layer and one direction, with either nonlinearity.
        inputs: (T, I) what it reads, from the state 0 on.
        ends, count: as in ``gradient_flow``.

    Returns:
        The gains of h; ``of_c`` is None.

    Raises:
        OptionError: for an RNN of several layers or directions, or steps that are not there.
        ShapeError: for inputs of another size.

    Reference:
        Pascanu, Mikolov and Bengio (2013), arXiv:1211.5063, equation 5 and section 2.1.
    """
    if rnn.num_layers != 1 or rnn.bidirectional:
        raise OptionError(
            "rnn: expected one layer in one direction, got num_layers="
            f"{rnn.num_layers}, bidirectional={rnn.bidirectional}; give one layer at a time"
        )
    x = _double(inputs)
    if x.ndim != 2 or x.shape[1] != rnn.input_size:
        raise ShapeError(
            f"inputs: expected (steps, {rnn.input_size}), one sequence, got {tuple(x.shape)}"
        )
    chosen = _checked_ends(ends, len(x), count, reverse=False)
    of_h = _gains(_PlainRnn(rnn, x), chosen, 0, len(x))
    return GradientFlow(layer=name, ends=chosen, of_h=of_h)


def curve(
    flow: GradientFlow, quantity: str = "h"
) -> tuple[Int[np.ndarray, " T"], Float[np.ndarray, " T"]]:
    """Returns how much of a gradient is left after so many steps, over all ends.

        gain_d = exp(mean_k ln gain[k, e_k ∓ d])

    over the ends before which there are d steps; the further, the fewer.

    Args:
        flow: of T steps.
        quantity: "h" or "c".

    Returns:
        The distances 0 to T - 1 in steps, and the geometric mean (T,) of the gains at each; NaN
        where no end has so many steps before it, 0 where any gain was 0.

    Raises:
        OptionError: for another quantity, or c of a cell that has none.
    """
    gains = {"h": flow.of_h, "c": flow.of_c}.get(quantity)
    if gains is None:
        known = "h" if flow.of_c is None else "h or c"
        raise OptionError(f"quantity: expected {known} of {flow.layer!r}, got {quantity!r}")
    T = gains.shape[1]
    distance = np.abs(np.arange(T) - flow.ends[:, None])
    real = ~np.isnan(gains)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        logarithms = np.log(gains[real].astype(np.float64))
        total = np.bincount(distance[real], logarithms, minlength=T)
        mean = np.exp(total / np.bincount(distance[real], minlength=T)).astype(np.float32)
    return np.arange(T), mean


class _Lstm:
    """The textbook's cell, from its recorded values."""

    def __init__(self, layer: LayerValues) -> None:
        assert layer.weights is not None
        self.size, self.dtype = layer.hidden_size, _dtype(layer.hidden_size)
        assert layer.weights.recurrent.shape == (4 * self.size, self.size)
        reading = slice(None, None, -1 if layer.reverse else 1)
        self._values = {name: getattr(layer, name)[reading] for name in "ifgoc"}
        self._weights = layer.weights.recurrent.astype(self.dtype).reshape(4, self.size, self.size)

    def start(self, s: int, of: int, directions: np.ndarray) -> Gradients:
        if of == 1:
            return np.zeros_like(directions), directions
        return directions, directions * self._shown(s)

    def before(self, s: int, gradients: Gradients) -> Gradients:
        dh, dc = gradients
        i, f, g, o, c = (self._at(s, name) for name in "ifgoc")
        W_i, W_f, W_g, W_o = self._weights
        # The directions share the gates: these are multiplied into the weights, once for all.
        through_c = (g * i * (1 - i))[:, None] * W_i
        through_c += (self._at(s - 1, "c") * f * (1 - f))[:, None] * W_f
        through_c += (i * (1 - g**2))[:, None] * W_g
        through_o = (np.tanh(c) * o * (1 - o))[:, None] * W_o
        earlier = _product(dc, through_c)
        earlier += _product(dh, through_o)
        return earlier, dc * f + earlier * self._shown(s - 1)

    def _shown(self, s: int) -> np.ndarray:
        """Returns ∂h_s/∂c_s, (H,)."""
        return self._at(s, "o") * (1 - np.tanh(self._at(s, "c")) ** 2)

    def _at(self, s: int, name: str) -> np.ndarray:
        return self._values[name][s].astype(self.dtype)


class _PlainRnn:
    """A plain RNN, from its weights and inputs."""

    def __init__(self, rnn: torch.nn.RNN, x: Float[np.ndarray, "T I"]) -> None:
        self.size, self.dtype = rnn.hidden_size, _dtype(rnn.hidden_size)
        weights = {name: _double(value.detach()) for name, value in rnn.named_parameters()}
        self._recurrent = weights["weight_hh_l0"].astype(self.dtype)
        pre = x @ weights["weight_ih_l0"].T
        if rnn.bias:
            pre += weights["bias_ih_l0"] + weights["bias_hh_l0"]
        tanh = rnn.mode == "RNN_TANH"
        h = np.zeros(self.size)
        self._slopes = np.empty((len(x), self.size), dtype=self.dtype)
        with np.errstate(invalid="ignore", over="ignore"):  # a rectifier's h may grow without end
            for t in range(len(x)):
                raw = pre[t] + weights["weight_hh_l0"] @ h
                h = np.tanh(raw) if tanh else np.maximum(raw, 0)
                self._slopes[t] = 1 - h**2 if tanh else h > 0

    def start(self, s: int, of: int, directions: np.ndarray) -> Gradients:
        return (directions,)

    def before(self, s: int, gradients: Gradients) -> Gradients:
        return (_product(gradients[0] * self._slopes[s], self._recurrent),)


def _gains(cell: _Cell, ends: np.ndarray, of: int, T: int) -> Float[np.ndarray, "K T"]:
    """Returns the gains of h (of = 0) or c (of = 1), all in the order of reading."""
    found = np.full((len(ends), T), np.nan, dtype=np.float32)
    at_once = max(1, _AT_ONCE // _directions(0, cell.size).size)
    latest_first = np.argsort(-ends, kind="stable")
    # A model that has diverged is shown as it is; what float32 cannot hold is 0 or infinite.
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, len(ends), at_once):
            rows = latest_first[begin : begin + at_once]
            found[rows] = _followed_back(cell, ends[rows], of, T)
    return found


def _followed_back(cell: _Cell, ends: np.ndarray, of: int, T: int) -> np.ndarray:
    found = np.full((len(ends), T), np.nan)
    rows = np.empty(0, dtype=np.int64)  # the ends that are followed, by their place
    scales = np.ones(len(ends))  # what the gradients of each are to be multiplied by
    gradients: Gradients = ()
    for s in range(int(ends.max()), -1, -1):
        new = np.flatnonzero(ends == s)
        if len(new):
            one = _directions(s, cell.size).astype(cell.dtype)
            started = cell.start(s, of, np.broadcast_to(one, (len(new), *one.shape)))
            gradients = tuple(map(_joined, gradients, started)) if len(rows) else started
            rows = np.concatenate([rows, new])
        if not len(rows):
            continue
        # Directions have a mean square of 1 at the end: the gain is that of what became of them.
        sizes = [_root_mean_square(part) for part in gradients]
        found[rows, s] = sizes[of] * scales[rows]
        largest = np.max(sizes, axis=0)  # h may be cut off at a step, and what is in c not
        gone, over = largest * scales[rows] <= _LEAST, largest * scales[rows] >= _MOST
        found[rows[gone], :s] = 0
        found[rows[over], :s] = np.inf
        if (gone | over).any():
            kept = ~(gone | over)
            rows, gradients = rows[kept], tuple(part[kept] for part in gradients)
            largest = largest[kept]
        powers = np.rint(np.log2(largest))
        if (np.abs(powers) > _FAR).any():
            powers = np.where(np.abs(powers) > _FAR, powers, 0)
            scales[rows] *= 2**powers
            shrunk = (2**-powers)[:, None, None].astype(cell.dtype)
            gradients = tuple(part * shrunk for part in gradients)
        if s and len(rows):
            gradients = cell.before(s, gradients)
    return found


def _directions(end: int, H: int) -> Float[np.ndarray, "R H"]:
    """Returns directions v with a mean of v vᵀ that is 1, or is expected to be."""
    if H <= EXACT_UP_TO:
        return np.sqrt(H) * np.eye(H)
    return np.random.default_rng([_SEED, end]).choice([-1.0, 1.0], (SIGN_VECTORS, H))


def _dtype(H: int) -> type[np.floating[Any]]:
    """Returns float32, which is several times as fast, where an estimate is far from its digits."""
    return np.float64 if H <= EXACT_UP_TO else np.float32


def _root_mean_square(values: Float[np.ndarray, "K R H"]) -> Float[np.ndarray, " K"]:
    squares: np.ndarray = np.einsum("krh,krh->k", values, values, dtype=np.float64)
    return np.sqrt(squares / (values.shape[1] * values.shape[2]))


def _product(values: Float[np.ndarray, "K R H"], matrix: np.ndarray) -> np.ndarray:
    # As one product of matrices, which NumPy makes K of otherwise.
    return (values.reshape(-1, values.shape[2]) @ matrix).reshape(values.shape)


def _joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.concatenate([one, other])


def _checked_ends(ends: Ends, T: int, count: int, *, reverse: bool) -> Int[np.ndarray, " K"]:
    if ends is None:
        if count < 1:
            raise OptionError(f"count: expected a number of end steps from 1 on, got {count}")
        places = np.unique(np.arange(1, count + 1) * T // count - 1)
        places = places[places >= 0].astype(np.int64)
        return (T - 1 - places)[::-1].copy() if reverse else places
    found = np.asarray(ends if len(ends) else np.empty(0, dtype=np.int64))
    if found.ndim != 1 or found.dtype.kind not in "iu" or ((found < 0) | (found >= T)).any():
        raise OptionError(f"ends: expected whole numbers from 0 to {T - 1}, steps, got {ends}")
    return found.astype(np.int64)


def _double(values: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().double().numpy()
    return values.astype(np.float64)
