"""What the data decides: context, season, and the split by each series' own end."""

from __future__ import annotations

import datetime

import numpy as np
import polars as pl
import pytest
from tests.tasks.forecasting.small_data import frame

from carousel.errors import DataError, OptionError
from carousel.tasks.forecasting.data import Panel, read_panel
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.plan import Plan, make_plan

FOUR = ForecastingOptions(horizon=4)


def panel(length: int, names: str = "a") -> Panel:
    return read_panel(frame(list(names), length), FOUR)


def test_defaults_come_from_the_data() -> None:
    plan = make_plan(panel(2_000), ForecastingOptions(horizon=24, transform="none"))
    assert plan == Plan(
        context=168,
        least=48,
        season=24,
        patch=4,
        lags=(24, 168),
        anchor=24,
        log=False,
        validation=192,
        holdout=192,
    )


def test_the_context_shrinks_to_what_short_series_have() -> None:
    plan = make_plan(panel(160), ForecastingOptions(horizon=24, transform="none"))
    assert plan == Plan(
        context=88,
        least=48,
        season=24,
        patch=4,
        lags=(24,),
        anchor=24,
        log=False,
        validation=24,
        holdout=24,
    )


def test_what_is_given_is_kept() -> None:
    given = ForecastingOptions(
        horizon=4, context=10, season=6, holdout=0, validation=8, patch=3, transform="log"
    )
    assert make_plan(panel(100), given) == Plan(
        context=10,
        least=10,
        season=6,
        patch=3,
        lags=(6,),
        anchor=6,
        log=True,
        validation=8,
        holdout=0,
    )


@pytest.mark.parametrize(
    ("step", "rows", "options", "patch"),
    [
        ({"hours": 1}, 2_000, {}, 4),  # a sixth of a day
        ({"hours": 1}, 2_000, {"season": 12}, 2),
        ({"hours": 1}, 2_000, {"season": 11}, 11),  # a short season whole
        ({"hours": 1}, 2_000, {"season": 11, "context": 10}, 10),  # never more than is read
        ({"days": 1}, 400, {}, 7),
        ({"hours": 1}, 2_000, {"season": 1, "context": 70}, 4),  # a sixteenth of the context
        ({"hours": 1}, 2_000, {"season": 1, "context": 15}, 1),
        ({"hours": 1}, 2_000, {"patch": 5}, 5),
        ({"hours": 1}, 2_000, {"patch": 900, "context": 30}, 30),
    ],
)
def test_patches_follow_the_season(step: dict, rows: int, options: dict, patch: int) -> None:
    given = read_panel(frame(["a"], rows, datetime.timedelta(**step)), FOUR)
    assert make_plan(given, ForecastingOptions(horizon=4, **options)).patch == patch


@pytest.mark.parametrize(
    ("step", "rows", "options", "lags"),
    [
        ({"hours": 1}, 672, {}, (24, 168)),
        ({"hours": 1}, 671, {}, (24,)),  # four weeks less an hour
        ({"hours": 1}, 95, {}, (1,)),  # four days less an hour
        ({"hours": 1}, 2_000, {"season": 168}, (168,)),
        ({"minutes": 15}, 3_000, {}, (96, 672)),
        ({"days": 1}, 1_456, {}, (7, 364)),
        ({"days": 1}, 1_455, {}, (7,)),
        ({"hours": 1}, 2_000, {"lags": (48, 24)}, (24, 48)),  # the season is there anyway
        ({"hours": 1}, 2_000, {"lags": ()}, (24,)),
    ],
)
def test_lags_are_the_season_and_the_next_longer_one_that_the_rows_hold(
    step: dict, rows: int, options: dict, lags: tuple[int, ...]
) -> None:
    given = read_panel(frame(["a"], rows, datetime.timedelta(**step)), FOUR)
    assert make_plan(given, ForecastingOptions(horizon=4, **options)).lags == lags


def test_the_anchor_is_the_better_naive_forecast() -> None:
    """Of the rows that train, and of series that move, each by its own size."""
    random = np.random.default_rng(0)
    wave = 5 * np.sin(2 * np.pi * np.arange(120) / 6)
    made = {
        "wave": wave + random.normal(0, 0.5, 120),
        "walk": 1e3 * random.normal(0, 1, 120).cumsum(),
        "flat": np.full(120, 3.0),
        "late": np.where(np.arange(120) < 100, wave, wave + 1e3 * np.arange(120)),
    }
    options = ForecastingOptions(horizon=4, season=6, holdout=12, validation=8)

    def anchor(*names: str) -> int:
        rows = [
            frame([f"{name} {k}"], 120).with_columns(y=pl.Series(made[name]))
            for k, name in enumerate(names)
        ]
        return make_plan(read_panel(pl.concat(rows), FOUR), options).anchor

    assert anchor("wave") == 6
    assert anchor("walk") == 1
    assert anchor("wave", "flat") == 6
    assert anchor("walk", "flat") == 1
    assert anchor("flat") == 6
    assert anchor("late") == 6
    assert anchor("wave", "wave", "walk") == 6  # though the walk errs by far more


def of_lengths(**lengths: int) -> Panel:
    rows = pl.concat([frame([name], length) for name, length in lengths.items()])
    return read_panel(rows, FOUR)


def test_short_series_train_beside_long_ones() -> None:
    options = ForecastingOptions(horizon=4, season=6)
    plan = make_plan(of_lengths(a=400, b=400, c=20), options)
    # The usual series sets what is read, the shortest what is left of it before an origin.
    usual = make_plan(of_lengths(a=400, b=400), options)
    assert (plan.context, plan.validation, plan.holdout) == (usual.context, 4, 4)
    assert plan.least == 20 - 4 - 4 - 4 < usual.least
    rows = plan.training_rows(of_lengths(a=400, b=400, c=20))
    assert rows.tolist() == [392, 392, 12]
    assert plan.first_origins(rows, 4).tolist() == [plan.context, plan.context, 8]
    longer = make_plan(of_lengths(a=400, b=400, c=40), options)
    assert longer.least == usual.least == 12  # two seasons are enough


@pytest.mark.parametrize("rows", [0, 1, 7, 12, 16, 28, 29, 300])
def test_first_origins_have_a_context_or_what_there_is(rows: int) -> None:
    plan = make_plan(of_lengths(a=400), ForecastingOptions(horizon=4, season=6))
    origin = int(plan.first_origins(np.array([rows]), 4)[0])
    assert plan.least <= origin <= plan.context
    # Either a whole context lies before it, or as much as leaves room for the horizon.
    assert origin in (plan.context, plan.least, rows - 4)
    assert origin == plan.context or rows - 4 <= origin


def test_without_validation_its_rows_train() -> None:
    options = ForecastingOptions(horizon=4, season=6, validation=0, holdout=0)
    given = of_lengths(a=100, b=50)
    assert make_plan(given, options).training_rows(given).tolist() == [100, 50]


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
    assert rows[0] >= plan.least + horizon
    assert 2 <= plan.least <= plan.context
    assert plan.validation >= horizon


def test_the_shortest_series_is_named() -> None:
    whole = frame(["long", "short"], 60)
    cut = whole.filter((pl.col("unique_id") == "long") | (pl.int_range(pl.len()) >= 95))
    options = ForecastingOptions(horizon=10, context=20)
    with pytest.raises(DataError, match=r"'short'.*25 rows.*at least 32 \(2 to start from"):
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
        ({"covariates": ("a",), "known_covariates": ("a",)}, "'a' stands twice"),
        ({"known_covariates": ("a",), "static_covariates": ("a",)}, "'a' stands twice"),
        ({"known_covariates": ("ds",)}, "role already"),
        ({"static_covariates": ("unique_id",)}, "role already"),
        ({"categories": ("a",)}, "'a' is named neither.*name it there too"),
        ({"covariates": ("a",), "categories": ("a", "b")}, "'b' is named neither"),
        ({"metric": "smap"}, "did you mean 'smape'"),
        ({"transform": "log1p"}, "transform"),
        ({"members": 0}, "members"),
        ({"patch": 0}, "patch"),
        ({"lags": (0,)}, "lags"),
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
