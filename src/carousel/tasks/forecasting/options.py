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
        help="further columns known up to the present; by default every other column of numbers",
    )
    known_covariates: tuple[str, ...] = option(
        default=(),
        help="further columns known for the horizon too, such as a holiday or a price that is set",
    )
    static_covariates: tuple[str, ...] = option(
        default=(), help="further columns that never change within a series"
    )
    categories: tuple[str, ...] = option(
        default=(),
        help="which of the named columns hold kinds and not quantities, though they hold numbers; "
        "columns of words always do",
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
        help="steps before the holdout that choose the weights; by default a tenth, 0 for none, "
        "which trains on them and keeps the last weights",
        unit="steps",
        low=0,
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
    metric: str = option(
        default="mase",
        help="how training weighs errors: as they are, by the series' naive error, by their size, "
        "or half by each of the last two",
        choices=("mae", "mase", "smape", "owa"),
        source="M4, doi:10.1016/j.ijforecast.2019.04.014",
    )
    transform: str = option(
        default="auto",
        help="what the network sees of the target: itself, or its logarithm; auto takes the "
        "logarithm where movement grows with level",
        choices=("auto", "none", "log"),
        source="Guerrero 1993, doi:10.1002/for.3980120104",
    )
    patch: int | None = option(
        default=None,
        help="rows that the network reads in one step; by default a sixth of a season from 12 on, "
        "a shorter one whole, and a sixteenth of the context where there is none",
        unit="steps",
        low=1,
        high=1_000,
        source="arXiv:2211.14730, section 3.1",
    )
    lags: tuple[int, ...] | None = option(
        default=None,
        help="how many steps behind each step of the horizon the values lie that the network is "
        "told, beside the season's; by default the next longer season",
        unit="steps",
        low=1,
        high=100_000,
    )
    members: int = option(
        default=1,
        help="networks that learn side by side and forecast together",
        low=1,
        high=64,
        source="arXiv:1612.01474",
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
        self._check_covariates(roles)
        if self.holdout is not None and 0 < self.holdout < self.horizon:
            raise OptionError(
                f"holdout ({self.holdout} steps) has to be 0 or at least the horizon "
                f"({self.horizon})"
            )
        if self.validation is not None and 0 < self.validation < self.horizon:
            raise OptionError(
                f"validation ({self.validation} steps) has to be 0 or at least the horizon "
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

    def _check_covariates(self, roles: tuple[str, ...]) -> None:
        """Refuses a column with two roles, and a category that is no covariate."""
        named = (*(self.covariates or ()), *self.known_covariates, *self.static_covariates)
        taken = set(roles) & set(named)
        if taken:
            raise OptionError(
                f"column {taken.pop()!r} cannot be a covariate: it has a role already"
            )
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise OptionError(
                f"column {twice[0]!r} stands twice among covariates, known_covariates and "
                f"static_covariates; name it once"
            )
        stray = [name for name in self.categories if name not in named]
        if stray:
            raise OptionError(
                f"categories: {stray[0]!r} is named neither in covariates, known_covariates nor "
                f"static_covariates; name it there too"
            )


def quantile_column(target: str, level: float) -> str:
    """Returns the name of the answer's column for a quantile that is not the median."""
    return f"{target}_q{level}"
