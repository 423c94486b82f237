"""What the network reads beside the target: numbers and categories, moving or fixed.

A category becomes a column of zeros and ones for each of its levels, so that everything downstream
sees numbers. Levels are learned when a model is fitted; a level that comes later is none of them:
0 everywhere, and yet not missing.

Letters: N rows, C covariates, E encoded columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from carousel.data.tables import Table
from carousel.tasks.forecasting.options import ForecastingOptions

# Squares and sums of these stay finite, and so do their standardised values in float32.
LARGEST = 1e30
# More levels than this are names of things, not kinds of things.
MOST_LEVELS = 100


@dataclass(frozen=True)
class Covariates:
    """The columns that the network reads beside the target, and the levels of the categories.

    Attributes:
        past: names of those known up to the origin only.
        known: names of those known for the horizon too.
        static: names of those that never change within a series.
        levels: of each category, by the name of its column; the other columns are numbers.
    """

    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table, options: ForecastingOptions) -> Covariates:
        """Finds the columns in a table, by the options or, where they are silent, all numbers.

        Raises:
            DataError: for a column that is missing, or a category of too many levels.
        """
        named = (*options.known_covariates, *options.static_covariates)
        roles = (options.id_column, options.time_column, options.target, *named)
        if options.covariates is None:
            others = [name for name in table.names if name not in roles]
            past = tuple(name for name in others if table.is_numeric(name))
        else:
            past = options.covariates
        for option in ("covariates", "known_covariates", "static_covariates"):
            for name in getattr(options, option) or ():
                table.require(name, option)
        # A column without any value has no levels: it counts as numbers, all of them missing.
        levels = {
            name: found
            for name in (*past, *named)
            if (name in options.categories or not table.is_numeric(name))
            and (found := _levels(table, name))
        }
        return cls(past, options.known_covariates, options.static_covariates, levels)

    def __bool__(self) -> bool:
        """Says whether there are any."""
        return bool(self.past or self.known or self.static)

    @property
    def moving(self) -> tuple[str, ...]:
        """Names of those with a value in every row: of the past first, then the known ones."""
        return (*self.past, *self.known)

    def width(self, names: Sequence[str]) -> int:
        """Returns how many encoded columns some covariates have together."""
        return sum(len(self.levels[name]) if name in self.levels else 1 for name in names)

    def sources(self, names: Sequence[str]) -> np.ndarray:
        """Returns which of ``names`` each encoded column comes from, (E,) int64."""
        widths = [self.width([name]) for name in names]
        return np.repeat(np.arange(len(names)), widths).astype(np.int64)

    def is_level(self, names: Sequence[str]) -> np.ndarray:
        """Says of each encoded column whether it is a level of a category, (E,) bool."""
        return np.repeat(
            [name in self.levels for name in names], [self.width([name]) for name in names]
        ).astype(bool)

    def keeping(self, kept: np.ndarray) -> Covariates:
        """Returns the same with those levels of the moving ones alone that ``kept`` (E,) names."""
        levels = dict(self.levels)
        end = 0
        for name in self.moving:
            begin, end = end, end + self.width([name])
            if name in levels:
                levels[name] = tuple(np.array(levels[name], dtype=object)[kept[begin:end]].tolist())
        return replace(self, levels=levels)

    def encode(self, table: Table, names: Sequence[str]) -> np.ndarray:
        """Returns some covariates of a table as numbers, (N, E), NaN where a cell is missing.

        Raises:
            DataError: for a cell that is no number; names its line.
        """
        columns = [np.zeros((len(table), 0))]
        for name in names:
            if name in self.levels:
                columns.append(_one_hot(table.words(name), self.levels[name]))
            else:
                columns.append(numbers(table, name)[:, None])
        return np.concatenate(columns, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, from which ``from_dict`` makes the same again."""
        return {
            "past": list(self.past),
            "known": list(self.known),
            "static": list(self.static),
            "levels": {name: list(levels) for name, levels in self.levels.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Covariates:
        """Makes the covariates that ``to_dict`` described."""
        return cls(
            past=tuple(values["past"]),
            known=tuple(values["known"]),
            static=tuple(values["static"]),
            levels={name: tuple(levels) for name, levels in values["levels"].items()},
        )


class CovariateScaler(NamedTuple):
    """Mean and standard deviation of each encoded column in training, both (E,) float64."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def measure(cls, values: np.ndarray, is_level: np.ndarray) -> CovariateScaler:
        """Measures (N, E) values, NaN left out.

        A column without spread gets 1, and a level (E,) of a category stays 0 or 1.
        """
        count = np.maximum((~np.isnan(values)).sum(axis=0), 1)
        mean = np.nansum(values, axis=0) / count
        std = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / count)
        return cls(np.where(is_level, 0.0, mean), np.where((std > 0) & ~is_level, std, 1.0))

    def scale(self, values: np.ndarray) -> np.ndarray:
        """Returns the values, (N, E), float32, standardised; 0 where they are missing."""
        scaled = (values - self.mean) / self.std
        return np.where(np.isnan(scaled), 0.0, scaled).astype(np.float32)


def numbers(table: Table, name: str) -> np.ndarray:
    """Returns a column (N,), refusing numbers whose scaled values could leave float32."""
    values = table.numbers(name)
    large = np.flatnonzero(np.abs(values) > LARGEST)
    if len(large):
        row = int(large[0])
        raise table.error(
            f"expected a number between -{LARGEST:g} and {LARGEST:g}, got {values[row]:g}; "
            f"correct it, leave the cell empty, or give the column in a larger unit",
            row=row,
            column=name,
        )
    return values


def _levels(table: Table, name: str) -> tuple[str, ...]:
    words = table.words(name)
    found = sorted({word for word in words.tolist() if word is not None})
    if len(found) > MOST_LEVELS:
        raise table.error(
            f"expected a category of at most {MOST_LEVELS} levels, got {len(found):,} different "
            f"words such as {found[0]!r}; group them, or leave the column out",
            column=name,
        )
    return tuple(found)


def _one_hot(words: np.ndarray, levels: tuple[str, ...]) -> np.ndarray:
    """Returns (N, L) zeros and ones, a row of NaN where the word is None."""
    place = {level: k for k, level in enumerate(levels)}
    codes = np.array([-2 if word is None else place.get(word, -1) for word in words], np.int64)
    out = (codes[:, None] == np.arange(len(levels))).astype(np.float64)
    out[codes == -2] = np.nan
    return out
