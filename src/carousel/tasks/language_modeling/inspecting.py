"""What a language model does while it reads a text, token by token.

Letters: T tokens, B copies of the text, E embedding size.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from carousel.data.pictures import shortened
from carousel.errors import DataError, OptionError
from carousel.inspection.contents import Axis
from carousel.inspection.inspection import Inspection
from carousel.nn import State
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
from carousel.tasks.language_modeling.fitted import Fitted
from carousel.tasks.language_modeling.generation import prompt_tokens
from carousel.tasks.language_modeling.network import LanguageNetwork
from carousel.tasks.text_tracks import text_tracks, token_names, token_texts

MOST_TOKENS = 5_000  # more are no picture, and hundreds of megabytes
_AXIS = "text"
_UNITS = {"characters": "character", "bytes": "byte", "words": "word", "subwords": "subword"}


@options
class TextInspectionOptions:
    """What of a text is looked at.

    Raises:
        OptionError: for a token to explain where nothing is explained.
    """

    explain: str = explain_option("which tokens made another one likely or unlikely")
    step: int | None = option(
        default=None, help="which token that is, counted from 0; default: the last", low=1
    )
    max_tokens: int | None = option(
        default=None,
        help="how many tokens of a text are read, from its beginning",
        unit="tokens",
        low=1,
        high=MOST_TOKENS,
    )

    member: int = option(
        default=0, help="which of the networks that predict together, counted from 0", low=0
    )

    def __post_init__(self) -> None:
        check_explained(self.explain, step=self.step)


def inspected_text(fitted: Fitted, text: str, chosen: TextInspectionOptions) -> Inspection:
    """Reads a text as a document of its own; see ``LanguageModel.inspect``."""
    if not isinstance(text, str) or not text:
        raise DataError(f"expected a text to inspect, got {text!r}; give one that is not empty")
    tokenizer = fitted.tokenizer
    network = chosen_member(list(fitted.network.members), chosen.member)
    which = member_words(fitted.plan.members, chosen.member)
    begin, *tokens = prompt_tokens(tokenizer, text, source="the text")
    if not tokens:
        raise DataError(f"expected a text to inspect, got {text!r}, which has no {tokenizer.kind}")
    if chosen.max_tokens is None and len(tokens) > MOST_TOKENS:
        raise DataError(
            f"expected a text of at most {MOST_TOKENS:,} tokens, got {len(tokens):,}; give a part "
            f"of it, or max_tokens ({MOST_TOKENS:,} or less) to read its beginning alone"
        )
    tokens = tokens[: chosen.max_tokens]
    names = token_names(tokenizer, tokens)
    axis = Axis(
        name=_AXIS,
        kind="characters" if tokenizer.kind == "characters" else "words",
        names=names,
        tracks=text_tracks(token_texts(tokenizer, tokens)),
        unit=_UNITS[tokenizer.kind],
    )
    device = network.embedding.weight.device
    with torch.no_grad():  # the boundary that every document begins with, which is no part of it
        state = network(torch.tensor([[begin]], device=device)).state
    read = torch.tensor(tokens, device=device)[:, None]
    questions = []
    if chosen.explain != "nothing":
        step = _step(chosen.step, len(tokens))
        questions = [_question(network, state, read, step, axis)]
    seen = watched(network, partial(network, read, state), lambda path: _AXIS)
    return Inspection(
        title=f"language model{which}, “{shortened(text, 40)}”",
        axes={_AXIS: axis},
        layers=seen.layers,
        attributions=attributions(chosen.explain, questions),
    )


def _step(step: int | None, size: int) -> int:
    """Returns the number of the token to explain, of so many."""
    if size == 1:
        raise DataError(
            "expected a text of two tokens or more to explain one by those before it, got a single "
            "one; give a longer text"
        )
    if step is not None and step >= size:
        raise OptionError(f"step expects a token from 1 to {size - 1}, got {step}")
    return size - 1 if step is None else step


def _question(
    network: LanguageNetwork, state: list[State], read: Tensor, step: int, axis: Axis
) -> Question:
    """Returns the question why the token at a step was likely, or was not."""
    before, token = read[:step], read[step]
    with torch.no_grad():
        embedded = network.embedding(before)[:, 0]

    def log_probability(x: Float[Tensor, "B T E"]) -> Float[Tensor, " B"]:
        B = len(x)
        own = [State(*(part.expand(-1, B, -1).contiguous() for part in one)) for one in state]
        with standing_in(network.embedding, x.transpose(0, 1)):
            found = network(before.expand(-1, B), own)
        return -network.head.losses(found.dropped[-1], token.expand(B))

    return Question(
        name=f"log-probability of {axis.names[step]!r} at step {step}",
        axis=axis,
        number=log_probability,
        inputs=embedded,
    )
