"""What an evaluation found: a table, a plain sentence, and the numbers behind both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.data.answers import write_table
from carousel.errors import OptionError
from carousel.tasks.forecasting.significance import Significance
from carousel.tasks.forecasting.verdict import coverage_notes, verdict
from carousel.tasks.printed import ruled

if TYPE_CHECKING:
    from carousel.tasks.forecasting.evaluation import Backtest


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good one forecast is; lower is better, coverage is best at its nominal value.

    Attributes:
        mase: mean absolute scaled error, averaged over series.
        smape: symmetric mean absolute percentage error, percent.
        mae: mean absolute error, in the target's units.
        mse: mean squared error, in the target's units squared.
        pinball: pinball loss averaged over the quantiles, scaled as MASE is.
        coverage: nominal share of each central interval to the share that fell inside.
    """

    mase: float
    smape: float
    mae: float
    mse: float
    pinball: float
    coverage: dict[float, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores as plain values."""
        return {
            "mase": self.mase,
            "smape": self.smape,
            "mae": self.mae,
            "mse": self.mse,
            "pinball": self.pinball,
            "coverage": {str(nominal): held for nominal, held in self.coverage.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of the model and of the baselines on the same points.

    Attributes:
        scores: by name of the forecast, the model first.
        significance: whether the model and the best baseline differ by more than chance.
        by_series: a row a series: its name, how many windows and values were scored, the MASE and
            sMAPE of every forecast, and the coverage of every interval.
        by_step: by name of the forecast, the mean absolute error of each step of the horizon.
        scaled_by_step: the same, scaled as MASE is; NaN without MASE.
        coverage_by_step: nominal share of each central interval to the share that fell inside, of
            each step of the horizon.
        reliability: level of each quantile to the share of values at or below it.
        num_windows: origins times series.
        num_points: observed values that were scored.
        num_undefined: series left out of MASE, because a constant past leaves it undefined.
        num_unknown: series that fitting has not seen, scored on all their rows.
        first: stamp of the first forecast row.
        last: stamp of the last forecast row.
        season: steps of the seasonal naive forecast.
        frequency: the step between rows, in words.
        backtest: the forecasts themselves.
    """

    scores: dict[str, Scores]
    significance: Significance
    by_series: list[dict[str, Any]]
    by_step: dict[str, list[float]]
    scaled_by_step: dict[str, list[float]]
    coverage_by_step: dict[float, list[float]]
    reliability: dict[float, float]
    num_windows: int
    num_points: int
    num_undefined: int
    num_unknown: int
    first: str
    last: str
    season: int
    frequency: str
    backtest: Backtest = field(repr=False, compare=False)

    @property
    def model_name(self) -> str:
        """What the model is called in every table."""
        return next(iter(self.scores))

    @property
    def model(self) -> Scores:
        """Scores of the model."""
        return self.scores[self.model_name]

    @property
    def horizon(self) -> int:
        """Steps of each forecast."""
        return len(self.by_step[self.model_name])

    @property
    def baselines(self) -> dict[str, Scores]:
        """Scores of the baselines by name."""
        return dict(list(self.scores.items())[1:])

    @property
    def best(self) -> str:
        """Name of the baseline with the lowest MASE."""
        return best_baseline(self.scores)

    @property
    def mase_ratio(self) -> float:
        """MASE of the median over MASE of the seasonal naive forecast; below 1 is better.

        Infinite where the seasonal naive forecast makes no error at all, and NaN without MASE.
        """
        naive = next(iter(self.baselines.values())).mase
        return self.model.mase / naive if naive != 0 else math.inf

    @property
    def verdict(self) -> str:
        """One plain sentence: whether the model beats the best baseline, by more than chance."""
        return verdict(
            self.model.mase,
            self.best,
            self.scores[self.best].mase,
            self.num_points,
            self.significance,
        )

    @property
    def notes(self) -> list[str]:
        """A sentence for each interval that holds more or fewer values than it says."""
        return coverage_notes(self.model.coverage)

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain values."""
        return {
            "scores": {name: scores.to_dict() for name, scores in self.scores.items()},
            "mase_ratio": self.mase_ratio,
            "significance": self.significance.to_dict(),
            "verdict": self.verdict,
            "num_windows": self.num_windows,
            "num_points": self.num_points,
            "num_unknown": self.num_unknown,
            "first": self.first,
            "last": self.last,
            "season": self.season,
            "frequency": self.frequency,
            "by_series": self.by_series,
            "by_step": self.by_step,
            "scaled_by_step": self.scaled_by_step,
            "coverage_by_step": {str(n): held for n, held in self.coverage_by_step.items()},
            "reliability": {str(level): share for level, share in self.reliability.items()},
        }

    def frame(self, by: str = "series") -> Any:
        """Returns the scores series by series, or step by step, a row for each forecast.

        Args:
            by: "series" for MASE, sMAPE and coverage of each series; "step" for the absolute
                error, plain and scaled, and coverage of each step of the horizon.

        Returns:
            A frame of the library that the evaluated data came from (polars for a file); coverage
            is missing where a forecast has no intervals.

        Raises:
            OptionError: for another word.
        """
        if by not in ("series", "step"):
            raise OptionError(f"by expects 'series' or 'step', got {by!r}")
        rows = self._rows_by_series() if by == "series" else self._rows_by_step()
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return write_table(columns, self.backtest.panel.table)

    def _rows_by_series(self) -> list[dict[str, Any]]:
        return [
            {
                "series": row["series"],
                "forecast": name,
                "num_windows": row["num_windows"],
                "num_points": row["num_points"],
                "mase": row[name],
                "smape": row["smape"][name],
                **{
                    f"coverage_{nominal}": held if name == self.model_name else None
                    for nominal, held in row["coverage"].items()
                },
            }
            for row in self.by_series
            for name in self.scores
        ]

    def _rows_by_step(self) -> list[dict[str, Any]]:
        return [
            {
                "step": k + 1,
                "forecast": name,
                "mae": errors[k],
                "mase": self.scaled_by_step[name][k],
                **{
                    f"coverage_{nominal:g}": held[k] if name == self.model_name else None
                    for nominal, held in self.coverage_by_step.items()
                },
            }
            for k in range(self.horizon)
            for name, errors in self.by_step.items()
        ]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the header and the rows of the table that is printed."""
        intervals = list(self.model.coverage)
        header = ["forecast", "MASE", "sMAPE %", "MAE", "MSE", "pinball"]
        header += [f"in {100 * nominal:g}% interval" for nominal in intervals]
        rows = []
        for name, s in self.scores.items():
            cells = [name, f"{s.mase:.3f}", f"{s.smape:.2f}", f"{s.mae:.4g}", f"{s.mse:.4g}"]
            cells += [f"{s.pinball:.3f}"]
            cells += [f"{s.coverage[n]:.1%}" if s.coverage else "" for n in intervals]
            rows.append(cells)
        return header, rows

    def __str__(self) -> str:
        """What was measured on, the table, what intervals do not hold, and the verdict."""
        return "\n".join([self.scope, "", *ruled(*self.table()), "", *self.notes, self.verdict])

    @property
    def scope(self) -> str:
        """One line: on which rows, from how many origins."""
        left_out = (
            f"; {self.num_undefined} constant series left out of MASE" if self.num_undefined else ""
        )
        unknown = (
            f"; {self.num_unknown} series new to the model, scored on all their rows, which may "
            f"lie in the time it was trained on"
            if self.num_unknown
            else ""
        )
        steps = f"{self.horizon} step{'s' if self.horizon > 1 else ''} of {self.frequency}"
        return (
            f"{self.num_windows:,} forecasts of {steps}, from {self.first} to {self.last}, "
            f"{self.num_points:,} observed values{left_out}{unknown}"
        )

    def plot(self, path: str | Path) -> Path:
        """Draws the backtest; PNG or SVG by the path's ending, or HTML with the tables too."""
        from carousel.tasks.forecasting.plots import draw_report

        return draw_report(self, Path(path))


def best_baseline(scores: Mapping[str, Scores]) -> str:
    """Returns the name of the baseline with the lowest MASE; the model's scores come first."""

    def order(name: str) -> float:
        return math.inf if math.isnan(scores[name].mase) else scores[name].mase

    return min(list(scores)[1:], key=order)
