"""The task as the training loop sees it: its windows, whose they are, and what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.tasks.forecasting.small_data import ALL_COVARIATES, SMALL, rich_frame

from carousel.data.batching import Shard
from carousel.tasks.forecasting.data import read_panel
from carousel.tasks.forecasting.model import _untrained
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.plan import make_plan
from carousel.tasks.forecasting.training import (
    ForecastingTask,
    training_origins,
    validation_origins,
)
from carousel.training import RunOptions

SIZES = {**SMALL, **ALL_COVARIATES, "dropout": 0.0}


def task(rows: pl.DataFrame | None = None, batch_size: int = 7, **changes: Any) -> ForecastingTask:
    options = ForecastingOptions(**{**SIZES, **changes})
    panel = read_panel(rich_frame() if rows is None else rows, options)
    plan = make_plan(panel, options)
    training = plan.training_rows(panel)
    fitted = _untrained(panel, options, plan, training, seed=0)
    windows = fitted.windows(panel, training)
    valid = validation_origins(windows, training, training + plan.validation)
    run = RunOptions(batch_size=batch_size, seed=3)
    origins = training_origins(windows, training)
    return ForecastingTask(fitted.network, windows, origins, windows, valid, options, plan, run)


def drawn(made: ForecastingTask) -> list[set[tuple[int, int]]]:
    """The (series, origin) pairs of each batch of the first epoch."""
    return [
        set() if batch is None
        else set(zip(batch.series.tolist(), batch.origin.tolist(), strict=True))
        for batch in made.batches(0, 0, Shard())
    ]  # fmt: skip


def test_each_epoch_draws_every_window_that_lies_in_the_training_rows() -> None:
    made = task(holdout=12, validation=8)
    assert made.plan.least == 12
    wanted = {(s, origin) for s in (0, 1) for origin in range(12, 80 - 20 - 4 + 1)}
    batches = drawn(made)
    assert set.union(*batches) == wanted
    assert sum(map(len, batches)) == len(wanted)
    assert len(batches) == made.batches_per_epoch()
    assert all(len(batch) == 7 for batch in batches[:-1])


@pytest.mark.parametrize("members", [1, 2, 3])
@pytest.mark.parametrize("world", [2, 3])
def test_each_member_learns_from_the_same_windows_on_any_number_of_ranks(
    world: int, members: int
) -> None:
    made = task(members=members, batch_size=5)

    def shares(shard: Shard) -> list[list[set[tuple[int, int]]]]:
        """By batch and member, the windows that this rank's member learns from."""
        found = []
        for batch in made.batches(0, 0, shard):
            if batch is None:
                found.append([set() for _ in range(members)])
                continue
            parts = zip(
                batch.series.tensor_split(members), batch.origin.tensor_split(members), strict=True
            )
            found.append([set(zip(s.tolist(), o.tolist(), strict=True)) for s, o in parts])
        return found

    alone = shares(Shard())
    ranks = [shares(Shard(rank, world)) for rank in range(world)]
    for number, batch in enumerate(alone):
        for member, windows in enumerate(batch):
            parts = [rank[number][member] for rank in ranks]
            assert set.union(*parts) == windows
            assert sum(map(len, parts)) == len(windows)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("members", [1, 3])
def test_gradients_of_ranks_add_up_to_those_of_one_process(members: int) -> None:
    made = task(members=members, batch_size=5)

    def gradient(shard: Shard) -> dict[str, torch.Tensor]:
        made.module.zero_grad()
        batch = next(iter(made.batches(0, 0, shard)))
        made.module.train()
        made.loss(made.module, batch)[0].backward()
        return {name: p.grad.clone() for name, p in made.module.named_parameters()}

    whole = gradient(Shard())
    halves = [gradient(Shard(rank, 2)) for rank in range(2)]
    for name, wanted in whole.items():
        torch.testing.assert_close(halves[0][name] + halves[1][name], wanted)


def test_the_loss_is_the_scaled_pinball_loss_by_a_loop() -> None:
    """That of the evaluation: pinball by the naive error of the series, over what is there."""
    row = pl.int_range(pl.len()).over("unique_id")
    rows = rich_frame().with_columns(y=pl.when(row % 11 == 0).then(None).otherwise("y"))
    made = task(rows, batch_size=64)
    made.module.eval()
    batch = next(iter(made.batches(0, 0, Shard())))
    total, count = made.loss(made.module, batch)
    forecast = made.windows.values(made.module(batch), batch.center, batch.scale).detach().numpy()
    losses = []
    for w, (s, origin) in enumerate(zip(batch.series.tolist(), batch.origin.tolist(), strict=True)):
        y = made.windows.panel.target(s)
        seen = y[: int(made.plan.training_rows(made.windows.panel)[s])]
        naive = np.nanmean(np.abs(seen[6:] - seen[:-6]))
        for k in range(4):
            error = y[origin + k] - forecast[k, w]
            if not np.isnan(y[origin + k]):
                pairs = zip(made.options.quantiles, error, strict=True)
                each = [max(q * e, (q - 1) * e) for q, e in pairs]
                losses.append(np.mean(each) / naive)
    assert int(count) == len(losses)
    assert float(total.detach()) == pytest.approx(np.sum(losses), rel=1e-4)


def test_a_resumed_run_notices_other_data_and_options() -> None:
    usual = task().fingerprint()
    assert task().fingerprint() == usual
    renamed = rich_frame().with_columns(pl.col("kind").replace({"shop": "store"}))
    larger = rich_frame().with_columns(pl.col("area") * 2)
    hotter = rich_frame().with_columns(pl.col("wind") + 1)
    for other in (
        task(renamed),
        task(larger),
        task(hotter),
        task(members=2),
        task(metric="owa"),
        task(patch=2),
        task(transform="log"),
        task(season=5),
    ):
        assert other.fingerprint() != usual


def test_windows_are_named_by_series_and_time() -> None:
    made = task()
    series, origin = torch.tensor([1, 0]), torch.tensor([40, 41])
    words = made.describe(made.windows.cut(series, origin))
    assert words == ("windows of series 'b' from 2024-01-02 16:00:00, 'a' from 2024-01-02 17:00:00")
