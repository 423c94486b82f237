"""What an evaluation found: a table, a plain sentence, and the numbers behind both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carousel.tasks.forecasting.evaluation import Backtest


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good one forecast is; lower is better, coverage is best at its nominal value.

    Attributes:
        mase: mean absolute scaled error, averaged over series.
        smape: symmetric mean absolute percentage error, percent.
        mae: mean absolute error, in the target's units.
        pinball: pinball loss averaged over the quantiles, scaled as MASE is.
        coverage: nominal share of each central interval to the share that fell inside.
    """

    mase: float
    smape: float
    mae: float
    pinball: float
    coverage: dict[float, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of the model and of the baselines on the same points.

    Attributes:
        scores: by name of the forecast, the model first.
        by_series: a row a series: its name and the MASE of every forecast.
        by_step: by name of the forecast, the mean absolute error of each step of the horizon.
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
    by_series: list[dict[str, Any]]
    by_step: dict[str, list[float]]
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
    def model(self) -> Scores:
        """Scores of the model."""
        return next(iter(self.scores.values()))

    @property
    def baselines(self) -> dict[str, Scores]:
        """Scores of the baselines by name."""
        return dict(list(self.scores.items())[1:])

    @property
    def mase_ratio(self) -> float:
        """MASE of the median over MASE of the seasonal naive forecast; below 1 is better.

        Infinite where the seasonal naive forecast makes no error at all, and NaN without MASE.
        """
        naive = next(iter(self.baselines.values())).mase
        return self.model.mase / naive if naive != 0 else math.inf

    @property
    def verdict(self) -> str:
        """One plain sentence: whether the model beats the best baseline."""
        best, scores = min(
            self.baselines.items(),
            key=lambda row: math.inf if math.isnan(row[1].mase) else row[1].mase,
        )
        if self.num_points == 0:
            return "Nothing could be scored: no row has both a value and every baseline's forecast."
        if math.isnan(self.model.mase) or math.isnan(scores.mase):
            return "MASE is undefined on these rows: the past of every series is constant."
        if scores.mase == 0:
            return f"The model does NOT beat the best baseline, {best}: that one makes no error."
        change = self.model.mase / scores.mase - 1
        if change < 0:
            return f"The model beats the best baseline, {best}: its MASE is {-change:.1%} lower."
        return (
            f"The model does NOT beat the best baseline, {best}: its MASE is {change:.1%} higher. "
            f"Use the {best} forecast."
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as plain values."""
        return {
            "scores": {
                name: {
                    "mase": scores.mase,
                    "smape": scores.smape,
                    "mae": scores.mae,
                    "pinball": scores.pinball,
                    "coverage": {str(nominal): got for nominal, got in scores.coverage.items()},
                }
                for name, scores in self.scores.items()
            },
            "mase_ratio": self.mase_ratio,
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
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Returns the header and the rows of the table that is printed."""
        intervals = list(self.model.coverage)
        header = ["forecast", "MASE", "sMAPE %", "MAE", "pinball"]
        header += [f"in {100 * nominal:g}% interval" for nominal in intervals]
        rows = []
        for name, s in self.scores.items():
            cells = [name, f"{s.mase:.3f}", f"{s.smape:.2f}", f"{s.mae:.4g}", f"{s.pinball:.3f}"]
            cells += [f"{s.coverage[n]:.1%}" if s.coverage else "" for n in intervals]
            rows.append(cells)
        return header, rows

    def __str__(self) -> str:
        """The table, what it was measured on, and the verdict."""
        header, rows = self.table()
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        lines = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [header, *rows]
        ]
        return "\n".join(
            [self.scope, "", lines[0], "-" * len(lines[0]), *lines[1:], "", self.verdict]
        )

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
        return (
            f"{self.num_windows:,} forecasts of {len(next(iter(self.by_step.values())))} steps of "
            f"{self.frequency}, from {self.first} to {self.last}, "
            f"{self.num_points:,} observed values{left_out}{unknown}"
        )

    def plot(self, path: str | Path) -> Path:
        """Draws the backtest and the error by step; PNG or SVG by the path's ending."""
        from carousel.tasks.forecasting.plots import draw_report

        return draw_report(self, Path(path))
