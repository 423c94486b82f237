"""The random choices of one call, drawn before an engine runs: dropout and zoneout.

Shape letters: T time, B batch, H hidden size, P projection size (H where there is none), L layers,
D directions.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from carousel.engines import CellVariant, LayerMasks, LayerWeights, State

# Probabilities of zoneout and of dropped weights are whole multiples of 1/65536: 16 random bits
# decide one element.
RESOLUTION = 2.0**-16


def draw_masks(
    T: int, state: State, recurrent_dropout: float, variant: CellVariant
) -> tuple[LayerMasks, ...] | None:
    """Draws the masks of one call from PyTorch's generator of the state's device.

    Args:
        T: steps.
        state: h (L·D, B, P) and c (L·D, B, H), of which shapes, dtype and device are looked at.
        recurrent_dropout: probability of zeroing an element of h on its way into the gates.
        variant: of which the probabilities of zoneout are looked at.

    Returns:
        For each layer and direction m (B, P), 0 or 1/(1-p), and where h (T, B, P) and c (T, B, H)
        keep their old value, each None where its probability is 0; None where all are 0.
    """
    if not (recurrent_dropout or variant.zoneout_h or variant.zoneout_c):
        return None
    return tuple(
        LayerMasks(
            torch.dropout(torch.ones_like(h), recurrent_dropout, True)
            if recurrent_dropout
            else None,
            bernoulli(variant.zoneout_h, T, h) if variant.zoneout_h else None,
            bernoulli(variant.zoneout_c, T, c) if variant.zoneout_c else None,
        )
        for h, c in zip(*state, strict=True)
    )


def drop_weights(weights: tuple[LayerWeights, ...], rate: float) -> tuple[LayerWeights, ...]:
    """Returns the weights with elements of each ``weight_hh`` zeroed, the others times 1/(1-rate).

    The rate is that which is drawn, so that the weights are right on average.

    Args:
        weights: of each layer and direction.
        rate: the probability, below 1, rounded to a multiple of 2^-16; at 0 the weights are
            returned as they came.

    Reference: DropConnect on the recurrent weights, arXiv:1708.02182, section 2.
    """
    if rate == 0:
        return weights
    return tuple(one._replace(weight_hh=_thinned(one.weight_hh, rate)) for one in weights)


def _thinned(weight: Tensor, rate: float) -> Tensor:
    # PyTorch's dropout draws a number for each element, which takes a third of a training step of
    # 1,024 cells.
    kept = ~bernoulli(rate, 1, weight)[0]
    return weight * kept.to(weight.dtype).div_(1 - drawn_rate(rate))


def drawn_rate(rate: float) -> float:
    """Returns the probability that ``bernoulli`` has for one, a multiple of 2^-16.

    Never 0 nor 1: what is asked to happen hardly ever still may.
    """
    return min(max(round(rate / RESOLUTION), 1), 2**16 - 1) * RESOLUTION


def bernoulli(rate: float, T: int, like: Tensor) -> Bool[Tensor, "T B N"]:
    """Draws truth values for T steps of a tensor (B, N), each true with a probability.

    One draw of 64 bits decides four elements, which is several times faster than
    ``torch.Tensor.bernoulli_``; the probability is rounded to a multiple of 2^-16, and to the
    smallest or largest one rather than to never or always.

    Args:
        rate: the probability, above 0 and below 1.
        T: steps.
        like: (B, N), of which shape and device are looked at.
    """
    count = T * like.numel()
    words = torch.randint(-(2**63), 2**63 - 1, ((count + 3) // 4,), device=like.device)
    below = round(drawn_rate(rate) / RESOLUTION)
    return (words.view(torch.int16)[:count] < below - 2**15).view(T, *like.shape)
