"""Text from a language model, token by token, in constant memory: the state is all that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from carousel.data.tokenizers import Decoder, Tokenizer
from carousel.decoding.sampling import Sampler, SamplingOptions
from carousel.errors import DataError
from carousel.nn import State
from carousel.tasks.ensembles import mean_log_probs
from carousel.tasks.language_modeling.ensemble import Network
from carousel.tasks.language_modeling.mixture import NgramShare
from carousel.tasks.language_modeling.network import LanguageNetwork
from carousel.tasks.language_modeling.softmax import FullSoftmax

_PROMPT_STEPS = 256  # tokens of a prompt that are read in one call


@runtime_checkable
class Stepper(Protocol):
    """Reads tokens one at a time, and scores the next."""

    def read(self, tokens: Sequence[int]) -> Tensor:
        """Reads tokens in as few calls as possible; returns the scores (1, V) of the next one."""
        ...

    def step(self, token: int) -> Tensor:
        """Reads one token; returns the scores (1, V) of the next one."""
        ...


def stepper_of(
    network: Network, forbidden: Sequence[int] = (), share: NgramShare | None = None
) -> Stepper:
    """Returns what feeds a network, or the members of an ensemble, one token at a time.

    Args:
        network: in evaluation mode; its weights must not change meanwhile.
        forbidden: tokens that get a score of -inf.
        share: what n-grams add to the predictions.
    """
    if isinstance(network, LanguageNetwork) and share is None:
        return NetworkStepper(network, forbidden)
    return MixedStepper(network, forbidden, share)


class NetworkStepper:
    """Feeds a network one token at a time; nothing is computed twice.

    A repetition penalty divides scores above 0 and multiplies those below, so that what is common
    to all of them counts: those of groups, which are logarithms of probabilities, get a mean of 0.

    Args:
        network: in evaluation mode; its weights must not change meanwhile.
        forbidden: tokens that get a score of -inf.
    """

    def __init__(self, network: LanguageNetwork, forbidden: Sequence[int] = ()) -> None:
        self._embedding = network.embedding.weight
        self._head = network.head
        self._network = network
        never = torch.zeros(network.vocabulary, device=self._embedding.device)
        never[list(forbidden)] = -torch.inf
        self._never = never.to(self._embedding.dtype)
        self._full: tuple[Tensor, Tensor] | None = None
        if isinstance(network.head, FullSoftmax):
            # Forbidden at once, in the bias, because a step has time for few operations.
            self._full = network.head.weight, network.head.bias + self._never
        self._steps = [layer.stepper() for layer in network.layers]

    def read(self, tokens: Sequence[int]) -> Tensor:
        """Reads tokens in as few calls as possible; returns the scores (1, V) of the next one."""
        device = self._embedding.device
        state = [stepper.state for stepper in self._steps]
        for first in range(0, len(tokens), _PROMPT_STEPS):
            some = torch.tensor(tokens[first : first + _PROMPT_STEPS], device=device)[:, None]
            found = self._network(some, state)
            state = found.state
        for stepper, one in zip(self._steps, state, strict=True):
            stepper.state = State(*one)
        return self._scores(found.dropped[-1])

    def step(self, token: int) -> Tensor:
        """Reads one token; returns the scores (1, V) of the next one."""
        x = self._embedding[token : token + 1]
        for stepper in self._steps:
            x = stepper.step(x)
        return self._scores(x)

    def _scores(self, features: Tensor) -> Tensor:
        if self._full is not None:
            return F.linear(features, *self._full)
        scores = self._head.logits(features)  # ln P, of groups
        return scores - scores.mean() + self._never


class MixedStepper:
    """Feeds several networks, or n-grams beside them, one token at a time.

    The scores are ln of the mean of the networks' probabilities, mixed with those of the n-grams,
    and as high on average as the networks' own scores, which a repetition penalty is for.

    Args:
        network: in evaluation mode; its weights must not change meanwhile.
        forbidden: tokens that get a score of -inf.
        share: what n-grams add to the predictions.
    """

    def __init__(
        self, network: Network, forbidden: Sequence[int] = (), share: NgramShare | None = None
    ) -> None:
        self._members = [NetworkStepper(member) for member in network.members]
        self._forbidden = list(forbidden)
        self._share = share
        self._contexts = () if share is None else share.model.begin()

    def read(self, tokens: Sequence[int]) -> Tensor:
        """Reads tokens in as few calls as possible; returns the scores (1, V) of the next one."""
        return self._mixed([member.read(tokens) for member in self._members], tokens)

    def step(self, token: int) -> Tensor:
        """Reads one token; returns the scores (1, V) of the next one."""
        return self._mixed([member.step(token) for member in self._members], [token])

    def _mixed(self, scores: list[Tensor], tokens: Sequence[int]) -> Tensor:
        found = mean_log_probs(scores)
        if self._share is not None:
            # Of those before the last few the n-grams know nothing.
            for token in tokens[-self._share.model.order :]:
                self._contexts = self._share.model.after(self._contexts, token)
            network = found[0].detach().double().cpu().numpy()
            mixed = self._share.mixed_log_probs(network, self._contexts)
            found = torch.from_numpy(mixed)[None].to(found)
        found = found - found.mean() + torch.stack(scores).float().mean()
        found[:, self._forbidden] = -torch.inf
        return found


def generated_tokens(
    network: Network,
    prompt: Sequence[int],
    options: SamplingOptions,
    *,
    seed: int,
    forbidden: Sequence[int] = (),
    share: NgramShare | None = None,
) -> Iterator[int]:
    """Yields tokens behind a prompt for ever.

    Args:
        network: in evaluation mode.
        prompt: at least one token, the boundary of documents for none.
        options: how they are drawn.
        seed: of the draws.
        forbidden: tokens that are never drawn.
        share: what n-grams add to the predictions.
    """
    generator = torch.Generator().manual_seed(seed)
    sampler = Sampler(options, generator)
    penalizes = options.repetition_penalty != 1
    seen = torch.zeros(network.vocabulary, dtype=torch.bool)
    seen[list(prompt)] = True
    seen[prompt[0]] = False  # the boundary, which was not written
    # Left between two tokens, so that the caller's own code does not run in this mode.
    with torch.inference_mode():
        stepper = stepper_of(network, forbidden, share)
        logits = stepper.read(prompt)
    token: int | None = None
    while True:
        with torch.inference_mode():
            if token is not None:
                logits = stepper.step(token)
            before = seen.nonzero().T if penalizes else None
            token = int(sampler.sample(logits.float().cpu(), before))
            if penalizes:
                seen[token] = True
        yield token


def generated_text(
    tokenizer: Tokenizer,
    tokens: Iterator[int],
    stop: Sequence[str],
    most: int | None,
    prompt: str = "",
) -> Iterator[str]:
    """Yields text as it comes, until a token that ends documents, a stop string, or enough tokens.

    What may be the begin of a stop string is held back until it is clear; the stop string itself is
    not part of the text.

    Args:
        tokenizer: which makes text of tokens.
        tokens: as ``generated_tokens`` yields them.
        stop: strings that end the text.
        most: how many tokens; None for no end.
        prompt: what the text goes on from: whether a blank comes first depends on it.
    """
    decoder = Decoder(tokenizer)
    for token in prompt_tokens(tokenizer, prompt):
        decoder.feed(token)
    spaced = tokenizer.kind == "words" and prompt[-1:].isspace()
    longest = max((len(s) for s in stop), default=1) - 1
    held = ""
    count = 0
    while most is None or count < most:
        token = next(tokens)
        count += 1
        if token == tokenizer.end:
            break
        text = decoder.feed(token)
        held += text.removeprefix(" ") if spaced and count == 1 else text
        ends = [at for s in stop if (at := held.find(s)) >= 0]
        if ends:
            if piece := held[: min(ends)]:
                yield piece
            return
        keep = _overlap(held, stop, longest)
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    held += decoder.finish()
    if held:
        yield held


def _overlap(text: str, stop: Sequence[str], longest: int) -> int:
    """Returns how many of the last characters may be the begin of a stop string."""
    for size in range(min(longest, len(text)), 0, -1):
        if any(s.startswith(text[-size:]) for s in stop):
            return size
    return 0


def prompt_tokens(tokenizer: Tokenizer, prompt: str, source: str = "the prompt") -> list[int]:
    """Returns a prompt as tokens, behind the boundary that every document begins with.

    Args:
        tokenizer: of the model.
        prompt: text.
        source: what an error calls it.

    Raises:
        DataError: for what is no text, or a character that the tokenizer does not know.
    """
    if not isinstance(prompt, str):
        raise DataError(f"expected text to go on from, got {prompt!r}; give a string")
    prompt = prompt.replace("\r\n", "\n").replace("\r", "\n")  # as in files
    return [tokenizer.end, *np.asarray(tokenizer.encode(prompt, source=source)).tolist()]
