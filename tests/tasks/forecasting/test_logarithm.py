"""Whether the logarithm is seen: where movement grows with level, and only where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.tasks.forecasting.small_data import START, csv_lines, write_csv

from carousel.errors import DataError
from carousel.tasks.forecasting.data import read_panel
from carousel.tasks.forecasting.logarithm import check_positive, sees_logarithms
from carousel.tasks.forecasting.options import ForecastingOptions

BLOCK = 12
WAVE = np.sin(2 * np.pi * np.arange(BLOCK) / 6)


def decided(*series: np.ndarray, transform: str = "auto", rows: int | None = None) -> bool:
    """What is decided for some series, of which the first ``rows`` may be looked at."""
    parts = [
        pl.DataFrame({"unique_id": [f"s{k}"] * len(y), "ds": np.arange(len(y)), "y": y})
        for k, y in enumerate(series)
    ]
    options = ForecastingOptions(horizon=4, transform=transform)
    panel = read_panel(pl.concat(parts).fill_nan(None), options)
    looked = panel.lengths if rows is None else np.full(len(series), rows)
    return sees_logarithms(panel, options, looked, BLOCK)


def growing(blocks: int = 8, power: float = 1.0) -> np.ndarray:
    """A level that doubles and halves, around which movement goes with a power of it."""
    level = 100 * np.repeat(2.0 ** (np.arange(blocks) % 4), BLOCK)
    return level + 10 * (level / 100) ** power * np.tile(WAVE, blocks)


def test_movement_in_proportion_to_the_level_and_apart_from_it() -> None:
    assert decided(growing(power=1.0))
    assert not decided(growing(power=0.0))


@pytest.mark.parametrize("power", [-0.5, 0.2, 0.4, 0.6, 0.8, 1.5])
def test_guerrero_by_a_loop(power: float) -> None:
    y = growing(power=power)
    means, deviations = [], []
    for k in range(8):
        block = y[k * BLOCK : (k + 1) * BLOCK]
        means.append(block.mean())
        deviations.append(np.sqrt(((block - block.mean()) ** 2).mean()))

    def variation(power: int) -> float:
        scaled = [s / m**power for s, m in zip(deviations, means, strict=True)]
        return float(np.std(scaled) / np.mean(scaled))

    assert decided(y) == (variation(1) < variation(0))


def test_the_average_of_the_series_decides() -> None:
    assert decided(growing(), growing(), growing(power=0.0))
    assert not decided(growing(), growing(power=0.0), growing(power=0.0), growing(power=0.0))


def test_rows_that_may_not_be_looked_at_decide_nothing() -> None:
    y = growing(16)
    quiet = growing(16, power=0.0)
    late = np.where(np.arange(len(y)) < 8 * BLOCK, y, quiet)
    early = np.where(np.arange(len(y)) < 8 * BLOCK, quiet, y)
    assert decided(late, rows=8 * BLOCK)
    assert not decided(early, rows=8 * BLOCK)


def test_what_tells_nothing_leaves_the_target_as_it_is() -> None:
    assert not decided(np.full(96, 5.0))
    assert not decided(growing(3))  # fewer than four blocks
    holed = growing(8)
    holed[:: 2 * BLOCK] = np.nan  # four whole blocks are left
    assert decided(holed)
    holed[BLOCK] = np.nan  # three
    assert not decided(holed)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_value_without_a_logarithm_keeps_auto_from_it(value: float) -> None:
    y = growing()
    y[-1] = value
    assert not decided(y)
    assert not decided(growing(), y)
    with pytest.raises(DataError, match=r"row 95: .*above 0.*transform none"):
        decided(y, transform="log")


def test_what_is_asked_for_is_done() -> None:
    assert decided(growing(power=0.0), transform="log")
    assert not decided(growing(), transform="none")
    assert decided(np.full(20, 5.0), transform="log")


def test_the_refusal_names_file_line_and_column(tmp_path: Path) -> None:
    lines = csv_lines(names=("a", "b"))
    lines[20] = f"a,{START.replace(hour=19):%Y-%m-%d %H:%M},0"
    path = write_csv(tmp_path / "rows.csv", lines)
    panel = read_panel(path, ForecastingOptions(horizon=4))
    with pytest.raises(DataError, match="got 0; correct it, or fit with transform none") as caught:
        check_positive(panel)
    assert (caught.value.line, caught.value.column) == (21, "y")
    assert caught.value.source == str(path)
