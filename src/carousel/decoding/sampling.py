"""The next token from the scores of all tokens: filtered, then drawn.

Knows only scores: no model, and no text.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from carousel.errors import DataError, OptionError, ShapeError
from carousel.options import option, options


@options
class SamplingOptions:
    """Options of a sampler: how far it departs from the most likely token.

    Raises:
        OptionError: for a value out of its range, or an unknown name.
    """

    temperature: float = option(
        default=1.0,
        help="scores are divided by it: below 1 safer, above 1 bolder; 0 takes the most likely",
        low=0.0,
        high=1_000.0,
    )
    top_k: int = option(
        default=0,
        help="how many of the most likely tokens may be drawn; 0 for all",
        unit="tokens",
        low=0,
    )
    top_p: float = option(
        default=1.0,
        help="share of the probability that the most likely tokens have which may be drawn; "
        "1 for all",
        low=0.0,
        high=1.0,
        source="arXiv:1904.09751, section 3.1",
    )
    repetition_penalty: float = option(
        default=1.0,
        help="how much less likely tokens become that were there already; 1 for not at all",
        low=1.0,
        high=1_000.0,
        source="arXiv:1909.05858, section 4.1",
    )

    def __post_init__(self) -> None:
        """Refuses a temperature that single precision would round to 0, and divide by."""
        if 0 < self.temperature < 1e-30:
            raise OptionError(
                f"option 'temperature' expects 0, which takes the most likely, or at least 1e-30, "
                f"got {self.temperature!r}"
            )


class Sampler:
    """Draws tokens from scores, the same ones whenever the generator starts from the same seed.

        p = top_p(softmax(top_k(penalized / temperature)))
        token = the first whose cumulative p exceeds u · (sum of p),  u uniform in [0, 1)

    Args:
        options: the filters.
        generator: where chance comes from: one number a row, on whichever device.
    """

    def __init__(self, options: SamplingOptions, generator: torch.Generator) -> None:
        self.options = options
        self.generator = generator
        # Dividing by a tensor takes half as long as by a number, of which torch makes one first.
        self._temperature = {
            dtype: torch.tensor(options.temperature, dtype=dtype)
            for dtype in (torch.float32, torch.float64)
        }

    def distribution(
        self, logits: Float[Tensor, "B V"], seen: Int[Tensor, "B S"] | None = None
    ) -> Float[Tensor, "B V"]:
        """Returns the probability of each token, after all filters.

        Args:
            logits: the scores; -inf forbids a token.
            seen: tokens that the repetition penalty is for; None for none.

        Returns:
            (B, V), each row with sum 1; the most likely token always survives.

        Raises:
            DataError: where a row has NaN or +inf, or only -inf.
            ShapeError: where the scores are not (B, V).
        """
        weights = self._weights(self._scores(logits, seen))
        return weights / weights.sum(-1, keepdim=True)

    def sample(
        self, logits: Float[Tensor, "B V"], seen: Int[Tensor, "B S"] | None = None
    ) -> Int[Tensor, " B"]:
        """Draws one token a row; see ``distribution``."""
        scores = self._scores(logits, seen)
        if self.options.temperature == 0:
            return _best(scores).squeeze(-1)
        cumulative = self._weights(scores).cumsum(-1)
        uniform = torch.rand(
            (logits.shape[0], 1),
            generator=self.generator,
            device=self.generator.device,
            dtype=cumulative.dtype,
        ).to(cumulative.device)
        # u is at most 1 - 2^-24, so that u · sum, rounded, stays below the sum. A token of weight
        # 0 does not exceed what the one before it did not, and is never drawn.
        drawn = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
        return drawn.squeeze(-1)

    def _scores(self, logits: Tensor, seen: Tensor | None) -> Tensor:
        """Returns the scores after the repetition penalty, in a precision fit to be summed."""
        if logits.dim() != 2:
            raise ShapeError(f"expected scores of shape (B, V), got {tuple(logits.shape)}")
        scores = logits if logits.dtype in self._temperature else logits.float()
        if seen is None or self.options.repetition_penalty == 1:
            return scores
        return _penalized(scores, seen, self.options.repetition_penalty)

    def _weights(self, scores: Tensor) -> Tensor:
        """Returns numbers in proportion to the probabilities, with a sum of about 1 or less."""
        chosen = self.options
        if chosen.temperature == 0:
            return torch.zeros_like(scores).scatter_(-1, _best(scores), 1.0)
        # No temperature changes which are the most likely.
        kept = _top_k(scores, chosen.top_k) if 0 < chosen.top_k < scores.shape[-1] else scores
        scaled = kept if chosen.temperature == 1 else kept / self._temperature[kept.dtype]
        weights = scaled.softmax(-1)
        # One look at a number of each row is all that sound scores pay: one NaN or +inf, or nothing
        # but -inf, makes the whole row NaN. So does a score that overflows in the division.
        if any(map(math.isnan, weights[:, 0].tolist())):
            highest = scores.amax(-1, keepdim=True)
            _check(highest)
            weights = ((kept - highest) / chosen.temperature).softmax(-1)
        return weights if chosen.top_p == 1 else _top_p(weights, chosen.top_p)


def _best(scores: Float[Tensor, "B V"]) -> Int[Tensor, "B 1"]:
    """Returns the most likely token of each row, of equal ones the first."""
    highest, best = scores.max(-1, keepdim=True)
    _check(highest)
    return best


def _check(highest: Float[Tensor, "B 1"]) -> None:
    """Refuses a row without a most likely token: a NaN is the maximum of its row."""
    for row, (value,) in enumerate(highest.tolist()):
        if not math.isfinite(value):
            what = "only -inf, which forbids every token," if value == -math.inf else str(value)
            raise DataError(
                f"expected scores that are finite, or -inf for some, got {what} in row {row}; "
                f"check the model's weights, or forbid fewer tokens"
            )


def _penalized(
    scores: Float[Tensor, "B V"], seen: Int[Tensor, "B S"], penalty: float
) -> Float[Tensor, "B V"]:
    """Returns the scores, of those seen the positive divided and the negative multiplied."""
    seen = seen.long()
    before = scores.gather(-1, seen)
    after = torch.where(before > 0, before / penalty, before * penalty)
    # A finite score stays so: only the caller forbids a token.
    lowest = torch.finfo(scores.dtype).min
    after = torch.where(before.isinf(), before, after.clamp(min=lowest))
    return scores.scatter(-1, seen, after)


def _top_k(scores: Float[Tensor, "B V"], k: int) -> Float[Tensor, "B V"]:
    """Returns the k highest scores and -inf; of equal ones at the k-th place the first stay."""
    least = scores.topk(k).values[:, -1:]
    equal = scores == least
    free = k - (scores > least).sum(-1, keepdim=True)
    # Written so that a NaN, which is neither less nor equal, stays and is found.
    return scores.masked_fill((scores < least) | (equal & (equal.cumsum(-1) > free)), -math.inf)


def _top_p(weights: Float[Tensor, "B V"], p: float) -> Float[Tensor, "B V"]:
    """Returns the largest weights whose share reaches p, as few as possible, and zeros."""
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    cumulative = ordered.cumsum(-1)
    kept = torch.ones_like(ordered, dtype=torch.bool)
    kept[:, 1:] = cumulative[:, :-1] < p * cumulative[:, -1:]
    return weights * torch.zeros_like(kept).scatter_(-1, order, kept)
