"""What a fit leaves behind: the network and all that is needed to use it on new rows.

Letters: S series, K horizon, W windows, Q quantiles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.errors import ModelError, OptionError
from carousel.options import from_dict, to_dict
from carousel.tasks.forecasting.calibration import (
    RecentScores,
    stretch_factors,
    stretch_scores,
    stretched,
)
from carousel.tasks.forecasting.data import Panel, read_panel
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.metrics import central_intervals
from carousel.tasks.forecasting.network import ForecastingNetwork
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.plan import Plan
from carousel.tasks.forecasting.windows import CovariateScaler, Window, Windows

TASK = "forecasting"
SERIES_FILE = "series.json"
_WINDOWS_AT_ONCE = 1_024
_LEAST_CALIBRATION_VALUES = 240
_MOST_CALIBRATION_WINDOWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained forecaster's parts.

    Attributes:
        options: of the forecaster, covariates resolved to names.
        plan: what the data decided.
        frequency: the step of the training series.
        cycles: of the calendar that the network reads.
        scaler: of the covariates.
        network: trained, in evaluation mode.
        trained_until: for each series, by its name as text, the last stamp that fitting saw.
        about: what the model card tells: data, run, scores.
    """

    options: ForecastingOptions
    plan: Plan
    frequency: Frequency
    cycles: tuple[str, ...]
    scaler: CovariateScaler
    network: ForecastingNetwork
    trained_until: Mapping[str, int]
    about: Mapping[str, Any]

    def read(self, data: Any) -> Panel:
        """Reads new rows for this model; see ``read_panel``.

        Raises:
            DataError: for a column that is missing (names it), or rows at another step.
        """
        panel = read_panel(data, self.options)
        if panel.frequency != self.frequency and len(panel.stamps) > len(panel.ids):
            raise panel.table.error(
                f"expected a row every {self.frequency}, as in training, got one every "
                f"{panel.frequency}; bring the rows to that step, or fit a model on them",
                column=self.options.time_column,
            )
        return replace(panel, frequency=self.frequency)

    def windows(self, panel: Panel, known: np.ndarray) -> Windows:
        """Returns the windows of a panel, its first ``known`` rows (S,) setting the scales."""
        return Windows(
            panel,
            context=self.plan.context,
            horizon=self.options.horizon,
            season=self.plan.season,
            cycles=self.cycles,
            scaler=self.scaler,
            known=known,
        )

    def quantiles(self, windows: Windows, series: Tensor, origin: Tensor) -> np.ndarray:
        """Returns the forecast quantiles, (K, W, Q) float64, in the units of the target.

        Where the options ask for it, intervals are as wide as the latest forecasts before each
        origin say; nothing at or after an origin is looked at for it.
        """
        raw = self._network_quantiles(windows, series, origin)
        if self.options.calibration == 0:
            return raw
        return stretched(raw, self._factors(windows, series, origin), self.options.quantiles)

    def _factors(self, windows: Windows, series: Tensor, origin: Tensor) -> np.ndarray:
        """Returns how far to stretch each interval of each window, (I, W)."""
        levels, horizon = self.options.quantiles, self.options.horizon
        # Short horizons need more forecasts for as many values.
        count = max(self.options.calibration, -(-_LEAST_CALIBRATION_VALUES // horizon))
        back = horizon * torch.arange(1, count + 1)
        earlier = (origin[:, None] - back).flatten()
        pairs = torch.stack([series.repeat_interleave(count), earlier], dim=1)
        pairs = pairs[earlier >= self.plan.context].unique(dim=0)
        pairs = pairs[:: max(1, len(pairs) // _MOST_CALIBRATION_WINDOWS)]
        factors = np.ones((len(central_intervals(levels)), len(origin)))
        if len(pairs) == 0:
            return factors
        past_series, past_origin = pairs.T.contiguous()
        actual = windows.actual(past_series, past_origin).numpy()
        quantiles = self._network_quantiles(windows, past_series, past_origin)
        recent = RecentScores(
            stretch_scores(actual, quantiles, levels),
            windows.stamps(past_series, past_origin + horizon - 1),
        )
        # All windows that begin at one time have one set of past forecasts, whatever their series.
        now, first, which = np.unique(
            windows.stamps(series, origin), return_index=True, return_inverse=True
        )
        for k in range(len(now)):
            s, at = series[first[k]], origin[first[k]]
            ends = at - 1 - back + horizon
            known = windows.stamps(s.expand(count)[ends >= 0], ends[ends >= 0])
            own = stretch_factors(recent.at(known), levels)
            factors[:, which == k] = own[:, None]
        return factors

    @torch.no_grad()
    def _network_quantiles(self, windows: Windows, series: Tensor, origin: Tensor) -> np.ndarray:
        device = next(self.network.parameters()).device
        found = []
        for window in windows.chunks(series, origin, _WINDOWS_AT_ONCE):
            scaled = self.network(Window(*(part.to(device) for part in window))).double().cpu()
            found.append(window.center[:, None] + window.scale[:, None] * scaled)
        return torch.cat(found, dim=1).numpy()

    def first_unseen(self, panel: Panel) -> np.ndarray:
        """Returns the first row of each series that fitting has not seen, (S,)."""
        first = np.zeros(len(panel.ids), dtype=np.int64)
        for s, name in enumerate(panel.ids):
            until = self.trained_until.get(str(name))
            if until is not None:
                own = panel.stamps[panel.offsets[s] : panel.offsets[s + 1]]
                first[s] = np.searchsorted(own, until, side="right")
        return first

    def config(self) -> dict[str, Any]:
        """Returns all but weights and series as plain values."""
        return {
            "options": to_dict(self.options),
            "plan": asdict(self.plan),
            "frequency": asdict(self.frequency),
            "cycles": list(self.cycles),
            "covariate_mean": self.scaler.mean.tolist(),
            "covariate_std": self.scaler.std.tolist(),
            "about": dict(self.about),
        }

    def assets(self) -> dict[str, bytes]:
        """Returns the further files of the model folder."""
        return {SERIES_FILE: json.dumps(self.trained_until).encode()}

    @classmethod
    def restore(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], assets: Mapping[str, bytes]
    ) -> Fitted:
        """Makes the parts again from what ``config``, ``assets`` and the weights say.

        Raises:
            ModelError: where they do not fit together.
        """
        try:
            options = from_dict(ForecastingOptions, config["options"])
            frequency = Frequency(**config["frequency"])
            cycles = tuple(config["cycles"])
            mean = np.array(config["covariate_mean"], dtype=np.float64)
            network = make_network(options, len(mean), cycles)
            network.load_state_dict(dict(tensors))
            return cls(
                options=options,
                plan=Plan(**config["plan"]),
                frequency=frequency,
                cycles=cycles,
                scaler=CovariateScaler(mean, np.array(config["covariate_std"], dtype=np.float64)),
                network=network.eval(),
                trained_until=json.loads(assets[SERIES_FILE]),
                about=config["about"],
            )
        except (KeyError, TypeError, RuntimeError, ValueError, OptionError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"the model folder's parts do not fit together ({type(error).__name__}: {reason}); "
                f"fit the model again or take it from a copy"
            ) from error


def make_network(
    options: ForecastingOptions, num_covariates: int, cycles: tuple[str, ...]
) -> ForecastingNetwork:
    """Makes the untrained network that the options ask for."""
    calendar = 2 * len(cycles)
    return ForecastingNetwork(
        2 + 2 * num_covariates + calendar,
        3 + calendar,
        quantiles=options.quantiles,
        hidden_size=options.hidden_size,
        num_layers=options.num_layers,
        dropout=options.dropout,
    )
