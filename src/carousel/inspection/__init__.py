"""What a memory does: gates, half-lives and gradients of any model with an LSTM in it."""

from carousel.inspection.attribution import integrated_gradients, occlusion
from carousel.inspection.contents import (
    KINDS,
    QUANTITIES,
    AttentionMap,
    Attribution,
    Axis,
    CellWeights,
    Contents,
    GradientFlow,
    LayerValues,
)
from carousel.inspection.figures import FigureOptions
from carousel.inspection.following import Following, best_units, followed
from carousel.inspection.frames import trace_frame
from carousel.inspection.gradient_flow import gradient_flow, plain_rnn_flow
from carousel.inspection.inspecting import inspect
from carousel.inspection.inspection import Inspection
from carousel.inspection.orders import unit_orders
from carousel.inspection.statistics import LayerStatistics, layer_statistics

__all__ = [
    "KINDS",
    "QUANTITIES",
    "AttentionMap",
    "Attribution",
    "Axis",
    "CellWeights",
    "Contents",
    "FigureOptions",
    "Following",
    "GradientFlow",
    "Inspection",
    "LayerStatistics",
    "LayerValues",
    "best_units",
    "followed",
    "gradient_flow",
    "inspect",
    "integrated_gradients",
    "layer_statistics",
    "occlusion",
    "plain_rnn_flow",
    "trace_frame",
    "unit_orders",
]
