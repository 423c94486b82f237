"""What a forecaster does while it reads the past of one series, and walks the horizon behind it.

Letters: T rows of the past, K rows of the horizon, P rows that a layer reads in one step, L steps,
E encoded columns, F and G features of a row, B copies of a window, Q quantiles.
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from carousel.data.pictures import shortened
from carousel.errors import OptionError, nearest
from carousel.inspection.contents import Axis
from carousel.inspection.inspection import Inspection
from carousel.options import option, options
from carousel.tasks.forecasting.ahead import read_ahead
from carousel.tasks.forecasting.answer import silent_series
from carousel.tasks.forecasting.data import Panel
from carousel.tasks.forecasting.fitted import Fitted
from carousel.tasks.forecasting.layer_steps import (
    HORIZON,
    PAST,
    horizon_axis,
    past_axis,
    stamp_words,
)
from carousel.tasks.forecasting.network import Member
from carousel.tasks.forecasting.rows import series_key
from carousel.tasks.forecasting.windows import Window, Windows
from carousel.tasks.inspected import (
    Question,
    attributions,
    check_explained,
    chosen_member,
    explain_option,
    member_words,
    watched,
)

_NAMED = 10  # series that a message names


@options
class SeriesInspectionOptions:
    """What of a forecast is looked at.

    Raises:
        OptionError: for a step to explain where nothing is explained.
    """

    explain: str = explain_option("which steps of the past made a forecast what it is")
    series: str | None = option(default=None, help="which one; default: the first")
    ahead: int | None = option(
        default=None,
        help="which row of the horizon is explained, counted from 1; default: the first",
        unit="rows",
        low=1,
    )
    member: int = option(
        default=0, help="which of the networks that forecast together, counted from 0", low=0
    )

    def __post_init__(self) -> None:
        check_explained(self.explain, ahead=self.ahead)


def inspected_series(
    fitted: Fitted, panel: Panel, future: Any, chosen: SeriesInspectionOptions
) -> Inspection:
    """Forecasts what follows the last row of one series; see ``Forecaster.inspect``."""
    network, horizon = fitted.network, fitted.options.horizon
    if chosen.ahead is not None and chosen.ahead > horizon:
        raise OptionError(
            f"ahead expects a row of the horizon, from 1 to {horizon}, got {chosen.ahead}"
        )
    member = cast(Member, chosen_member(list(network.members), chosen.member))
    s = _number(panel, chosen.series)
    behind = read_ahead(future, panel, fitted.options, fitted.covariates)
    if panel.ends_silent(fitted.plan.context)[s]:
        raise silent_series(panel, s, fitted.plan.context)
    windows = fitted.windows(panel, panel.lengths, behind)
    where = torch.tensor([s]), torch.from_numpy(panel.lengths[s : s + 1])
    device = next(network.parameters()).device
    window = Window(*(part.to(device) for part in windows.cut(*where)))
    forecast = fitted.quantiles(windows, *where)[:, 0]
    past = past_axis(fitted, panel, s, member.past_patch)
    stamps = panel.future_stamps(s, horizon)
    known = np.zeros((horizon, 0)) if behind is None else behind[s]
    ahead = horizon_axis(fitted, panel, stamps, forecast, known, member.future_patch)
    questions = []
    if chosen.explain != "nothing":
        row = (chosen.ahead or 1) - 1
        name = f"forecast for {stamp_words(panel, stamps[row : row + 1])[0]}"
        questions = [_question(fitted, windows, window, row, past, name)]
    seen = watched(
        network,
        partial(member, window.past, window.future, window.static, window.anchor),
        lambda path: PAST if ".encoder" in path else HORIZON,
    )
    which = member_words(len(network.members), chosen.member)
    name, last = shortened(panel.ids[s], 40), panel.stamp_words(s, int(panel.lengths[s]) - 1)
    return Inspection(
        title=f"forecaster{which}, series {name} up to {last}",
        axes={PAST: past, HORIZON: ahead},
        layers=seen.layers,
        attributions=attributions(chosen.explain, questions),
    )


def _number(panel: Panel, name: str | None) -> int:
    """Returns which series of a panel has a name; the first where none is given."""
    if name is None:
        return 0
    known = [series_key(one) for one in panel.ids]
    if series_key(name) in known:
        return known.index(series_key(name))
    near = nearest(name, known)
    hint = "" if near is None else f"did you mean {near!r}? "
    more = f" and {len(known) - _NAMED:,} more" if len(known) > _NAMED else ""
    raise OptionError(
        f"there is no series {name!r}; {hint}known: {', '.join(known[:_NAMED])}{more}"
    )


def _question(
    fitted: Fitted, windows: Windows, window: Window, row: int, past: Axis, name: str
) -> Question:
    """Returns the question why the forecast of a row of the horizon is what it is.

    What is compared with is a past at the window's mean throughout, at the same times, with the
    same gaps. The naive forecast that the network starts from, and the scale of the window, are
    held.
    """
    network, plan = fitted.network, fitted.plan
    median = fitted.options.quantiles.index(0.5)
    missing, F = -plan.context % plan.patch, window.past.shape[2]
    level = window.past[:, 0].clone()
    level[:, 0] = 0
    level[:, 2 : 2 + fitted.covariates.width(fitted.covariates.moving)] = 0

    def steps(rows: Float[Tensor, "T F"]) -> Float[Tensor, "L N"]:
        filled = functional.pad(rows, (0, 0, missing, 0))
        return filled.unflatten(0, (-1, plan.patch)).flatten(1)

    def forecast(x: Float[Tensor, "B L N"]) -> Float[Tensor, " B"]:
        B = len(x)
        rows = x.unflatten(2, (plan.patch, F)).flatten(1, 2)[:, missing:]
        copies = window._replace(
            past=rows.transpose(0, 1),
            future=window.future.expand(-1, B, -1),
            static=window.static.expand(-1, B, -1),
            anchor=window.anchor.expand(-1, B),
        )
        scaled = network(copies)[row : row + 1]
        found = windows.values(scaled, window.center.expand(B), window.scale.expand(B))
        return found[0, :, median]

    return Question(
        name=name,
        axis=past,
        number=forecast,
        inputs=steps(window.past[:, 0]),
        baseline=steps(level),
    )
