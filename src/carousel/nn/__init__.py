"""Modules with parameters."""

from carousel.engines import State
from carousel.nn.attention import Attention
from carousel.nn.cell import LSTMCell
from carousel.nn.conversion import to_torch
from carousel.nn.lstm import LSTM
from carousel.nn.replacement import replace_lstm, restore_lstm
from carousel.nn.stepper import Stepper
from carousel.nn.trace import Trace

__all__ = [
    "LSTM",
    "Attention",
    "LSTMCell",
    "State",
    "Stepper",
    "Trace",
    "replace_lstm",
    "restore_lstm",
    "to_torch",
]
