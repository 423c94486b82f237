"""Writes docs/_static/tour-data.js: one memory cell of a trained model over a passage.

python docs/_tour.py MODEL    where MODEL reads characters, such as that of
    carousel fit language-modeling sample:shakespeare --max-minutes 20 --out MODEL

The cell is found as the page finds it: of all units, the one whose memory follows the place in the
line best. Knows nothing of how it is drawn, which is tour.js.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import carousel
from carousel.inspection import best_units
from carousel.inspection.contents import LayerValues

DATA = Path(__file__).with_name("_static") / "tour-data.js"
BEGIN, END = "window.carouselTour = ", ";\n"
PASSAGE = """\
MENENIUS:
I tell you, friends, most charitable care
Have the patricians of you. For your wants,
Your suffering in this dearth, you may as well
Strike at the heaven with your staves.
"""
TRACK = "position in line"
DIGITS = 6  # behind the point


def main(model: str) -> None:
    """Inspects the model and writes the data."""
    seen = carousel.load(model).inspect(PASSAGE)
    name, unit, correlation = best(seen, TRACK)
    print(f"{TRACK}: unit {unit} of {name}, correlation {correlation:.2f}")
    axis = seen.axis(seen.layer(name).axis)
    found = {
        "text": PASSAGE[: len(axis)],
        "track": TRACK,
        "units": {"line": numbers(seen.layer(name), unit, name) | {"correlation": correlation}},
    }
    DATA.write_text(BEGIN + json.dumps(found, ensure_ascii=False) + END, encoding="utf-8")


def best(seen: Any, track: str) -> tuple[str, int, float]:
    """Returns layer, unit and correlation of the memory cell that follows a track best."""
    found = [
        (name, one.unit, round(one.correlation, 3))
        for name in seen.layers
        for one in best_units(seen.followed(name, "c"), 1)
        if one.name == track
    ]
    return max(found, key=lambda each: abs(each[2]))


def numbers(layer: LayerValues, unit: int, name: str) -> dict[str, Any]:
    """Returns every value of a unit, and the sums inside its gates."""
    weights = layer.weights
    assert weights is not None
    sums = layer.inputs @ weights.input.T + layer.before("h") @ weights.recurrent.T + weights.bias
    H = layer.hidden_size
    found: dict[str, Any] = {"layer": name, "unit": unit, "before_c": float(layer.before_c[unit])}
    for letter in "figoch":
        found[letter] = [round(float(v), DIGITS) for v in getattr(layer, letter)[:, unit]]
    for place, letter in enumerate("ifgo"):
        found[f"{letter}_sum"] = [round(float(v), DIGITS) for v in sums[:, place * H + unit]]
    return found


if __name__ == "__main__":
    main(sys.argv[1])
