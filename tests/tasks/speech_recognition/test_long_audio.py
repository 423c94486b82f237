"""Long recordings: windows that join to one pass, and searches that end where there is a pause.

The networks here carry nothing from step to step, so that a window's numbers are those of one pass,
if it has the frames that it needs on either side.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tasks.speech_recognition.small_recordings import sound_of
from tests.tasks.speech_recognition.test_recognition import RATE, script, untaught
from torch import Tensor

from carousel.errors import OptionError
from carousel.tasks.speech_recognition import long_audio, transcribing
from carousel.tasks.speech_recognition.fitted import Fitted
from carousel.tasks.speech_recognition.long_audio import transcribed_long
from carousel.tasks.speech_recognition.network import BLANK
from carousel.tasks.speech_recognition.recognition import (
    ListeningOptions,
    Search,
    Transcript,
    heard,
)
from carousel.tasks.speech_recognition.transcribing import transcribed_files

WINDOW, MARGIN = 0.5, 0.12  # seconds
SAID = "ab bad cab dab ad bad ab cab"
STEP = 0.02  # seconds
PAUSE = 30  # steps
# Where features are scaled by their own moments these are summed in another order. That and every
# sum of up to 200 terms below 10 is rounded to 2^-24 of them, and multiplied by up to 8 at the end.
# A frame too few is worth 0.1 and more.
CLOSE = 200 * 10 * 8 * 2.0**-24


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_audio, "_WINDOW", WINDOW)
    monkeypatch.setattr(long_audio, "_MARGIN", MARGIN)
    monkeypatch.setattr(long_audio, "_BLOCK", 0.3)


def written(folder: Path, said: str = SAID, rate: int = RATE) -> str:
    path = folder / "long.wav"
    soundfile.write(path, sound_of(said, rate), rate, subtype="PCM_16")
    return str(path)


def plain_search(fitted: Fitted, **listening: Any) -> Search:
    return Search(fitted, ListeningOptions(**listening))


def assert_close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=0, atol=CLOSE)


@pytest.mark.parametrize(
    ("rate", "options"),
    [
        (RATE, {"streaming": True, "subsampling": 1}),
        (RATE, {"scaling": "recording", "deltas": 2}),
        (2 * RATE, {"scaling": "speaker", "deltas": 1, "subsampling": 3}),
        (11_025, {"scaling": "running", "subsampling": 4}),
        (RATE, {"features": "mfcc", "cepstra": 6, "num_layers": 2}),
    ],
    ids=str,
)
def test_windows_join_to_one_pass(
    rate: int, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, path = untaught(remembers=False, **options), written(tmp_path, rate=rate)
    frontend, longest = fitted.frontend, 0
    x = frontend.plain(path)
    seen = torch.from_numpy(frontend.seen(frontend.scaled(x, None)))[:, None]
    whole, _ = heard(fitted, seen, torch.tensor([len(x)]))

    def watched(fitted: Fitted, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal longest
        longest = max(longest, len(frames))
        return heard(fitted, frames, lengths)

    monkeypatch.setattr(long_audio, "heard", watched)
    windows = list(long_audio._heard(fitted, path))
    assert len(windows) >= 5
    assert longest <= round(100 * (WINDOW + 2 * MARGIN)) + 2 * fitted.plan.subsampling
    assert_close(torch.cat(windows), whole[:, 0])


@functools.cache
def forgetful(subsampling: int) -> Fitted:
    """Returns a recogniser without a memory; tests must leave it as it is."""
    return untaught(remembers=False, streaming=True, subsampling=subsampling)


FRAMES = np.random.default_rng(7).standard_normal((260, 12)).astype(np.float32)


@settings(max_examples=25)
@given(
    frames=st.integers(0, 260) | st.sampled_from([49, 50, 51, 61, 62, 63, 111, 112, 113]),
    cuts=st.lists(st.integers(0, 260), max_size=5),
    subsampling=st.integers(1, 4),
)
def test_any_number_of_frames_is_heard_once(frames: int, cuts: list[int], subsampling: int) -> None:
    fitted, x = forgetful(subsampling), FRAMES[:frames]
    whole, _ = heard(fitted, torch.from_numpy(x)[:, None], torch.tensor([frames]))
    with pytest.MonkeyPatch.context() as patch:
        parts = np.split(x, sorted(min(cut, frames) for cut in cuts))
        patch.setattr(long_audio, "_scaled", lambda fitted, path: iter(parts))
        windows = list(long_audio._heard(fitted, "any.wav"))
    assert len(whole) == -(-frames // subsampling)
    assert_close(torch.cat([whole[:0, 0], *windows]), whole[:, 0])


@pytest.mark.parametrize(("scaling", "times"), [("running", 1), ("recording", 2), ("speaker", 2)])
def test_a_file_is_read_twice_only_for_its_own_scale(
    scaling: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, path, blocks = untaught(scaling=scaling), written(tmp_path, "ab"), []
    read = long_audio.audio_blocks

    def watched(path: str, rate: int, *, seconds: float) -> Iterator[np.ndarray]:
        blocks.append(seconds)
        return read(path, rate, seconds=seconds)

    monkeypatch.setattr(long_audio, "audio_blocks", watched)
    list(long_audio._heard(fitted, path))
    assert blocks == [0.3] * times


def in_windows(fitted: Fitted, path: str, monkeypatch: pytest.MonkeyPatch) -> Transcript:
    """Returns what a file says that is taken for a long one."""
    monkeypatch.setattr(transcribing, "LONGEST", 0.5)
    [found] = transcribed_files(fitted, [path], plain_search(fitted))
    return found


@pytest.mark.parametrize("scaling", ["recording", "running"])
def test_a_long_file_says_what_it_says_as_a_short_one(
    scaling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = untaught(remembers=False, scaling=scaling, lexicon=False, ngram=0)
    path = written(tmp_path)
    [whole] = transcribed_files(fitted, [path], plain_search(fitted))
    found = in_windows(fitted, path, monkeypatch)
    assert len(whole.words) >= 3
    assert found.text == whole.text
    assert found.text == " ".join(word.text for word in found.words)
    for one, other in zip(found.words, whole.words, strict=True):
        assert (one.text, one.begin) == (other.text, pytest.approx(other.begin))
        assert one.end == pytest.approx(other.end, abs=STEP)
        assert one.confidence == pytest.approx(other.confidence, abs=CLOSE)
    assert found.seconds == pytest.approx(whole.seconds, abs=STEP)
    # A sum over all paths of under 200 steps.
    assert found.score == pytest.approx(whole.score, abs=200 * CLOSE)


def test_of_a_long_file_there_is_one_transcript(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, path = untaught(lexicon=False, ngram=0), written(tmp_path, "ab ad")
    assert in_windows(fitted, path, monkeypatch).others == ()
    words = r"'best' is for recordings of up to 0\.5 s, .* got .*long\.wav; leave it out"
    with pytest.raises(OptionError, match=words):
        transcribed_files(fitted, [path], plain_search(fitted, best=2))
    monkeypatch.setattr(transcribing, "LONGEST", 0.8)
    assert transcribed_files(fitted, [path], plain_search(fitted, best=2))[0].others


def heard_by_script(
    fitted: Fitted,
    said: str,
    cuts: Sequence[int],
    monkeypatch: pytest.MonkeyPatch,
) -> Transcript:
    """Returns what is made of a long file in which a network hears this, in parts."""
    parts = np.split(script(said, fitted.symbols).numpy(), cuts)
    monkeypatch.setattr(
        long_audio, "_heard", lambda fitted, path: (torch.from_numpy(part) for part in parts)
    )
    return of_scripts(fitted, sum(map(len, parts)), monkeypatch)


def of_scripts(fitted: Fitted, steps: int, monkeypatch: pytest.MonkeyPatch) -> Transcript:
    """Returns what is made of a file that is not there, of so many steps."""
    facts = SimpleNamespace(seconds=steps * STEP)
    monkeypatch.setattr(long_audio, "audio_facts", lambda path: facts)
    return transcribed_long(fitted, "any.wav", plain_search(fitted))


def words_of(found: Transcript) -> list[tuple[str, float, float]]:
    """Returns the words, and their first step and the one behind their last."""
    return [
        (word.text, round(word.begin / STEP, 3), round(word.end / STEP, 3)) for word in found.words
    ]


LEXICONS = pytest.mark.parametrize("lexicon", [True, False])


@functools.cache
def maker(lexicon: bool) -> Fitted:
    return untaught(lexicon=lexicon, ngram=2 if lexicon else 0)


@LEXICONS
def test_a_pause_parts_words_and_times_go_on(
    lexicon: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "-ab bad" + "-" * 40 + "cab" + "-" * 200 + "d-ab ad-"
    found = heard_by_script(maker(lexicon), said, [], monkeypatch)
    assert found.text == "ab bad cab dab ad"
    assert words_of(found) == [
        ("ab", 1, 3),
        ("bad", 4, 7),
        ("cab", 47, 50),
        ("dab", 250, 254),
        ("ad", 255, 257),
    ]
    assert found.seconds == pytest.approx(len(said) * STEP)
    assert found.confidence == pytest.approx(1.0)
    assert found.others == ()


@pytest.mark.parametrize(("pause", "text"), [(PAUSE - 1, "abad"), (PAUSE, "ab ad")])
def test_only_a_pause_parts_words(pause: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 0.6 s; a shorter one is a part of a word where no blank is heard."""
    found = heard_by_script(maker(lexicon=False), "ab" + "-" * pause + "ad", [], monkeypatch)
    assert found.text == text


def test_a_step_that_is_unsure_is_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = maker(lexicon=False)
    steps = script("ab" + "-" * (2 * PAUSE - 2) + "ad", fitted.symbols)
    steps[2 + PAUSE - 1] = torch.tensor([0.94, *[0.06 / 5] * 5]).log()
    monkeypatch.setattr(long_audio, "_heard", lambda fitted, path: iter([steps]))
    assert of_scripts(fitted, len(steps), monkeypatch).text == "abad"


@LEXICONS
def test_searches_add_up(lexicon: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause ends a sentence of the language model, and begins another."""
    fitted = maker(lexicon)
    said = ["ab bad" + "-" * PAUSE, "cab ab" + "-" * PAUSE, "ad"]
    found = heard_by_script(fitted, "".join(said), [], monkeypatch)
    scores = []
    for part in said:
        steps = script(part, fitted.symbols)[:, None]
        [alone] = plain_search(fitted).transcripts(steps, torch.tensor([len(steps)]), [1.0])
        scores.append(alone.score)
    assert found.score == pytest.approx(sum(scores), abs=1e-9)
    assert not lexicon or found.score < -1  # a language model takes its share


PAUSES = "-" * 9 + "ab bad" + "-" * 35 + "cab" + "-" * 29 + " ad" + "-" * 31 + "dab"


@functools.cache
def uncut(lexicon: bool) -> Transcript:
    with pytest.MonkeyPatch.context() as patch:
        return heard_by_script(maker(lexicon), PAUSES, [], patch)


@LEXICONS
@settings(max_examples=6)
@given(cuts=st.lists(st.integers(0, len(PAUSES)), max_size=6))
def test_no_cut_changes_a_bit(lexicon: bool, cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert heard_by_script(maker(lexicon), PAUSES, sorted(cuts), patch) == uncut(lexicon)
    assert uncut(lexicon).text == "ab bad cab ad dab"


def assert_bounded(
    fitted: Fitted, said: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> Transcript:
    """Returns what is made of a script, of which no search may see more than so many steps."""
    search, seen = Search.transcripts, []

    def watched(self: Search, log_probs: Tensor, *others: Any) -> list[Transcript]:
        seen.append(len(log_probs))
        return search(self, log_probs, *others)

    with monkeypatch.context() as patch:
        patch.setattr(long_audio, "_SEARCH", most * STEP)
        patch.setattr(Search, "transcripts", watched)
        found = heard_by_script(fitted, said, [], patch)
        assert max(seen) <= most
        assert len(seen) >= len(said) / most
        for cuts in ([1, most - 1, most], range(3, len(said), 3)):
            assert heard_by_script(fitted, said, cuts, patch) == found
    return found


@LEXICONS
def test_without_a_pause_a_search_ends_between_words(
    lexicon: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times of the words go on, and nothing of them is lost."""
    fitted, said = maker(lexicon), "ab--- b-a-d -cab--- dab ad--- " * 4 + "ab"
    whole = heard_by_script(fitted, said, [], monkeypatch)
    assert whole.text == "ab bad cab dab ad " * 4 + "ab"
    for most in (20, 33):
        found = assert_bounded(fitted, said, most, monkeypatch)
        assert found.text == whole.text
        assert words_of(found) == words_of(whole)
        assert found.confidence == pytest.approx(1.0)
        assert found.seconds == whole.seconds


def test_without_a_word_that_ends_a_search_ends_at_the_surest_blank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within a word, as it must; this is a sound that no pause and no blank part."""
    fitted, said, most = maker(lexicon=False), "ab-" * 16, 30
    steps = script(said, fitted.symbols)
    for place in (5, 23, 35):  # the first is before the half, and the last was never waited for
        steps[place, BLANK] = 0.0
    monkeypatch.setattr(long_audio, "_SEARCH", most * STEP)
    monkeypatch.setattr(long_audio, "_heard", lambda fitted, path: iter([steps]))
    found = of_scripts(fitted, len(steps), monkeypatch)
    assert found.text == "ab" * 8 + " " + "ab" * 8
    assert words_of(found) == [("ab" * 8, 0, 23), ("ab" * 8, 24, 47)]


@pytest.mark.parametrize("steps", [0, 1, PAUSE, 5 * PAUSE])
def test_silence_has_no_words(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = heard_by_script(maker(lexicon=True), "-" * steps, [], monkeypatch)
    assert (found.text, found.words, found.confidence) == ("", (), 1.0)
    assert found.seconds == pytest.approx(steps * STEP)
    assert found.score == pytest.approx(0.0, abs=1e-8)
