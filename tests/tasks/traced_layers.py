"""What an inspection keeps of a layer beside the layer's own trace, for the tests of all tasks."""

from __future__ import annotations

import pytest

from carousel.engines import LayerTrace
from carousel.inspection.contents import QUANTITIES, LayerValues


def assert_traced(layer: LayerValues, trace: LayerTrace, close: float, begin: int = 0) -> None:
    """Every value of the only sequence of a trace, from a step on, within a bound."""
    for quantity in QUANTITIES:
        wanted = getattr(trace, quantity)[begin:, 0].detach().numpy()
        assert getattr(layer, quantity) == pytest.approx(wanted, abs=close), quantity
