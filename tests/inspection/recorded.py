"""Contents of inspections for tests: a small ``carousel.LSTM``, traced, and what it read."""

from __future__ import annotations

import numpy as np
import torch
from tests.inspection import small_inspections
from tests.inspection.recorded_layers import textbook

from carousel import LSTM
from carousel.equations import Step, step
from carousel.inspection.contents import (
    AttentionMap,
    Attribution,
    Axis,
    CellWeights,
    Contents,
    GradientFlow,
    LayerValues,
)

TEXT = 'She said "no, I will not" and left.\nThen "why" he asked, "so soon?"\n'


def traced(
    axis: Axis,
    *,
    input_size: int = 5,
    hidden_size: int = 7,
    num_layers: int = 2,
    bidirectional: bool = False,
    seed: int = 0,
    inputs: np.ndarray | None = None,
    title: str = "a small model",
    **variant: object,
) -> Contents:
    """Returns what a random layer did with a sequence: all values of the trace, from state 0.

    Args:
        axis: what it reads.
        inputs: (T, I); by default a random row for each name, so that equal names read the same.
        variant: options of ``carousel.LSTM`` that make another cell; its weights are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    T = len(axis)
    if inputs is None:
        known = {name: k for k, name in enumerate(dict.fromkeys(axis.names))}
        table = torch.randn(len(known), input_size, generator=generator)
        x = table[[known[name] for name in axis.names]]
    else:
        x = torch.as_tensor(inputs)
    lstm = LSTM(x.shape[1], hidden_size, num_layers, bidirectional=bidirectional, **variant)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in lstm.parameters():
            bound = 1.5 / hidden_size**0.5
            parameter.copy_(bound * (2 * torch.rand(parameter.shape, generator=generator) - 1))
        trace = lstm.trace(x)
    layers, below = {}, x
    for number in range(num_layers):
        names = [f"l{number}", f"l{number}_reverse"][: 1 + bidirectional]
        for name in names:
            layers[f"lstm.{name}"] = LayerValues(
                axis=axis.name,
                reverse=name.endswith("_reverse"),
                **{letter: value.numpy() for letter, value in trace[name]._asdict().items()},
                inputs=below.numpy(),
                before_h=np.zeros(trace[name].h.shape[1], np.float32),
                before_c=np.zeros(hidden_size, np.float32),
                weights=None if variant else _weights(lstm, name),
            )
        below = torch.cat([trace[name].h for name in names], dim=1)
    assert all(len(layer) == T for layer in layers.values())
    return Contents(title=title, axes={axis.name: axis}, layers=layers)


def text_axis(text: str = TEXT, name: str = "text") -> Axis:
    """A text of characters, with a track that says whether a quote is open."""
    return small_inspections.text_axis(text, name)


def word_axis(words: str, name: str) -> Axis:
    return Axis(name=name, kind="words", names=words.split(), unit="word")


def series_axis(T: int = 96, columns: int = 2) -> Axis:
    hours = np.arange(T)
    values = np.stack([np.sin(hours / (3.8 + k)) * 10**k for k in range(columns)], axis=1)
    return Axis(
        name="series",
        kind="series",
        names=[f"2013-01-{1 + hour // 24:02d} {hour % 24:02d}:00" for hour in hours],
        values=values.astype(np.float32),
        columns=[f"series {k}" for k in range(columns)],
        unit="hour",
    )


def spectrogram_axis(T: int = 80, bands: int = 40) -> Axis:
    times, bands_ = np.meshgrid(np.arange(T), np.arange(bands), indexing="ij")
    values = np.exp(-(((bands_ - 20 - 12 * np.sin(times / 9)) / 5) ** 2))
    return Axis(
        name="recording",
        kind="spectrogram",
        names=[f"{0.04 * t:.2f} s" for t in range(T)],
        values=values.astype(np.float32),
        columns=[f"band {band}" for band in range(bands)],
        unit="frame of 40 ms",
    )


def with_everything() -> Contents:
    """A translation with attention, gradients of two models, and attributions."""
    source = word_axis("the old dog that barked at night sleeps now .", "source")
    target = word_axis("der alte Hund , der nachts bellte , schläft jetzt .", "target")
    encoder = traced(source, bidirectional=True, num_layers=1, seed=1)
    decoder = traced(target, num_layers=2, seed=2)
    T, S = len(target), len(source)
    distance = np.abs(np.arange(T)[:, None] * S / T - np.arange(S))
    weights = np.exp(-distance) / np.exp(-distance).sum(1, keepdims=True)
    layers = {f"encoder.{name}": layer for name, layer in encoder.layers.items()}
    layers |= {f"decoder.{name}": layer for name, layer in decoder.layers.items()}
    shares = np.cos(np.arange(S)).astype(np.float32)
    return Contents(
        title="a translator",
        axes={"source": source, "target": target},
        layers=layers,
        attentions=[
            AttentionMap(
                name="attention of the decoder",
                queries="target",
                memory="source",
                weights=weights.astype(np.float32),
            )
        ],
        flows=[flow("decoder.lstm.l0", T, 0.9), flow("plain RNN", T, 0.5, cell=False)],
        attributions=[
            Attribution(
                name="log-probability of 'Hund'",
                method="integrated gradients",
                axis="source",
                values=shares,
                total=float(shares.sum()),
            )
        ],
    )


def flow(layer: str, T: int, keep: float, cell: bool = True) -> GradientFlow:
    """Gradients that fade by a constant factor a step."""
    ends = np.array([T // 2, T - 1])
    distance = ends[:, None] - np.arange(T)
    gains = np.where(distance >= 0, keep ** np.maximum(distance, 0), np.nan).astype(np.float32)
    return GradientFlow(layer=layer, ends=ends, of_h=gains, of_c=gains if cell else None)


def planted(on: list[tuple[int, int]], T: int = 60, H: int = 8) -> Contents:
    """A layer without weights: units 2 and 5 have c = 2 over some spans, all else is below 0.5."""
    rng = np.random.default_rng(3)
    c = rng.uniform(-0.5, 0.4, (T, H)).astype(np.float32)
    for first, last in on:
        c[first : last + 1, [2, 5]] = 2.0
    gates = {name: rng.uniform(0.2, 0.8, (T, H)).astype(np.float32) for name in "fio"}
    layer = LayerValues(
        axis="text",
        **gates,
        g=np.tanh(c),
        c=c,
        h=gates["o"] * np.tanh(c),
        inputs=np.zeros((T, 3), np.float32),
        before_h=np.zeros(H, np.float32),
        before_c=np.zeros(H, np.float32),
    )
    axis = Axis(name="text", kind="characters", names=[chr(97 + t % 26) for t in range(T)])
    return Contents(title="planted", axes={"text": axis}, layers={"l0": layer})


def exact_step(layer: LayerValues, t: int) -> Step:
    """Returns what the equations make of the recorded step before, in float64."""
    before = (layer.before("h")[t], layer.before("c")[t])
    h, c = (torch.as_tensor(each).double() for each in before)
    return step(torch.as_tensor(layer.inputs[t]).double(), h, c, textbook(layer))


def _weights(lstm: LSTM, suffix: str) -> CellWeights:
    def weight(kind: str) -> np.ndarray:
        return getattr(lstm, f"{kind}_{suffix}").detach().numpy()

    return CellWeights(
        input=weight("weight_ih"),
        recurrent=weight("weight_hh"),
        bias=weight("bias_ih") + weight("bias_hh"),
    )
