"""The recurrence over time, several ways with one contract."""

from carousel.engines.contract import (
    Engine,
    EngineOptions,
    EngineResult,
    LayerTrace,
    LayerWeights,
    State,
)
from carousel.engines.selection import Availability, Choice, available, choose, register, run, use

__all__ = [
    "Availability",
    "Choice",
    "Engine",
    "EngineOptions",
    "EngineResult",
    "LayerTrace",
    "LayerWeights",
    "State",
    "available",
    "choose",
    "register",
    "run",
    "use",
]
