"""The recogniser as the training loop sees it: batches of recordings in, nats out.

Shape letters: T frames, S steps of the network, D features that it sees, B recordings, U symbols of
a transcript, V symbols with the blank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from carousel.data.batching import Shard, derived_seed
from carousel.data.length_buckets import LengthBatches, length_batches
from carousel.decoding.ctc import best_path, least_frames
from carousel.tasks.speech_recognition.augmentation import Augmentation
from carousel.tasks.speech_recognition.network import BLANK, AcousticNetwork
from carousel.tasks.speech_recognition.scores import character_counts
from carousel.tasks.speech_recognition.symbols import Symbols
from carousel.tasks.speech_recognition.utterances import Frontend, Utterances
from carousel.training import RunOptions, Task
from carousel.training.devices import to_device

SILENT = 0.05  # of the recordings of an epoch that are replaced by silence
_FRAMES_AT_ONCE = 16_000  # where no gradient is wanted


class Batch(NamedTuple):
    """Some recordings and what is said in them.

    Attributes:
        frames: (T, B, D).
        lengths: (B,) frames of each.
        symbols: (B, U), 0 behind a transcript's end.
        symbol_lengths: (B,).
        rows: (B,), numbers of the recordings.
    """

    frames: Tensor
    lengths: Tensor
    symbols: Tensor
    symbol_lengths: Tensor
    rows: np.ndarray


def make_batch(
    utterances: Utterances,
    frontend: Frontend,
    symbols: Symbols,
    rows: np.ndarray,
    *,
    subsampling: int,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> Batch:
    """Puts some recordings side by side; each is changed as its number, seed and epoch say.

    With augmentation some are replaced by silence, in which nothing is said: a network that has
    heard speech alone hears a word in everything.
    """
    found: list[np.ndarray] = []
    said: list[np.ndarray] = []
    for row in rows.tolist():
        numbers = symbols.encode(utterances.recordings.texts[row])
        x = None
        silent = np.random.default_rng(derived_seed(seed, "silence", epoch, row))
        if augmentation is not None and silent.random() < SILENT:
            x, numbers = utterances.silence(row, frontend, silent), numbers[:0]
        elif augmentation is not None:
            rng = np.random.default_rng(derived_seed(seed, "augmentation", epoch, row))
            x = utterances.frames(row, frontend, augmentation, rng)
        if x is None or -(-len(x) // subsampling) < least_frames(numbers.tolist()):
            x = utterances.frames(row, frontend)  # made too fast for its transcript, or not made
        found.append(x)
        said.append(numbers)
    frames = np.zeros((max(map(len, found)), len(rows), frontend.width), np.float32)
    padded = np.full((len(rows), max(1, *map(len, said))), BLANK, np.int64)
    for place, (x, numbers) in enumerate(zip(found, said, strict=True)):
        frames[: len(x), place] = x
        padded[place, : len(numbers)] = numbers
    return Batch(
        frames=torch.from_numpy(frames),
        lengths=torch.tensor([len(x) for x in found]),
        symbols=torch.from_numpy(padded),
        symbol_lengths=torch.tensor([len(numbers) for numbers in said]),
        rows=rows,
    )


def whole_batches(
    utterances: Utterances,
    frontend: Frontend,
    symbols: Symbols,
    subsampling: int,
    frames: int = _FRAMES_AT_ONCE,
) -> Iterator[Batch]:
    """Yields every recording once, in batches of similar length, always the same."""
    for rows in length_batches(utterances.lengths, frames, seed=0, epoch=0):
        yield make_batch(utterances, frontend, symbols, rows, subsampling=subsampling)


def ctc_nats(
    log_probs: Float[Tensor, "S B V"],
    steps: Int[Tensor, " B"],
    symbols: Int[Tensor, "B U"],
    symbol_lengths: Int[Tensor, " B"],
) -> Float[Tensor, " B"]:
    """Returns -ln P of each transcript, over all paths that say it; inf where none does.

    Reference: Graves et al. (2006), doi:10.1145/1143844.1143891.
    """
    return F.ctc_loss(log_probs, symbols, steps, symbol_lengths, blank=BLANK, reduction="none")


class RecognitionTask(Task[Batch]):
    """Trains on recordings and transcripts.

    Args:
        network: what is trained.
        utterances: of the training part.
        valid: of the part that chooses the weights; None for none.
        frontend: what the network sees.
        symbols: what it writes.
        augmentation: how recordings are changed.
        run: of the training run, complete; ``batch_size`` recordings of average length fill a
            batch.
        fingerprint: of data and options.
        introduction: what the user is told.
    """

    def __init__(
        self,
        network: AcousticNetwork,
        utterances: Utterances,
        valid: Utterances | None,
        frontend: Frontend,
        symbols: Symbols,
        augmentation: Augmentation,
        run: RunOptions,
        *,
        fingerprint: Mapping[str, Any] | None = None,
        introduction: str = "",
    ) -> None:
        assert run.batch_size is not None
        self.module = network
        self.utterances, self.valid = utterances, valid
        self.frontend, self.symbols, self.augmentation = frontend, symbols, augmentation
        self.seed, self.introduction = run.seed, introduction
        tokens = max(1, round(run.batch_size * float(utterances.lengths.mean())))
        self._rows = LengthBatches(utterances.lengths, tokens, run.seed)
        self.metric = "" if valid is None else "cer"
        self._subsampling = network.subsampling
        self._fingerprint = dict(fingerprint or {})

    def batches(self, epoch: int, start: int, shard: Shard) -> Iterator[Batch | None]:
        """Yields this rank's recordings of each batch."""
        for rows in self._rows.of(epoch, start, shard):
            if not len(rows):
                yield None
                continue
            yield make_batch(
                self.utterances,
                self.frontend,
                self.symbols,
                rows,
                subsampling=self._subsampling,
                augmentation=self.augmentation,
                seed=self.seed,
                epoch=epoch,
            )

    def batches_per_epoch(self) -> int:
        """Number of batches of the present epoch."""
        return self._rows.count()

    def loss(self, module: Any, batch: Batch) -> tuple[Tensor, float]:
        """Returns the nats of a batch's transcripts, and its recordings."""
        log_probs, steps = module(batch.frames, batch.lengths)
        nats = ctc_nats(log_probs, steps, batch.symbols, batch.symbol_lengths)
        return nats.sum(), float(len(nats))

    def validate(self, module: Any) -> dict[str, float]:
        """Returns errors per character of the best path, in %, and nats per recording."""
        assert self.valid is not None
        nats, errors, length = 0.0, 0, 0
        for batch, log_probs, steps in read_all(module, self.valid, self.frontend, self.symbols):
            nats += float(ctc_nats(log_probs, steps, batch.symbols, batch.symbol_lengths).sum())
            for row, found in zip(batch.rows.tolist(), best_path(log_probs, steps), strict=True):
                text = self.valid.recordings.texts[row]
                counts = character_counts(text, self.symbols.decode(found.tokens))
                errors, length = errors + counts.errors, length + counts.length
        return {"cer": 100 * errors / max(length, 1), "nats": nats / len(self.valid)}

    def describe(self, batch: Batch) -> str:
        """Names the recordings of a batch."""
        names = [self.utterances.recordings.names[row] for row in batch.rows[:5].tolist()]
        more = ", ..." if len(batch.rows) > 5 else ""
        return f"the recordings {', '.join(names)}{more} of {self.utterances.recordings.source}"

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns options and a digest of the data."""
        return {"task": "speech-recognition", **self._fingerprint}


def read_all(
    network: AcousticNetwork, utterances: Utterances, frontend: Frontend, symbols: Symbols
) -> Iterator[tuple[Batch, Float[Tensor, "S B V"], Int[Tensor, " B"]]]:
    """Yields batches of recordings on the network's device, ln p of their symbols, and steps.

    Args:
        network: in evaluation mode.
        utterances: what is read.
        frontend: as the network was trained with.
        symbols: of its output.
    """
    device = next(network.parameters()).device
    for batch in whole_batches(utterances, frontend, symbols, network.subsampling):
        there: Batch = to_device(batch, device)
        with torch.no_grad():
            log_probs, steps = network(there.frames, there.lengths)
        yield there, log_probs, steps
