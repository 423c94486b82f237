"""What every test runs under: shapes checked, seeds set, no window opened, one thread.

The import hook makes jaxtyping and beartype check each annotated shape and type in carousel; it
must be installed before anything imports the package.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator

import hypothesis
import numpy
import pytest
import torch
from jaxtyping import install_import_hook

os.environ["MPLBACKEND"] = "Agg"
# For the programs that tests start: two threads each, beside other tests on the same cores, wait
# for each other most of the time.
os.environ["OMP_NUM_THREADS"] = "1"

assert "carousel" not in sys.modules, "carousel was imported before its shapes could be checked"
# The numeric tower of PEP 484: a whole number may be given where a float is annotated.
install_import_hook(
    "carousel", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)

# Here too, for what a module's fixtures compute before its first test starts.
torch.set_num_threads(1)

# No deadline: a slow machine must not fail a test. The examples are the same in every run.
hypothesis.settings.register_profile(
    "carousel",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("carousel")


@pytest.fixture(autouse=True)
def same_start() -> Iterator[None]:
    """Each test starts from the same seeds and settings, and leaves no setting behind."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(20130101)
    numpy.random.seed(20130101)
    random.seed(20130101)
    yield
    if torch.are_deterministic_algorithms_enabled():  # asking is free, setting loads a compiler
        torch.use_deterministic_algorithms(False)
    torch.set_default_dtype(torch.float32)
