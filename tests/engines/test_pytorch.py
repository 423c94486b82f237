"""What PyTorch's kernel cannot do it says, and then another engine runs."""

from __future__ import annotations

import pytest
import torch

import carousel.nn
from carousel.engines import EngineOptions, LayerWeights
from carousel.engines.pytorch import PyTorchEngine

LENGTHS = torch.tensor([2, 1])
RESET = torch.zeros(2, 2, dtype=torch.bool)


WEIGHTS = (LayerWeights(torch.zeros(16, 3), torch.zeros(16, 4)),)


def refusal(**options) -> str | None:
    inputs = torch.zeros(2, 2, 3)
    return PyTorchEngine().supports(inputs, WEIGHTS, EngineOptions(**options))


def test_it_runs_the_plain_cell_and_lengths() -> None:
    assert refusal() is None
    assert refusal(lengths=LENGTHS, bidirectional=True, dropout=0.5) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trace": True}, "cannot trace"),
        ({"reset": RESET}, "cannot reset"),
        ({"lengths": LENGTHS.to("meta")}, "meta"),
    ],
)
def test_it_refuses_what_it_cannot(options: dict, words: str) -> None:
    assert words in (refusal(**options) or "")


def test_it_refuses_under_transforms_only() -> None:
    seen = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(refusal())
        return x.sum()

    torch.func.grad(look)(torch.zeros(2))
    torch.func.vmap(look)(torch.zeros(2, 2))
    look(torch.zeros(2))
    assert ["torch.func" in (reason or "") for reason in seen] == [True, True, False]


def test_it_refuses_autocast_where_onednn_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for able in (True, False):
        monkeypatch.setattr(
            torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda able=able: able, raising=False
        )
        with torch.autocast("cpu", torch.bfloat16):
            reason = refusal()
        assert (reason is None) == able
    assert refusal() is None


def test_it_is_pytorchs_layer_bit_for_bit() -> None:
    """The same kernel with the same arguments gives the same bits; a detour would not."""
    theirs = torch.nn.LSTM(3, 4, 2, bidirectional=True)
    ours = carousel.nn.LSTM(3, 4, 2, bidirectional=True, engine="pytorch")
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(7, 5, 3)
    output, state = ours(x)
    expected, expected_state = theirs(x)
    assert torch.equal(output, expected)
    assert all(map(torch.equal, state, expected_state))
