"""What a translator does while it reads a sentence and writes its translation.

Letters: S subwords of the source, T of the target, their ends among them; B copies of the source,
E embedding size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from carousel.data.pairs import Pairs, plain
from carousel.data.pictures import shortened
from carousel.data.ragged import Ragged
from carousel.data.tokenizers import Tokenizer
from carousel.decoding.beam_search import BeamOptions
from carousel.errors import DataError, OptionError
from carousel.inspection.contents import AttentionMap, Axis
from carousel.inspection.inspection import Inspection
from carousel.options import option, options
from carousel.tasks.inspected import (
    Question,
    attributions,
    check_explained,
    chosen_member,
    explain_option,
    member_words,
    standing_in,
    watched,
)
from carousel.tasks.text_tracks import text_tracks, token_names, token_texts
from carousel.tasks.translation.data import check_length, make_corpus
from carousel.tasks.translation.fitted import Fitted
from carousel.tasks.translation.network import Member
from carousel.tasks.translation.search import Searcher
from carousel.tasks.translation.training import Batch, make_batch
from carousel.tasks.translation.translating import check_sentences
from carousel.training.devices import to_device

SOURCE, TARGET = "source", "target"  # names of the axes


@options
class SentenceInspectionOptions:
    """What of a translation is looked at.

    Raises:
        OptionError: for a subword to explain where nothing is explained.
    """

    explain: str = explain_option("which subwords of the source each one of the target comes from")
    step: int | None = option(
        default=None,
        help="the one of the target that is explained, counted from 0; default: each",
        low=0,
    )
    target: str | None = option(
        default=None, help="a translation to look at; default: what the model itself writes"
    )
    member: int = option(
        default=0, help="which of the networks that translate together, counted from 0", low=0
    )

    def __post_init__(self) -> None:
        check_explained(self.explain, step=self.step)


def inspected_sentence(fitted: Fitted, text: str, chosen: SentenceInspectionOptions) -> Inspection:
    """Reads a sentence and writes, or reads, its translation; see ``Translator.inspect``."""
    network = fitted.network
    member = chosen_member(list(network.members), chosen.member)
    which = member_words(len(network.members), chosen.member)
    batch = _batch(fitted, text, chosen.target)
    axes = {
        SOURCE: _axis(SOURCE, fitted.tokenizers.source, batch.source[:, 0].tolist()),
        TARGET: _axis(TARGET, fitted.tokenizers.target, batch.targets.tolist()),
    }
    there: Batch = to_device(batch, next(network.parameters()).device)
    questions: Sequence[Question] = ()
    if chosen.explain != "nothing":
        steps = _steps(chosen.step, len(batch.targets))
        questions = [_question(member, there, step, axes) for step in steps]
    seen = watched(
        network,
        partial(member, there.source, there.source_lengths, there.inputs),
        lambda path: SOURCE if ".encoder." in path else TARGET,
    )
    attention = AttentionMap(
        name="attention",
        queries=TARGET,
        memory=SOURCE,
        weights=seen.result.weights[:, 0].float().cpu().numpy(),
    )
    return Inspection(
        title=f"translator{which}, “{shortened(plain(text), 40)}”",
        axes=axes,
        layers=seen.layers,
        attentions=[attention],
        attributions=attributions(chosen.explain, questions),
    )


def _batch(fitted: Fitted, text: str, target: str | None) -> Batch:
    """Returns a sentence and its translation in subwords, alone in a batch.

    Raises:
        DataError: for what is no text, has no word, or is far longer than a sentence.
    """
    tokenizers = fitted.tokenizers
    check_sentences(fitted, [text], "the sentence to inspect")
    pairs = Pairs.read([(text, "" if target is None else target)])
    check_length(pairs.targets[0], tokenizers.target, fitted.longest, source="its translation")
    if not plain(text):
        raise DataError(f"expected a sentence, got {text!r}; give one that has a word")
    corpus = make_corpus(pairs, tokenizers)
    if target is None:
        # As it was written: the same text may be divided into other subwords, and have no end.
        searcher = Searcher(fitted.network, corpus.end, BeamOptions())
        [[found]] = searcher.search(corpus.sources)
        written = [*found.tokens, *[corpus.end] * found.ended]
        corpus = dataclasses.replace(corpus, targets=Ragged.of([np.array(written, np.int32)]))
    return make_batch(corpus, np.arange(1))


def _axis(name: str, tokenizer: Tokenizer, tokens: list[int]) -> Axis:
    """Returns a side; of the target, the subwords that are written at each step."""
    return Axis(
        name=name,
        kind="words",
        names=token_names(tokenizer, tokens),
        tracks=text_tracks(token_texts(tokenizer, tokens)),
        unit="subword",
    )


def _steps(step: int | None, size: int) -> Sequence[int]:
    """Returns the steps of the target to explain, of so many."""
    if step is None:
        return range(size)
    if step >= size:
        raise OptionError(f"step expects a subword of the target, from 0 to {size - 1}, got {step}")
    return [step]


def _question(member: Member, batch: Batch, step: int, axes: dict[str, Axis]) -> Question:
    """Returns the question from which subwords of the source one of the target comes."""
    inputs, token = batch.inputs[: step + 1], batch.targets[step]
    with torch.no_grad():
        embedded = member.encoder.embedding(batch.source)[:, 0]

    def log_probability(x: Float[Tensor, "B S E"]) -> Float[Tensor, " B"]:
        B = len(x)
        copies = (
            batch.source.expand(-1, B),
            batch.source_lengths.expand(B),
            inputs.expand(-1, B),
        )
        with standing_in(member.encoder.embedding, x.transpose(0, 1)):
            decoded = member(*copies)
        return member.output(decoded.features[-1]).float().log_softmax(-1)[:, token]

    return Question(
        name=f"log-probability of {axes[TARGET].names[step]!r} at step {step}",
        axis=axes[SOURCE],
        number=log_probability,
        inputs=embedded,
    )
