"""CTC: the most likely path of a sentence, where given tokens lie in it, and how likely they are.

A path has one token or the blank in each frame; merging runs of equal tokens and then removing the
blanks gives what it says, so that a repeated token needs a blank between. ``ctc_beam`` finds the
sequence that most paths say. Knows only log-probabilities: no model, and no text.

Letters: T frames, B sentences, V tokens, of which one is the blank, U tokens of a sequence without
blanks, S = 2U + 1 states: the tokens, and a blank before, between and after them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from carousel.errors import DataError, OptionError, ShapeError

# Averaged probabilities may be rounded to just above 1.
_ROUNDED_ABOVE_1 = 1e-3


class Span(NamedTuple):
    """The frames of a token.

    Args:
        begin: the first, counted from 0.
        end: the one after the last.
    """

    begin: int
    end: int


@dataclass(frozen=True)
class CtcResult:
    """One sequence that was found in a sentence.

    Args:
        tokens: without blanks; none for silence.
        spans: of each token its frames: in the path, or in the most likely path of these tokens.
        confidences: of each token its highest probability in its frames. The highest, because one
            frame is all that CTC asks for, and most models are sure of a token in one only.
        log_probability: of the path, or the sum over all paths of these tokens that were followed.
        scorer_score: what the scorer gave the tokens, unweighted; 0 without a scorer.
        score: what it is ranked by.
    """

    tokens: list[int]
    spans: list[Span]
    confidences: list[float]
    log_probability: float
    scorer_score: float
    score: float


def best_path(
    log_probs: Float[Tensor, "T B V"], lengths: Int[Tensor, " B"], blank: int = 0
) -> list[CtcResult]:
    """Finds the most likely path of each sentence, and says what it says.

        π_t = argmax_v log p_t(v)
        score = log P(π) = Σ_t log p_t(π_t)

    Of equally likely tokens the lowest is taken.

    Args:
        log_probs: of each token in each frame; -inf forbids it. Padding may hold anything.
        lengths: in frames, 0 or more.
        blank: the token that is the blank.

    Returns:
        One result a sentence.

    Raises:
        DataError: for a NaN, a log-probability above 0, a frame that forbids all tokens, or a
            length out of range.
        OptionError: for a blank that is no token.
        ShapeError: where the shapes are not (T, B, V) and (B,).

    Reference:
        Graves et al. 2006, section 3.2, doi:10.1145/1143844.1143891.
    """
    return [_best_path(frames, blank) for frames in sentences(log_probs, lengths, blank)]


def log_likelihood(log_probs: Float[Tensor, "T V"], tokens: Sequence[int], blank: int = 0) -> float:
    """Returns how likely a sentence says these tokens: the sum over all paths that do.

        log P(tokens) = log Σ_π Π_t p_t(π_t),  π among the paths that say the tokens

    Args:
        log_probs: of one sentence, without padding; -inf forbids a token in a frame.
        tokens: without blanks.
        blank: the token that is the blank.

    Returns:
        The logarithm, in nats; -inf where no path says the tokens.

    Raises:
        DataError: for unsound log-probabilities (see ``best_path``), or a token out of range.
        OptionError: for a blank that is no token.
        ShapeError: where the shape is not (T, V).

    Reference:
        Graves et al. 2006, section 4.1, doi:10.1145/1143844.1143891.
    """
    emissions, leap = _lattice(checked_frames(log_probs, blank), tokens, blank)
    reached = _start(len(leap))
    for row in emissions:
        ways = np.logaddexp(reached[2:], reached[1:-1])
        reached[2:] = np.logaddexp(ways, reached[:-2] + leap) + row
        reached[:2] = -math.inf
    return float(np.logaddexp(reached[-1], reached[-2]))


def force_align(
    log_probs: Float[Tensor, "T V"], tokens: Sequence[int], blank: int = 0
) -> list[Span]:
    """Finds where tokens lie in a sentence that is known to say them: in the most likely path.

        π = argmax_π Σ_t log p_t(π_t),  π among the paths that say the tokens

    Of equally likely paths it takes the one whose tokens end first, the last of them decided first.

    Args:
        log_probs: of one sentence, without padding; -inf forbids a token in a frame.
        tokens: without blanks.
        blank: the token that is the blank.

    Returns:
        The frames of each token, (U,).

    Raises:
        DataError: where no path says the tokens, for unsound log-probabilities (see
            ``best_path``), or a token out of range.
        OptionError: for a blank that is no token.
        ShapeError: where the shape is not (T, V).

    Reference:
        Rabiner 1989, section III.B, doi:10.1109/5.18626, on the states of Graves et al. 2006,
        section 4.1, doi:10.1145/1143844.1143891.
    """
    return aligned(checked_frames(log_probs, blank), tokens, blank)


def least_frames(tokens: Sequence[int]) -> int:
    """Returns how many frames the shortest path has that says the tokens, blanks left out.

    U + (how often a token equals the one before it)
    """
    return len(tokens) + sum(before == token for before, token in itertools.pairwise(tokens))


def sentences(log_probs: Tensor, lengths: Tensor, blank: int) -> Iterator[np.ndarray]:
    """Yields of each sentence what ``checked_frames`` returns, its padding left out.

    Raises:
        DataError, OptionError, ShapeError: see ``best_path``.
    """
    if log_probs.dim() != 3 or lengths.shape != log_probs.shape[1:2]:
        raise ShapeError(
            f"expected log_probs of shape (T, B, V) and lengths of shape (B,), got "
            f"{tuple(log_probs.shape)} and {tuple(lengths.shape)}; put time first"
        )
    here = log_probs.detach().cpu()
    for sentence, length in enumerate(lengths.tolist()):
        if not 0 <= length <= len(here):
            raise DataError(
                f"expected lengths from 0 to {len(here)}, the frames there are, got {length} for "
                f"sentence {sentence}; give the lengths of what the network returned"
            )
        yield checked_frames(here[:length, sentence], blank, place=f" of sentence {sentence}")


def checked_frames(
    log_probs: Tensor, blank: int, *, first: int = 0, place: str = ""
) -> Float[np.ndarray, "T V"]:
    """Returns the log-probabilities of a sentence in double precision, or says what is wrong.

    Args:
        log_probs: (T, V), on whichever device. The result may share its memory.
        blank: the token that is the blank.
        first: the number of the first frame.
        place: whose frames, in words.

    Raises:
        DataError, OptionError, ShapeError: see ``best_path``.
    """
    if log_probs.dim() != 2:
        raise ShapeError(
            f"expected log_probs of shape (T, V), got {tuple(log_probs.shape)}; give one sentence"
        )
    if not 0 <= blank < log_probs.shape[1]:
        raise OptionError(
            f"expected a blank among the {log_probs.shape[1]} tokens that are scored, got {blank}; "
            f"see whose vocabulary it is"
        )
    frames: np.ndarray = log_probs.detach().cpu().double().numpy()
    highest = frames.max(1)
    # Written so that a NaN, which is the maximum of its frame, is unsound.
    sound = (highest > -math.inf) & (highest <= _ROUNDED_ABOVE_1)
    if not sound.all():
        frame = int(sound.argmin())
        value = highest[frame]
        what = "only -inf, which forbids every token," if value == -math.inf else f"{value:.4g}"
        raise DataError(
            f"expected log-probabilities, at most 0 or -inf, got {what} in frame {first + frame}"
            f"{place}; give the log_softmax of scores, and check the model's weights"
        )
    return np.ascontiguousarray(frames)


def aligned(frames: Float[np.ndarray, "T V"], tokens: Sequence[int], blank: int) -> list[Span]:
    """Does what ``force_align`` does, with frames that are checked."""
    emissions, leap = _lattice(frames, tokens, blank)
    T, S = emissions.shape
    reached, ways = _start(S), np.empty((3, S))
    moves = np.empty((T, S), dtype=np.int8)
    for t, row in enumerate(emissions):
        ways[0], ways[1], ways[2] = reached[2:], reached[1:-1], reached[:-2] + leap
        moves[t] = ways.argmax(0)
        reached[2:] = ways.max(0) + row
        reached[:2] = -math.inf
    state = S - 1 if reached[-1] >= reached[-2] else S - 2
    if max(reached[-1], reached[-2]) == -math.inf:
        raise DataError(
            f"expected frames that can say the {len(tokens)} tokens, at least "
            f"{least_frames(tokens)} with a blank between equal tokens, got {T} frames of which no "
            f"path says them; give the tokens of this sentence"
        )
    states = np.empty(T, dtype=np.int64)
    for t in range(T - 1, -1, -1):
        states[t] = state
        state -= int(moves[t, state])
    # No path goes back, so that the frames of a state lie side by side.
    own = np.arange(1, S, 2)
    begins, ends = np.searchsorted(states, own), np.searchsorted(states, own, side="right")
    return [Span(*span) for span in zip(begins.tolist(), ends.tolist(), strict=True)]


def confidences(
    frames: Float[np.ndarray, "T V"], tokens: Sequence[int], spans: Sequence[Span]
) -> list[float]:
    """Returns the highest probability of each token in its frames."""
    peaks = (frames[b:e, token].max() for token, (b, e) in zip(tokens, spans, strict=True))
    return [min(math.exp(peak), 1.0) for peak in peaks]


def _best_path(frames: Float[np.ndarray, "T V"], blank: int) -> CtcResult:
    path = frames.argmax(1)
    begins = np.flatnonzero(np.diff(path, prepend=-1))
    runs = zip(begins.tolist(), [*begins[1:].tolist(), len(path)], strict=False)
    spans = [Span(*run) for run in runs if path[run[0]] != blank]
    tokens = [int(path[span.begin]) for span in spans]
    total = float(frames.max(1).sum())
    return CtcResult(tokens, spans, confidences(frames, tokens, spans), total, 0.0, total)


def _lattice(
    frames: Float[np.ndarray, "T V"], tokens: Sequence[int], blank: int
) -> tuple[Float[np.ndarray, "T S"], Float[np.ndarray, " S"]]:
    """Returns the log-probability of each state in each frame, and where a blank may be left out.

    The latter is 0 where a path may come from two states before, and else -inf: to the first token
    (from the start, see ``_start``), and to a token that differs from the one before.
    """
    V = frames.shape[1]
    for token in tokens:
        if not 0 <= token < V or token == blank:
            raise DataError(
                f"expected tokens from 0 to {V - 1} other than the blank, {blank}, got {token}; "
                f"leave blanks out, and see whose vocabulary it is"
            )
    states = np.full(2 * len(tokens) + 1, blank)
    states[1::2] = tokens
    leap = np.full(len(states), -math.inf)
    leap[1::2] = 0.0
    leap[3::2][states[3::2] == states[1:-2:2]] = -math.inf
    return frames[:, states], leap


def _start(S: int) -> Float[np.ndarray, " S_and_2"]:
    """Returns log P of each state before the first frame, after two that stand before the states.

    Every path starts in the second of these, from where the first blank is one state away and the
    first token two. They are -inf from the first frame on.
    """
    reached = np.full(S + 2, -math.inf)
    reached[1] = 0.0
    return reached
