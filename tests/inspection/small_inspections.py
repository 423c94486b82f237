"""Small inspections for tests: random layers that read a text, a series or a sound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tests.inspection.recorded_layers import recorded

from carousel.inspection.contents import (
    AttentionMap,
    Attribution,
    Axis,
    GradientFlow,
    LayerValues,
)
from carousel.inspection.inspection import Inspection

TEXT = 'He said: "No $5 for it_\n(none) at all", and left.\tSo.'
WORDS = ["Where", "is", "my", "dog", "?"]


def text_axis(text: str = TEXT, name: str = "text") -> Axis:
    quote = np.cumsum([c == '"' for c in text]) % 2
    return Axis(
        name=name,
        kind="characters",
        names=list(text),
        tracks={"inside quotes": quote.astype(np.float32)},
        unit="character",
    )


def series_axis(T: int = 30, name: str = "past") -> Axis:
    hours = np.arange(T)
    values = np.stack([np.sin(2 * np.pi * hours / 24), np.where(hours % 7, hours / 10, np.nan)], 1)
    return Axis(
        name=name,
        kind="series",
        names=[f"2024-01-{1 + hour // 24:02d} {hour % 24:02d}:00" for hour in hours],
        values=values.astype(np.float32),
        columns=("load", "a $x$ price"),
        unit="hour",
    )


def sound_axis(T: int = 20, name: str = "recording") -> Axis:
    return Axis(
        name=name,
        kind="spectrogram",
        names=[f"{0.04 * t:.2f} s" for t in range(T)],
        values=np.random.default_rng(5).normal(size=(T, 8)).astype(np.float32),
        columns=[f"{100 * k} Hz" for k in range(8)],
        unit="frame of 40 ms",
    )


def layer(
    axis: Axis, H: int = 6, *, reverse: bool = False, seed: int = 0, P: int | None = None
) -> LayerValues:
    """Returns a layer that read random inputs, step by step; with ``P`` what a projection leaves.

    The values before the projection are another layer's, which does for what reads them.
    """
    values = replace(recorded(len(axis), H, reverse=reverse, seed=seed), axis=axis.name)
    if P is None:
        return values
    turned = np.random.default_rng(seed).normal(size=(H, P)).astype(np.float32)
    return replace(values, h=values.h @ turned, before_h=values.before_h @ turned, weights=None)


def seen(axis: Axis | None = None, **others: Any) -> Inspection:
    """Returns what two directions of a layer did with a sequence, by default a text."""
    axis = text_axis() if axis is None else axis
    layers = {"lstm.l0": layer(axis), "lstm.l0_reverse": layer(axis, reverse=True, seed=1)}
    given: dict[str, Any] = {"title": "a $small$ model", "axes": {axis.name: axis}}
    return Inspection(**{**given, "layers": layers, **others})


def rich() -> Inspection:
    """Returns a translation with everything that can be there, a projection among it."""
    source = Axis(name="source", kind="words", names=WORDS, unit="word")
    target = Axis(name="target", kind="words", names=["Wo", "ist", "mein", "$Hund$"], unit="word")
    weights = np.random.default_rng(2).dirichlet(np.ones(len(source)), len(target))
    plain = GradientFlow(
        layer="plain RNN",
        ends=np.array([4]),
        of_h=(0.5 ** np.arange(4, -1, -1.0)[None]).astype(np.float32),
    )
    return Inspection(
        title="a translator",
        axes={"source": source, "target": target},
        layers={"encoder.l0": layer(source), "decoder.l0": layer(target, 8, P=3, seed=4)},
        attentions=[
            AttentionMap(
                name="attention",
                queries="target",
                memory="source",
                weights=weights.astype(np.float32),
            )
        ],
        flows=[plain],
        attributions=[
            Attribution(
                name=f"log-probability of {name!r}",
                method="occlusion",
                axis="source",
                values=np.linspace(-1, k, len(source), dtype=np.float32),
            )
            for k, name in enumerate(target.names)
        ],
    )
