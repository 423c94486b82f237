"""LSTM as a module: parameters, initial values, state_dict, copies, devices, refusals."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
import textwrap

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

import carousel.nn
from carousel import engines
from carousel.errors import OptionError, ShapeError

OPTIONS = [
    dict(zip(("num_layers", "bias", "bidirectional", "proj_size"), values, strict=True))
    for values in itertools.product((1, 3), (True, False), (False, True), (0, 2))
]


def pair(I: int = 3, H: int = 4, **options):  # noqa: E741
    torch.manual_seed(5)
    ours = carousel.nn.LSTM(I, H, **options)
    torch.manual_seed(5)
    return ours, torch.nn.LSTM(I, H, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_parameters_are_pytorchs_by_name_order_and_value(options: dict) -> None:
    ours, theirs = pair(**options)
    assert [name for name, _ in ours.named_parameters()] == [
        n for n, _ in theirs.named_parameters()
    ]
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for mine, other in zip(ours.all_weights, theirs.all_weights, strict=True):
        assert all(map(torch.equal, mine, other))
    assert ours.all_weights[0][0] is ours.weight_ih_l0


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_state_dict_loads_both_ways(options: dict) -> None:
    ours, _ = pair(**options)
    theirs = torch.nn.LSTM(3, 4, **options)
    ours.load_state_dict(theirs.state_dict())
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    ours.reset_parameters()
    theirs.load_state_dict(ours.state_dict())
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "dropout": 0.5, "bidirectional": True, "proj_size": 1},
        {"batch_first": True, "bias": False},
    ],
)
def test_it_prints_like_pytorchs(options: dict) -> None:
    ours, theirs = pair(**options)
    assert repr(ours) == repr(theirs)
    assert "engine='reference'" in repr(carousel.nn.LSTM(3, 4, engine="reference"))


def test_it_says_what_pytorchs_says_about_itself() -> None:
    ours, theirs = pair(num_layers=2, dropout=0.5, bidirectional=True, proj_size=1)
    for name in ("mode", *torch.nn.LSTM.__constants__):
        assert getattr(ours, name) == getattr(theirs, name)
    ours.flatten_parameters()  # which on a CPU must be callable and do nothing


@pytest.mark.parametrize(
    ("options", "error", "theirs"),
    [
        ({"dropout": 1.5}, OptionError, ValueError),
        ({"dropout": -0.1}, OptionError, ValueError),
        ({"dropout": True}, OptionError, ValueError),
        ({"hidden_size": 0}, OptionError, ValueError),
        ({"input_size": 0}, OptionError, ValueError),
        ({"num_layers": 0}, OptionError, ValueError),
        ({"proj_size": -1}, OptionError, ValueError),
        ({"proj_size": 4}, OptionError, ValueError),
        ({"hidden_size": 4.0}, TypeError, TypeError),
        ({"bias": 1}, TypeError, TypeError),
        ({"batch_first": "yes"}, TypeError, TypeError),
    ],
    ids=str,
)
def test_constructor_refuses_what_pytorchs_refuses(
    options: dict, error: type, theirs: type
) -> None:
    arguments = {"input_size": 3, "hidden_size": 4} | options
    with pytest.raises(theirs):
        torch.nn.LSTM(**arguments)
    with pytest.raises(error, match=next(iter(options))) as caught:
        carousel.nn.LSTM(**arguments)
    assert isinstance(caught.value, theirs)


def test_dropout_with_one_layer_warns_as_pytorchs_does() -> None:
    with pytest.warns(UserWarning, match=r"dropout=0.5 does nothing with num_layers=1"):
        carousel.nn.LSTM(3, 4, dropout=0.5)


def test_unknown_engine_is_answered_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'reference'"):
        carousel.nn.LSTM(3, 4, engine="referense")


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "copy", "pickle"],
)
def test_copies_run(copied) -> None:
    ours, _ = pair(num_layers=2, bidirectional=True)
    x = torch.randn(4, 2, 3)
    assert torch.equal(copied(ours)(x)[0], ours(x)[0])


def test_nothing_of_a_batch_stays_on_the_module() -> None:
    ours, _ = pair(num_layers=2)
    before = dict(vars(ours))
    ours(torch.randn(4, 2, 3), lengths=[4, 2])
    ours.trace(torch.randn(4, 2, 3))
    assert vars(ours) == before
    assert not list(ours.buffers())


@pytest.mark.parametrize("options", OPTIONS[::3], ids=lambda o: "-".join(map(str, o.values())))
def test_meta_device_carries_shapes(options: dict) -> None:
    ours = carousel.nn.LSTM(3, 4, device="meta", **options)
    real, _ = pair(**options)
    for call in ({}, {"lengths": [4, 2]}):
        output, state = ours(torch.empty(4, 2, 3, device="meta"), **call)
        expected, expected_state = real(torch.zeros(4, 2, 3))
        assert output.shape == expected.shape
        assert [part.shape for part in state] == [part.shape for part in expected_state]
    ours.to_empty(device="cpu")
    ours.load_state_dict(real.state_dict())
    assert torch.equal(ours(torch.ones(4, 2, 3))[0], real(torch.ones(4, 2, 3))[0])


def test_dtype_follows_to() -> None:
    ours, theirs = pair(num_layers=2)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    output, state = ours.double()(x)
    assert output.dtype == state.h.dtype == torch.float64
    torch.testing.assert_close(output, theirs.double()(x)[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("projection", [0, 2])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_is_near_and_trains(dtype: torch.dtype, projection: int) -> None:
    ours, _ = pair(num_layers=2, proj_size=projection)
    x = torch.randn(4, 2, 3)
    exact, _ = ours(x)
    with torch.autocast("cpu", dtype):
        output, _ = ours(x)
    assert not torch.equal(output.float(), exact)
    # A few dozen roundings of 8 or 11 bits on numbers below 1.
    torch.testing.assert_close(output.float(), exact, rtol=0, atol=30 * torch.finfo(dtype).eps / 2)
    output.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())


def test_evaluation_mode_has_gradients() -> None:
    ours, _ = pair(num_layers=2, dropout=0.5)
    ours.eval()
    x = torch.randn(4, 2, 3)
    output, _ = ours(x)
    assert torch.equal(output, ours(x)[0])
    output.sum().backward()
    assert ours.weight_hh_l1.grad.any()


def test_replaced_and_parametrized_weights_are_used() -> None:
    ours, _ = pair()
    x = torch.randn(4, 2, 3)
    zeros = {name: torch.zeros_like(p) for name, p in ours.named_parameters()}
    output, _ = torch.func.functional_call(ours, zeros, (x,))
    assert not output.any()
    torch.nn.utils.parametrize.register_parametrization(ours, "weight_hh_l0", torch.nn.Identity())
    expected, _ = ours(x)
    torch.nn.utils.parametrize.register_parametrization(ours, "weight_hh_l0", Halved())
    assert not torch.allclose(ours(x)[0], expected)


class Halved(torch.nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight / 2


def test_engine_says_which_and_why() -> None:
    plain, _ = pair()
    name, reason = plain.engine
    first = next(entry for entry in engines.available() if entry.available)
    assert name == first.name
    assert (name == "compiled" and reason == "the first engine that can") or "compiler" in reason
    named = carousel.nn.LSTM(3, 4, engine="reference")
    assert named.engine == ("reference", "chosen by name")
    with engines.use("reference"):
        assert plain.engine == ("reference", "chosen by engines.use('reference')")


def test_an_engine_asked_for_by_name_refuses_what_it_cannot() -> None:
    named = carousel.nn.LSTM(3, 4, engine="pytorch")
    x, reset = torch.zeros(2, 1, 3), torch.zeros(2, 1, dtype=torch.bool)
    with pytest.raises(OptionError, match=r"'pytorch' cannot run this call.*cannot reset"):
        named(x, reset=reset)
    with pytest.raises(OptionError, match=r"'pytorch' cannot run this call.*cannot trace"):
        named.trace(x)


BAD_CALLS = {
    "one dimension": (
        lambda x, hx: ((x[0, 0],), {}),
        r"input: expected 3 dimensions, \(time, batch, input_size\).* got 1, \(3,\)",
    ),
    "four dimensions": (lambda x, hx: ((x[None],), {}), r"input: expected 3 dimensions.*got 4"),
    "features": (
        lambda x, hx: ((x[..., :2],), {}),
        r"input: expected input_size 3 .*got 2 in \(4, 2, 2\)",
    ),
    "input dtype": (
        lambda x, hx: ((x.double(),), {}),
        r"input: expected the weights' dtype torch.float32, got torch.float64. Convert",
    ),
    "h_0 rows": (
        lambda x, hx: ((x, (hx[0][:, :1], hx[1])), {}),
        r"h_0: expected shape \(2, 2, 2\) .*got \(2, 1, 2\)",
    ),
    "c_0 size": (
        lambda x, hx: ((x, (hx[0], hx[0])), {}),
        r"c_0: expected shape \(2, 2, 4\) .*got \(2, 2, 2\)",
    ),
    "state without batch": (
        lambda x, hx: ((x, (hx[0][:, 0], hx[1])), {}),
        r"h_0: expected shape \(2, 2, 2\) .*got \(2, 2\)",
    ),
    "state with batch": (
        lambda x, hx: ((x[:, 0], hx), {}),
        r"h_0: expected shape \(2, 2\) .*got \(2, 2, 2\)",
    ),
    "state dtype": (
        lambda x, hx: ((x, (hx[0], hx[1].double())), {}),
        r"c_0: expected the input's dtype torch.float32, got torch.float64",
    ),
    "state device": (
        lambda x, hx: ((x, (hx[0].to("meta"), hx[1])), {}),
        r"h_0: expected the input's device cpu, got meta",
    ),
    "lengths shape": (
        lambda x, hx: ((x,), {"lengths": [1, 2, 3]}),
        r"lengths: expected one number a sequence, shape \(2,\), got \(3,\)",
    ),
    "lengths too long": (
        lambda x, hx: ((x,), {"lengths": [5, 1]}),
        r"lengths: expected steps from 0 to the input's 4, got 1 to 5",
    ),
    "lengths negative": (lambda x, hx: ((x,), {"lengths": [2, -1]}), r"got -1 to 2"),
    "lengths as fractions": (
        lambda x, hx: ((x,), {"lengths": torch.tensor([0.5, 1.0])}),
        r"lengths: expected whole numbers of steps, got torch.float32. Multiply",
    ),
    "reset layout": (
        lambda x, hx: ((x,), {"reset": torch.zeros(2, 4, dtype=torch.bool)}),
        r"reset: expected truth values.*\(time, batch\): \(4, 2\).*got \(2, 4\)",
    ),
    "reset dtype": (
        lambda x, hx: ((x,), {"reset": torch.zeros(4, 2)}),
        r"of torch.bool; got \(4, 2\) of torch.float32",
    ),
    "packed with lengths": (
        lambda x, hx: ((pack_sequence([x[:, 0]]),), {"lengths": [4]}),
        r"lengths: expected none beside a PackedSequence",
    ),
    "packed with reset": (
        lambda x, hx: ((pack_sequence([x[:, 0]]),), {"reset": torch.zeros(4, 1).bool()}),
        r"reset: expected none beside a PackedSequence",
    ),
    "packed features": (
        lambda x, hx: ((pack_sequence([x[:, 0, :2]]),), {}),
        r"input: expected input_size 3 .*got 2",
    ),
    "packed vectors": (
        lambda x, hx: ((pack_sequence([x[:, 0, 0]]),), {}),
        r"input: expected packed data of 2 dimensions",
    ),
}


@pytest.mark.parametrize("name", BAD_CALLS)
@pytest.mark.parametrize("method", ["forward", "trace"])
def test_what_does_not_fit_is_refused_with_a_remedy(name: str, method: str) -> None:
    ours, _ = pair(num_layers=2, proj_size=2)
    make, message = BAD_CALLS[name]
    args, call = make(torch.randn(4, 2, 3), (torch.zeros(2, 2, 2), torch.zeros(2, 2, 4)))
    with pytest.raises(ShapeError, match=message):
        getattr(ours, method)(*args, **call)


def test_batch_first_is_named_in_the_refusal() -> None:
    ours = carousel.nn.LSTM(3, 4, batch_first=True)
    with pytest.raises(ShapeError, match=r"\(batch, time, input_size\)"):
        ours(torch.zeros(3))
    with pytest.raises(ShapeError, match=r"\(batch, time\): \(2, 4\)"):
        ours(torch.zeros(2, 4, 3), reset=torch.zeros(4, 2, dtype=torch.bool))


def test_compile_and_export_without_a_break() -> None:
    """In a process of its own: torch.compile cannot see through the tests' shape checks."""
    code = """
        import torch, carousel.nn
        from carousel import engines
        layer = carousel.nn.LSTM(3, 4)
        x, reset = torch.randn(2, 2, 3), torch.tensor([[False, False], [True, False]])
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        output, state = compiled(x, reset=reset)
        torch.testing.assert_close(output, layer(x, reset=reset)[0])
        output.sum().backward()
        with torch.no_grad():
            graph = torch.export.export(layer, (x,)).graph
            fused = torch.ops.aten.lstm.input
            if layer.engine.name == "compiled":
                fused = torch.ops.carousel.lstm_layer.default
            assert graph.find_nodes(op="call_function", target=fused)
            graphs = []
            look = lambda module, inputs: graphs.append(str(module.graph)) or module.forward
            compiled = torch.compile(layer, fullgraph=True, backend=look)
            compiled(x)
            with engines.use("reference"):
                compiled(x)
            assert ["sigmoid" in graph for graph in graphs] == [False, True]
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.stdout == "done\n", done.stderr
