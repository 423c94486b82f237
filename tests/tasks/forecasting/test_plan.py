"""What the data decides: context, season, and the split by each series' own end."""

from __future__ import annotations

import polars as pl
import pytest
from tests.tasks.forecasting.small_data import frame

from carousel.errors import DataError, OptionError
from carousel.tasks.forecasting.data import Panel, read_panel
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.plan import Plan, make_plan


def panel(length: int, names: str = "a") -> Panel:
    return read_panel(frame(list(names), length), ForecastingOptions(horizon=4))


def test_defaults_come_from_the_data() -> None:
    plan = make_plan(panel(2_000), ForecastingOptions(horizon=24))
    assert plan == Plan(context=168, season=24, validation=192, holdout=192)


def test_the_context_shrinks_to_what_short_series_have() -> None:
    plan = make_plan(panel(160), ForecastingOptions(horizon=24))
    assert plan == Plan(context=88, season=24, validation=24, holdout=24)


def test_what_is_given_is_kept() -> None:
    given = ForecastingOptions(horizon=4, context=10, season=6, holdout=0, validation=8)
    assert make_plan(panel(100), given) == Plan(context=10, season=6, validation=8, holdout=0)


def test_other_validation_data_leaves_the_rows_to_training() -> None:
    plan = make_plan(panel(2_000), ForecastingOptions(horizon=24), validates=False)
    assert (plan.validation, plan.holdout) == (0, 192)
    assert plan.training_rows(panel(2_000)).tolist() == [1_808]


@pytest.mark.parametrize("horizon", [1, 3, 24])
@pytest.mark.parametrize("context", [None, 5, 48])
def test_the_least_length_is_the_one_the_message_names(horizon: int, context: int | None) -> None:
    options = ForecastingOptions(horizon=horizon, context=context)
    with pytest.raises(DataError, match="too short") as caught:
        make_plan(panel(3), options)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    with pytest.raises(DataError, match=f"at least {least}"):
        make_plan(panel(least - 1), options)
    plan = make_plan(panel(least), options)
    rows = plan.training_rows(panel(least))
    assert rows[0] >= plan.context + horizon
    assert plan.validation >= horizon


def test_the_shortest_series_is_named() -> None:
    whole = frame(["long", "short"], 60)
    cut = whole.filter((pl.col("unique_id") == "long") | (pl.int_range(pl.len()) >= 95))
    options = ForecastingOptions(horizon=10, context=20)
    with pytest.raises(DataError, match=r"'short'.*25 rows.*at least 50"):
        make_plan(read_panel(cut, options), options)


def test_a_season_that_the_rows_do_not_hold() -> None:
    assert make_plan(panel(80), ForecastingOptions(horizon=4)).season == 1
    assert make_plan(panel(96), ForecastingOptions(horizon=4)).season == 24
    with pytest.raises(DataError, match="season: expected fewer steps than the 72 training rows"):
        make_plan(panel(80), ForecastingOptions(horizon=4, season=72))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"holdout": 2}, "holdout"),
        ({"validation": 2}, "validation"),
        ({"covariates": ("y",)}, "role already"),
        ({"covariates": ("a", "a")}, "twice"),
        ({"target": "ds"}, "three different"),
        ({"time_format": "dd.mm.yyyy"}, "strptime"),
        ({"quantiles": (0.0, 0.5)}, "quantiles"),
        ({"id_column": "y_q0.1"}, "rename"),
        ({"horzion": 3}, "did you mean 'horizon'"),
    ],
)
def test_impossible_options_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        ForecastingOptions(**{"horizon": 4, **values})


def test_the_median_is_always_among_the_quantiles() -> None:
    assert ForecastingOptions(horizon=4, quantiles=(0.9, 0.1)).quantiles == (0.1, 0.5, 0.9)
