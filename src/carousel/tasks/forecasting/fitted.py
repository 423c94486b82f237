"""What a fit leaves behind: the network and all that is needed to use it on new rows.

Letters: S series, K horizon, W windows, Q quantiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
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
from carousel.tasks.forecasting.covariates import Covariates, CovariateScaler
from carousel.tasks.forecasting.data import Panel, read_panel
from carousel.tasks.forecasting.frequency import Frequency
from carousel.tasks.forecasting.logarithm import check_positive
from carousel.tasks.forecasting.memory import Memory
from carousel.tasks.forecasting.metrics import central_intervals
from carousel.tasks.forecasting.network import ForecastingNetwork
from carousel.tasks.forecasting.options import ForecastingOptions
from carousel.tasks.forecasting.plan import Plan
from carousel.tasks.forecasting.rows import series_key
from carousel.tasks.forecasting.saved import check_config, read_ends
from carousel.tasks.forecasting.windows import Scalers, Window, Windows, least_scales
from carousel.training import HISTORY_FILE

Told = Callable[[int, int], None]  # takes how many forecasts are made, and of how many
SERIES_FILE = "series.json"
_WINDOWS_AT_ONCE = 1_024
_LEAST_CALIBRATION_VALUES = 240


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A trained forecaster's parts.

    Attributes:
        options: of the forecaster, as they were given.
        plan: what the data decided.
        frequency: the step of the training series.
        cycles: of the calendar that the network reads.
        covariates: which columns they are.
        scalers: of the covariates.
        network: trained, in evaluation mode.
        trained_until: for each series, by its name as text, the last stamp that fitting saw.
        about: what the model card tells: data, run, scores.
        memory: the last rows of every series; None where they are too many to keep.
    """

    options: ForecastingOptions
    plan: Plan
    frequency: Frequency
    cycles: tuple[str, ...]
    covariates: Covariates
    scalers: Scalers
    network: ForecastingNetwork
    trained_until: Mapping[str, int]
    about: Mapping[str, Any]
    memory: Memory | None = None

    def read(self, data: Any) -> Panel:
        """Reads new rows for this model; see ``read_panel``.

        Raises:
            DataError: for a column that is missing or new (names it), rows at another step, or a
                value without a logarithm where the model needs it.
        """
        panel = read_panel(data, self.options, self.frequency, self.covariates)
        if self.plan.log:
            check_positive(panel)
        return panel

    def windows(self, panel: Panel, known: np.ndarray, ahead: np.ndarray | None = None) -> Windows:
        """Returns the windows of a panel, its first ``known`` rows (S,) setting the scales.

        ``ahead`` (S, K, E) has the known covariates of the rows behind each series' end. The series
        that the model remembers keep the scales of their whole past.
        """
        memory = self.memory
        remembered = memory.least if memory is not None and panel is memory.panel else None
        return Windows(
            panel,
            plan=self.plan,
            horizon=self.options.horizon,
            cycles=self.cycles,
            scalers=self.scalers,
            metric=self.options.metric,
            known=known,
            ahead=ahead,
            least_scale=remembered,
        )

    def remembering(self, panel: Panel) -> Fitted:
        """Returns the model with the last rows of a panel, from which it can go on."""
        least = least_scales(panel, self.plan, panel.lengths)
        return replace(self, memory=Memory.of(panel, self.options, self._rows_needed, least))

    def updated(self, new: Panel) -> Fitted:
        """Returns the model after the rows of ``new``; see ``Memory.followed_by``."""
        assert self.memory is not None
        least = least_scales(new, self.plan, new.lengths)
        return replace(self, memory=self.memory.followed_by(new, self.options, least))

    @property
    def _rows_needed(self) -> int:
        """Rows before an origin that a forecast and its calibration look at."""
        seen = max(self.plan.context, *self.plan.lags)
        return seen + self._past_forecasts * self.options.horizon

    @property
    def _past_forecasts(self) -> int:
        """How many forecasts before an origin set the width of its intervals."""
        if self.options.calibration == 0 or not central_intervals(self.options.quantiles):
            return 0
        # Short horizons need more forecasts for as many values.
        return max(self.options.calibration, -(-_LEAST_CALIBRATION_VALUES // self.options.horizon))

    def quantiles(
        self, windows: Windows, series: Tensor, origin: Tensor, progress: Told | None = None
    ) -> np.ndarray:
        """Returns the forecast quantiles, (K, W, Q) float64, in the units of the target.

        Where the options ask for it, intervals are as wide as the latest forecasts before each
        origin say; nothing at or after an origin is looked at for it.
        """
        raw = self._network_quantiles(windows, series, origin, progress)
        if self._past_forecasts == 0:
            return raw
        factors = self._factors(windows, series, origin, progress)
        found = stretched(self._as_seen(raw), factors, self.options.quantiles)
        return np.exp(found) if self.plan.log else found

    def _factors(
        self, windows: Windows, series: Tensor, origin: Tensor, progress: Told | None
    ) -> np.ndarray:
        """Returns how far to stretch each interval of each window, (I, K, W)."""
        levels, horizon = self.options.quantiles, self.options.horizon
        earlier = origin[:, None] - horizon * torch.arange(1, self._past_forecasts + 1)
        own = series[:, None].expand_as(earlier)
        there = earlier >= self.plan.least
        size = int(origin.max()) + 1 if len(origin) else 1
        keys, which = (own[there] * size + earlier[there]).unique(return_inverse=True)
        pairs = torch.stack([keys // size, keys % size])
        good = windows.is_usable(*pairs)
        # The last column is for past forecasts that do not exist: it stays NaN.
        scores = np.full((len(central_intervals(levels)), horizon, len(good) + 1), np.nan)
        past = pairs[:, good]
        if past.shape[1] > 0:
            scores[..., :-1][..., good.numpy()] = stretch_scores(
                self._as_seen(windows.actual(*past).numpy()),
                self._as_seen(self._network_quantiles(windows, past[0], past[1], progress)),
                levels,
            )
        column = torch.full(earlier.shape, len(good))
        column[there] = which
        factors = []
        for some in column.split(_WINDOWS_AT_ONCE):
            factors.append(stretch_factors(scores[:, :, some.numpy()], levels))
        return np.concatenate(factors, axis=2)

    def _as_seen(self, values: np.ndarray) -> np.ndarray:
        """Returns values as the network sees them: intervals of logarithms stay above 0."""
        return np.log(np.maximum(values, np.finfo(values.dtype).tiny)) if self.plan.log else values

    @torch.no_grad()
    def _network_quantiles(
        self, windows: Windows, series: Tensor, origin: Tensor, progress: Told | None
    ) -> np.ndarray:
        device = next(self.network.parameters()).device
        found = []
        for window in windows.chunks(series, origin, _WINDOWS_AT_ONCE):
            scaled = self.network(Window(*(part.to(device) for part in window))).cpu()
            found.append(windows.values(scaled, window.center, window.scale))
            if progress is not None:
                progress(min(len(found) * _WINDOWS_AT_ONCE, len(series)), len(series))
        return torch.cat(found, dim=1).numpy()

    def first_unseen(self, panel: Panel) -> np.ndarray:
        """Returns the first row of each series that fitting has not seen, (S,)."""
        ends = [self.trained_until.get(series_key(name)) for name in panel.ids]
        nothing = np.iinfo(np.int64).min
        until = np.array([nothing if end is None else end for end in ends], dtype=np.int64)
        seen = panel.stamps <= np.repeat(until, panel.lengths)
        return np.add.reduceat(seen, panel.offsets[:-1], dtype=np.int64)

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
            "covariates": self.covariates.to_dict(),
            "scalers": {
                name: {"mean": scaler.mean.tolist(), "std": scaler.std.tolist()}
                for name, scaler in self.scalers._asdict().items()
            },
            "about": dict(self.about),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Returns the weights by name."""
        return self.network.state_dict()

    def assets(self) -> dict[str, bytes]:
        """Returns the further files of the model folder."""
        kept = {} if self.memory is None else self.memory.assets()
        return {SERIES_FILE: json.dumps(self.trained_until).encode(), **kept}

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
            covariates = Covariates.from_dict(config["covariates"])
            scalers = Scalers(**{n: _scaler(config["scalers"][n]) for n in Scalers._fields})
            plan = Plan(**{**config["plan"], "lags": tuple(config["plan"]["lags"])})
            network = make_network(options, plan, covariates, cycles)
            network.load_state_dict(dict(tensors))
            return cls(
                options=options,
                plan=plan,
                frequency=frequency,
                cycles=cycles,
                covariates=covariates,
                scalers=scalers,
                network=network.eval(),
                trained_until=trained_until,
                about=config["about"],
                memory=Memory.restore(assets, options, frequency, covariates),
            )
        except (KeyError, TypeError, RuntimeError, ValueError, OptionError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"the model folder's parts do not fit together ({type(error).__name__}: {reason}); "
                f"fit the model again or take it from a copy"
            ) from error


def make_network(
    options: ForecastingOptions, plan: Plan, covariates: Covariates, cycles: tuple[str, ...]
) -> ForecastingNetwork:
    """Makes the untrained network that the options ask for."""
    calendar, lags = 2 * len(cycles), 2 * len(plan.lags)
    past, known, static = (
        covariates.width(names) + len(names)
        for names in (covariates.moving, covariates.known, covariates.static)
    )
    return ForecastingNetwork(
        options.members,
        2 + past + calendar,
        1 + lags + known + calendar,
        static,
        context=plan.context,
        horizon=options.horizon,
        quantiles=options.quantiles,
        patch=plan.patch,
        hidden_size=options.hidden_size,
        num_layers=options.num_layers,
        dropout=options.dropout,
    )


def _scaler(values: Mapping[str, Any]) -> CovariateScaler:
    return CovariateScaler(
        *(np.array(values[n], dtype=np.float64) for n in CovariateScaler._fields)
    )
