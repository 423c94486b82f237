"""The picture of the memory benchmark: errors over time, gains over distance, runs that solved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Okabe and Ito's colours, and a dash each, which also tells them apart in grey.
STYLES = {
    "LSTM, chrono": ("#0072B2", "-"),
    "LSTM": ("#56B4E9", "--"),
    "GRU": ("#E69F00", "-."),
    "plain RNN": ("#D55E00", ":"),
}
_FORGETFUL = {"adding": (1 / 6, "always saying 1"), "copying": (0.0204, "forgetting all")}
_LEAST_GAIN = 1e-12  # below, a curve is at the foot of its panel

Found = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


def draw(found: Found, distances: Sequence[int], path: Path) -> None:
    """Draws what there is: a panel for each problem, and one for the gains.

    Args:
        found: runs by problem and cell.
        distances: of the gains, in steps.
        path: of the SVG file.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "long_memory"  # the same numbers draw the same file
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    upper = figure.subplots(2, 2)
    for axis, name, title in (
        (upper[0, 0], "adding", "Adding, 600 steps: squared error"),
        (upper[0, 1], "copying", "Copying over 1,000 blanks: nats"),
    ):
        _over_time(axis, found.get(name, {}), name, title)
    _gains(upper[1, 0], found.get("adding", {}), distances)
    _solved(upper[1, 1], {name: cells for name, cells in found.items() if name not in _FORGETFUL})
    figure.savefig(path, format="svg", metadata={"Date": None})


def _over_time(axis: Any, cells: Mapping[str, Any], name: str, title: str) -> None:
    longest = max((point[2] for runs in cells.values() for point in runs[0]["points"]), default=0)
    for cell, runs in cells.items():
        colour, dash = STYLES[cell]
        points = [point for point in runs[0]["points"] if point[2] == longest]
        minutes = [point[0] / 60 for point in points]
        label = cell if points else f"{cell}: never got there"
        losses = [point[3] for point in points]
        axis.plot(minutes, losses, dash, color=colour, label=label, marker=".")
    level, words = _FORGETFUL[name]
    axis.axhline(level, color="black", linewidth=0.8)
    axis.annotate(words, (0.01, level), xycoords=("axes fraction", "data"), va="bottom", size=9)
    axis.set_yscale("log")
    axis.set(title=title, xlabel="minutes of training", ylabel="validation loss")
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
    axis.legend(frameon=False, fontsize=9)


def _gains(axis: Any, cells: Mapping[str, Any], distances: Sequence[int]) -> None:
    for cell, runs in cells.items():
        colour, dash = STYLES[cell]
        shown = [max(gain, _LEAST_GAIN) for gain in runs[0]["gains"]]
        axis.plot(distances, shown, dash, color=colour, marker="o", markersize=3, label=cell)
    axis.set_yscale("log")
    axis.set(
        title="How strongly the end depends on the past",
        xlabel="steps between them, after learning to add",
        ylabel="root mean square gain",
    )
    axis.grid(axis="y", linewidth=0.4, alpha=0.6)
    axis.legend(frameon=False, fontsize=9)


def _solved(axis: Any, problems: Found) -> None:
    names = list(problems)
    for number, (cell, (colour, _)) in enumerate(STYLES.items()):
        rows = [problems[name].get(cell, ()) for name in names]
        shares = [1 - sum(one["wrong"] for one in runs) / max(1, len(runs)) for runs in rows]
        places = [place + 0.2 * (number - 1.5) for place in range(len(names))]
        axis.bar(places, shares, 0.18, color=colour, label=cell)
    axis.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names])
    axis.set(title="Test sequences that are right, mean of the runs", ylim=(0, 1.25))
    axis.legend(frameon=False, fontsize=9, ncols=2, loc="upper center")
