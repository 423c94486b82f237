"""Each variant of the cell against its equations, alone and with everything else."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from carousel.engines import CellVariant, EngineOptions, LayerMasks, LayerWeights, State
from carousel.engines.pytorch import PyTorchEngine
from carousel.engines.reference import ReferenceEngine, step
from carousel.engines.variants import variant_step
from variant_runs import CLOSE, Call, by_hand, call, differences, numbers

T, B, I, H = 5, 3, 2, 4  # noqa: E741
LENGTHS = torch.tensor([5, 0, 3])
RESET = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]]).bool()

# What is drawn below has memory cells beyond ±0.4 in about every third place.
VARIANTS = {
    "textbook": (CellVariant(), {}),
    "coupled": (CellVariant(coupled=True), {}),
    "peepholes": (CellVariant(), {"peepholes": True}),
    "coupled with peepholes": (CellVariant(coupled=True), {"peepholes": True}),
    "clip": (CellVariant(cell_clip=0.4), {}),
    "locked": (CellVariant(), {"recurrent_dropout": 0.4}),
    "zoneout of h": (CellVariant(zoneout_h=0.3), {}),
    "zoneout of c": (CellVariant(zoneout_c=0.5), {}),
    "mean of zoneout": (CellVariant(zoneout_h=0.3, zoneout_c=0.5), {"zoned": False}),
    "all": (
        CellVariant(coupled=True, cell_clip=0.4, zoneout_h=0.3, zoneout_c=0.5),
        {"peepholes": True, "recurrent_dropout": 0.4},
    ),
    "all but coupled": (
        CellVariant(cell_clip=0.4, zoneout_h=0.3, zoneout_c=0.5),
        {"peepholes": True, "recurrent_dropout": 0.4},
    ),
}
SURROUNDINGS = {
    "alone": {},
    "ragged": {"lengths": LENGTHS, "L": 2, "bias": False},
    "resets": {"reset": RESET, "P": 3},
    "everything": {"lengths": LENGTHS, "reset": RESET, "P": 3, "L": 2, "bidirectional": True},
}


def draw(name: str, **more: object) -> Call:
    variant, options = VARIANTS[name]
    return call(T, B, I, H, variant, **(options | more))


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize("name", VARIANTS)
def test_outputs_states_and_gradients_are_the_equations(name: str, around: str) -> None:
    drawn = draw(name, **SURROUNDINGS[around])
    assert not differences(numbers(ReferenceEngine(), drawn), numbers(None, drawn))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.tuples(*(st.integers(low, 4) for low in (0, 0, 1, 2))),
    flags=st.tuples(*[st.booleans()] * 6),
    clip=st.sampled_from([None, 0.2, 100.0]),
    rates=st.tuples(*[st.sampled_from([0.0, 0.5])] * 3),
    data=st.data(),
)
def test_combinations_are_the_equations(seed, sizes, flags, clip, rates, data) -> None:
    steps, rows, features, cells = sizes
    coupled, peepholes, projects, bidirectional, zoned, resets = flags
    torch.manual_seed(seed)
    lengths = data.draw(st.lists(st.integers(0, steps), min_size=rows, max_size=rows))
    drawn = call(
        steps,
        rows,
        features,
        cells,
        CellVariant(coupled=coupled, cell_clip=clip, zoneout_h=rates[0], zoneout_c=rates[1]),
        peepholes=peepholes,
        P=cells - 1 if projects else 0,
        L=2,
        bidirectional=bidirectional,
        recurrent_dropout=rates[2],
        zoned=zoned,
        lengths=torch.tensor(lengths, dtype=torch.int64),
        reset=torch.rand(steps, rows) < 0.3 if resets else None,
    )
    found = numbers(ReferenceEngine(), drawn)
    if steps and rows:  # the equations have nothing to say of no steps
        assert not differences(found, numbers(None, drawn))
    else:
        assert torch.equal(found["h_n"], drawn.state.h)
        assert torch.equal(found["c_n"], drawn.state.c)
        assert torch.equal(found["d c_0"], drawn.cotangents[2])
        assert not any(value.any() for name, value in found.items() if name.startswith("d weight"))


@pytest.mark.parametrize("name", ["all", "all but coupled", "mean of zoneout"])
def test_the_trace_has_the_values_of_the_equations(name: str) -> None:
    drawn = draw(name, **SURROUNDINGS["everything"])
    ran = ReferenceEngine().run(*_arguments(drawn.asked(trace=True)))
    assert ran.trace is not None
    for values, expected in zip(ran.trace, by_hand(drawn)[3], strict=True):
        for letter, value in values._asdict().items():
            torch.testing.assert_close(value, expected[letter], **CLOSE)


@pytest.mark.parametrize("name", ["all", "all but coupled", "mean of zoneout"])
def test_derivatives_of_first_and_second_order(name: str) -> None:
    variant, options = VARIANTS[name]
    # A clip of 0.4 may lie nearer to a memory cell than the step of the differences.
    variant = replace(variant, cell_clip=variant.cell_clip and 1.0)
    drawn = call(
        3, 2, 2, 3, variant, **options, P=2, bidirectional=True, lengths=torch.tensor([3, 2])
    )
    fresh, leaves = drawn.leaves()
    kinds = [(k, kind) for k, w in enumerate(fresh.weights) for kind in w._fields]

    def run(*tensors: torch.Tensor):
        named = dict(zip(leaves, tensors, strict=True))
        parts = {(k, kind): named.get(f"{kind}.{k}") for k, kind in kinds}
        weights = tuple(
            LayerWeights(**{kind: parts[k, kind] for kind in LayerWeights._fields})
            for k in range(len(fresh.weights))
        )
        state = State(named["h_0"], named["c_0"])
        ran = ReferenceEngine().run(named["input"], state, weights, fresh.options)
        return ran.outputs, *ran.state

    assert torch.autograd.gradcheck(run, tuple(leaves.values()), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, tuple(leaves.values()), fast_mode=True)


def test_options_that_choose_nothing_give_the_same_bits() -> None:
    plain = draw("textbook", **SURROUNDINGS["everything"])
    D, P = 2, 3
    masks = LayerMasks(
        torch.ones(B, P, dtype=torch.float64),
        torch.zeros(T, B, P, dtype=torch.bool),
        torch.zeros(T, B, H, dtype=torch.bool),
    )
    expected = numbers(ReferenceEngine(), plain)
    same = [
        plain.asked(masks=(LayerMasks(),) * 2 * D),
        plain.asked(masks=(masks,) * 2 * D),
        plain.asked(variant=CellVariant(cell_clip=100.0)),
    ]
    for other in same:
        found = numbers(ReferenceEngine(), other)
        assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_coupled_gates_sum_to_one() -> None:
    trace = ReferenceEngine().run(*_arguments(draw("all", trace=True))).trace
    assert trace is not None
    assert torch.equal(trace[0].i, 1 - trace[0].f)
    assert trace[0].i.min() > 0
    assert trace[0].i.max() < 1


def test_the_clip_stops_values_and_gradients() -> None:
    """With g near 1 and f near 0, c̄ is near i: only a clip above it lets gradients by."""
    weights = LayerWeights(
        torch.tensor([[2.0], [0.0], [9.0], [0.0]]),
        torch.zeros(4, 1),
        torch.tensor([0.0, -9.0, 0.0, 0.0]),
        torch.zeros(4),
    )
    x = torch.tensor([[[1.0], [1.0]]]).requires_grad_()
    zeros = State(torch.zeros(1, 2, 1), torch.zeros(1, 2, 1))
    for clip, alive in [(0.5, False), (2.0, True)]:
        options = EngineOptions(variant=CellVariant(cell_clip=clip))
        ran = ReferenceEngine().run(x, zeros, (weights,), options)
        assert bool((ran.state.c == clip).all()) != alive
        (gradient,) = torch.autograd.grad(ran.state.c.sum(), x)
        assert bool(gradient.all()) == alive
        assert bool(gradient.any()) == alive


def test_zoneout_without_masks_is_the_mean_of_all_masks() -> None:
    """One step is linear in the mask, so the mean's value is the mean over both masks."""
    rate = 0.25
    drawn = call(1, B, I, H, CellVariant(zoneout_h=rate, zoneout_c=rate), zoned=False)
    mean = ReferenceEngine().run(*_arguments(drawn)).state
    ends = []
    for kept in (True, False):
        mask = torch.full((1, B, H), kept)
        masks = (LayerMasks(zoneout_h=mask, zoneout_c=mask),)
        ends.append(ReferenceEngine().run(*_arguments(drawn.asked(masks=masks))).state)
    for part, (old, new), before in zip(mean, zip(*ends, strict=True), drawn.state, strict=True):
        assert torch.equal(old, before)
        torch.testing.assert_close(part, rate * old + (1 - rate) * new, **CLOSE)


def test_zoneout_keeps_nothing_over_a_reset() -> None:
    drawn = draw("zoneout of c", reset=torch.ones(T, B, dtype=torch.bool))
    mask = torch.ones(T, B, H, dtype=torch.bool)
    ran = ReferenceEngine().run(*_arguments(drawn.asked(masks=(LayerMasks(zoneout_c=mask),))))
    assert not ran.state.c.any()


def test_a_mask_of_zoneout_counts_time_forwards_in_both_directions() -> None:
    drawn = draw("zoneout of c", bidirectional=True)
    for t in (0, T - 1):
        mask = torch.zeros(T, B, H, dtype=torch.bool)
        mask[t] = True
        masks = (LayerMasks(zoneout_c=mask),) * 2
        trace = ReferenceEngine().run(*_arguments(drawn.asked(masks=masks, trace=True))).trace
        assert trace is not None
        first = int(t == T - 1)  # the direction that begins at t
        assert torch.equal(trace[first].c[t], drawn.state.c[first])
        before = T - 2 if t == T - 1 else 1
        assert torch.equal(trace[1 - first].c[t], trace[1 - first].c[before])


@pytest.mark.parametrize("batch", [(B,), ()])
def test_a_step_without_a_variant_is_the_textbooks(batch: tuple[int, ...]) -> None:
    pre, h, c = (torch.randn(*batch, width) for width in (4 * H, H, H))
    weights = LayerWeights(torch.zeros(4 * H, I), torch.zeros(4 * H, H))
    found = variant_step(pre, State(h, c), weights, CellVariant())
    assert all(map(torch.equal, found, step(pre, c)))


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "textbook"])
def test_pytorchs_kernel_refuses_every_variant_with_a_reason(name: str) -> None:
    drawn = draw(name)
    reason = PyTorchEngine().supports(drawn.inputs, drawn.weights, drawn.options)
    assert reason is not None
    assert ("peepholes" if name == "peepholes" else "variant") in reason
    assert ReferenceEngine().supports(drawn.inputs, drawn.weights, drawn.options) is None


def _arguments(drawn: Call) -> tuple:
    return drawn.inputs, drawn.state, drawn.weights, drawn.options


def test_every_surrounding_meets_a_reset_and_a_clip() -> None:
    """The tests above would pass without the code that they are for, were it never reached."""
    drawn = draw("all but coupled", **SURROUNDINGS["everything"])
    found = numbers(ReferenceEngine(), drawn)
    for other in (
        drawn.asked(reset=None),
        drawn.asked(lengths=None),
        drawn.asked(masks=None),
        *(
            drawn.asked(variant=replace(drawn.options.variant, cell_clip=clip))
            for clip in (None, 0.3)
        ),
        replace(drawn, weights=tuple(w._replace(weight_peephole=None) for w in drawn.weights)),
    ):
        assert "output" in differences(
            {"output": found["output"]}, {"output": numbers(ReferenceEngine(), other)["output"]}
        )
