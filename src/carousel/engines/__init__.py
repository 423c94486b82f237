"""The recurrence over time, several ways with one contract."""

from carousel.engines.contract import (
    CellVariant,
    Engine,
    EngineOptions,
    EngineResult,
    LayerMasks,
    LayerTrace,
    LayerWeights,
    State,
)
from carousel.engines.selection import Availability, Choice, available, choose, register, run, use

__all__ = [
    "Availability",
    "CellVariant",
    "Choice",
    "Engine",
    "EngineOptions",
    "EngineResult",
    "LayerMasks",
    "LayerTrace",
    "LayerWeights",
    "State",
    "available",
    "choose",
    "register",
    "run",
    "use",
]
