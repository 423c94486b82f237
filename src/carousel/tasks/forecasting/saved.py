"""Whether the plain values of a saved model can be those of a forecaster.

Whoever changes a model folder by hand is told what is wrong, and not that the rows are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, get_args

from carousel.tasks.forecasting.covariates import Covariates
from carousel.tasks.forecasting.frequency import Unit
from carousel.tasks.saved_values import expect, is_count

_LEAST = {
    "context": 1,
    "least": 1,
    "season": 1,
    "patch": 1,
    "anchor": 1,
    "validation": 0,
    "holdout": 0,
}
_CYCLES = ("day", "week", "year")


def check_config(config: Mapping[str, Any]) -> None:
    """Refuses what no forecaster has written; the options check themselves.

    Args:
        config: as ``Fitted.config`` returns it.

    Raises:
        ModelError: names the value.
    """
    for name in ("options", "plan", "frequency", "covariates", "scalers", "about"):
        expect(isinstance(config.get(name), dict), name, "named values", config.get(name))
    for name, least in _LEAST.items():
        value = config["plan"].get(name)
        expect(is_count(value, least), f"plan.{name}", f"a number from {least} on", value)
    frequency = config["frequency"]
    unit, count = frequency.get("unit"), frequency.get("count")
    expect(unit in get_args(Unit), "frequency.unit", f"one of {', '.join(get_args(Unit))}", unit)
    expect(is_count(count, 1), "frequency.count", "a number from 1 on", count)
    cycles = config.get("cycles")
    known = isinstance(cycles, list) and all(cycle in _CYCLES for cycle in cycles)
    expect(known, "cycles", f"some of {', '.join(_CYCLES)}", cycles)
    _check_lags(config["plan"])
    _check_covariates(config)


def read_ends(assets: Mapping[str, bytes], name: str, *others: str) -> dict[str, int]:
    """Reads where each series ended in training.

    Args:
        assets: the files of the model.
        name: of the one that says it.
        *others: that have to be there too.

    Raises:
        ModelError: where a file is missing or says something else.
    """
    for file in (name, *others):
        expect(file in assets, file, "a file", None)
    try:
        ends = json.loads(assets[name])
    except ValueError:
        ends = assets[name][:60]
    valid = isinstance(ends, dict) and all(type(end) is int for end in ends.values())
    expect(valid, name, "a whole number for each series", ends)
    return ends


def _check_lags(plan: Mapping[str, Any]) -> None:
    lags = plan.get("lags")
    valid = isinstance(lags, list) and len(lags) > 0 and all(is_count(lag, 1) for lag in lags)
    expect(valid, "plan.lags", "whole numbers of steps", lags)
    expect(type(plan.get("log")) is bool, "plan.log", "true or false", plan.get("log"))


def _check_covariates(config: Mapping[str, Any]) -> None:
    found = config["covariates"]
    for role in ("past", "known", "static"):
        names = found.get(role)
        valid = isinstance(names, list) and all(isinstance(name, str) for name in names)
        expect(valid, f"covariates.{role}", "names of columns", names)
    levels = found.get("levels")
    valid = isinstance(levels, dict) and all(isinstance(own, list) for own in levels.values())
    expect(valid, "covariates.levels", "words for each category", levels)
    covariates = Covariates.from_dict(found)
    for name, names in (("moving", covariates.moving), ("static", covariates.static)):
        size = covariates.width(names)
        for part in ("mean", "std"):
            values = (config["scalers"].get(name) or {}).get(part)
            fits = isinstance(values, list) and len(values) == size and all(map(_is_finite, values))
            expect(fits, f"scalers.{name}.{part}", f"{size} finite numbers", values)


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
