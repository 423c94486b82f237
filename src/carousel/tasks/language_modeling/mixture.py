"""A network and the n-grams of its training text as one model.

    P(v) = (1 - λ) · P_network(v) + λ · P_n-gram(v)

A network of few minutes knows better what may come at all; counts know word for word what did.

Letters: V vocabulary.

Reference: Mikolov et al. (2010), doi:10.21437/Interspeech.2010-343, section 3, where recurrent
    models and a Kneser-Ney 5-gram are interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from carousel.tasks.ngrams import Contexts, NgramModel


@dataclass(frozen=True, eq=False)
class NgramShare:
    """What n-grams add to the predictions of a network.

    Args:
        model: the n-grams.
        weight: λ, above 0 and below 1.
    """

    model: NgramModel
    weight: float

    def mixed_log_probs(
        self, log_probs: Float64[np.ndarray, " V"], contexts: Contexts
    ) -> Float64[np.ndarray, " V"]:
        """Returns ln P of every token as the next one.

        Args:
            log_probs: of the network.
            contexts: where the text stands.
        """
        return self.joined(log_probs, np.log(self.model.next_probabilities(contexts)))

    def joined(self, network: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Returns ln of the mixture of what two logarithms of probabilities are of."""
        return np.logaddexp(math.log1p(-self.weight) + network, math.log(self.weight) + counted)
