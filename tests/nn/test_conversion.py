"""to_torch: PyTorch's layer on the parameters of ours."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils import parametrizations

import carousel
from carousel.errors import OptionError
from carousel.nn.conversion import VARIANTS
from carousel.nn.options import DEFAULTS

X = torch.linspace(-1, 1, 5 * 2 * 3).reshape(5, 2, 3)  # (T, B, I)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "bidirectional": True, "batch_first": True, "dtype": torch.float64},
        {"bias": False, "proj_size": 2},
        {"num_layers": 3, "dropout": 0.5},
    ],
    ids=str,
)
def test_the_same_parameters_run_in_pytorchs_layer(options: dict) -> None:
    ours = carousel.LSTM(3, 4, engine="pytorch", **options)
    before = torch.get_rng_state()
    theirs = carousel.to_torch(ours)
    assert torch.equal(torch.get_rng_state(), before)
    assert type(theirs) is torch.nn.LSTM
    assert repr(theirs) == repr(carousel.LSTM(3, 4, **options))
    pairs = list(zip(theirs.named_parameters(), ours.named_parameters(), strict=True))
    assert all(a == b and p is q for (a, p), (b, q) in pairs)
    x = X.to(ours.weight_ih_l0.dtype)
    torch.manual_seed(1)
    wanted, (h, c) = ours(x)
    torch.manual_seed(1)
    output, state = theirs(x)
    assert torch.equal(output, wanted)
    assert torch.equal(state[0], h)
    assert torch.equal(state[1], c)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in ours.parameters())


def test_mode_goes_along_and_the_layer_stays() -> None:
    ours = carousel.LSTM(3, 4, num_layers=2, dropout=0.5).eval()
    ours.weight_hh_l0.requires_grad_(False)
    theirs = carousel.to_torch(ours)
    assert not theirs.training
    assert theirs.dropout == 0.5
    assert not theirs.weight_hh_l0.requires_grad
    assert type(ours) is carousel.LSTM
    theirs.train()
    assert not ours.training


def test_a_layer_that_trains_trains_both() -> None:
    ours = carousel.LSTM(3, 4)
    theirs = carousel.to_torch(ours)
    before = theirs(X)[0].detach()
    with torch.no_grad():
        ours.weight_ih_l0.mul_(2)
    assert not torch.equal(theirs(X)[0], before)


@pytest.mark.parametrize(
    "variant",
    [
        {"peepholes": True},
        {"coupled": True},
        {"cell_clip": 3.0},
        {"recurrent_dropout": 0.1},
        {"weight_dropout": 0.1},
        {"zoneout_h": 0.1},
        {"zoneout_c": 0.1},
    ],
    ids=lambda variant: next(iter(variant)),
)
def test_variants_are_refused_by_name(variant: dict) -> None:
    with pytest.raises(OptionError, match=f"^{next(iter(variant))}: torch.nn.LSTM has no such"):
        carousel.to_torch(carousel.LSTM(3, 4, **variant))


def test_every_field_of_a_variant_is_looked_at() -> None:
    """So that a new variant cannot be lost on the way."""
    plain = carousel.LSTM(3, 4)
    assert set(vars(carousel.engines.CellVariant())) <= set(VARIANTS)
    both = {"proj_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"}
    at_first = {"initialization", "forget_bias", "chrono"}
    assert set(VARIANTS) == set(DEFAULTS) - both - at_first
    assert {name: getattr(plain, name) for name in VARIANTS} == VARIANTS


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("norm", [torch.nn.utils.weight_norm, parametrizations.weight_norm])
def test_computed_weights_are_refused(norm) -> None:
    ours = norm(carousel.LSTM(3, 4), "weight_hh_l0")
    with pytest.raises(OptionError, match="weight_hh_l0: expected a parameter, but it is computed"):
        carousel.to_torch(ours)
