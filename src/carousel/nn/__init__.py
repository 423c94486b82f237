"""Modules with parameters."""

from carousel.engines import State
from carousel.nn.cell import LSTMCell
from carousel.nn.lstm import LSTM
from carousel.nn.trace import Trace

__all__ = ["LSTM", "LSTMCell", "State", "Trace"]
