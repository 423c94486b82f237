"""The operators as PyTorch sees them: opcheck, compile, export, fork, and refusals."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch

from carousel.engines.compiled.kernel import Layer
from carousel.engines.compiled.operators import lstm_layer
from carousel.errors import ShapeError

pytest.importorskip("carousel.engines._kernel", reason="installed where nothing could be compiled")


def layer(*, P: int = 6, wants: bool = True, **more: object) -> Layer:
    T, B, I, H = 3, 2, 4, 6  # noqa: E741
    shapes = [(T, B, I), (B, P), (B, H), (4 * H, I), (4 * H, P), (4 * H,), (4 * H,)]
    tensors = [torch.randn(shape).requires_grad_(wants) for shape in shapes]
    hr = torch.randn(P, H).requires_grad_(wants) if P != H else None
    return Layer(*tensors, weight_hr=hr, **more)  # type: ignore[arg-type]


CASES = {
    "plain": {},
    "projection": {"P": 3},
    "no gradients": {"wants": False},
    "ragged": {"lengths": torch.tensor([3, 1]), "reset": torch.rand(3, 2) < 0.5},
    "reverse": {"reverse": True},
    "variant": {"cell_clip": 0.5, "zoneout_h": 0.1, "zoneout_c": 0.2},
}


@pytest.mark.parametrize("case", CASES)
def test_opcheck(case: str) -> None:
    torch.manual_seed(0)
    arguments = layer(**CASES[case])
    keep = case != "no gradients"
    torch.library.opcheck(torch.ops.carousel.lstm_layer.default, (*arguments, keep))


def test_opcheck_of_the_backward_pass() -> None:
    torch.manual_seed(0)
    arguments = layer(wants=False)
    out, h, c, kept = lstm_layer(arguments, keep=True)
    given = (torch.randn_like(out), torch.randn_like(h), torch.randn_like(c), out, *kept)
    operator = torch.ops.carousel.lstm_layer_backward.default
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(operator, (*given, *arguments, True, True), test_utils=tests)


def test_wrong_arguments_are_refused_and_not_read() -> None:
    good = layer(wants=False)
    for bad, name in (
        (good._replace(h0=torch.zeros(2, 5)), "h0"),
        (good._replace(weight_ih=good.weight_ih.double()), "weight_ih"),
        (good._replace(bias_hh=torch.zeros(3)), "bias_hh"),
        (good._replace(lengths=torch.tensor([3, 4])), "lengths"),
        (good._replace(lengths=torch.tensor([-1, 3])), "lengths"),
        (good._replace(reset=torch.zeros(3, 3, dtype=torch.bool)), "reset"),
    ):
        with pytest.raises(ShapeError, match=name):
            torch.ops.carousel.lstm_layer(*bad, False)


def in_a_process(code: str) -> None:
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.stdout.endswith("done\n"), done.stderr


def test_compile_and_export_with_dynamic_shapes() -> None:
    in_a_process("""
        import torch, carousel.nn
        layer = carousel.nn.LSTM(3, 9, 2, bidirectional=True)
        compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
        for T, B in ((4, 2), (6, 3), (9, 5)):
            x = torch.randn(T, B, 3)
            mine = [p.grad for p in layer.parameters()]
            for run in (compiled, layer):
                layer.zero_grad()
                out, (h, c) = run(x)
                (out.square().sum() + c.sum()).backward()
                grads = [p.grad.clone() for p in layer.parameters()]
                if run is compiled:
                    kept = out, grads
            torch.testing.assert_close(out, kept[0])
            for one, other in zip(grads, kept[1]):
                torch.testing.assert_close(one, other)
        T, B = torch.export.Dim("T", min=2), torch.export.Dim("B", min=2)
        program = torch.export.export(layer.eval(), (x,), dynamic_shapes=({0: T, 1: B},))
        y = torch.randn(11, 4, 3)
        torch.testing.assert_close(program.module()(y)[0], layer(y)[0])
        print("done")
    """)


def test_a_fork_is_survived() -> None:
    in_a_process("""
        import os, sys, torch, carousel.nn
        torch.set_num_threads(2)
        layer, x = carousel.nn.LSTM(40, 80), torch.randn(6, 30, 40)
        expected, _ = layer(x)
        expected.sum().backward()
        before = layer.weight_hh_l0.grad.clone()
        child = os.fork()
        if child == 0:
            layer.zero_grad()
            out, _ = layer(x)
            out.sum().backward()
            same = torch.equal(out, expected) and torch.equal(layer.weight_hh_l0.grad, before)
            os._exit(0 if same else 1)
        assert os.waitpid(child, 0)[1] == 0
        print("done")
    """)
