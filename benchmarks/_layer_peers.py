"""The other libraries that run an LSTM on the CPU, each as its own users would run it.

All are optional. Each gets PyTorch's weights, the same input and the same number of threads,
computes in fp32, converts nothing inside the timed call, and returns outputs and final state.

Shape letters: T time, B batch, I input size, H hidden size.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from _layer_cases import output_gradient
from _layer_timing import Work

# Distribution, which is the name shown, and the modules that it takes.
NEEDS = {
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
    "jax": ("jax",),
}
OUTPUTS = ("Y", "Y_h", "Y_c")  # what ONNX calls the outputs and the final state


class Candidate(NamedTuple):
    """A call to be timed, and a way to look at the (T, B, H) outputs of the latest call.

    ``held`` keeps alive what the library only points to.
    """

    work: Work
    outputs: Callable[[], np.ndarray]
    held: tuple[object, ...] = ()


def missing(peer: str) -> list[str]:
    """Returns the modules that a peer needs and that are not installed."""
    return [name for name in NEEDS[peer] if importlib.util.find_spec(name) is None]


def limit_jax_threads(threads: int) -> None:
    """Tells XLA how many threads to compute with; it reads this when JAX is first used.

    JAX has no option for it and XLA looks at no OpenMP variable. It takes as many as the process
    may use cores, or as NPROC says.
    """
    os.environ["NPROC"] = str(threads)


def jax_threads() -> int | None:
    """Returns with how many threads XLA computes here, or None where that cannot be seen."""
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return None
    names = [(task / "comm").read_text("utf-8") for task in tasks.iterdir()]
    return sum("XLAEigen" in name for name in names)


def peer(name: str, layer: torch.nn.LSTM, inputs: Tensor, threads: int) -> Candidate:
    """Returns one layer's inference in another library.

    Args:
        name: one of ``NEEDS``.
        layer: whose weights are taken.
        inputs: (T, B, I).
        threads: to compute with.
    """
    make = {"onnxruntime": _onnxruntime, "openvino": _openvino, "jax": _jax}[name]
    return make(layer, inputs, threads)


def onnx_graph(layer: torch.nn.LSTM, T: int, B: int, *, state: bool = False) -> bytes:
    """Returns an ONNX model of one LSTM node, its weights inside.

    Args:
        layer: of one layer and one direction.
        T: steps.
        B: rows.
        state: whether ``h`` and ``c`` (1, B, H) are inputs; they are zeros otherwise.
    """
    from onnx import TensorProto, helper, numpy_helper

    H = layer.hidden_size

    def packed(weight: Tensor) -> np.ndarray:
        i, f, g, o = weight.detach().numpy().reshape(4, H, -1)
        return np.concatenate([i, o, f, g])[None]  # ONNX orders the gates i, o, f, g

    w_ih, w_hh, *biases = (packed(weight) for weight in layer.all_weights[0])
    weights = {"W": w_ih, "R": w_hh, "B": np.concatenate(biases, axis=1)[..., 0]}

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    given = ["X", "W", "R", "B"] + (["", "h", "c"] if state else [])
    node = helper.make_node("LSTM", given, OUTPUTS, hidden_size=H)
    graph = helper.make_graph(
        [node],
        "lstm",
        [value("X", T, B, layer.input_size)]
        + ([value("h", 1, B, H), value("c", 1, B, H)] if state else []),
        [value("Y", T, 1, B, H), value("Y_h", 1, B, H), value("Y_c", 1, B, H)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    serialized: bytes = model.SerializeToString()
    return serialized


def onnxruntime_stepper(layer: torch.nn.LSTM, inputs: Tensor, threads: int) -> Candidate:
    """Returns one step of one row, its state fed back, in ONNX Runtime.

    Two bindings take turns: what one writes as the new state the other reads as the old one. The
    timed call is one ``run_with_iobinding`` and nothing else; the input stays bound.

    Args:
        layer: whose weights are taken.
        inputs: (1, 1, I).
        threads: to compute with.
    """
    import onnxruntime

    H = layer.hidden_size
    session = _session(onnx_graph(layer, 1, 1, state=True), threads)
    place = onnxruntime.OrtValue.ortvalue_from_numpy
    x, y = place(inputs.numpy()), place(np.zeros((1, 1, 1, H), np.float32))
    states = [[place(np.zeros((1, 1, H), np.float32)) for _ in "hc"] for _ in range(2)]
    bindings = []
    for old, new in (states, states[::-1]):
        binding = session.io_binding()
        for name, held in zip(("X", "h", "c"), (x, *old), strict=True):
            binding.bind_ortvalue_input(name, held)
        for name, held in zip(OUTPUTS, (y, *new), strict=True):
            binding.bind_ortvalue_output(name, held)
        bindings.append(binding)
    this, other = bindings

    def step() -> None:
        nonlocal this, other
        session.run_with_iobinding(this)
        this, other = other, this

    return Candidate(step, lambda: y.numpy()[:, 0], (inputs, x, y, states))


def _session(model: bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()  # graph optimization and spinning as they come
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _onnxruntime(layer: torch.nn.LSTM, inputs: Tensor, threads: int) -> Candidate:
    import onnxruntime

    T, B, H = *inputs.shape[:2], layer.hidden_size
    session = _session(onnx_graph(layer, T, B), threads)
    place = onnxruntime.OrtValue.ortvalue_from_numpy
    binding = session.io_binding()
    x = place(inputs.numpy())
    binding.bind_ortvalue_input("X", x)
    shapes = ((T, 1, B, H), (1, B, H), (1, B, H))
    written = [place(np.zeros(shape, np.float32)) for shape in shapes]
    for name, output in zip(OUTPUTS, written, strict=True):
        binding.bind_ortvalue_output(name, output)
    work = functools.partial(session.run_with_iobinding, binding)
    return Candidate(work, lambda: written[0].numpy()[:, 0], (inputs, x, written))


def _openvino(layer: torch.nn.LSTM, inputs: Tensor, threads: int) -> Candidate:
    import openvino

    core = openvino.Core()
    model = core.read_model(onnx_graph(layer, *inputs.shape[:2]))
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", options).create_infer_request()
    x = openvino.Tensor(inputs.numpy(), shared_memory=True)
    request.set_input_tensor(x)
    work = functools.partial(request.infer, share_outputs=True)
    return Candidate(work, lambda: request.get_output_tensor(0).data[:, 0], (inputs, x))


def _jax(layer: torch.nn.LSTM, inputs: Tensor, threads: int) -> Candidate:
    import jax

    x = jax.numpy.asarray(inputs.numpy())
    work, form, weights = _faster_form(layer, x, lambda form: jax.jit(form))
    return Candidate(work, lambda: np.asarray(form(weights, x)[0]))


def jax_training_step(layer: torch.nn.LSTM, inputs: Tensor) -> Work:
    """Returns one training step in JAX: all gradients of ⟨output, a fixed gradient⟩, compiled.

    Args:
        layer: whose weights are taken.
        inputs: (T, B, I); differentiated too.
    """
    import jax

    T, B, _ = inputs.shape
    x = jax.numpy.asarray(inputs.numpy())
    gradient = jax.numpy.asarray(output_gradient(torch.empty(T, B, layer.hidden_size)).numpy())

    def differentiated(form: Callable[..., Any]) -> Callable[..., Any]:
        def loss(weights: Any, x: Any) -> Any:
            return jax.numpy.vdot(form(weights, x)[0], gradient)

        return jax.jit(jax.grad(loss, argnums=(0, 1)))

    return _faster_form(layer, x, differentiated)[0]


def _faster_form(
    layer: torch.nn.LSTM, x: Any, compiled: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> tuple[Work, Callable[..., Any], Any]:
    """Returns whichever of two ways to write an LSTM in JAX is faster at this size.

    One multiplies all inputs by their weights before the scan; the other joins input and state
    and has one product a step, which needs less memory and is the faster one for a small input.
    """
    import jax
    from jax import numpy as jnp

    # Transposed, so that a product is x @ w, as JAX users have it.
    arrays = [jnp.asarray(weight.detach().numpy().T) for weight in layer.all_weights[0]]
    w_ih, w_hh, bias = arrays[0], arrays[1], arrays[2] + arrays[3]
    state = 2 * (jnp.zeros((x.shape[1], layer.hidden_size)),)

    def gates(pre: Any, c: Any) -> Any:
        i, f, g, o = jnp.split(pre, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def before(weights: Any, x: Any) -> Any:
        w_ih, w_hh, bias = weights
        final, y = jax.lax.scan(lambda s, z: gates(z + s[0] @ w_hh, s[1]), state, x @ w_ih + bias)
        return y, final

    def within(weights: Any, x: Any) -> Any:
        w, bias = weights

        def step(s: Any, x_t: Any) -> Any:
            return gates(jnp.concatenate([x_t, s[0]], -1) @ w + bias, s[1])

        final, y = jax.lax.scan(step, state, x)
        return y, final

    tried = []
    for form, weights in (
        (before, (w_ih, w_hh, bias)),
        (within, (jnp.concatenate([w_ih, w_hh]), bias)),
    ):
        run = functools.partial(_finished, compiled(form), weights, x)
        run()  # compiles
        tried.append((_quickest_of_five(run), run, form, weights))
    _, work, form, weights = min(tried, key=lambda each: each[0])
    return work, form, weights


def _finished(run: Callable[..., Any], weights: Any, x: Any) -> Any:
    import jax

    return jax.block_until_ready(run(weights, x))


def _quickest_of_five(work: Work) -> float:
    quickest = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        work()
        quickest = min(quickest, time.perf_counter() - start)
    return quickest
