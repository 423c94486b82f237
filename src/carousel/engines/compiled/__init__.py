"""The compiled engine: the kernel of csrc/ behind the contract, with its gradients."""

from carousel.engines.compiled.engine import CompiledEngine

__all__ = ["CompiledEngine"]
