"""The output: from the last layer's features to the probability of each token.

Shape letters: N rows, V vocabulary, D size of the last layer's output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL = 0.1  # weights start uniform in ±0.1, arXiv:1708.02182, section 5


_MOST_SCORES = 1 << 24  # that stand in memory at once where no gradient is wanted


@runtime_checkable
class Head(Protocol):
    """What turns features into nats."""

    vocabulary: int

    def losses(
        self, features: Float[Tensor, "N D"], targets: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Returns -ln P(target) of each row, in nats."""
        ...


def losses_in_parts(
    head: Head, features: Float[Tensor, "N D"], targets: Int[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """Returns ``head.losses``, a few rows at a time where the vocabulary is large.

    In training each part of a sampled softmax would draw a sample of its own.
    """
    rows = max(1, _MOST_SCORES // head.vocabulary)
    parts = zip(features.split(rows), targets.split(rows), strict=True)
    return torch.cat([head.losses(some, own) for some, own in parts])


class FullSoftmax(nn.Module):
    """log softmax(W x + b) over all tokens; in training, if so told, over a sample of them.

        ln P(v) = s_v - ln Z,   Z = Σ_u exp(s_u)
        sampled: Ẑ = exp(s_v) + Σ_{u in S, u ≠ v} exp(s_u) / π_u

    Each token u is in the sample S with its own probability π_u, independently of the others, so
    the expectation of Ẑ is Z.

    Args:
        size: D of the features.
        vocabulary: V.
        tied: the embedding (V, D), where it is the output's weight too.

    Reference: importance sampling of the partition function, Bengio and Senécal (2003); one sample
        for a whole batch, Jean et al. (2015), arXiv:1412.2007, section 3.
    """

    inclusion: Tensor | None

    def __init__(self, size: int, vocabulary: int, tied: nn.Parameter | None = None) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        # Training alone reads it, and makes it anew: it is no part of a model.
        self.register_buffer("inclusion", None, persistent=False)
        if tied is None:
            self.weight = nn.Parameter(torch.empty(vocabulary, size))
            nn.init.uniform_(self.weight, -INITIAL, INITIAL)
        else:
            self.weight = tied
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        """Returns what the softmax of gives probabilities."""
        return F.linear(features, self.weight, self.bias)

    def losses(
        self, features: Float[Tensor, "N D"], targets: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Returns -ln P(target) of each row, in nats; in training by a sample where one is set."""
        if self.training and self.inclusion is not None:
            return self._sampled_losses(features, targets, self.inclusion)
        return F.cross_entropy(self.logits(features).float(), targets, reduction="none")

    def sample_by(self, counts: Int[Tensor, " V"], samples: int) -> None:
        """Has training sum over about ``samples`` tokens, each drawn in proportion to its count.

        Args:
            counts: (V,) of the training text; none is taken below 1.
            samples: expected size of a sample.
        """
        self.inclusion = inclusion_probabilities(counts, samples).to(self.weight.device)

    def _sampled_losses(
        self, features: Float[Tensor, "N D"], targets: Int[Tensor, " N"], inclusion: Tensor
    ) -> Float[Tensor, " N"]:
        chosen = (torch.rand_like(inclusion) < inclusion).nonzero()[:, 0]
        own = (features * F.embedding(targets, self.weight)).sum(1) + self.bias[targets]
        # Each target's own score stands in its column, or in one more where it is not in the
        # sample, which other rows do not have: what is left is a softmax over columns.
        columns = torch.full_like(inclusion, len(chosen), dtype=torch.int64)
        columns[chosen] = torch.arange(len(chosen), device=chosen.device)
        columns = columns[targets]
        weight = F.pad(self.weight[chosen], (0, 0, 0, 1))
        bias = F.pad(self.bias[chosen], (0, 1), value=-torch.inf)
        scores = F.linear(features, weight, bias).float()
        scores.sub_(F.pad(inclusion[chosen].log(), (0, 1)))
        scores.scatter_(1, columns[:, None], own.float()[:, None])
        return F.cross_entropy(scores, columns, reduction="none")


def inclusion_probabilities(counts: Int[Tensor, " V"], samples: int) -> Float[Tensor, " V"]:
    """Returns π = min(1, λ counts) with λ such that Σ π is ``samples``, or all ones.

    Args:
        counts: (V,), none taken below 1.
        samples: how many tokens are wanted.
    """
    weights = counts.double().clamp(min=1)
    if samples >= len(weights):
        return torch.ones_like(weights, dtype=torch.float32)
    ordered, _ = weights.sort(descending=True)
    behind = ordered.flip(0).cumsum(0).flip(0)  # of each token and all rarer ones
    # The k most frequent are certain; the rest share the remaining places.
    left = samples - torch.arange(len(ordered))
    certain = int(((left > 0) & (ordered * left >= behind)).sum())
    scale = (samples - certain) / behind[certain]
    return (weights * scale).clamp(max=1.0).float()


class AdaptiveSoftmax(nn.Module):
    """Frequent tokens each by itself, rare ones in groups that are looked into only when needed.

    PyTorch's own. Tokens have to be numbered by falling frequency.

    Args:
        size: D of the features.
        vocabulary: V.
        cutoffs: first token of each group.

    Reference: Grave et al. (2017), arXiv:1609.04309.
    """

    def __init__(self, size: int, vocabulary: int, cutoffs: Sequence[int]) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        # Each group reads a quarter of what the one before it reads, but none of them nothing.
        narrower = min(4.0, size ** (1 / len(cutoffs)) * (1 - 1e-9))
        self.groups = nn.AdaptiveLogSoftmaxWithLoss(
            size, vocabulary, list(cutoffs), div_value=narrower
        )

    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        """Returns ln P of every token; a softmax of them changes nothing."""
        with torch.autocast(features.device.type, enabled=False):
            return self.groups.log_prob(features.to(self.groups.head.weight.dtype))

    def losses(
        self, features: Float[Tensor, "N D"], targets: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Returns -ln P(target) of each row, in nats."""
        with torch.autocast(features.device.type, enabled=False):
            wide = features.to(self.groups.head.weight.dtype)
            losses = -self.groups(wide, targets).output
        if self.training:
            # Several processes exchange the gradient of every group, looked into or not.
            losses = losses + 0 * sum(p.sum() for p in self.groups.tail.parameters())
        return losses
