"""Forecasting of time series: many series, one network, honest intervals."""

from carousel.tasks.forecasting.inspecting import (
    SeriesInspectionOptions as SeriesInspectionOptions,
)
from carousel.tasks.forecasting.model import Forecaster as Forecaster
from carousel.tasks.forecasting.options import ForecastingOptions as ForecastingOptions
from carousel.tasks.forecasting.report import Report as Report
