"""Carousel: the LSTM, end to end."""
