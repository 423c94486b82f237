"""What an inspection says in words and as plain values: the numbers of each layer.

Knows nothing of how the numbers are computed.

Shape letters: T steps, H hidden size, L distances.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carousel.data.pictures import shortened
from carousel.inspection.contents import Attribution, Contents, GradientFlow
from carousel.inspection.following import Follower, best_units, followed
from carousel.inspection.gradient_flow import curve
from carousel.inspection.reach import reach
from carousel.inspection.statistics import layer_statistics

_GATES = {"f": "forget f", "i": "input i", "o": "output o"}
_LONGEST, _FOLLOWED, _LISTED = 5, 6, 12  # units, things, and units of a kind that are named
_EXPLAINED, _SHARES = 8, 3  # explained numbers, and steps of each, that are named
_PLAIN = 0.3  # correlation below which a unit is not said to follow a thing
HALF, HUNDREDTH = 0.5, 0.01  # shares of a gradient
_BOLD, _DIM, _WARN, _END = "\033[1m", "\033[2m", "\033[33m", "\033[0m"


def summary_text(
    contents: Contents, layers: str | Sequence[str] | None = None, *, color: bool = False
) -> str:
    """Returns the numbers of some layers as a terminal shows them.

    Args:
        contents: what was seen.
        layers: names of those to show; by default all.
        color: with the control codes by which a terminal sets bold and colours; what they say is
            said in words too.

    Raises:
        OptionError: for a layer that is not there.
    """
    names = contents.layer_names(layers)
    lines = [_set(shortened(contents.title), _BOLD, color)]
    lines += [
        f"{shortened(name)}: {_count(len(axis), axis.unit)}" for name, axis in contents.axes.items()
    ]
    for name in names:
        lines += ["", *_layer_lines(contents, name, color)]
    others = [flow for flow in contents.flows if flow.layer not in contents.layers]
    if others:
        lines += ["", _set("to compare with", _BOLD, color)]
        lines += [_fact(shortened(flow.layer, 24), _gradient_words(flow)) for flow in others]
    if contents.attributions:
        lines += ["", _set("what the input did for it", _BOLD, color)]
        lines += [_attribution_line(contents, one) for one in contents.attributions[:_EXPLAINED]]
        more = len(contents.attributions) - _EXPLAINED
        lines += [f"  and {more} more"] * (more > 0)
    return "\n".join(lines)


def summary_values(contents: Contents, layers: str | Sequence[str] | None = None) -> dict[str, Any]:
    """Returns the numbers of some layers as plain values, with None for infinity and NaN.

    Args:
        contents: what was seen.
        layers: names of those to tell of; by default all.

    Raises:
        OptionError: for a layer that is not there.
    """
    found = {
        "title": contents.title,
        "axes": {
            name: {"kind": axis.kind, "steps": len(axis), "unit": axis.unit}
            for name, axis in contents.axes.items()
        },
        "layers": {name: _layer_values(contents, name) for name in contents.layer_names(layers)},
        "gradients": [_flow_values(flow) for flow in contents.flows],
        "attributions": [
            {
                "name": one.name,
                "method": one.method,
                "axis": one.axis,
                "shares": one.values,
                "total": one.total,
            }
            for one in contents.attributions
        ],
    }
    plain: dict[str, Any] = _plain_values(found)
    return plain


def _layer_lines(contents: Contents, name: str, color: bool) -> list[str]:
    layer = contents.layer(name)
    axis = contents.axis(layer.axis)
    way = ", from the end" if layer.reverse else ""
    units = _count(layer.hidden_size, "unit")
    lines = [
        f"{_set(shortened(name), _BOLD, color)}: {units}, reads {shortened(layer.axis, 24)}{way}"
    ]
    if not len(layer):
        return [*lines, _fact("no steps", "")]
    if layer.broken_from is not None:
        words = (
            f"not a number from step {layer.broken_from} on: the model has diverged, or its input "
            f"has such values; there is nothing to say of its gates"
        )
        return [*lines, _set(_fact("values", words), _WARN, color)]
    found = layer_statistics(layer)
    lines.append(
        _set(_fact("gates", f"{'below 0.1':>10} {'above 0.9':>10} {'mean':>7}"), _DIM, color)
    )
    for gate, words in _GATES.items():
        low = float(np.mean(found.saturation_low[gate]))
        high = float(np.mean(found.saturation_high[gate]))
        mean = float(np.mean(getattr(layer, gate)))
        lines.append(_fact(f"  {words}", f"{low:>10.1%} {high:>10.1%} {mean:>7.3f}"))
    lines.append(_fact("half-life", _half_life_words(found.half_life)))
    lines.append(
        _fact(
            "memory",
            f"a step keeps {np.mean(found.keep):.1%}, writes {np.mean(found.write):.3f}, shows "
            f"{np.mean(found.shown):.1%}",
        )
    )
    dead, copies = np.flatnonzero(found.dead), np.flatnonzero(found.duplicate_of >= 0)
    words = f"{len(dead)} of {layer.hidden_size}"
    words += f": {_listed(map(str, dead))}" if len(dead) else ""
    lines.append(_set(_fact("dead units", words), _WARN, color and len(dead) > 0))
    words = f"{len(copies)} of {layer.hidden_size}"
    if len(copies):
        words += f": {_listed(f'{unit} of {found.duplicate_of[unit]}' for unit in copies)}"
    lines.append(_set(_fact("duplicates", words), _WARN, color and len(copies) > 0))
    best: dict[int, Follower] = {}  # a unit once: what is like a thing, it follows too
    for one in best_units(followed(layer, axis), 1):
        if abs(one.correlation) >= _PLAIN:
            best.setdefault(one.unit, one)
    if best:
        follows = [
            f"{shortened(one.name, 24)}: unit {one.unit} (r = {one.correlation:+.2f})"
            for one in list(best.values())[:_FOLLOWED]
        ]
        lines.append(_fact("follows", "; ".join(follows)))
    lines += [
        _fact("gradients", _gradient_words(flow)) for flow in contents.flows if flow.layer == name
    ]
    return lines


def _layer_values(contents: Contents, name: str) -> dict[str, Any]:
    layer = contents.layer(name)
    found = layer_statistics(layer)
    return {
        "axis": layer.axis,
        "reverse": layer.reverse,
        "units": layer.hidden_size,
        **vars(found),
        "follows": [
            {"name": one.name, "correlation": one.correlation}
            for one in followed(layer, contents.axis(layer.axis))
        ],
    }


def _flow_values(flow: GradientFlow) -> dict[str, Any]:
    values: dict[str, Any] = {"layer": flow.layer, "ends": flow.ends}
    for letter, gains in (("h", flow.of_h), ("c", flow.of_c)):
        if gains is not None:
            values[f"gain_of_{letter}"] = curve(flow, letter)[1]
    return values


def _half_life_words(half_life: NDArray[Any]) -> str:
    median = float(np.median(half_life))
    longest = np.argsort(-half_life, kind="stable")[:_LONGEST]
    named = [f"unit {n} ({_number(float(half_life[n]))})" for n in longest]
    steps = " steps" if math.isfinite(median) else ""
    return f"median {_number(median)}{steps}; longest {', '.join(named)}"


def _gradient_words(flow: GradientFlow) -> str:
    letter = "h" if flow.of_c is None else "c"
    mean = curve(flow, letter)[1]
    mean = mean[~np.isnan(mean)]
    words = []
    for share, name in ((HALF, "half"), (HUNDREDTH, "a hundredth")):
        steps = reach(mean, share)
        words.append(
            f"more than {name} over all {_count(len(mean) - 1, 'step')}"
            if steps is None
            else f"less than {name} from {_count(steps, 'step')} back"
        )
    return f"∂{letter}/∂{letter}: {', '.join(words)}"


def _attribution_line(contents: Contents, one: Attribution) -> str:
    names = contents.axis(one.axis).names
    best = [
        f"{shortened(names[step], 16)!r} at {step} ({one.values[step]:+.3g})"
        for step in np.argsort(-np.abs(one.values), kind="stable")[:_SHARES]
        if one.values[step]
    ]
    return f"  {shortened(one.name)}, by {one.method}: {', '.join(best) or 'nothing'}"


def _listed(words: Iterable[str]) -> str:
    every = list(words)
    more = len(every) - _LISTED
    return ", ".join(every[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "for ever"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _count(number: int, unit: str) -> str:
    """Returns a number of things: "3 units", "1 unit", "2 × frame of 40 ms"."""
    if number == 1 or " " not in unit:
        return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return f"{number:,} × {unit}"


def _fact(name: str, words: str) -> str:
    return f"  {name:<12} {words}".rstrip()


def _set(words: str, code: str, color: bool) -> str:
    return f"{code}{words}{_END}" if color else words


def _plain_values(value: Any) -> Any:
    """Returns values that JSON has: no array, no infinity, no NaN."""
    if isinstance(value, dict):
        return {str(name): _plain_values(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _plain_values(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain_values(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
