"""Several networks that predict together: the mean of their probabilities.

What reads a network reads an ensemble in the same way: its features are those of the members side
by side, which its softmax takes apart again.

Shape letters: M members, T time, B batch, N rows, V vocabulary, D size of all members' outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from carousel.nn import LSTM, State
from carousel.tasks.ensembles import mean_log_probs
from carousel.tasks.language_modeling.network import Features, LanguageNetwork
from carousel.tasks.language_modeling.softmax import FullSoftmax


class MeanSoftmax:
    """The members' softmaxes as one: in training the mean of their losses, else of what they say.

        training: 1/M Σ_m -ln P_m(v),   else: -ln (1/M Σ_m P_m(v))

    so that each learns from its own part.

    Args:
        members: M networks.
    """

    def __init__(self, members: Sequence[LanguageNetwork]) -> None:
        self._members = members
        # As many scores stand in memory at once as of one softmax, see ``losses_in_parts``.
        self.vocabulary = members[0].vocabulary

    def losses(
        self, features: Float[Tensor, "N D"], targets: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Returns the nats of each row."""
        parts = self._parts(features)
        heads = [member.head for member in self._members]
        each = torch.stack(
            [head.losses(part, targets) for head, part in zip(heads, parts, strict=True)]
        )
        if self._members[0].training:
            return each.mean(0)
        return math.log(len(each)) - torch.logsumexp(-each, 0)

    def logits(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        """Returns ln P of every token; a softmax of them changes nothing."""
        parts = self._parts(features)
        return mean_log_probs(
            [member.head.logits(part) for member, part in zip(self._members, parts, strict=True)]
        )

    def _parts(self, features: Tensor) -> tuple[Tensor, ...]:
        return features.split([member.features for member in self._members], -1)


class Ensemble(nn.Module):
    """Networks that learn side by side from the same batches, and predict together.

    Args:
        members: M, how many.
        vocabulary: V, number of tokens.
        network: arguments of each ``LanguageNetwork``.

    Reference: Hansen and Salamon (1990), doi:10.1109/34.58871; of recurrent language models:
        Zaremba, Sutskever and Vinyals (2014), arXiv:1409.2329, table 1.
    """

    def __init__(self, members: int, vocabulary: int, **network: Any) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.members: Sequence[LanguageNetwork] = nn.ModuleList(  # type: ignore[assignment]
            LanguageNetwork(vocabulary, **network) for _ in range(members)
        )

    @property
    def layers(self) -> list[LSTM]:
        """The layers of the first member, then of the second, and so on."""
        return [layer for member in self.members for layer in member.layers]

    @property
    def head(self) -> MeanSoftmax:
        """What makes nats and probabilities of features."""
        return MeanSoftmax(list(self.members))

    def forward(
        self,
        tokens: Int[Tensor, "T B"],
        state: Sequence[State] | None = None,
        reset: Bool[Tensor, "T B"] | None = None,
    ) -> Features:
        """Runs over tokens; see ``LanguageNetwork.forward``.

        Args:
            tokens: (T, B).
            state: of each of ``layers`` before the first step; zeros where it is None.
            reset: true where a document begins.
        """
        found: list[Features] = []
        depth = len(self.members[0].layers)
        for number, member in enumerate(self.members):
            own = None if state is None else state[number * depth : (number + 1) * depth]
            found.append(member(tokens, own, reset))
        return Features(
            torch.cat([one.dropped for one in found], 2),
            torch.cat([one.raw for one in found], 2),
            [layer for one in found for layer in one.state],
        )


Network = LanguageNetwork | Ensemble


def make_network(vocabulary: int, members: int, **network: Any) -> Network:
    """Returns one network, or several that predict together.

    Args:
        vocabulary: V.
        members: M, from 1 on.
        network: arguments of each ``LanguageNetwork``.
    """
    if members == 1:
        return LanguageNetwork(vocabulary, **network)
    return Ensemble(members, vocabulary, **network)


def sample_by(network: Network, counts: Int[Tensor, " V"], samples: int) -> None:
    """Has training sum over a sample where the softmax is a full one; see ``FullSoftmax``.

    Args:
        network: of which each member draws its own.
        counts: (V,) of the training text.
        samples: expected size of a sample.
    """
    for member in network.members:
        if isinstance(member.head, FullSoftmax):
            member.head.sample_by(counts, samples)
