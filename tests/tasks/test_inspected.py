"""What the tasks' inspections share, on networks and functions of which everything is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tasks.traced_layers import assert_traced
from torch import Tensor, nn

from carousel.errors import OptionError
from carousel.inspection.contents import Axis
from carousel.nn import LSTM
from carousel.options import options
from carousel.tasks.inspected import (
    Question,
    attributions,
    check_explained,
    chosen_member,
    explain_option,
    standing_in,
    watched,
)

WEIGHTS = torch.tensor([[1.0, -2.0], [0.5, 4.0], [3.0, 0.25]])
INPUTS = torch.tensor([[2.0, 1.0], [-1.0, 0.5], [0.0, 8.0]])
AXIS = Axis(name="text", kind="words", names=["a", "b", "c", "d"])


class Pair(nn.Module):
    """One layer reads what another one says; the second one is read by nobody in ``half``."""

    def __init__(self) -> None:
        super().__init__()
        self.below = LSTM(2, 3, bidirectional=True)
        self.above = LSTM(6, 2, peepholes=True)

    def half(self, x: Tensor) -> Tensor:
        return self.below(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.above(self.half(x))[0]


@options
class Chosen:
    explain: str = explain_option("what")


def linear(x: Tensor) -> Tensor:
    return (x * WEIGHTS).sum((1, 2)) + 7


def question(baseline: Tensor | None = None) -> Question:
    return Question(name="n", axis=AXIS, number=linear, inputs=INPUTS, baseline=baseline)


def test_a_network_is_watched_layer_by_layer() -> None:
    network, x = Pair(), torch.randn(5, 1, 2)
    seen = watched(network, lambda: network(x), lambda path: f"of {path}")
    below, above = network.below.trace(x), network.above.trace(network.below(x)[0])
    traces = {f"below.{name}": layer for name, layer in below.items()} | {"above.l0": above["l0"]}
    assert list(seen.layers) == list(traces) == ["below.l0", "below.l0_reverse", "above.l0"]
    for name, layer in seen.layers.items():
        assert layer.axis == f"of {name.split('.')[0]}"
        assert layer.reverse == name.endswith("reverse")
        # A few roundings of sums of at most 9 terms, as the same engine need not run both.
        assert_traced(layer, traces[name], 5 * 9 * 2.0**-24)
    assert torch.equal(seen.result, network(x).detach())


def test_what_is_not_run_is_not_there() -> None:
    network = Pair()
    seen = watched(network, lambda: network.half(torch.randn(4, 1, 2)), lambda path: "x")
    assert list(seen.layers) == ["below.l0", "below.l0_reverse"]


def test_of_a_linear_function_each_method_gives_the_terms() -> None:
    for baseline in (None, torch.ones(3, 2)):
        start = torch.zeros(3, 2) if baseline is None else baseline
        terms = (WEIGHTS * (INPUTS - start)).sum(1).numpy()
        found = attributions("both", [question(baseline)])
        assert [one.method for one in found] == ["integrated gradients", "occlusion"]
        for one in found:
            assert (one.name, one.axis) == ("n", "text")
            # Numbers with few binary digits; the 64 weights of the integral are rounded.
            assert one.values == pytest.approx([*terms, 0.0], abs=64 * 20 * 2.0**-24)
        assert found[0].total == pytest.approx(terms.sum(), abs=1e-5)
        assert np.isnan(found[1].total)


@pytest.mark.parametrize(
    ("explain", "methods"),
    [
        ("nothing", []),
        ("gradients", ["integrated gradients"]),
        ("occlusion", ["occlusion"]),
        ("both", ["integrated gradients", "occlusion"]),
    ],
)
def test_only_what_was_asked_for_is_explained(explain: str, methods: list[str]) -> None:
    assert [one.method for one in attributions(explain, [question()])] == methods
    assert len(attributions(explain, [question(), question()])) == 2 * len(methods)
    assert attributions(explain, []) == []
    assert Chosen(explain=explain).explain == explain


def test_options_say_what_there_is() -> None:
    assert Chosen() == Chosen(explain="nothing")
    with pytest.raises(OptionError, match=r"explain.*did you mean 'gradients'"):
        Chosen(explain="gradient")


def test_an_option_of_what_is_explained_needs_something_to_explain() -> None:
    check_explained("nothing", step=None, ahead=None)
    check_explained("both", step=3)
    with pytest.raises(OptionError, match=r"'ahead' says what is explained.*explain='both'"):
        check_explained("nothing", step=None, ahead=0)


def test_a_tensor_stands_in_for_one_output() -> None:
    module, x, value = nn.Linear(2, 2), torch.ones(2), torch.tensor([5.0, 6.0])
    own = module(x)
    with standing_in(module, value):
        assert module(x) is value
        assert torch.equal(module(x), own)  # the next call is the module's again
    assert torch.equal(module(x), own)
    with pytest.raises(ValueError, match="of the block"), standing_in(module, value):
        raise ValueError("of the block")
    assert torch.equal(module(x), own)


def test_what_stands_in_must_have_been_asked_for() -> None:
    module = nn.Linear(2, 2)
    with pytest.raises(AssertionError, match="not called"), standing_in(module, torch.ones(2)):
        pass


def test_a_member_is_chosen_by_its_number() -> None:
    members = [nn.Linear(1, 1), nn.Linear(1, 1)]
    assert chosen_member(members, 1) is members[1]
    with pytest.raises(OptionError, match=r"one of the 2 networks .* from 0 to 1, got 2"):
        chosen_member(members, 2)
