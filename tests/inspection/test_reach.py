"""How far back gains reach."""

from __future__ import annotations

import numpy as np
import pytest

from carousel.inspection.reach import reach


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("share", [0.5, 0.01])
def test_a_gain_that_decays_evenly_reaches_as_far_as_its_logarithm_says(
    keep: float, share: float
) -> None:
    gains = keep ** np.arange(2000)
    found = reach(gains, share)
    assert found is not None
    # keep^d < share from d > ln share / ln keep on
    exact = np.log(share) / np.log(keep)
    assert exact < found + 1e-9
    assert found <= exact + 1 + 1e-9


def test_the_last_fall_counts() -> None:
    gains = np.array([1.0, 0.2, 0.7, 0.4, 0.3])
    assert reach(gains, 0.5) == 3
    assert reach(gains, 0.3) is None
    assert reach(gains, 2.0) == 0
    assert reach(np.array([1.0]), 0.5) is None
