"""What a forecaster can be told."""

from __future__ import annotations

from carousel.data.clocks import check_time_zone
from carousel.data.stamps import check_time_format
from carousel.errors import OptionError
from carousel.options import option, options

DEFAULT_QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)


@options
class ForecastingOptions:
    """Options of a forecaster: what to forecast, from which columns, with what network.

    Raises:
        OptionError: for a value out of its range, an unknown name, or an impossible combination.
    """

    horizon: int = option(help="how far ahead to forecast", unit="steps", low=1, high=10_000)
    context: int | None = option(
        default=None,
        help="how far back the network reads; by default chosen from season and horizon",
        unit="steps",
        low=2,
        high=100_000,
    )
    season: int | None = option(
        default=None,
        help="length of the season; by default chosen from the frequency",
        unit="steps",
        low=1,
        high=100_000,
    )
    id_column: str = option(default="unique_id", help="column that names the series")
    time_column: str = option(default="ds", help="column of the time stamps")
    target: str = option(default="y", help="column to forecast")
    covariates: tuple[str, ...] | None = option(
        default=None,
        help="further columns the network reads; by default every other column of numbers",
    )
    time_format: str | None = option(
        default=None,
        help="strptime form of the time stamps, for example %d.%m.%Y; by default ISO 8601",
    )
    time_zone: str | None = option(
        default=None,
        help="zone whose wall clock the time stamps follow, for example Europe/Berlin; by default "
        "what they say themselves",
        source="IANA time zone database",
    )
    quantiles: tuple[float, ...] = option(
        default=DEFAULT_QUANTILES,
        help="quantiles to forecast; the median is always among them",
        low=0.001,
        high=0.999,
        source="MQ-RNN, arXiv:1711.11053",
    )
    holdout: int | None = option(
        default=None,
        help="steps at the end of each series that fitting never sees, for evaluate; "
        "by default a tenth, 0 for none",
        unit="steps",
        low=0,
    )
    validation: int | None = option(
        default=None,
        help="steps before the holdout that choose when to stop; by default a tenth",
        unit="steps",
        low=1,
    )
    calibration: int = option(
        default=10,
        help="latest forecasts before each origin that set how wide intervals are; "
        "0 leaves the network's own",
        unit="forecasts",
        low=0,
        high=1_000,
        source="arXiv:1905.03222 and arXiv:2106.00170",
    )
    hidden_size: int = option(
        default=64, help="size of the memory", unit="units", low=1, high=8_192
    )
    num_layers: int = option(default=1, help="stacked LSTM layers in the encoder", low=1, high=16)
    dropout: float = option(
        default=0.4, help="share of hidden values dropped in training", low=0.0, high=0.95
    )

    def __post_init__(self) -> None:
        """Refuses impossible combinations and puts the quantiles in order."""
        roles = (self.id_column, self.time_column, self.target)
        if len(set(roles)) < len(roles):
            raise OptionError(
                f"id_column, time_column and target name three different columns, got {roles}"
            )
        taken = set(roles) & set(self.covariates or ())
        if taken:
            raise OptionError(
                f"column {taken.pop()!r} cannot be a covariate: it has a role already"
            )
        if len(set(self.covariates or ())) < len(self.covariates or ()):
            raise OptionError(
                f"covariates names a column twice: {', '.join(self.covariates or ())}"
            )
        if self.holdout is not None and 0 < self.holdout < self.horizon:
            raise OptionError(
                f"holdout ({self.holdout} steps) has to be 0 or at least the horizon "
                f"({self.horizon})"
            )
        if self.validation is not None and self.validation < self.horizon:
            raise OptionError(
                f"validation ({self.validation} steps) has to be at least the horizon "
                f"({self.horizon})"
            )
        if self.time_format is not None:
            check_time_format(self.time_format)
        if self.time_zone is not None:
            check_time_zone(self.time_zone)
        object.__setattr__(self, "quantiles", tuple(sorted({*self.quantiles, 0.5})))
        answers = {quantile_column(self.target, level) for level in self.quantiles}
        taken = answers & {self.id_column, self.time_column}
        if taken:
            raise OptionError(
                f"column {taken.pop()!r} has the name that a quantile of {self.target!r} gets in "
                f"the answer; rename it"
            )


def quantile_column(target: str, level: float) -> str:
    """Returns the name of the answer's column for a quantile that is not the median."""
    return f"{target}_q{level}"
