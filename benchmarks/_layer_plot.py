"""The picture of the layer's benchmark: how many times as fast it is, point by point."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from _harness import Spread

Ratios = Mapping[str, Mapping[str, Spread]]

# One colour a library in both panels (Okabe and Ito's, which the colour-blind can tell apart).
COLOURS = {"torch": "#D55E00", "onnxruntime": "#0072B2", "openvino": "#009E73", "jax": "#CC79A7"}


def draw(panels: Mapping[str, Ratios], path: Path) -> None:
    """Draws one panel for each kind of call, quartiles as bars, on an axis of logarithms.

    Args:
        panels: by title, point by point, how many times as long as ours each library takes.
        path: of the SVG file.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, NullFormatter

    matplotlib.rcParams["svg.hashsalt"] = "layer"  # the same numbers draw the same file
    figure = Figure(figsize=(9, 4.2 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for axis, (title, ratios) in zip(axes, panels.items(), strict=True):
        points = list(ratios)
        names = [name for name in COLOURS if any(name in ratios[point] for point in points)]
        for k, name in enumerate(names):
            at = [n for n, point in enumerate(points) if name in ratios[point]]
            spreads = [ratios[points[n]][name] for n in at]
            axis.errorbar(
                [n + 0.14 * (k - (len(names) - 1) / 2) for n in at],
                [spread.median for spread in spreads],
                yerr=[
                    [spread.median - spread.low for spread in spreads],
                    [spread.high - spread.median for spread in spreads],
                ],
                fmt="o",
                markersize=5,
                color=COLOURS[name],
                label=name,
            )
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_yscale("log")
        axis.set_yticks(_ticks(ratios))
        axis.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.grid(axis="y", linewidth=0.4, alpha=0.6)
        axis.set_xticks(range(len(points)), [p.replace(",", ", ") for p in points], rotation=30)
        for label in axis.get_xticklabels():
            label.set_horizontalalignment("right")
        axis.set_title(f"{title}: how many times as fast carousel.LSTM is", loc="left")
        axis.set_ylabel("their time over ours")
        axis.legend(title="against", frameon=False, ncols=len(names))
    axes[-1].set_xlabel("batch, time, input, hidden")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _ticks(ratios: Ratios) -> list[float]:
    """Returns round numbers that enclose every quartile."""
    spreads = [spread for point in ratios.values() for spread in point.values()]
    low, high = min(s.low for s in spreads), max(s.high for s in spreads)
    rounds = [a * 10.0**e for e in range(-3, 5) for a in (1, 2, 5)]
    inside = [r for r in rounds if low <= r <= high]
    below = [r for r in rounds if r < low][-1:]
    above = [r for r in rounds if r > high][:1]
    return [*below, *inside, *above]
