"""The layer with a variant of the cell: its numbers, its masks, and that plain layers draw none."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import textwrap

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from carousel import engines
from carousel.engines import CellVariant, EngineOptions, LayerWeights, State
from carousel.nn import LSTM
from carousel.nn.masks import bernoulli, draw_masks, drawn_rate
from variant_runs import CLOSE, Call, by_hand

T, B, I, H = 5, 3, 2, 4  # noqa: E741
LENGTHS = torch.tensor([5, 0, 3])
RANDOM = {"recurrent_dropout": 0.4, "weight_dropout": 0.4, "zoneout_h": 0.3, "zoneout_c": 0.5}
VARIANTS = {
    "coupled": {"coupled": True},
    "peepholes": {"peepholes": True},
    "clip": {"cell_clip": 0.1},
    "locked": {"recurrent_dropout": 0.4},
    "weights": {"weight_dropout": 0.4},
    "zoneout": {"zoneout_h": 0.3, "zoneout_c": 0.5},
    "all": {"coupled": True, "peepholes": True, "cell_clip": 0.1, **RANDOM},
}


def layer(name: str, **options) -> LSTM:
    return LSTM(I, H, 2, bidirectional=True, dtype=torch.float64, **VARIANTS[name], **options)


def drawn() -> tuple[torch.Tensor, State]:
    h_0, c_0 = (torch.randn(4, B, H, dtype=torch.float64) for _ in range(2))
    return torch.randn(T, B, I, dtype=torch.float64), State(h_0, c_0)


def expected(ours: LSTM, inputs: torch.Tensor, state: State, *, lengths=LENGTHS, **options):
    """The equations on the layer's own parameters, by their names in the state_dict.

    In training weights are dropped by masks that are drawn here, layer by layer, after all others.
    """
    named: dict[str, torch.Tensor] = dict(ours.named_parameters())
    suffixes = ("l0", "l0_reverse", "l1", "l1_reverse")
    for suffix in suffixes if ours.training and ours.weight_dropout else ():
        weight, rate = named[f"weight_hh_{suffix}"], ours.weight_dropout
        kept = ~bernoulli(rate, 1, weight)[0]
        named[f"weight_hh_{suffix}"] = weight * kept / (1 - drawn_rate(rate))
    weights = tuple(
        LayerWeights(**{kind: named.get(f"{kind}_{suffix}") for kind in LayerWeights._fields})
        for suffix in suffixes
    )
    variant = CellVariant(
        coupled=ours.coupled,
        cell_clip=ours.cell_clip,
        zoneout_h=ours.zoneout_h,
        zoneout_c=ours.zoneout_c,
    )
    told = EngineOptions(bidirectional=True, variant=variant, lengths=lengths, **options)
    zeros = (torch.zeros(()),) * 3
    return by_hand(Call(inputs, state, weights, told, zeros))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_layer_computes_the_equations(name: str, training: bool) -> None:
    ours = layer(name).train(training)
    inputs, state = drawn()
    torch.manual_seed(9)
    output, (h_n, c_n) = ours(inputs, state, lengths=LENGTHS)
    output.square().sum().backward()
    found = [p.grad.clone() for p in ours.parameters()]
    ours.zero_grad()
    torch.manual_seed(9)
    variant = CellVariant(zoneout_h=ours.zoneout_h, zoneout_c=ours.zoneout_c)
    masks = draw_masks(T, state, ours.recurrent_dropout, variant) if training else None
    assert (masks is not None) == (training and name in ("locked", "zoneout", "all"))
    wanted = expected(ours, inputs, state, masks=masks)
    wanted[0].square().sum().backward()
    for one, other in zip((output, h_n, c_n), wanted[:3], strict=True):
        torch.testing.assert_close(one, other, **CLOSE)
    for gradient, parameter in zip(found, ours.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, **CLOSE)
        assert gradient.any()


def test_masks_change_from_call_to_call_and_only_in_training() -> None:
    inputs, state = drawn()
    for name in ("locked", "weights", "zoneout"):
        ours = layer(name)
        assert not torch.equal(ours(inputs, state)[0], ours(inputs, state)[0])
        ours.eval()
        before = torch.get_rng_state()
        assert torch.equal(ours(inputs, state)[0], ours(inputs, state)[0])
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["locked", "weights"])
def test_dropout_is_nothing_in_evaluation(name: str) -> None:
    inputs, state = drawn()
    ours = layer(name).eval()
    plain = LSTM(I, H, 2, bidirectional=True, dtype=torch.float64)
    plain.load_state_dict(ours.state_dict())
    assert ours.engine == plain.engine
    assert torch.equal(ours(inputs, state)[0], plain(inputs, state)[0])
    # One layer in one direction has a shorter way to the kernel where it is plain.
    ours, plain = LSTM(3, 16, **VARIANTS[name]).eval(), LSTM(3, 16)
    plain.load_state_dict(ours.state_dict())
    for steps, rows in ((1, 1), (7, 5)):
        x = torch.randn(steps, rows, 3)
        with torch.no_grad():
            found, wanted = ours(x), plain(x)
        for one, other in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_one_mask_of_weights_serves_a_call_with_resets_and_a_trace(lengths) -> None:
    ours = layer("weights")
    inputs, state = drawn()
    reset = torch.rand(T, B) < 0.4
    assert reset.any()
    torch.manual_seed(3)
    trace = ours.trace(inputs, state, lengths=lengths, reset=reset)
    after = torch.get_rng_state()
    torch.manual_seed(3)
    output, final = ours(inputs, state, lengths=lengths, reset=reset)
    assert torch.equal(torch.get_rng_state(), after)
    torch.manual_seed(3)
    *wanted, values = expected(ours, inputs, state, lengths=lengths, reset=reset)
    for found in ((output, *final), (trace.output, *trace.state)):
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, **CLOSE)
    for name, of_layer in zip(("l0", "l0_reverse", "l1", "l1_reverse"), values, strict=True):
        for letter, value in of_layer.items():
            torch.testing.assert_close(getattr(trace[name], letter), value, **CLOSE)


def test_dropped_weights_run_on_any_engine_and_asking_for_one_draws_no_mask() -> None:
    inputs, state = drawn()
    weights = layer("weights").state_dict()
    outputs = []
    for name in ("reference", "pytorch"):
        ours = layer("weights", engine=name)
        ours.load_state_dict(weights)
        before = torch.get_rng_state()
        assert ours.engine.name == name
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(5)
        outputs.append(ours(inputs, state)[0])
    torch.testing.assert_close(*outputs, **CLOSE)
    assert not torch.allclose(outputs[0], ours.eval()(inputs, state)[0])


def test_a_locked_mask_is_the_same_at_every_step() -> None:
    """A gate that reads one element of h only is dead in all steps of a sequence, or in none."""
    ours = LSTM(1, 1, recurrent_dropout=0.5)
    with torch.no_grad():
        ours.weight_ih_l0.zero_()
        ours.weight_hh_l0.fill_(1.0)
    x = torch.zeros(20, 200, 1)
    values = ours.trace(x, (torch.ones(1, 200, 1), torch.zeros(1, 200, 1)))["l0"]
    pre = torch.logit(values.i[..., 0]) - ours.bias_ih_l0[0] - ours.bias_hh_l0[0]
    heard = torch.cat([torch.ones(1, 200), values.h[:-1, :, 0]])
    factors = pre / heard
    assert ((factors - factors[0]).abs() < 1e-2).all()
    assert set(factors[0].round().unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("training", [True, False])
def test_a_plain_layer_draws_nothing(training: bool) -> None:
    ours = LSTM(3, 4, 2, coupled=True, peepholes=True, cell_clip=1.0).train(training)
    before = torch.get_rng_state()
    ours(torch.zeros(2, 2, 3))
    LSTM(3, 4, device="meta", **RANDOM).engine  # noqa: B018  # asking is free too
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_between_layers_draws_the_numbers_that_it_always_drew() -> None:
    """What a variant without chance adds must not move the random numbers of dropout."""
    x = torch.randn(4, 2, 3)
    ours = LSTM(3, 4, 2, dropout=0.5)
    clipped = LSTM(3, 4, 2, dropout=0.5, cell_clip=100.0, engine="reference")
    clipped.load_state_dict(ours.state_dict())
    torch.manual_seed(2)
    output, _ = ours(x)
    torch.manual_seed(2)
    torch.testing.assert_close(clipped(x)[0], output, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "weights"])
def test_the_engine_says_why_it_is_not_pytorchs(name: str) -> None:
    ours = layer(name, engine="auto")
    with_pytorchs = layer(name, engine="pytorch")
    assert ours.engine.name != "pytorch"
    with pytest.raises(ValueError, match=r"'pytorch' cannot run this call: .*(variant|peephole)"):
        with_pytorchs(drawn()[0])


@pytest.mark.parametrize("name", VARIANTS)
def test_layouts_are_the_plain_layers(name: str) -> None:
    inputs, state = drawn()
    ours = layer(name).eval()
    output, _ = ours(inputs, state, lengths=LENGTHS.clamp(min=1))
    packed = pack_padded_sequence(inputs, LENGTHS.clamp(min=1), enforce_sorted=False)
    unpacked, _ = torch.nn.utils.rnn.pad_packed_sequence(ours(packed, state)[0], total_length=T)
    torch.testing.assert_close(unpacked, output, **CLOSE)
    ours.batch_first = True
    trace = ours.trace(inputs.transpose(0, 1), state, lengths=LENGTHS.clamp(min=1))
    torch.testing.assert_close(trace.output, output.transpose(0, 1), **CLOSE)
    assert trace["l0"].f.shape == (B, T, H)
    ours.batch_first = False
    alone, _ = ours(inputs[:, 0], (state.h[:, 0], state.c[:, 0]))
    torch.testing.assert_close(alone, output[:, 0], **CLOSE)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("shape", [(0, B, I), (T, 0, I), (0, 0, I)])
def test_no_steps_and_no_sequences(name: str, shape: tuple[int, ...]) -> None:
    ours = layer(name)
    state = State(*(torch.randn(4, shape[1], H, dtype=torch.float64) for _ in range(2)))
    output, final = ours(torch.zeros(shape, dtype=torch.float64), state)
    assert output.shape == (*shape[:2], 2 * H)
    assert torch.equal(final.h, state.h)
    assert torch.equal(final.c, state.c)
    output.sum().backward()


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_copies_run(copied) -> None:
    ours = layer("all", initialization="orthogonal", forget_bias=1.0)
    other = copied(ours)
    inputs, state = drawn()
    outputs = []
    for one in (ours, other):
        torch.manual_seed(1)
        outputs.append(one(inputs, state)[0])
    assert torch.equal(*outputs)
    assert repr(other) == repr(ours)


def test_half_precision_autocast_meta_and_trains() -> None:
    ours = LSTM(I, H, 2, **VARIANTS["all"])
    x = torch.randn(T, B, I)
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = ours(x)
    output.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())
    assert ours.bfloat16()(x.bfloat16())[0].dtype == torch.bfloat16
    assert ours.to("meta")(x.bfloat16().to("meta"))[0].shape == (T, B, H)


def test_per_sample_gradients_with_masks_of_their_own() -> None:
    ours = LSTM(I, H, **VARIANTS["all"])
    weights = {name: value.detach() for name, value in ours.named_parameters()}

    def loss(weights: dict, one: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(ours, weights, (one[:, None],))[0].square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1), randomness="different")
    x = torch.randn(30, 1, I).expand(-1, 2, -1)
    found = each(weights, x)["weight_peephole_l0"]
    assert found.shape == (2, 2 * H)
    assert not torch.equal(found[0], found[1])


def test_options_may_be_changed_between_calls() -> None:
    inputs, state = drawn()
    ours = layer("zoneout")
    with engines.use("reference"):
        before = ours(inputs, state)[0]
        ours.zoneout_h = ours.zoneout_c = 0.0
        assert not torch.equal(ours(inputs, state)[0], before)
    assert torch.equal(ours(inputs, state)[0], ours(inputs, state)[0])
    assert ours.engine == LSTM(I, H, 2, dtype=inputs.dtype).engine


def test_compile_sees_through_the_masks() -> None:
    """In a process of its own: torch.compile cannot see through the tests' shape checks."""
    code = """
        import torch, carousel.nn
        layer = carousel.nn.LSTM(3, 4, peepholes=True, coupled=True, cell_clip=1.0,
                                 recurrent_dropout=0.5, weight_dropout=0.5, zoneout_h=0.5,
                                 zoneout_c=0.5)
        x = torch.randn(2, 2, 3)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        assert not torch.equal(compiled(x)[0], compiled(x)[0])
        compiled(x)[0].sum().backward()
        layer.eval()
        torch.testing.assert_close(compiled(x)[0], layer(x)[0])
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.stdout == "done\n", done.stderr
