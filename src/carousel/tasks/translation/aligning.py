"""What the attention says of given translations: which source word each word comes from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from carousel.data.pairs import Pairs
from carousel.decoding.beam_search import Hypothesis
from carousel.errors import DataError
from carousel.tasks.translation.data import make_corpus
from carousel.tasks.translation.fitted import Fitted
from carousel.tasks.translation.network import TranslationNetwork
from carousel.tasks.translation.training import Batch, read_batch, whole_batches
from carousel.tasks.translation.translating import check_sentences, unseen_characters
from carousel.tasks.translation.translation import Translation, make_translation


def aligned(fitted: Fitted, sources: Sequence[str], targets: Sequence[str]) -> list[Translation]:
    """Reads translations beside their sources; see ``Translator.align``.

    Raises:
        DataError: for lists of unequal length, none, or what is no text, or far longer than a
            sentence.
    """
    if len(sources) != len(targets):
        raise DataError(
            f"expected a translation for each sentence, got {len(sources)} sentences and "
            f"{len(targets)} translations; give as many"
        )
    pairs = Pairs.read(list(zip(sources, targets, strict=True)))
    check_sentences(fitted, pairs.sources, "the sentences")
    written = fitted.tokenizers.target
    check_sentences(fitted, pairs.targets, "their translations", tokenizer=written)
    corpus = make_corpus(pairs, fitted.tokenizers)
    found: list[Translation | None] = [None] * len(pairs)
    for batch in whole_batches(corpus):
        weights, log_probs = _read(fitted.network, batch)
        for column, row in enumerate(batch.rows.tolist()):
            source, target = corpus.sources[row], corpus.targets[row]
            own = weights[: len(target) - 1, column]
            log_probability = float(log_probs[: len(target), column].sum())
            found[row] = make_translation(
                pairs.sources[row],
                source,
                [
                    Hypothesis(
                        target[:-1].tolist(), log_probability, log_probability, own, ended=True
                    )
                ],
                fitted.tokenizers,
                unseen_characters(pairs.sources[row], fitted.characters),
            )
    return [one for one in found if one is not None]


@torch.inference_mode()
def _read(network: TranslationNetwork, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns the attention (T, B, S) and ln P (T, B) of each step of the targets, 0 in padding."""
    there, log_probs, attention = read_batch(network, batch)
    T, B = there.inputs.shape
    chosen = -F.nll_loss(log_probs, there.targets, reduction="none")
    weights = torch.stack(attention).mean(0)
    steps = weights.new_zeros(T * B, weights.shape[1]).index_copy(0, there.real, weights)
    probable = chosen.new_zeros(T * B).index_copy(0, there.real, chosen)
    return steps.view(T, B, -1), probable.view(T, B)
