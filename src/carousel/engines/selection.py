"""Which engine runs a call, and why.

``auto`` takes the first engine in the registry that can; a name takes that engine or refuses.
``register`` puts another one in front. While ``torch.onnx.export`` runs there
is nothing to compute, so ONNX operators take the place of whatever a layer prefers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor

from carousel.engines.compiled import CompiledEngine
from carousel.engines.contract import Engine, EngineOptions, EngineResult, LayerWeights, State
from carousel.engines.onnx import ONNXEngine, exporting
from carousel.engines.pytorch import PyTorchEngine
from carousel.engines.reference import ReferenceEngine
from carousel.errors import OptionError, unknown_name

AUTO = "auto"

_registry: list[Engine] = [CompiledEngine(), PyTorchEngine(), ReferenceEngine()]
# One for the process and no ContextVar: torch.compile guards a global, so that compiled code
# follows ``use``, while it cannot read a ContextVar and takes a thread's local for constant.
_forced: str | None = None
_exporter = ONNXEngine()


class Choice(NamedTuple):
    """The engine that runs a call, and the reason in one phrase."""

    name: str
    reason: str


class Availability(NamedTuple):
    """One engine of the registry: whether it can run on this machine, and one line about it."""

    name: str
    available: bool
    reason: str


def register(engine: Engine) -> None:
    """Puts an engine in front of all others; one of the same name is replaced."""
    _registry[:] = [engine, *(known for known in _registry if known.name != engine.name)]


def available() -> list[Availability]:
    """Returns every engine in the order in which ``auto`` tries them."""
    found = []
    for engine in _registry:
        missing = engine.unavailable()
        found.append(Availability(engine.name, missing is None, missing or engine.summary))
    return found


@contextmanager
def use(name: str) -> Iterator[None]:
    """Runs every layer of the process inside the block with one engine, whatever they prefer.

    Args:
        name: of an engine, or "auto" to let each call take the first that can.

    Raises:
        OptionError: for a name that no engine has.
    """
    check_name(name)
    global _forced
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def check_name(name: str) -> str:
    """Returns ``name`` where it is "auto" or an engine's, and raises an OptionError otherwise."""
    known = [AUTO, *(engine.name for engine in _registry)]
    if name not in known:
        raise OptionError(unknown_name("engine", name, known))
    return name


def choose(
    preferred: str, inputs: Tensor, weights: tuple[LayerWeights, ...], options: EngineOptions
) -> Choice:
    """Returns which engine would run this call, and why.

    Args:
        preferred: "auto" or an engine's name; ``use`` outranks it.
        inputs: (T, B, I); only shape, dtype and device are looked at.
        weights: as in ``Engine.run``.
        options: as in ``Engine.run``.

    Raises:
        OptionError: where the engine that was asked for by name cannot run this call.
    """
    engine, reason = _select(preferred, inputs, weights, options)
    return Choice(engine.name, reason)


def run(
    preferred: str,
    inputs: Tensor,
    state: State,
    weights: tuple[LayerWeights, ...],
    options: EngineOptions,
) -> EngineResult:
    """Runs the stack on the engine that ``choose`` names; see ``Engine.run``."""
    engine, _ = _select(preferred, inputs, weights, options)
    return engine.run(inputs, state, weights, options)


def prefers_compiled(preferred: str) -> bool:
    """Returns whether the compiled engine is the first that is asked, for ``engine=preferred``."""
    name = _forced or preferred
    return name == "compiled" or (name == AUTO and _registry[0].name == "compiled")


def _select(
    preferred: str, inputs: Tensor, weights: tuple[LayerWeights, ...], options: EngineOptions
) -> tuple[Engine, str]:
    name = _forced or preferred
    refusals: list[str] = []
    if exporting() and _forced in (None, AUTO):
        refusal = _exporter.supports(inputs, weights, options)
        if refusal is None:
            return _exporter, "torch.onnx.export runs"
    for engine in _registry:
        if name not in (AUTO, engine.name):
            continue
        refusal = engine.unavailable() or engine.supports(inputs, weights, options)
        if refusal is None:
            return engine, _reason(name, refusals)
        refusals.append(refusal)
    if not refusals:
        raise OptionError(unknown_name("engine", name, [AUTO, *(e.name for e in _registry)]))
    raise OptionError(
        f"engine {name!r} cannot run this call: {'; '.join(refusals)}. "
        f"Leave the engine at {AUTO!r} to run it on another"
    )


def _reason(name: str, refusals: list[str]) -> str:
    if name != AUTO:
        return "chosen by name" if _forced is None else f"chosen by engines.use({name!r})"
    return "; ".join(refusals) if refusals else "the first engine that can"
