"""The page of an inspection: how large it is, how soon it is there, how fast it follows a pointer.

Three layers of 512 cells that read 1,000 characters of tiny Shakespeare (the sample that ships with
the package), after 150 steps of training, with the gradient flow of each layer. The page is opened
from its file in Chromium without a window, nothing cached.

    megabytes                the file, in millions of bytes
    first_picture_seconds    from the start of loading to the frame that shows the heat map; the
                             median over loads
    hover_milliseconds       from the pointer's event to the end of the frame that shows the cell's
                             equations, its unit's statistics and line; the median over cells of the
                             layer that is shown
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from _browser import MISSING, browser, programs
from _harness import Outcome, Spread, Table, run
from carousel import LSTM
from carousel.data.samples import sample_path
from carousel.inspection.inspecting import inspect
from carousel.inspection.page import page_bytes

STEPS, LAYERS, UNITS = 1000, 3, 512
EMBEDDING = 64
BATCH, SEGMENT = 16, 64  # of training
LOADS, HOVERS = 9, 60


class CharacterModel(torch.nn.Module):
    """An embedding, LSTM layers, and a softmax over characters."""

    def __init__(self, characters: int, units: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(characters, EMBEDDING)
        self.lstm = LSTM(EMBEDDING, units, LAYERS)
        self.output = torch.nn.Linear(units, characters)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the logits of what comes next, (T, B, V), for tokens (T, B)."""
        outputs, _ = self.lstm(self.embedding(tokens))
        assert isinstance(outputs, Tensor)
        return self.output(outputs)


def trained(tokens: Tensor, characters: int, units: int, steps: int) -> CharacterModel:
    """Returns a model after some steps of Adam on random segments."""
    torch.manual_seed(1)
    model = CharacterModel(characters, units)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        starts = torch.randint(len(tokens) - SEGMENT - 1, (BATCH,))
        batch = torch.stack([tokens[start : start + SEGMENT + 1] for start in starts], dim=1)
        loss = torch.nn.functional.cross_entropy(
            model(batch[:-1]).flatten(0, 1), batch[1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


WATCH = """
window.taken = [];
document.addEventListener("pointermove", (event) => {
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => taken.push(performance.now() - event.timeStamp);
    channel.port2.postMessage(null);
  });
});
"""


def first_picture(chrome: Any, address: str) -> float:
    """Returns the seconds that one load took."""
    chrome.get("about:blank")
    chrome.get(address)
    chrome.execute_async_script("carousel.ready.then(arguments[0], arguments[0])")
    mark = "return performance.getEntriesByName('first picture')[0].startTime"
    return chrome.execute_script(mark) / 1000


def hovers(chrome: Any, count: int) -> list[float]:
    """Returns the milliseconds that each of some moves of the pointer took."""
    from selenium.webdriver import ActionChains

    stage = chrome.find_element("css selector", ".stage")
    width, height = stage.size["width"], stage.size["height"]

    def move(k: int) -> None:
        # Cells all over the picture: multiples of two irrational numbers.
        x, y = (k * 0.61803) % 1 - 0.5, (k * 0.75488) % 1 - 0.5
        chain = ActionChains(chrome, duration=0)
        chain.move_to_element_with_offset(stage, round(x * width * 0.9), round(y * height * 0.9))
        chain.perform()

    move(0)
    chrome.execute_async_script("setTimeout(arguments[0], 2000)")  # the layer is read once
    chrome.execute_script(WATCH)
    for k in range(1, count + 1):
        move(k)
        chrome.execute_async_script("setTimeout(arguments[0], 60)")
    taken = chrome.execute_script("return window.taken")
    assert len(taken) >= count * 0.9, f"only {len(taken)} of {count} moves were seen"
    return taken


def measure(arguments: argparse.Namespace) -> Outcome:
    """Trains a little, writes the page, and opens it some times."""
    if programs() is None:
        sys.exit(f"This benchmark {MISSING}.")
    quick = arguments.quick
    packed = sample_path("sample:shakespeare", "language-modeling").read_bytes()
    text = gzip.decompress(packed).decode("utf-8")[:300_000]
    known = {character: k for k, character in enumerate(sorted(set(text)))}
    tokens = torch.tensor([known[character] for character in text])
    units, steps, length = (32, 3, 100) if quick else (UNITS, 150, STEPS)
    model = trained(tokens, len(known), units, steps)
    seen = inspect(model, tokens[:length, None], names=text[:length], flow=True)
    content = page_bytes(seen)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_bytes(content)
        with browser(Path(folder)) as chrome:
            first_picture(chrome, path.as_uri())  # the browser itself warms up
            loads = [first_picture(chrome, path.as_uri()) for _ in range(2 if quick else LOADS)]
            precision = chrome.execute_script("return carousel.precision")
            moves = hovers(chrome, 5 if quick else HOVERS)
            version = chrome.capabilities["browserVersion"]
    picture, hover = Spread.of(loads), Spread.of(moves)
    columns = ["what", "median", "lower quartile", "upper quartile", "worst"]
    rows: list[list[str | float | int]] = [
        ["first picture, seconds", picture.median, picture.low, picture.high, max(loads)],
        ["hover, milliseconds", hover.median, hover.low, hover.high, max(moves)],
    ]
    rounded = [[cell if isinstance(cell, str) else round(cell, 3) for cell in row] for row in rows]
    return Outcome(
        results={
            "megabytes": round(len(content) / 1e6, 2),
            "first_picture_seconds": round(picture.median, 3),
            "hover_milliseconds": round(hover.median, 1),
        },
        columns=columns,
        rows=rows,
        tables=[Table(title="Loads and moves of the pointer", columns=columns, rows=rounded)],
        notes=[
            f"{length:,} steps, {LAYERS} layers of {units}, trained for {steps} steps",
            f"values have {precision['values']} bits in this page, weights {precision['weights']}",
            f"Chromium {version}, headless, a window of 1400 by 1000 at one pixel a point",
        ],
    )


if __name__ == "__main__":
    run(measure, libraries=["selenium"])
