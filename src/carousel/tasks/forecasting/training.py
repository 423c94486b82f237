"""The forecasting task as the training loop sees it: windows in, a weighted pinball loss out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from carousel.data.batching import Shard, num_batches, shuffled_batches
from carousel.options import to_dict
from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.metrics import pinball
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.plan import Plan
from carousel.tasks.forecasting.windows import Window, Windows
from carousel.training import RunOptions, Task

# More windows than this make validation slower and hardly steadier.
_VALIDATION_WINDOWS = 768
_WINDOWS_AT_ONCE = 512


class ForecastingTask(Task[Window]):
    """Draws training windows evenly over all series and origins.

    The loss of a window is its pinball loss, weighed as the metric weighs errors: for "mase" by the
    series' naive error, so that what is minimised is what MASE and the scaled pinball loss report.

    Args:
        network: what is trained.
        windows: of the training data.
        origins: (series, origin) of each training window, both (N,).
        valid: windows that choose the weights, and
        valid_origins: theirs.
        options: of the forecaster.
        plan: what the data decided.
        run: of the training run, complete.
    """

    def __init__(
        self,
        network: nn.Module,
        windows: Windows,
        origins: tuple[Tensor, Tensor],
        valid: Windows,
        valid_origins: tuple[Tensor, Tensor],
        options: ForecastingOptions,
        plan: Plan,
        run: RunOptions,
    ) -> None:
        assert run.batch_size is not None
        self.module = network
        self.windows, self.series, self.origin = windows, *origins
        self.valid, self.valid_origins = valid, valid_origins
        self.options, self.plan = options, plan
        # Each member of the network gets so many windows of its own.
        self.batch_size, self.seed = run.batch_size * options.members, run.seed
        self.metric = "pinball" if len(valid_origins[0]) else ""
        self.levels = torch.tensor(options.quantiles)
        self.introduction = (
            f"{windows.panel.summary()}; reads {plan.context} steps, forecasts {options.horizon}; "
            f"{len(self.series):,} training windows"
        )

    def batches(self, epoch: int, start: int, shard: Shard) -> Iterator[Window | None]:
        """Yields this rank's windows of each global batch."""
        chosen = shuffled_batches(len(self.series), self.batch_size, self.seed, epoch, start)
        for batch in chosen:
            # A member of the network learns from the same windows, whatever the number of ranks.
            parts = batch.tensor_split(self.options.members)
            index = torch.cat([part[shard.rank :: shard.world] for part in parts])
            yield self.windows.cut(self.series[index], self.origin[index]) if len(index) else None

    def batches_per_epoch(self) -> int:
        """Number of global batches in one pass over all windows."""
        return num_batches(len(self.series), self.batch_size)

    def loss(self, module: nn.Module, batch: Window) -> tuple[Tensor, Tensor]:
        """Returns the summed loss of the observed targets, and how many there are."""
        losses = pinball(batch.target, module(batch), self.levels.to(batch.target.device))
        return (losses * batch.weight).sum(), batch.observed.sum()

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Returns the scaled pinball loss of the validation windows."""
        total = torch.zeros((), dtype=torch.float64)
        count = torch.zeros((), dtype=torch.float64)
        device = next(module.parameters()).device
        for window in self.valid.chunks(*self.valid_origins, _WINDOWS_AT_ONCE):
            on_device = Window(*(part.to(device) for part in window))
            loss, weight = self.loss(module, on_device)
            total += loss.double().cpu()
            count += weight.double().cpu()
        return {"pinball": float(total / count.clamp(min=1))}

    def describe(self, batch: Window) -> str:
        """Names the windows of a batch by series and time."""
        panel = self.windows.panel
        named = [
            f"{panel.ids[s]!r} from {panel.stamp_words(int(s), int(o))}"
            for s, o in list(zip(batch.series.tolist(), batch.origin.tolist(), strict=True))[:5]
        ]
        more = len(batch.series) - len(named)
        return "windows of series " + ", ".join(named) + (f" and {more} more" if more > 0 else "")

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns options and a digest of the data."""
        return {
            "task": "forecasting",
            "data": _digest(self.windows.panel),
            "validation data": _digest(self.valid.panel),
            **to_dict(self.options),
            "context": self.plan.context,
            "season": self.plan.season,
        }


def _digest(panel: Panel) -> str:
    digest = hashlib.sha256(panel.values.tobytes())
    digest.update(panel.static.tobytes())
    digest.update(repr(panel.covariates.to_dict()).encode())
    digest.update(panel.stamps.tobytes())
    digest.update(repr(panel.ids.tolist()).encode())
    return digest.hexdigest()


def training_origins(windows: Windows, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Returns (series, origin) of every window inside the first ``rows`` (S,) of each series."""
    # Windows that begin before their series does teach what to do with a short past.
    first = np.full_like(rows, windows.plan.least)
    series, origin = windows.origins(first, rows - windows.horizon, 1)
    return windows.usable(series, origin)


def validation_origins(
    windows: Windows, first: np.ndarray, end: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Returns evenly spread windows whose targets lie in the rows from ``first`` to ``end``."""
    last = end - windows.horizon
    possible = int(np.maximum(last - first + 1, 0).sum())
    series, origin = windows.origins(first, last, max(1, possible // _VALIDATION_WINDOWS))
    return windows.usable(series, origin)
