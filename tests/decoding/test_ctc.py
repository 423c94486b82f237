"""CTC against all paths there are, against plain loops, and against PyTorch's loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.decoding.ctc_references import all_paths, all_sequences, random_frames, said_by
from torch import Tensor

from carousel.decoding.ctc import (
    Span,
    best_path,
    force_align,
    least_frames,
    log_likelihood,
    sentences,
)
from carousel.errors import DataError, OptionError, ShapeError

# The log-probabilities of a frame are above -20, and there are 5 at most: no number is beyond 100.
# A frame has five roundings of 2^-53 each, and there are two sums to compare.
CLOSE = 2 * 5 * 5 * 100 * 2.0**-53


@st.composite
def small_sentences(draw: st.DrawFn) -> tuple[Tensor, int]:
    """Log-probabilities of so few frames that all paths can be written down, and the blank."""
    T, V = draw(st.integers(0, 5)), draw(st.integers(1, 3))
    gaps = draw(st.sampled_from([0.0, 0.3, 0.8]))
    frames = random_frames(draw(st.integers(0, 2**32)), T, V, gaps=gaps)
    return frames, draw(st.integers(0, V - 1))


def path_of(tokens: Sequence[int], spans: list[Span], T: int, blank: int) -> list[int]:
    path, at = [blank] * T, 0
    for token, (begin, end) in zip(tokens, spans, strict=True):
        assert at <= begin < end <= T
        path[begin:end] = [token] * (end - begin)
        at = end
    return path


@given(small_sentences())
def test_the_likelihood_is_the_sum_over_all_paths(drawn: tuple[Tensor, int]) -> None:
    log_probs, blank = drawn
    for tokens, expected in all_sequences(log_probs, blank).items():
        assert log_likelihood(log_probs, tokens, blank) == pytest.approx(expected, rel=0, abs=CLOSE)


@given(small_sentences(), st.lists(st.integers(0, 2), max_size=5))
def test_what_no_path_says_is_impossible(drawn: tuple[Tensor, int], tokens: list[int]) -> None:
    log_probs, blank = drawn
    tokens = [token for token in tokens if token != blank and token < log_probs.shape[1]]
    possible = tuple(tokens) in all_sequences(log_probs, blank)
    assert (log_likelihood(log_probs, tokens, blank) > -math.inf) is possible
    if not possible:
        with pytest.raises(DataError, match=f"that can say the {len(tokens)} tokens, .* no path"):
            force_align(log_probs, tokens, blank)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), T=st.integers(1, 60), V=st.integers(2, 12))
def test_the_likelihood_is_that_of_the_loss(seed: int, T: int, V: int) -> None:
    log_probs, blank = random_frames(seed, T, V), seed % V
    chance = torch.Generator().manual_seed(seed)
    draws = torch.randint(V - 1, (1, max(T // 3, 1)), generator=chance)
    tokens = draws + (draws >= blank)
    loss = F.ctc_loss(
        log_probs[:, None], tokens, [T], [tokens.shape[1]], blank=blank, reduction="none"
    )
    found = log_likelihood(log_probs, tokens[0].tolist(), blank)
    # As above, of 60 frames and numbers below 1200.
    assert found == pytest.approx(-float(loss), rel=0, abs=2 * 60 * 5 * 1200 * 2.0**-53)


@given(small_sentences())
def test_no_path_is_more_likely_than_the_aligned_one(drawn: tuple[Tensor, int]) -> None:
    log_probs, blank = drawn
    for tokens, paths in all_paths(log_probs, blank).items():
        path = path_of(tokens, force_align(log_probs, tokens, blank), len(log_probs), blank)
        assert said_by(path, blank) == tokens
        found = math.exp(math.fsum(log_probs[t, token].item() for t, token in enumerate(path)))
        assert found == pytest.approx(max(p for p, _ in paths), rel=CLOSE, abs=0)


def test_of_equally_likely_paths_the_earliest_is_taken() -> None:
    log_probs = torch.full((6, 3), -1.0)
    assert force_align(log_probs, [1, 2]) == [(0, 1), (1, 2)]
    assert force_align(log_probs, [1, 1]) == [(0, 1), (2, 3)]
    assert force_align(log_probs, [2]) == [(0, 1)]


def test_a_token_is_where_it_is_likely() -> None:
    p = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.6, 0.1, 0.3]])
    assert force_align(p.log(), [1]) == [(1, 3)]
    assert force_align(p.log(), [1, 2]) == [(1, 3), (3, 4)]
    assert force_align(p.log(), [1, 1]) == [(1, 2), (3, 4)]


@given(st.lists(st.integers(1, 3), max_size=6))
def test_the_least_frames_are_as_many_as_are_possible(tokens: list[int]) -> None:
    least = least_frames(tokens)
    assert log_likelihood(random_frames(0, least, 4), tokens) > -math.inf
    if least:
        assert log_likelihood(random_frames(0, least - 1, 4), tokens) == -math.inf


def plain_best_path(frames: list[list[float]], blank: int) -> dict[str, Any]:
    tokens: list[int] = []
    spans: list[list[int]] = []
    confidences: list[float] = []
    total, before = 0.0, blank
    for t, frame in enumerate(frames):
        best = min(range(len(frame)), key=lambda token: (-frame[token], token))
        total += frame[best]
        if best != blank:
            if best != before:
                tokens.append(best)
                spans.append([t, t])
                confidences.append(0.0)
            spans[-1][1] = t + 1
            confidences[-1] = max(confidences[-1], math.exp(frame[best]))
        before = best
    return {
        "tokens": tokens,
        "spans": [tuple(span) for span in spans],
        "confidences": confidences,
        "log_probability": total,
        "scorer_score": 0.0,
        "score": total,
    }


@given(
    seed=st.integers(0, 2**32),
    lengths=st.lists(st.integers(0, 9), max_size=4),
    V=st.integers(1, 4),
    blank=st.integers(0, 3),
    scale=st.sampled_from([1, 4]),
)
def test_the_best_path_is_that_of_plain_loops(
    seed: int, lengths: list[int], V: int, blank: int, scale: int
) -> None:
    blank %= V
    # Steps of 1/4, so that ties are frequent; sums of them are exact.
    scores = scale * random_frames(seed, 9 * len(lengths), V, gaps=0.3)
    log_probs = (scores.round().clamp(min=-40) / 4).view(9, len(lengths), V)
    log_probs[log_probs == -10] = -math.inf
    for sentence, length in enumerate(lengths):
        log_probs[length:, sentence] = math.nan  # padding
    found = best_path(log_probs, torch.tensor(lengths, dtype=torch.long), blank)
    assert len(found) == len(lengths)
    for sentence, (one, length) in enumerate(zip(found, lengths, strict=True)):
        assert vars(one) == plain_best_path(log_probs[:length, sentence].tolist(), blank)


def test_runs_are_merged_and_blanks_removed() -> None:
    path = [0, 1, 1, 0, 0, 1, 2, 2, 2, 0]
    p = torch.full((10, 1, 3), 0.1)
    p[range(10), 0, path] = torch.tensor([0.5, 0.5, 0.75, 0.5, 0.5, 0.5, 0.5, 0.75, 0.5, 0.5])
    [found] = best_path(p.log(), torch.tensor([10]))
    assert (found.tokens, found.spans) == ([1, 1, 2], [(1, 3), (5, 6), (6, 9)])
    # Single precision numbers, and their logarithms: 2^-24 each.
    assert found.confidences == pytest.approx([0.75, 0.5, 0.75], rel=1e-6)
    assert found.log_probability == pytest.approx(8 * math.log(0.5) + 2 * math.log(0.75), rel=1e-6)
    [found] = best_path(p.log(), torch.tensor([10]), blank=1)
    assert found.tokens == [0, 0, 2, 0]


def test_silence_says_nothing() -> None:
    log_probs = torch.tensor([[-0.1, -3.0, -3.0]]).expand(50, 3)
    empty = {"tokens": [], "spans": [], "confidences": []}
    [long, none] = best_path(log_probs[:, None].expand(50, 2, 3), torch.tensor([50, 0]))
    assert {name: vars(long)[name] for name in empty} == empty
    assert {name: vars(none)[name] for name in empty} == empty
    assert none.log_probability == none.score == 0.0
    assert best_path(torch.zeros(0, 1, 3), torch.tensor([0])) == [none]
    assert best_path(torch.zeros(7, 0, 3), torch.zeros(0, dtype=torch.long)) == []
    assert force_align(log_probs, []) == force_align(log_probs[:0], []) == []
    assert log_likelihood(log_probs[:0], []) == 0.0


def test_a_vocabulary_of_the_blank_alone() -> None:
    log_probs = torch.zeros(3, 1)
    [found] = best_path(log_probs[:, None], torch.tensor([3]))
    assert (found.tokens, found.log_probability) == ([], 0.0)
    assert log_likelihood(log_probs, []) == 0.0
    with pytest.raises(DataError, match="from 0 to 0 other than the blank, 0, got 0; leave"):
        force_align(log_probs, [0])


def test_a_probability_rounded_above_1_is_1() -> None:
    log_probs = torch.tensor([[[-8.0, 5e-4]]])
    [found] = best_path(log_probs, torch.tensor([1]))
    assert found.confidences == [1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_any_precision_is_summed_in_double(dtype: torch.dtype) -> None:
    log_probs = random_frames(1, 9, 4).to(dtype).requires_grad_()
    exact = log_probs.detach().double()
    assert log_likelihood(log_probs, [1, 3]) == log_likelihood(exact, [1, 3])
    assert force_align(log_probs, [1, 3]) == force_align(exact, [1, 3])
    lengths = torch.tensor([9], dtype=torch.int32)
    assert best_path(log_probs[:, None], lengths) == best_path(exact[:, None], lengths)


Asked = Callable[[Tensor], Any]
ASKED: list[Asked] = [
    lambda frames: best_path(frames[:, None], torch.tensor([len(frames)])),
    lambda frames: log_likelihood(frames, [1]),
    lambda frames: force_align(frames, [1]),
]


@pytest.mark.parametrize("ask", ASKED)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([math.nan, -1.0, -2.0], "got nan in frame 2"),
        ([-2.0, -1.0, math.nan], "got nan in frame 2"),
        ([-2.0, math.inf, -3.0], "got inf in frame 2"),
        ([-2.0, 3.5, -3.0], "at most 0 or -inf, got 3.5 in frame 2.*; give the log_softmax"),
        ([-math.inf] * 3, "got only -inf, which forbids every token, in frame 2"),
    ],
)
def test_unsound_scores_are_refused(ask: Asked, bad: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ask(torch.tensor([[-1.0, -1.5, -2.0], [-1.0, -1.5, -2.0], bad, [-1.0, -1.5, -2.0]]))


def test_the_sentence_of_an_unsound_score_is_named() -> None:
    log_probs = torch.full((4, 3, 2), -1.0)
    log_probs[1, 2, 1] = math.nan
    with pytest.raises(DataError, match="got nan in frame 1 of sentence 2"):
        best_path(log_probs, torch.tensor([4, 4, 4]))
    assert len(best_path(log_probs, torch.tensor([4, 4, 1]))) == 3


@pytest.mark.parametrize("length", [-1, 5])
def test_lengths_out_of_range_are_refused(length: int) -> None:
    with pytest.raises(DataError, match=f"from 0 to 4, the .*, got {length} for sentence 1; give"):
        best_path(torch.full((4, 2, 3), -1.0), torch.tensor([4, length]))


def test_tokens_out_of_range_are_refused() -> None:
    log_probs = torch.full((4, 3), -1.0)
    for tokens in ([3], [1, -1], [2, 0]):
        for ask in (force_align, log_likelihood):
            with pytest.raises(DataError, match=f"blank, 0, got {tokens[-1]}; leave blanks out"):
                ask(log_probs, tokens)


@pytest.mark.parametrize("blank", [-1, 3])
def test_a_blank_that_is_no_token_is_refused(blank: int) -> None:
    log_probs = torch.full((4, 3), -1.0)
    message = f"a blank among the 3 tokens that are scored, got {blank}; see"
    with pytest.raises(OptionError, match=message):
        best_path(log_probs[:, None], torch.tensor([4]), blank)
    for ask in (force_align, log_likelihood):
        with pytest.raises(OptionError, match=message):
            ask(log_probs, [1], blank)


def test_other_shapes_are_refused() -> None:
    # Past the annotations, which would refuse them too, but only in tests.
    good = torch.full((4, 2, 3), -1.0)
    for log_probs, lengths in ((good[0], torch.tensor([1, 2])), (good, torch.tensor([1]))):
        with pytest.raises(
            ShapeError, match=r"of shape \(T, B, V\) and lengths of shape \(B,\), g"
        ):
            [*sentences(log_probs, lengths, 0)]
