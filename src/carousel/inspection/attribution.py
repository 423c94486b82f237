"""How much each step of an input did for one number that a model says about it.

Knows nothing of models: of a function from sequences to numbers, and of what stands for nothing.

Shape letters: B sequences at a time, T steps, F features, W windows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from carousel.errors import OptionError, ShapeError

Function = Callable[[Tensor], Tensor]  # (B, T, F) to (B,), each row by itself

_STEPS, _MOST_STEPS = 64, 512  # points that are tried where a number is not given
_NEAR = 0.01  # of the total, by which the shares may miss it then
_ROUNDED = 1e-5  # of numbers in float32, which their difference may be smaller than
_AT_ONCE = 1 << 20  # numbers in one batch; the model in between makes many more of each


def integrated_gradients(
    function: Function,
    inputs: Tensor,
    baseline: Tensor | None = None,
    steps: int | None = None,
) -> tuple[Float[np.ndarray, " T"], float]:
    """Returns what each step contributed on the way from a baseline to the input.

        share_t = Σ_f (x_tf - x'_tf) ∫_0^1 ∂F/∂x_tf (x' + α (x - x')) dα
        Σ_t share_t = F(x) - F(x')

    The integral is a Gauss-Legendre sum, exact where F along the way is a polynomial up to the
    degree 2·steps; that the shares add up to the total is how to see whether ``steps`` were enough.
    No gradient of a parameter is touched.

    Args:
        function: from (B, T, F) to (B,), differentiable, each row by itself: a model in ``eval``,
            on the CPU, for cuDNN has no gradient of an LSTM in ``eval``.
        inputs: (T, F) x, in floating point; of tokens, their embeddings.
        baseline: (T, F) or (F,) x', an input that says nothing; 0 by default.
        steps: points of the sum, from 1 on; the paper finds 20 to 300 enough. By default 64, and
            twice as many, up to 512, while the shares miss the total by more than a hundredth of
            it, as they may where F has corners.

    Returns:
        The shares (T,), and the total F(x) - F(x').

    Raises:
        OptionError: for steps below 1, or a function that does not depend on its input by a
            gradient.
        ShapeError: for tensors of other shapes.

    Reference:
        Sundararajan, Taly and Yan (2017), arXiv:1703.01365, section 3; the sum: equation 3.
    """
    if steps is not None and steps < 1:
        raise OptionError(f"steps: expected a number of points from 1 on, got {steps}")
    x, start = _given(inputs, baseline)
    if not len(x):
        return np.zeros(0, dtype=np.float32), 0.0
    with torch.no_grad():
        at_input, at_baseline = _numbers(function, torch.stack([x, start])).double()
    total = float(at_input - at_baseline)
    allowed = _NEAR * abs(total) + _ROUNDED * float(at_input.abs() + at_baseline.abs())
    count = steps or _STEPS
    found = _along_the_way(function, x, start, count)
    while steps is None and count < _MOST_STEPS and abs(found.sum() - total) > allowed:
        count *= 2
        found = _along_the_way(function, x, start, count)
    return _single(found), total


def _along_the_way(function: Function, x: Tensor, start: Tensor, steps: int) -> Tensor:
    """Returns the shares (T,) in float64, by a sum of so many points."""
    places, weights = np.polynomial.legendre.leggauss(steps)  # of the integral from -1 to 1
    alphas = torch.as_tensor((places + 1) / 2).to(x)
    mean = torch.zeros_like(x, dtype=torch.float64)
    sizes = torch.as_tensor(weights / 2, device=x.device)
    at_once = _rows(x)
    for some, shares in zip(alphas.split(at_once), sizes.split(at_once), strict=True):
        with torch.enable_grad():
            points = (start + some[:, None, None] * (x - start)).requires_grad_()
            numbers = _numbers(function, points)
            if not numbers.requires_grad:
                raise OptionError(
                    "function: expected one with a gradient with respect to its input, got numbers "
                    "without; is there a torch.no_grad, a detach, or a rounding in it?"
                )
            (gradient,) = torch.autograd.grad(numbers.sum(), points)
        mean += torch.tensordot(shares, gradient.double(), 1)
    return (mean * (x - start).double()).sum(1)


def occlusion(
    function: Function,
    inputs: Tensor,
    baseline: Tensor | None = None,
    window: int = 1,
) -> Float[np.ndarray, " T"]:
    """Returns by how much the number falls where a step is replaced by a baseline.

        drop_w = F(x) - F(x with the steps of window w replaced)
        share_t = mean_{w ∋ t} drop_w / window

    over all windows of so many steps in a row that hold t. A share says what is missed without the
    step; of what two steps can say alone, neither is missed, which wider windows show.

    Args:
        function: from (B, T, F) to (B,), each row by itself: a model in ``eval``.
        inputs: (T, F) x, in floating point; of tokens, their embeddings.
        baseline: (T, F) or (F,), an input that says nothing; 0 by default.
        window: steps that are replaced together, from 1 to T.

    Returns:
        The shares (T,); they add up to nothing in particular.

    Raises:
        OptionError: for a window that does not fit.
        ShapeError: for tensors of other shapes.

    Reference:
        Zeiler and Fergus (2014), arXiv:1311.2901, section 4.2, with a grey square on a picture.
    """
    x, start = _given(inputs, baseline)
    T = len(x)
    if not 1 <= window <= max(1, T):
        raise OptionError(f"window: expected a number of steps from 1 to {T}, got {window}")
    if not T:
        return np.zeros(0, dtype=np.float32)
    begins = torch.arange(T - window + 1, device=x.device)
    ages = torch.arange(T, device=x.device) - begins[:, None]  # of steps in windows, (W, T)
    covered = (ages >= 0) & (ages < window)
    with torch.no_grad():
        whole = _numbers(function, x[None]).double()
        parts = [
            _numbers(function, torch.where(some[:, :, None], start, x)).double()
            for some in covered.split(_rows(x))
        ]
    drops = (whole - torch.cat(parts)) / window
    return _single((drops[:, None] * covered).sum(0) / covered.sum(0))


def _given(inputs: Tensor, baseline: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns the input and the baseline, (T, F) both."""
    if inputs.dim() != 2 or not inputs.is_floating_point():
        raise ShapeError(
            "inputs: expected one sequence (steps, features) in floating point, got "
            f"{tuple(inputs.shape)} in {inputs.dtype}; of tokens, give the embeddings"
        )
    x = inputs.detach()
    if baseline is None:
        return x, torch.zeros_like(x)
    if baseline.shape not in (x.shape, x.shape[1:]):
        raise ShapeError(
            f"baseline: expected the shape of the input {tuple(x.shape)}, or of one step of it, "
            f"got {tuple(baseline.shape)}"
        )
    return x, baseline.detach().to(x).expand_as(x)


def _rows(x: Tensor) -> int:
    """Returns how many sequences like this one make a batch."""
    return max(1, _AT_ONCE // max(1, x.numel()))


def _numbers(function: Function, batch: Tensor) -> Tensor:
    numbers = function(batch)
    if numbers.shape != (len(batch),):
        raise ShapeError(
            f"function: expected a number for each of {len(batch)} sequences, ({len(batch)},), got "
            f"{tuple(numbers.shape)}; choose one, such as the score of one class"
        )
    return numbers


def _single(values: Tensor) -> np.ndarray:
    return values.cpu().float().numpy()
