"""A stepper gives what the layer gives on the whole sequence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from carousel import engines
from carousel.errors import OptionError, ShapeError
from carousel.nn import LSTM

LAYERS = {
    "plain": {},
    "variant": {"num_layers": 2, "peepholes": True, "cell_clip": 0.4},
    "coupled": {"coupled": True},
    "projection": {"num_layers": 2, "proj_size": 7},
    "zoneout": {"zoneout_h": 0.1, "zoneout_c": 0.2},
}


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("kind", LAYERS)
def test_steps_are_those_of_the_sequence(kind: str, engine: str) -> None:
    layer, x = LSTM(40, 19, engine=engine, **LAYERS[kind]).eval(), torch.randn(6, 3, 40)
    stepper = layer.stepper(3)
    steps = torch.stack([stepper.step(row) for row in x])
    with torch.no_grad():
        whole, state = layer(x)
    torch.testing.assert_close(steps, whole, rtol=0, atol=1e-6)
    torch.testing.assert_close(stepper.state.c, state[1], rtol=0, atol=1e-6)
    if layer.engine.name == "compiled":
        assert torch.equal(steps, whole)


def test_state_goes_in_and_out() -> None:
    layer, x = LSTM(4, 9, 2), torch.randn(3, 2, 4)
    stepper = layer.stepper(2)
    stepper.step(x[0])
    kept = stepper.state
    first = stepper.step(x[1])
    assert not torch.equal(stepper.state.h, kept.h)
    stepper.state = kept
    assert torch.equal(stepper.step(x[1]), first)
    stepper.reset(torch.tensor([True, False]))
    assert not stepper.state.c[:, 0].any()
    assert stepper.state.c[:, 1].all()
    stepper.reset()
    assert torch.equal(stepper.step(x[0]), layer.stepper(2).step(x[0]))


def test_new_weights_are_seen() -> None:
    layer, x = LSTM(4, 9), torch.randn(1, 4)
    stepper = layer.stepper()
    stepper.step(x)
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
        layer.weight_ih_l0.zero_()
    stepper.reset()
    assert torch.equal(stepper.step(x), layer.stepper().step(x))
    layer.bias_hh_l0.data.add_(1)
    stepper.refresh()
    stepper.reset()
    assert torch.equal(stepper.step(x), layer.stepper().step(x))


def test_other_dtypes_run_on_other_engines() -> None:
    layer, x = LSTM(4, 9, dtype=torch.float64), torch.randn(2, 1, 4, dtype=torch.float64)
    stepper = layer.stepper()
    steps = torch.stack([stepper.step(row) for row in x])
    with engines.use("reference"), torch.no_grad():
        torch.testing.assert_close(steps, layer(x)[0])


def test_what_it_refuses() -> None:
    with pytest.raises(OptionError, match="bidirectional"):
        LSTM(3, 4, bidirectional=True).stepper()
    with pytest.raises(OptionError, match="batch"):
        LSTM(3, 4).stepper(0)
    stepper = LSTM(3, 4).stepper(2)
    with pytest.raises(ShapeError, match=r"expected \(2, 3\)"):
        stepper.step(torch.zeros(1, 3))
    with pytest.raises(ShapeError, match=r"state\.c"):
        stepper.state = (torch.zeros(1, 2, 4), torch.zeros(1, 2, 3))
    with pytest.raises(ShapeError, match="rows"):
        stepper.reset(torch.tensor([True]))


def test_weights_that_are_replaced_moved_or_made_of_others_are_seen() -> None:
    x = torch.randn(2, 3, 5)

    def check(layer: LSTM, change: Callable[[], object]) -> None:
        stepper = layer.stepper(3)
        stepper.step(x[0])
        change()
        stepper.reset()
        with torch.no_grad():
            expected = layer(x)[0]
        for t in range(2):
            torch.testing.assert_close(stepper.step(x[t]), expected[t], rtol=0, atol=1e-6)

    layer = LSTM(5, 18)
    other = {name: torch.randn_like(value) for name, value in layer.state_dict().items()}
    check(layer, lambda: layer.load_state_dict(other, assign=True))
    check(layer, lambda: setattr(layer, "weight_hh_l0", torch.nn.Parameter(torch.randn(72, 18))))
    norm = torch.nn.utils.parametrizations.weight_norm(LSTM(5, 18, bias=False), "weight_hh_l0")
    scale = norm.parametrizations.weight_hh_l0.original0
    check(norm, lambda: scale.data.mul_(2))
    projecting = LSTM(5, 18, proj_size=7, peepholes=True, num_layers=2)
    stepper = projecting.stepper(3)
    assert not stepper._derived  # nothing is packed again
    projecting.double()
    with pytest.raises(OptionError, match="Make a new stepper"):
        stepper.step(x[0])


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    stepper = LSTM(5, 18).stepper(3)
    with pytest.raises(ShapeError, match="state"):
        stepper.state = (torch.ones(1, 3, 18), torch.ones(1, 2, 18))
    assert not stepper.state.h.any()
