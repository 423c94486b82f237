"""The translator as the training loop sees it: batches of sentence pairs in, nats out.

Shape letters: S positions of the source, T steps of the target, B pairs, N real steps of all
targets, V subwords of the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from carousel.data.batching import Shard
from carousel.data.length_buckets import LengthBatches, length_batches
from carousel.tasks.ensembles import mean_log_probs
from carousel.tasks.translation.data import Corpus
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.plan import Plan
from carousel.training import RunOptions, Task
from carousel.training.devices import to_device

MOST_VALIDATED = 2_000  # pairs; more make validation slower and hardly steadier
_TOKENS_AT_ONCE = 8_000  # of both sides together where no gradient is wanted
_LEAST_MASS = 1e-6  # of attention, below which its logarithm is not followed


class Batch(NamedTuple):
    """Some sentence pairs.

    Attributes:
        source: (S, B).
        source_lengths: (B,).
        inputs: (T, B), the sentence's end, which begins it too, then the target.
        targets: (N,), the subword behind each real input: the target, then its end.
        real: (N,), which of the T·B steps are no padding.
        guide: (N, 2), where in the source the word stands that a step's comes from, as begin and
            end; equal where it is not known. None without guided alignment.
        rows: (B,), numbers of the pairs.
    """

    source: Tensor
    source_lengths: Tensor
    inputs: Tensor
    targets: Tensor
    real: Tensor
    guide: Tensor | None
    rows: np.ndarray


def make_batch(corpus: Corpus, rows: np.ndarray) -> Batch:
    """Puts some pairs of a corpus side by side."""
    source, source_lengths = corpus.sources.padded(rows)
    target, lengths = corpus.targets.padded(rows)
    begin = torch.full((1, len(rows)), corpus.end)
    real = (torch.arange(len(target))[:, None] < lengths).flatten().nonzero()[:, 0]
    guide = None
    if corpus.guides is not None:
        guide = corpus.guides.padded(rows)[0].flatten(0, 1)[real]
    return Batch(
        source=source,
        source_lengths=source_lengths,
        inputs=torch.cat([begin, target[:-1]]),
        targets=target.flatten()[real],
        real=real,
        guide=guide,
        rows=rows,
    )


def whole_batches(corpus: Corpus, tokens: int = _TOKENS_AT_ONCE) -> Iterator[Batch]:
    """Yields every pair of a corpus once, in batches of similar length, always the same."""
    for rows in length_batches(corpus.lengths, tokens, seed=0, epoch=0):
        yield make_batch(corpus, rows)


class TranslationTask(Task[Batch]):
    """Trains on sentence pairs, whole sentences at a time.

    Args:
        network: what is trained.
        corpus: of the training part.
        valid: of the part that chooses the weights; may be empty.
        plan: what the data decided.
        run: of the training run, complete; ``batch_size`` pairs of average length fill a batch.
        source: what the data is called.
        fingerprint: of data and options.
        introduction: what the user is told.
    """

    def __init__(
        self,
        network: TranslationNetwork,
        corpus: Corpus,
        valid: Corpus,
        plan: Plan,
        run: RunOptions,
        *,
        source: str = "",
        fingerprint: Mapping[str, Any] | None = None,
        introduction: str = "",
    ) -> None:
        assert run.batch_size is not None
        self.module = network
        self.corpus, self.valid, self.plan, self.seed = corpus, valid, plan, run.seed
        tokens = round(run.batch_size * float(corpus.lengths.sum(1).mean()))
        self._rows = LengthBatches(corpus.lengths, tokens, run.seed)
        self.metric = "nats" if len(valid) else ""
        self.source, self.introduction = source, introduction
        self._fingerprint = dict(fingerprint or {})

    def batches(self, epoch: int, start: int, shard: Shard) -> Iterator[Batch | None]:
        """Yields this rank's pairs of each batch."""
        for rows in self._rows.of(epoch, start, shard):
            yield make_batch(self.corpus, rows) if len(rows) else None

    def batches_per_epoch(self) -> int:
        """Number of batches of the present epoch."""
        return self._rows.count()

    def loss(self, module: Any, batch: Batch) -> tuple[Tensor, float]:
        """Returns the members' mean nats of a batch, with what the options add, and its tokens.

        (1 - ε) · -ln p(y) + ε · mean over v of -ln p(v), with label smoothing ε
        """
        found = module(batch.source, batch.source_lengths, batch.inputs, batch.real)
        total = torch.zeros((), device=batch.source.device)
        for scores, weights in found:
            total = total + F.cross_entropy(
                scores.float(),
                batch.targets,
                label_smoothing=self.plan.label_smoothing,
                reduction="sum",
            )
            if self.plan.guided_alignment and batch.guide is not None:
                total = total + self.plan.guided_alignment * misplaced(weights, batch.guide)
        return total / len(found), float(len(batch.targets))

    def validate(self, module: Any) -> dict[str, float]:
        """Returns the mean nats of a subword of the validation pairs, without smoothing."""
        nats, tokens = corpus_nats(module, self.valid)
        return {"nats": nats / tokens}

    def describe(self, batch: Batch) -> str:
        """Names the place of a batch in the data."""
        lines = self.corpus.lines[batch.rows]
        shown = ", ".join(f"{line:,}" for line in lines[:5]) + (", ..." if len(lines) > 5 else "")
        return f"the pairs in lines {shown}" + (f" of {self.source}" if self.source else "")

    def fingerprint(self) -> Mapping[str, Any]:
        """Returns options and a digest of the data."""
        return {"task": "translation", **self._fingerprint}


def misplaced(weights: Float[Tensor, "N S"], guide: Int[Tensor, "N 2"]) -> Tensor:
    """Returns the sum of -ln of the attention that lies where the guide says.

    Args:
        weights: (N, S), each a distribution over the source.
        guide: (N, 2), begin and end of the right place; a step where they are equal has none.

    Reference: Chen et al. (2016), arXiv:1607.01628, section 3, with the attention of all subwords
        of a word taken together.
    """
    known = (guide[:, 1] > guide[:, 0]).nonzero()[:, 0]
    sums = F.pad(weights[known].cumsum(-1), (1, 0))
    begin, end = sums.gather(1, guide[known]).unbind(1)
    return -(end - begin).clamp(min=_LEAST_MASS).log().sum()


@torch.no_grad()
def corpus_nats(network: TranslationNetwork, corpus: Corpus) -> tuple[float, int]:
    """Returns -ln P of all targets given their sources, ends included, and how many tokens.

    Args:
        network: in evaluation mode.
        corpus: one pair at least.
    """
    total, count = 0.0, 0
    for batch in whole_batches(corpus):
        there, log_probs, _ = read_batch(network, batch)
        total += float(F.nll_loss(log_probs, there.targets, reduction="sum"))
        count += len(batch.targets)
    return total, count


def read_batch(
    network: TranslationNetwork, batch: Batch
) -> tuple[Batch, Float[Tensor, "N V"], list[Float[Tensor, "N S"]]]:
    """Reads targets beside their sources, all members together.

    Args:
        network: in evaluation mode.
        batch: on any device.

    Returns:
        The batch on the network's device, ln P of every subword at each real step, and what each
        member attended to there.
    """
    there: Batch = to_device(batch, next(network.parameters()).device)
    found = network(there.source, there.source_lengths, there.inputs, there.real)
    log_probs = mean_log_probs([scores for scores, _ in found])
    return there, log_probs, [weights for _, weights in found]
