"""Four problems that only a long memory solves, drawn anew for every batch.

Knows nothing of cells or of training. Shape letters: T steps, B sequences, I inputs of a step,
O outputs, K steps at which something is to be said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SYMBOLS = "BTPSXVE"  # of the Reber grammar
# From each node of the grammar: what may come, and where it leads; figure 3 of the 1997 paper.
_GRAMMAR = {
    0: {"T": 1, "P": 2},
    1: {"S": 1, "X": 3},
    2: {"T": 2, "V": 4},
    3: {"X": 2, "S": 5},
    4: {"P": 3, "V": 5},
}
_LAST_NODE = 5


class Drawn(NamedTuple):
    """Some sequences, and what is to be said of them."""

    inputs: Tensor  # (T, B, I)
    targets: Tensor  # of the problem's own shape
    lengths: Tensor | None = None  # (B,), where they differ


class Problem(Protocol):
    """What a benchmark of memory needs of a problem."""

    @property
    def inputs(self) -> int:
        """I."""

    @property
    def outputs(self) -> int:
        """O."""

    def draw(self, generator: np.random.Generator, size: int, length: int) -> Drawn:
        """Draws sequences with that many steps between what is seen and what is said."""

    def loss(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns the mean loss of outputs (T, B, O)."""

    def wrong(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns for each sequence (B,) whether what is said of it is wrong."""


@dataclass(frozen=True)
class Adding:
    """Two numbers of many are marked; at the end their sum is to be said.

    A step is (value from U(0, 1), mark); one mark stands in either half. Saying 1 always has a mean
    squared error of 1/6.

    Reference: Hochreiter and Schmidhuber (1997), section 5.4, in the form of Arjovsky, Shah and
        Bengio (2016), arXiv:1511.06464, section 5. Bai, Kolter and Koltun (2018),
        arXiv:1803.01271, mark any two numbers.
    """

    inputs: int = 2
    outputs: int = 1

    def draw(self, generator: np.random.Generator, size: int, length: int) -> Drawn:
        """Draws (length, size, 2) and the sums (size,)."""
        values = generator.random((length, size), dtype=np.float32)
        marks = np.zeros((length, size), np.float32)
        half = length // 2
        rows = np.arange(size)
        first, second = generator.integers(half, size=size), generator.integers(half, length, size)
        marks[first, rows] = marks[second, rows] = 1
        sums = values[first, rows] + values[second, rows]
        return Drawn(torch.from_numpy(np.stack([values, marks], 2)), torch.from_numpy(sums))

    def loss(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns the mean squared error at the last step."""
        return F.mse_loss(said[-1, :, 0], drawn.targets)

    def wrong(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns where the sum is off by 0.04 or more; the paper's 0.04 is of half that sum."""
        return (said[-1, :, 0] - drawn.targets).abs() >= 0.04


@dataclass(frozen=True)
class Copying:
    """Ten symbols are shown, nothing for ``length`` steps, then they are to be said in order.

    Symbols 1 to 8 are drawn, 0 is a blank and 9 asks. The loss is the mean cross-entropy over all
    length + 20 steps; who forgets everything and says blanks and random symbols has 10 ln 8 /
    (length + 20).

    Reference: Arjovsky, Shah and Bengio (2016), arXiv:1511.06464, section 5, after Hochreiter and
        Schmidhuber (1997). Bai, Kolter and Koltun (2018), arXiv:1803.01271, ask by eleven 9s.
    """

    inputs: int = 10
    outputs: int = 9
    shown: int = 10

    def draw(self, generator: np.random.Generator, size: int, length: int) -> Drawn:
        """Draws (length + 20, size, 10), one-hot, and what is to be said at each step."""
        symbols = generator.integers(1, 9, (self.shown, size))
        given = np.zeros((length + 2 * self.shown, size), np.int64)
        targets = np.zeros_like(given)
        given[: self.shown], targets[-self.shown :] = symbols, symbols
        given[-self.shown - 1] = 9
        return Drawn(F.one_hot(torch.from_numpy(given), 10).float(), torch.from_numpy(targets))

    def loss(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns the mean cross-entropy of all steps, in nats."""
        return F.cross_entropy(said.flatten(0, 1), drawn.targets.flatten())

    def wrong(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns where any of the ten is not said."""
        end = slice(-self.shown, None)
        return (said[end].argmax(2) != drawn.targets[end]).any(0)


@dataclass(frozen=True)
class TemporalOrder:
    """Symbols X or Y stand at two or three places among distractors; their order is the class.

    A sequence of 100 to 110 steps begins with E and ends with B; X or Y stands at a step from 10 to
    20 and from 50 to 60 (two symbols, 4 classes), or from 10 to 20, 33 to 43 and 66 to 76 (three, 8
    classes); all other steps are drawn from a, b, c, d.

    Reference: Hochreiter and Schmidhuber (1997), section 5.6, experiments 6a and 6b.
    """

    symbols: int = 2
    inputs: int = 8

    @property
    def outputs(self) -> int:
        """O, the classes."""
        return int(2**self.symbols)

    def draw(self, generator: np.random.Generator, size: int, length: int = 100) -> Drawn:
        """Draws (length + 10, size, 8), one-hot; sequences end within the last eleven steps."""
        lengths = generator.integers(length, length + 11, size)
        steps = generator.integers(0, 4, (length + 10, size))  # a, b, c, d; then X, Y, E, B
        rows = np.arange(size)
        begins = (10, 50) if self.symbols == 2 else (10, 33, 66)
        classes = np.zeros(size, np.int64)
        for begin in begins:
            which = generator.integers(0, 2, size)
            steps[generator.integers(begin, begin + 11, size), rows] = 4 + which
            classes = 2 * classes + which
        steps[0], steps[lengths - 1, rows] = 6, 7
        given = F.one_hot(torch.from_numpy(steps), 8).float()
        return Drawn(given, torch.from_numpy(classes), torch.from_numpy(lengths))

    def loss(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns the cross-entropy at each sequence's last step, in nats."""
        return F.cross_entropy(_last(said, drawn), drawn.targets)

    def wrong(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns where the most probable class is not the right one."""
        return _last(said, drawn).argmax(1) != drawn.targets


@dataclass(frozen=True)
class Reber:
    """Strings of the embedded Reber grammar: after each symbol, those that may follow.

    The last symbol but one repeats the second, however long the string between them is.

    Reference: Hochreiter and Schmidhuber (1997), section 5.1, experiment 1: a string is right where
        at every step the outputs of the possible symbols are the most active ones.
    """

    inputs: int = 7
    outputs: int = 7

    def draw(self, generator: np.random.Generator, size: int, length: int = 0) -> Drawn:
        """Draws strings, whose lengths the grammar decides; ``length`` must be 0."""
        assert length == 0
        drawn = [_embedded(generator) for _ in range(size)]
        longest = max(len(text) for text, _ in drawn) - 1
        given = torch.zeros(longest, size, self.inputs)
        possible = torch.zeros(longest, size, self.outputs)
        for row, (text, sets) in enumerate(drawn):
            for step, (symbol, following) in enumerate(zip(text[:-1], sets, strict=True)):
                given[step, row, SYMBOLS.index(symbol)] = 1
                for other in following:
                    possible[step, row, SYMBOLS.index(other)] = 1
        lengths = torch.tensor([len(text) - 1 for text, _ in drawn])
        return Drawn(given, possible, lengths)

    def loss(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns the mean cross-entropy of each output, which a logistic function follows."""
        losses = F.binary_cross_entropy_with_logits(said, drawn.targets, reduction="none")
        real = _real(drawn, len(said))
        return losses.mean(2)[real].mean()

    def wrong(self, said: Tensor, drawn: Drawn) -> Tensor:
        """Returns where at any step an impossible symbol is as active as a possible one."""
        possible = drawn.targets > 0
        least = said.masked_fill(~possible, torch.inf).amin(2)
        most = said.masked_fill(possible, -torch.inf).amax(2)
        return ((most >= least) & _real(drawn, len(said))).any(0)


def _last(said: Tensor, drawn: Drawn) -> Tensor:
    assert drawn.lengths is not None
    return said[drawn.lengths - 1, torch.arange(said.shape[1])]


def _real(drawn: Drawn, steps: int) -> Tensor:
    assert drawn.lengths is not None
    return torch.arange(steps)[:, None] < drawn.lengths


def _embedded(generator: np.random.Generator) -> tuple[str, list[str]]:
    """Returns a string, and what may follow each of its symbols but the last."""
    outer = "TP"[generator.integers(2)]
    text, following, node = f"B{outer}B", ["TP", "B"], 0
    while node != _LAST_NODE:
        choices = _GRAMMAR[node]
        following.append("".join(choices))
        symbol = following[-1][generator.integers(len(choices))]
        text, node = text + symbol, choices[symbol]
    return text + "E" + outer + "E", [*following, "E", outer, "E"]
