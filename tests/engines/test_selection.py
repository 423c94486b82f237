"""Which engine runs and why; a new engine registers in front."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import carousel.nn
from carousel import engines
from carousel.engines import selection
from carousel.engines.reference import ReferenceEngine
from carousel.errors import OptionError


class NewEngine(ReferenceEngine):
    """Counts its calls, and can be told what it cannot do."""

    name = "new"
    summary = "an engine of this test"

    def __init__(self, missing: str | None = None, refusal: str | None = None) -> None:
        self.missing, self.refusal, self.calls = missing, refusal, 0

    def unavailable(self) -> str | None:
        return self.missing

    def supports(self, *call: object) -> str | None:
        return self.refusal

    def run(self, *call):
        self.calls += 1
        return super().run(*call)


@pytest.fixture(autouse=True)
def same_registry() -> Iterator[None]:
    before = list(selection._registry)
    yield
    selection._registry[:] = before


def test_the_registry_says_what_there_is() -> None:
    listed = engines.available()
    assert [entry.name for entry in listed] == ["compiled", "pytorch", "reference"]
    assert all(entry.available and "\n" not in entry.reason for entry in listed[1:])
    assert "\n" not in listed[0].reason
    engines.register(NewEngine(missing="no compiler was found at install time"))
    assert engines.available()[0] == ("new", False, "no compiler was found at install time")


def test_auto_takes_the_first_that_can() -> None:
    layer, x = carousel.nn.LSTM(3, 4), torch.zeros(2, 1, 3)
    following = layer.engine.name
    new = NewEngine()
    engines.register(new)
    assert layer.engine.name == "new"
    layer(x)
    assert new.calls == 1
    new.refusal = "it does not want to"
    assert layer.engine.name == following
    assert layer.engine.reason.startswith("it does not want to")
    layer(x)
    assert new.calls == 1
    engines.register(NewEngine(missing="it is not there"))
    assert layer.engine.name == following
    assert layer.engine.reason.startswith("it is not there")
    listed = [entry.name for entry in engines.available()]
    assert listed == ["new", "compiled", "pytorch", "reference"]


def test_the_reason_names_each_refusal() -> None:
    layer, seen = carousel.nn.LSTM(3, 4), []
    torch.func.grad(lambda x: (seen.append(layer.engine), x.sum())[1])(torch.zeros(2))
    assert seen[0].name == "reference"
    assert "torch.func" in seen[0].reason


def test_use_outranks_the_layer_and_ends_with_its_block() -> None:
    layer = carousel.nn.LSTM(3, 4, engine="pytorch")
    new = NewEngine()
    engines.register(new)
    with engines.use("new"):
        layer(torch.zeros(2, 1, 3))
        with engines.use("auto"):
            assert layer.engine.name == "new"
        with pytest.raises(OptionError), engines.use("reference"):
            carousel.nn.LSTM(0, 1)
        assert layer.engine.name == "new"
    assert new.calls == 1
    assert layer.engine == ("pytorch", "chosen by name")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="no engine 'pytorh'; did you mean 'pytorch'"):
        engines.use("pytorh").__enter__()
    layer = carousel.nn.LSTM(3, 4)
    layer.preferred_engine = "gone"
    with pytest.raises(OptionError, match="no engine 'gone'"):
        layer(torch.zeros(2, 1, 3))


def test_an_engine_that_is_not_there_is_refused_by_name() -> None:
    engines.register(NewEngine(missing="no compiler was found at install time"))
    layer = carousel.nn.LSTM(3, 4, engine="new")
    with pytest.raises(OptionError, match="'new' cannot run this call: no compiler was found"):
        layer(torch.zeros(2, 1, 3))
