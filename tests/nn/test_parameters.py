"""Names and shapes of a stack's parameters, PyTorch's where PyTorch has them."""

from __future__ import annotations

import itertools

import pytest
import torch

from carousel.nn import LSTM
from carousel.nn.parameters import shapes, suffixes


@pytest.mark.parametrize(
    ("layers", "bidirectional", "bias", "P"),
    list(itertools.product((1, 3), (False, True), (True, False), (0, 2))),
)
def test_the_plain_cells_are_pytorchs(layers: int, bidirectional: bool, bias: bool, P: int) -> None:
    theirs = torch.nn.LSTM(3, 4, layers, bias, bidirectional=bidirectional, proj_size=P)
    found = {}
    for suffix in suffixes(layers, bidirectional):
        width = 3 if suffix.startswith("l0") else (2 if bidirectional else 1) * (P or 4)
        found |= {f"{k}_{suffix}": s for k, s in shapes(width, 4, P, bias=bias).items()}
    expected = {name: tuple(value.shape) for name, value in theirs.named_parameters()}
    assert list(found.items()) == list(expected.items())


def test_coupled_gates_have_three_quarters_of_the_rows() -> None:
    found = shapes(3, 4, 2, bias=True, coupled=True, peepholes=True)
    assert found == {
        "weight_ih": (12, 3),
        "weight_hh": (12, 2),
        "bias_ih": (12,),
        "bias_hh": (12,),
        "weight_hr": (2, 4),
        "weight_peephole": (8,),
    }
    assert shapes(3, 4, 0, bias=False, peepholes=True)["weight_peephole"] == (12,)


def test_the_state_dict_names_peepholes_like_other_weights() -> None:
    layer = LSTM(3, 4, 2, bidirectional=True, peepholes=True)
    found = [name for name in layer.state_dict() if "peephole" in name]
    assert found == [
        f"weight_peephole_l{n}{direction}" for n in (0, 1) for direction in ("", "_reverse")
    ]
    other = LSTM(3, 4, 2, bidirectional=True, peepholes=True)
    other.load_state_dict(layer.state_dict())
    assert all(map(torch.equal, other.parameters(), layer.parameters()))
    with pytest.raises(RuntimeError, match="weight_peephole_l0"):
        LSTM(3, 4, 2, bidirectional=True).load_state_dict(layer.state_dict())
