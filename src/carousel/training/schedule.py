"""The step size as a function of how much of the budget is used."""

from __future__ import annotations

import math

from carousel.training.options import RunOptions

SECONDS_PER_MINUTE = 60.0


def used_budget(
    options: RunOptions,
    *,
    step: float,
    seconds: float,
    epochs: float,
) -> float:
    """Returns the part of the budget that is used, by whichever limit comes first.

        p = max(step / max_steps, minutes / max_minutes, epochs / max_epochs), at most 1

    Args:
        options: whose budgets count.
        step: updates made.
        seconds: trained.
        epochs: passes over the data, with fraction.

    Returns:
        p in [0, 1].
    """
    parts = [0.0]
    if options.max_steps is not None:
        parts.append(step / options.max_steps)
    if options.max_minutes is not None:
        parts.append(seconds / (options.max_minutes * SECONDS_PER_MINUTE))
    if options.max_epochs is not None:
        parts.append(epochs / options.max_epochs)
    return min(max(parts), 1.0)


def rate_factor(schedule: str, warmup: float, used: float) -> float:
    """Returns the step size at ``used`` as a part of the highest one.

        used < warmup:  used / warmup
        after:          q = (used - warmup) / (1 - warmup)
                        cosine (1 + cos πq) / 2 · linear 1 - q · constant 1

    Args:
        schedule: "cosine", "linear" or "constant".
        warmup: part of the budget, [0, 1].
        used: part of the budget, [0, 1].

    Returns:
        A factor in [0, 1].

    Reference: cosine: arXiv:1608.03983, equation 5, without restarts.
    """
    if used < warmup:
        return used / warmup
    rest = (used - warmup) / (1.0 - warmup) if warmup < 1.0 else 0.0
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * rest))
    if schedule == "linear":
        return 1.0 - rest
    assert schedule == "constant"
    return 1.0
