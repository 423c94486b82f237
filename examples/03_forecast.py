"""Forecast a frame of one's own and read the honest word on it."""

import datetime
import math
import random

import polars as pl

import carousel

random.seed(0)
hours = range(40 * 24)
start = datetime.datetime(2024, 3, 1)
frame = pl.DataFrame(
    {
        "unique_id": ["office"] * len(hours),
        "ds": [start + datetime.timedelta(hours=hour) for hour in hours],
        "y": [
            50 + 20 * math.sin(2 * math.pi * hour / 24) + 5 * random.gauss(0, 1) for hour in hours
        ],
    }
)

run = carousel.RunOptions(max_steps=200, progress="none")
model = carousel.Forecaster(horizon=24, hidden_size=16).fit(frame, run=run)
print(model.evaluate(frame))
print(model.predict(frame).head(3))
