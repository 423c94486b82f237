"""Random numbers as a function of (seed, step, rank), so that there is no random state to lose.

Dropout after a resume draws what it would have drawn, validation cannot disturb training, and a
run that goes on with another number of processes still has a defined stream for each.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch

from carousel.data.batching import derived_seed


def seed_everything(seed: int, *purpose: int | str) -> None:
    """Sets the global generators of torch (all devices), NumPy and Python for one purpose."""
    value = derived_seed(seed, *purpose)
    # torch.manual_seed would queue a call, with its stack trace, for every GPU not yet in use: half
    # a millisecond and some memory for each step.
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)
    np.random.seed(value % 2**32)
    random.seed(value)


@contextlib.contextmanager
def callers_randomness_kept() -> Iterator[None]:
    """Gives the caller its generators back as they were, so that fitting has no side effect."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        # Named, because fork_rng warns where there are several GPUs and none is named.
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
