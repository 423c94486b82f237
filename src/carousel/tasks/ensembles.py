"""Networks that answer together: the mean of their probabilities.

Shape letters: N rows, V vocabulary.

Reference: Hansen and Salamon (1990), doi:10.1109/34.58871.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def mean_log_probs(scores: Sequence[Float[Tensor, "N V"]]) -> Float[Tensor, "N V"]:
    """Returns ln of the members' mean probability, from their scores.

    ln (1/M Σ_m softmax(s_m))
    """
    logs = [F.log_softmax(score.float(), -1) for score in scores]
    if len(logs) == 1:
        return logs[0]
    return torch.logsumexp(torch.stack(logs), 0) - math.log(len(logs))
