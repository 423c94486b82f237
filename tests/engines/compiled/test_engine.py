"""The compiled engine against the reference: every variant, shape, instruction set and team."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from carousel.engines import CellVariant, EngineOptions, LayerWeights, State
from carousel.engines.compiled import CompiledEngine
from carousel.engines.compiled.native import module as native
from carousel.engines.reference import ReferenceEngine
from carousel.errors import ShapeError
from carousel.nn import LSTM
from variant_runs import Call, call, differences, numbers

kernel = pytest.importorskip(
    "carousel.engines._kernel", reason="installed where nothing could be compiled"
)

# The reference in the same precision rounds as often as the kernel, at other places: its own error
# says how large rounding is in a call. Calls with a projection amplify it, by luck 20 times more
# here than there. A wrong or missing term is of size 1e-3 and more.
TIMES, UNIT = 40.0, 2.0**-24


@pytest.fixture(params=kernel.instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    before = kernel.instruction_set()
    assert kernel.use_instruction_set(request.param)
    yield request.param
    kernel.use_instruction_set(before)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def precise(given: Call) -> Call:
    """Returns the call in float64."""

    def wide(value: torch.Tensor | None) -> torch.Tensor | None:
        return value.double() if value is not None and value.is_floating_point() else value

    masks = given.options.masks
    if masks is not None:
        masks = tuple(type(one)(*map(wide, one)) for one in masks)
    return replace(
        given,
        inputs=given.inputs.double(),
        state=State(*map(wide, given.state)),
        weights=tuple(LayerWeights(*map(wide, one)) for one in given.weights),
        options=replace(given.options, masks=masks),
        cotangents=tuple(part.double() for part in given.cotangents),
    )


def assert_close(given: Call) -> None:
    found = numbers(CompiledEngine(), given)
    expected = numbers(ReferenceEngine(), precise(given))
    rounded = numbers(ReferenceEngine(), given)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value.numel() == 0:
            continue
        size = max(1.0, float(value.abs().max()))
        ours, theirs = (float((run[name] - value).abs().max()) for run in (found, rounded))
        assert ours <= TIMES * theirs + 8 * UNIT * size, f"{name}: {ours}, and {theirs} in PyTorch"


VARIANTS = {
    "plain": {},
    "peepholes": {"peepholes": True},
    "coupled": {"variant": CellVariant(coupled=True), "peepholes": True},
    "clip": {"variant": CellVariant(cell_clip=0.3)},
    "zoneout": {"variant": CellVariant(zoneout_h=0.3, zoneout_c=0.2)},
    "zoneout mean": {"variant": CellVariant(zoneout_h=0.3, zoneout_c=0.2), "zoned": False},
    "recurrent dropout": {"recurrent_dropout": 0.4},
    "projection": {"P": 5},
    "all": {
        "variant": CellVariant(cell_clip=0.5, zoneout_h=0.3, zoneout_c=0.2),
        "peepholes": True,
        "recurrent_dropout": 0.4,
        "P": 7,
    },
}


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant(name: str, ragged: bool, instruction_set: str) -> None:
    torch.manual_seed(0)
    T, B, I, H = 6, 5, 9, 19  # noqa: E741
    options = {}
    if ragged:
        options = {"lengths": torch.tensor([6, 0, 3, 1, 5]), "reset": torch.rand(T, B) < 0.3}
    how = dict(VARIANTS[name])
    variant = how.pop("variant", CellVariant())
    for L, bidirectional in ((1, False), (2, True)):
        given = call(
            T, B, I, H, variant, L=L, bidirectional=bidirectional, dtype=torch.float32,
            **how, **options,
        )  # fmt: skip
        assert_close(given)


SHAPES = [
    *itertools.product([1, 3], [1, 2, 7], [1, 31, 33], [1, 16, 17]),
    (3, 200, 40, 9), (60, 6, 5, 8), (2, 13, 300, 33), (3, 4, 20, 290), (1, 300, 3, 40),
]  # fmt: skip


@pytest.mark.parametrize(("T", "B", "I", "H"), SHAPES)
def test_every_shape(T: int, B: int, I: int, H: int) -> None:  # noqa: E741
    torch.manual_seed(T * B * I * H)
    given = call(T, B, I, H, CellVariant(), dtype=torch.float32)
    assert_close(given)


@pytest.mark.parametrize("P", [0, 11])
def test_numbers_do_not_depend_on_the_team(P: int, threads: None) -> None:
    torch.manual_seed(0)
    for B, H in ((1, 70), (9, 40), (40, 260)):
        lengths = torch.randint(0, 8, (B,))
        given = call(7, B, 37, H, CellVariant(), P=P, dtype=torch.float32, lengths=lengths)
        runs = []
        for count in (1, 2, 3, 4):
            torch.set_num_threads(count)
            runs.append(numbers(CompiledEngine(), given))
        for run in runs[1:]:
            assert all(torch.equal(run[name], runs[0][name]) for name in runs[0])


@pytest.mark.parametrize(("I", "H"), [(5, 24), (70, 33), (300, 270)])
def test_a_row_alone_and_a_step_alone_give_the_same_bits(I: int, H: int) -> None:  # noqa: E741
    layer, x = LSTM(I, H, engine="compiled"), torch.randn(4, 9, I)
    trained, _ = layer(x)
    with torch.no_grad():
        whole, state = layer(x)
        assert torch.equal(whole, trained)
        assert torch.equal(layer(x[:, 3:4])[0], whole[:, 3:4])
        hx, steps = None, []
        for t in range(4):
            out, hx = layer(x[t : t + 1, :3], hx)
            steps.append(out)
        assert torch.equal(torch.cat(steps), whole[:, :3])
        assert hx is not None
        assert torch.equal(hx[1], state[1][:, :3])


def test_errors_are_of_the_size_of_pytorchs() -> None:
    # 1.12 times them when this was written (docs/results.md); 1.0 is what we want.
    torch.manual_seed(0)
    ours, theirs = [], []
    for T, B, I, H in ((30, 16, 24, 48), (12, 20, 200, 160), (50, 4, 1, 32)):  # noqa: E741
        plain = torch.nn.LSTM(I, H)
        x, cotangent = torch.randn(T, B, I), torch.randn(T, B, H)
        layer = LSTM(I, H, engine="compiled")
        layer.load_state_dict(plain.state_dict())
        exact = torch.nn.LSTM(I, H, dtype=torch.float64)
        exact.load_state_dict(plain.state_dict())
        values = []
        for module, wide in ((exact, True), (layer, False), (plain, False)):
            given = (x.double() if wide else x.clone()).requires_grad_()
            out, _ = module(given)
            out.backward(cotangent.to(out.dtype))
            values.append([out.detach(), given.grad, *(p.grad for p in module.parameters())])
        for true, mine, other in zip(*values, strict=True):
            size = true.square().mean().sqrt()
            ours.append(((mine - true).square().mean().sqrt() / size).item())
            theirs.append(((other - true).square().mean().sqrt() / size).item())
    mean = [sum(side) / len(side) for side in (ours, theirs)]
    assert mean[0] <= 1.25 * mean[1], mean


def test_padding_is_never_read_and_nan_is_passed_on() -> None:
    layer, x = LSTM(3, 20, 2, bidirectional=True, engine="compiled"), torch.randn(5, 3, 3)
    lengths = torch.tensor([5, 2, 0])
    clean, _ = layer(x, lengths=lengths)
    x[2:, 1] = x[:, 2] = float("nan")
    x.requires_grad_()
    out, _ = layer(x, lengths=lengths)
    assert torch.equal(out, clean)
    out.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())
    bad = torch.zeros(2, 1, 3)
    bad[0, 0, 1] = float("nan")
    assert torch.isnan(LSTM(3, 20, engine="compiled")(bad)[0]).all()


def test_strides_of_inputs_and_gradients() -> None:
    layer = LSTM(4, 10, batch_first=True, engine="compiled")
    wide = torch.randn(3, 6, 8, requires_grad=True)
    out, _ = layer(wide[:, :, ::2])
    out.sum().backward()  # an expanded gradient
    with torch.no_grad():
        assert torch.equal(layer(wide[:, :, ::2].contiguous())[0], out)
    again = wide.detach().clone().requires_grad_()
    LSTM.forward(layer, again[:, :, ::2].contiguous())[0].backward(torch.ones(3, 6, 10))
    assert torch.equal(wide.grad, again.grad)


def test_a_trace_is_that_of_the_reference() -> None:
    torch.manual_seed(0)
    given = call(5, 3, 4, 19, CellVariant(), L=2, bidirectional=True, dtype=torch.float32)
    asked = given.asked(lengths=torch.tensor([5, 0, 2]), trace=True)
    with torch.no_grad():
        found, expected = (
            engine.run(asked.inputs, asked.state, asked.weights, asked.options).trace
            for engine in (CompiledEngine(), ReferenceEngine())
        )
    for one, other in zip(found, expected, strict=True):
        for name in one._fields:
            torch.testing.assert_close(
                getattr(one, name), getattr(other, name), rtol=0, atol=16 * UNIT
            )


def test_second_derivatives_run_through_the_reference() -> None:
    torch.manual_seed(0)
    results = []
    weights = LSTM(3, 6).state_dict()
    x0 = torch.randn(4, 2, 3)
    for engine in ("compiled", "reference"):
        layer = LSTM(3, 6, engine=engine)
        layer.load_state_dict(weights)
        x = x0.clone().requires_grad_()
        (slope,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        slope.square().sum().backward()
        results.append([x.grad, *(p.grad for p in layer.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_defaults_of_pytorch_change_nothing() -> None:
    torch.manual_seed(0)
    layer, x = (
        LSTM(5, 18, num_layers=2, bidirectional=True, engine="compiled"),
        torch.randn(3, 2, 5),
    )
    single = LSTM(5, 18, engine="compiled")

    def results() -> list[Tensor]:
        layer.zero_grad()
        out, state = layer(x, lengths=torch.tensor([3, 1]))
        out.sum().backward()
        found = [out, *state, layer.weight_hh_l1.grad, single.stepper(2).step(x[0])]
        with torch.no_grad():
            found += [layer(x)[0], single(x)[0], *single(x[:1])[1], layer.trace(x).output]
        return found

    expected = results()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert all(torch.equal(a, b) for a, b in zip(results(), expected, strict=True))
    finally:
        torch.set_default_dtype(before)
    with torch.device("meta"):
        assert torch.equal(single(x)[0].detach(), expected[6])


def test_what_it_refuses() -> None:
    engine, x = CompiledEngine(), torch.zeros(2, 1, 3)
    weights = (LayerWeights(torch.zeros(16, 3), torch.zeros(16, 4)),)
    assert engine.supports(x, weights, EngineOptions()) is None
    assert "float32" in (engine.supports(x.double(), weights, EngineOptions()) or "")
    refusal = engine.supports(x.requires_grad_(), weights, EngineOptions(trace=True))
    assert "trace" in (refusal or "")


def test_autocast_gives_its_dtype() -> None:
    layer, x = LSTM(3, 6), torch.randn(4, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.engine.name == "compiled"
        out, (h, c) = layer(x)
    assert {out.dtype, h.dtype, c.dtype} == {torch.bfloat16}
    out.float().sum().backward()
    assert layer.weight_hh_l0.grad.dtype == torch.float32


@pytest.mark.skipif(
    not native.supports_bf16(1, 64, 64), reason="this processor has no products of bf16"
)
def test_products_are_of_bf16_under_autocast_and_as_close_as_pytorchs() -> None:
    torch.manual_seed(0)
    plain, x = torch.nn.LSTM(72, 96), torch.randn(20, 9, 72)
    layer = LSTM(72, 96)
    layer.load_state_dict(plain.state_dict())
    cotangent = torch.randn(20, 9, 96)

    def values(module: torch.nn.Module, low: bool) -> list[Tensor]:
        given = x.clone().requires_grad_()
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            out, _ = module(given)
        out.backward(cotangent.to(out.dtype))
        return [out.detach().float(), given.grad, *(p.grad.clone() for p in module.parameters())]

    def off(found: Tensor, right: Tensor) -> float:
        return ((found - right).square().mean() / right.square().mean()).sqrt().item()

    exact, ours, theirs = values(plain, False), values(layer, True), values(plain, True)
    for right, mine, other in zip(exact, ours, theirs, strict=True):
        # Rounding to bf16 leaves 2^-9 of a number in the mean; more than a few hundred terms of
        # either sign do not add up to ten times that.
        assert 1e-4 < off(mine, right) < 10 * 2.0**-9
        assert off(mine, right) < 1.2 * off(other, right)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x)[0].float(), ours[0])
        projecting = LSTM(72, 96, proj_size=40)  # stays in float32
        out = projecting(x)[0]
    with torch.no_grad():
        assert torch.equal(out, projecting(x)[0].bfloat16())


def test_the_helpers_of_this_test_can_fail() -> None:
    torch.manual_seed(0)
    given = call(3, 2, 4, 5, CellVariant(), dtype=torch.float32)
    other = given.asked(variant=CellVariant(cell_clip=0.01))
    found = differences(numbers(CompiledEngine(), given), numbers(CompiledEngine(), other))
    assert max(found.values()) > 1e-3


def test_values_that_are_stored_as_their_negatives() -> None:
    def stored(values: Tensor) -> Tensor:
        turned = torch._neg_view(-values)  # what the imaginary part of a conjugate is
        assert turned.is_neg()
        return turned

    torch.manual_seed(0)
    layer, x = LSTM(5, 18, engine="compiled"), torch.randn(3, 2, 5)
    hx = (torch.randn(1, 2, 18), torch.randn(1, 2, 18))
    for low in (torch.no_grad(), torch.enable_grad()):
        with low:
            expected, state = layer(x, hx)
            for given, start in ((stored(x), hx), (x, (stored(hx[0]), stored(hx[1])))):
                found, ends = layer(given, start)
                assert torch.equal(found, expected)
                assert torch.equal(ends.c, state.c)
    steps = layer.stepper(2), layer.stepper(2)
    assert torch.equal(steps[0].step(x[0]), steps[1].step(stored(x[0])))


def test_infinite_inputs_reach_no_unit_that_does_not_exist() -> None:
    layer, x = LSTM(65, 65), torch.randn(5, 3, 65)
    x[2, 0, 0] = float("inf")
    for low in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            assert not layer(x)[0].isnan().any()


def test_layers_made_in_inference_mode() -> None:
    with torch.inference_mode():
        layer, x = LSTM(5, 18), torch.randn(4, 3, 5)
        inside = layer(x)[0]
        stepper = layer.stepper(3)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], inside)
        for t in range(4):
            assert torch.equal(stepper.step(x[t]), inside[t])
    stepper.reset()
    assert torch.equal(stepper.step(x[0]), inside[0])


def test_each_bias_has_a_gradient_of_its_own() -> None:
    layer = LSTM(5, 18)
    gradients = torch.autograd.grad(layer(torch.randn(4, 3, 5))[0].sum(), list(layer.parameters()))
    assert torch.equal(gradients[2], gradients[3])
    assert gradients[2].data_ptr() != gradients[3].data_ptr()


def test_hooks_of_saved_tensors() -> None:
    layer, x = LSTM(5, 18), torch.randn(4, 3, 5)
    layer(x)[0].sum().backward()
    expected = layer.weight_hh_l0.grad.clone()
    layer.zero_grad()

    def turned(values: Tensor) -> Tensor:
        return values.transpose(0, -1).contiguous().transpose(0, -1)

    with torch.autograd.graph.saved_tensors_hooks(lambda values: values, turned):
        out = layer(x)[0]
    out.sum().backward()
    assert torch.equal(layer.weight_hh_l0.grad, expected)
    with torch.autograd.graph.saved_tensors_hooks(lambda values: values, lambda v: v.double()):
        out = layer(x)[0]
    with pytest.raises(ShapeError, match="saved as float32"):
        out.sum().backward()


def test_tensors_of_other_makes() -> None:
    layer, x = LSTM(5, 18), torch.randn(4, 3, 5)
    expected = layer(x)[0].detach()
    with torch.no_grad():
        zeros = torch._efficientzerotensor((4, 3, 5))
        assert torch.equal(layer(zeros)[0], layer(torch.zeros(4, 3, 5))[0])
        layer.weight_hh_l0 = torch.nn.Parameter(torch._neg_view(-layer.weight_hh_l0.detach()))
        assert layer.weight_hh_l0.is_neg()
        assert torch.equal(layer(x)[0], expected)
    with forward_ad.dual_level():
        assert layer.engine.name == "reference"
