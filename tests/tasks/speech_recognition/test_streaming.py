"""Streams: the same words however the sound is cut, of which what is final stays."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.speech_recognition.small_recordings import sound_of
from tests.tasks.speech_recognition.test_recognition import RATE, script, untaught
from torch import Tensor

from carousel.errors import DataError, ModelError, OptionError
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.network import StreamState
from carousel.tasks.speech_recognition.recognition import ListeningOptions, Search, Transcript
from carousel.tasks.speech_recognition.streaming import (
    BLOCK,
    Partial,
    RecognitionStream,
    check_streams,
    latency_seconds,
)
from carousel.tasks.speech_recognition.transcribing import frames_of_samples, transcribed

SAID = "ab bad cab dab ad"
# A confidence is worked out in other blocks: sums of under 100 terms, each rounded by 2^-24, which
# are multiplied by under 100 at the end.
CLOSE = 100 * 100 * 2.0**-24


@functools.cache
def talker(*, lexicon: bool = True, subsampling: int = 2) -> Fitted:
    """Returns a recogniser that always has something to say; tests must leave it as it is."""
    ngram = 2 if lexicon else 0
    return untaught(streaming=True, lexicon=lexicon, ngram=ngram, subsampling=subsampling)


def opened(fitted: Fitted, rate: int = RATE, *, best: int = 1) -> RecognitionStream:
    return RecognitionStream(fitted, rate, Search(fitted, ListeningOptions(best=best)))


def streamed(
    fitted: Fitted, samples: np.ndarray, cuts: Sequence[int], rate: int = RATE
) -> tuple[list[Partial], Transcript]:
    """Returns all that a stream says, cut at some places."""
    stream = opened(fitted, rate)
    return [stream.feed(part) for part in np.split(samples, cuts)], stream.finish()


@functools.cache
def at_once(lexicon: bool, rate: int) -> Transcript:
    _, found = streamed(talker(lexicon=lexicon), sound_of(SAID, rate), [], rate)
    return found


def assert_final(partials: Sequence[Partial], end: Transcript) -> None:
    """What was final is whole words, which all that comes later begins with."""
    words = [one.final.split() for one in partials]
    for before, after in itertools.pairwise([*words, end.text.split()]):
        assert after[: len(before)] == before
    for one in partials:
        assert one.final == " ".join(one.final.split())
        assert one.tentative == " ".join(one.tentative.split())
        assert str(one).split() == [*one.final.split(), *one.tentative.split()]


# Without a lexicon from another rate.
BOTH = pytest.mark.parametrize(("lexicon", "rate"), [(True, RATE), (False, 2 * RATE)])


@BOTH
@settings(max_examples=5)
@given(places=st.lists(st.floats(0, 1), max_size=6))
def test_no_cut_changes_a_bit(lexicon: bool, rate: int, places: list[float]) -> None:
    samples = sound_of(SAID, rate)
    cuts = sorted(int(place * len(samples)) for place in places)
    partials, found = streamed(talker(lexicon=lexicon), samples, cuts, rate)
    assert found == at_once(lexicon, rate)
    assert_final(partials, found)


@BOTH
def test_small_chunks_say_more_and_more(lexicon: bool, rate: int) -> None:
    """Of twice as much; a lexicon's words are long in doubt."""
    fitted, samples = talker(lexicon=lexicon), sound_of(f"{SAID} {SAID}", rate)
    size = round(0.0121 * rate)
    partials, found = streamed(fitted, samples, range(size, len(samples), size), rate)
    assert found == streamed(fitted, samples, [], rate)[1]
    assert_final(partials, found)
    assert len(found.words) >= 2
    assert len({one.final for one in partials}) >= 2  # something was, before the end
    assert len({str(one) for one in partials}) >= 5


@BOTH
def test_a_stream_says_the_words_of_the_whole(lexicon: bool, rate: int) -> None:
    fitted, found = talker(lexicon=lexicon), at_once(lexicon, rate)
    whole = frames_of_samples(fitted, sound_of(SAID, rate), rate)
    [wanted] = transcribed(fitted, [whole], Search(fitted, ListeningOptions()))
    assert found.text == wanted.text
    assert found.seconds == wanted.seconds == pytest.approx(len(whole) * 0.01)
    assert [(word.begin, word.end) for word in found.words] == [
        (word.begin, word.end) for word in wanted.words
    ]
    sure = [word.confidence for word in wanted.words]
    assert [word.confidence for word in found.words] == pytest.approx(sure, abs=CLOSE)


@pytest.mark.parametrize("size", [7, 160, 5_000])
def test_the_network_reads_the_same_blocks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, blocks = untaught(streaming=True), []
    read = fitted.network.read

    def watched(
        frames: Tensor, state: StreamState, *, last: bool = False
    ) -> tuple[Tensor, StreamState]:
        blocks.append((len(frames), last))
        return read(frames, state, last=last)

    monkeypatch.setattr(fitted.network, "read", watched)
    samples = sound_of("a", RATE)[:2_000]  # 25 frames
    streamed(fitted, samples, range(size, len(samples), size))
    assert blocks == [(BLOCK, False), (25 - BLOCK, True)]


def scripted(
    monkeypatch: pytest.MonkeyPatch, said: str, *, lexicon: bool = True
) -> RecognitionStream:
    """Returns a stream whose network hears what a script says, at two frames a character."""
    fitted = untaught(streaming=True, lexicon=lexicon, ngram=2 if lexicon else 0)
    rows, begun = script(said, fitted.symbols), [0]

    def read(
        frames: Tensor, state: StreamState, *, last: bool = False
    ) -> tuple[Tensor, StreamState]:
        end = len(rows) if last else begun[-1] + len(frames) // 2
        begun.append(end)
        return rows[begun[-2] : end, None], state

    monkeypatch.setattr(fitted.network, "read", read)
    stream = opened(fitted)
    stream.feed(np.zeros(100, np.float32))  # what the last frame of a block needs behind it
    return stream


def next_block(stream: RecognitionStream) -> Partial:
    """Feeds as many samples as the next block of frames, which are eight characters."""
    return stream.feed(np.zeros(BLOCK * RATE // 100, np.float32))


def test_a_word_is_final_when_another_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = scripted(monkeypatch, "--aab------ b----a--d------   --ad--------")
    assert stream.partial() == Partial("", "")
    told = [next_block(stream) for _ in range(5)]
    assert told == [
        Partial("", "ab"),
        Partial("ab", "b"),
        Partial("ab", "bad"),
        Partial("ab bad", ""),
        Partial("ab bad", "ad"),
    ]
    assert [str(one) for one in told] == ["ab", "ab b", "ab bad", "ab bad", "ab bad ad"]
    found = stream.finish()
    assert found.text == "ab bad ad"
    times = [(0.04, 0.10), (0.24, 0.42), (0.64, 0.68)]  # seconds; a step has 0.02
    for word, (begin, end) in zip(found.words, times, strict=True):
        assert (word.begin, word.end) == (pytest.approx(begin), pytest.approx(end))
        assert word.confidence == pytest.approx(1.0)


def test_blanks_in_a_row_part_two_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing limits what is spelled, a blank may come first, twice and last."""
    said = " - -a--- - -b--- -c- - - -----"
    stream = scripted(monkeypatch, said.ljust(32, "-"), lexicon=False)
    told = [next_block(stream) for _ in range(4)]
    assert told == [
        Partial("", "a"),
        Partial("a", "b"),
        Partial("a b c", ""),
        Partial("a b c", ""),
    ]
    assert stream.finish().text == "a b c"


def test_silence_is_counted_from_the_last_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = scripted(monkeypatch, "-----------a-------------------d")
    assert stream.silence_seconds == 0.0
    seconds = []
    for _ in range(4):
        next_block(stream)
        seconds.append(stream.silence_seconds)
    assert seconds == pytest.approx([8 * 0.02, 4 * 0.02, 12 * 0.02, 0.0])


def test_a_step_that_is_unsure_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = untaught(streaming=True)
    V = len(fitted.symbols)
    rows = [torch.tensor([p, *[(1 - p) / (V - 1)] * (V - 1)]).log() for p in (0.96, 0.94)]
    sure, unsure = (row.expand(BLOCK // 2, 1, V) for row in rows)
    blocks = iter([sure, unsure, sure, sure[:0]])
    monkeypatch.setattr(
        fitted.network, "read", lambda frames, state, last=False: (next(blocks), state)
    )
    stream = opened(fitted)
    stream.feed(np.zeros(100, np.float32))
    found = []
    for _ in range(3):
        next_block(stream)
        found.append(stream.silence_seconds)
    assert found == pytest.approx([0.16, 0.0, 0.16])


@pytest.mark.parametrize("samples", [0, 1, 39])
def test_nothing_is_silence(samples: int) -> None:
    """Below half a frame there is none."""
    stream = opened(talker())
    assert stream.feed(np.zeros(samples, np.float32)) == Partial("", "")
    assert stream.finish() == Transcript("", (), 0.0, 0.0)


def test_whole_numbers_and_channels_are_taken() -> None:
    whole = (sound_of("ab ad", RATE) * 32767).astype(np.int16)
    floats = whole.astype(np.float32) / 32768
    _, wanted = streamed(talker(), floats, [3_000])
    assert wanted.words
    for samples in (whole, np.stack([whole, whole], 1), floats.astype(np.float64)):
        _, found = streamed(talker(), samples, [3_000])
        assert found == wanted


def test_the_next_best_are_given_at_the_end() -> None:
    samples = sound_of("ab ad", RATE)
    stream = opened(talker(), best=3)
    stream.feed(samples)
    found = stream.finish()
    assert 1 <= len(found.others) <= 2
    _, alone = streamed(talker(), samples, [])
    assert (found.text, found.score) == (alone.text, alone.score)
    assert found.score >= max(other.score for other in found.others)


@pytest.mark.parametrize("subsampling", [1, 2, 3])
def test_no_step_is_later_than_the_latency(subsampling: int) -> None:
    """And one is as late as that, from the middle of its frame to the samples that it needs."""
    fitted, size = talker(subsampling=subsampling), 20  # samples, of which frames are multiples
    stream, samples = opened(fitted), sound_of("ab ad", RATE)
    late: list[float] = []
    for end in range(size, len(samples) + 1, size):
        stream.feed(samples[end - size : end])
        steps = range(len(late), stream._beam._count)
        late += [end / RATE - 0.01 * (step * subsampling + 0.5) for step in steps]
    assert max(late) == pytest.approx(latency_seconds(fitted), abs=1e-9)


def test_a_recogniser_that_reads_both_ways_does_not_stream() -> None:
    with pytest.raises(ModelError, match=r"reads both ways .*streaming=True \(--streaming\)"):
        opened(untaught())
    check_streams(talker())


def test_a_recogniser_of_ready_features_does_not_stream() -> None:
    fitted = untaught(streaming=True, is_ready=True)
    with pytest.raises(ModelError, match="fitted to ready features, which are no sound"):
        opened(fitted)


@pytest.mark.parametrize("rate", [0, 7_999, 192_001])
def test_a_rate_out_of_range_is_refused(rate: int) -> None:
    with pytest.raises(OptionError, match=f"expected 8000 to 192000 Hz, got {rate}"):
        opened(talker(), rate)


def test_more_results_than_are_followed_are_refused() -> None:
    with pytest.raises(OptionError, match="'best' expects at most the beam, 16, got 17"):
        opened(talker(), best=17)


def test_a_finished_stream_is_finished() -> None:
    stream = opened(talker())
    stream.feed(np.zeros(1_000, np.float32))
    stream.finish()
    for use in (lambda: stream.feed(np.zeros(5, np.float32)), stream.finish):
        with pytest.raises(ModelError, match=r"this stream is finished; .* another with stream"):
            use()


def test_samples_that_are_none_change_nothing() -> None:
    samples = sound_of("ab ad", RATE)
    _, wanted = streamed(talker(), samples, [2_000])
    stream = opened(talker())
    stream.feed(samples[:2_000])
    for bad, words in (
        (np.array([0.1, np.nan], np.float32), "sample 1: expected samples in"),
        (np.zeros((2, 2, 2), np.float32), r"expected samples \(N,\) or \(N, channels\)"),
        (np.array(["a"]), "expected int8, int16, int32, uint8 or floating point"),
    ):
        with pytest.raises(DataError, match=words):
            stream.feed(bad)
    stream.feed(samples[2_000:])
    assert stream.finish() == wanted


def test_streams_do_not_disturb_each_other() -> None:
    one, other = (sound_of(text, RATE) for text in ("ab ad", "cab dab"))
    streams = [opened(talker()), opened(talker())]
    for begin in range(0, max(len(one), len(other)), 700):
        for stream, samples in zip(streams, (one, other), strict=True):
            stream.feed(samples[begin : begin + 700])
    found = [stream.finish() for stream in streams]
    assert found == [streamed(talker(), samples, [])[1] for samples in (one, other)]


def test_the_last_word_ends_with_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its step would reach beyond it."""
    stream = scripted(monkeypatch, "-" * 7 + "ad")
    stream.feed(np.zeros(1_260, np.float32))  # 1,360 samples in all, which are 17 frames
    found = stream.finish()
    assert found.text == "ad"
    assert found.seconds == pytest.approx(0.17)
    assert (found.words[0].begin, found.words[0].end) == (pytest.approx(0.14), found.seconds)
