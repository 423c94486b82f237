"""What a fit leaves behind: the network and all that is needed to use it on new rows.

Letters: S series, K horizon, W windows, Q quantiles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.errors import ModelError, OptionError
from carousel.options import from_dict, to_dict
from carousel.tasks.forecasting.calibration import (
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
from carousel.tasks.forecasting.saved import check_config, read_ends
from carousel.tasks.forecasting.windows import CovariateScaler, Window, Windows
from carousel.training import HISTORY_FILE

SERIES_FILE = "series.json"
_WINDOWS_AT_ONCE = 1_024
_LEAST_CALIBRATION_VALUES = 240


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
        return read_panel(data, self.options, self.frequency)

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
        earlier = origin[:, None] - horizon * torch.arange(1, count + 1)
        own = series[:, None].expand_as(earlier)
        there = earlier >= self.plan.context
        pairs, which = torch.stack([own[there], earlier[there]]).unique(dim=1, return_inverse=True)
        good = windows.is_usable(*pairs)
        # The last column is for past forecasts that do not exist: it stays NaN.
        scores = np.full((len(central_intervals(levels)), horizon, len(good) + 1), np.nan)
        past = pairs[:, good]
        if past.shape[1] > 0:
            scores[..., :-1][..., good.numpy()] = stretch_scores(
                windows.actual(*past).numpy(), self._network_quantiles(windows, *past), levels
            )
        column = torch.full(earlier.shape, len(good))
        column[there] = which
        factors = []
        for some in column.split(_WINDOWS_AT_ONCE):
            chosen = scores[:, :, some.numpy()].transpose(0, 2, 1, 3)
            factors.append(stretch_factors(chosen.reshape(*chosen.shape[:2], -1), levels))
        return np.concatenate(factors, axis=1)

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
            until = self.trained_until.get(series_key(name))
            if until is not None:
                own = panel.stamps[panel.offsets[s] : panel.offsets[s + 1]]
                first[s] = np.searchsorted(own, until, side="right")
        return first

    def num_unknown(self, panel: Panel) -> int:
        """Returns how many series of a panel fitting has not seen, by their names."""
        return sum(series_key(name) not in self.trained_until for name in panel.ids)

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
        check_config(config)
        trained_until = read_ends(assets, SERIES_FILE, HISTORY_FILE)
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
                trained_until=trained_until,
                about=config["about"],
            )
        except (KeyError, TypeError, RuntimeError, ValueError, OptionError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"the model folder's parts do not fit together ({type(error).__name__}: {reason}); "
                f"fit the model again or take it from a copy"
            ) from error


def series_key(name: object) -> str:
    """Returns a series' name as text; 7, 7.0 and " 7" are one series, as tables confuse them."""
    whole = isinstance(name, float) and name.is_integer()
    return str(int(name) if whole else name).strip()  # type: ignore[call-overload]


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
