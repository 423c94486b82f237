"""The data that ships: whole, licensed, and with the roles of its columns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from carousel.data.audio_files import audio_facts
from carousel.data.recordings import Recordings
from carousel.data.samples import is_sample, sample_options, sample_path, sample_table, samples
from carousel.data.texts import Texts
from carousel.errors import DataError


def test_every_sample_has_its_file_licence_and_source() -> None:
    assert "weather" in samples()
    for name, entry in samples().items():
        assert sample_path(f"sample:{name}", entry["task"]).stat().st_size > 0
        assert entry["licence"]
        assert entry["source"]


def test_the_weather_is_what_its_description_says() -> None:
    table = sample_table("sample:weather", "forecasting")
    roles = sample_options("sample:weather", "forecasting")
    assert len(table) == 26_115
    assert set(table.labels(roles["id_column"])) == {"EWR", "JFK", "LGA"}
    assert {roles["target"], roles["time_column"], *roles["covariates"]} <= set(table.names)


def test_shakespeare_is_what_its_description_says() -> None:
    path = sample_path("sample:shakespeare", "language-modeling")
    text = "".join(piece.text for piece in Texts.open(path).pieces())
    assert len(text) == 1_115_394
    assert len(set(text)) == 65
    assert text.isascii()
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")
    assert sample_options("sample:shakespeare", "language-modeling") == {}
    assert "1,115,394 characters" in samples()["shakespeare"]["about"]


def test_the_spoken_digits_are_what_their_description_says() -> None:
    path = sample_path("sample:spoken-digits", "speech-recognition")
    found = Recordings.read(path)
    digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    speakers = ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    assert len(found) == 600
    each = Counter(zip(found.speakers, found.texts, strict=True))
    assert each == {(speaker, digit): 10 for speaker in speakers for digit in digits}
    assert set(found.names) == {
        f"{number}_{speaker}_{take}"
        for number in range(10)
        for speaker in speakers
        for take in range(5, 15)
    }
    rows = zip(found.names, found.texts, found.speakers, found.audio, strict=True)
    for name, text, speaker, audio in rows:
        assert name.startswith(f"{digits.index(text)}_{speaker}_")
        assert Path(audio) == path.with_name(f"{speaker}.flac")
    assert sample_options("sample:spoken-digits", "speech-recognition") == {}
    assert "600 recordings at 8 kHz" in samples()["spoken-digits"]["about"]


def test_the_spoken_digits_lie_one_behind_the_other_in_their_files() -> None:
    found = Recordings.read(sample_path("sample:spoken-digits", "speech-recognition"))
    for audio in dict.fromkeys(found.audio):
        facts = audio_facts(audio)
        assert (facts.rate, facts.channels, facts.format) == (8_000, 1, "FLAC PCM_16")
        own = [row for row, path in enumerate(found.audio) if path == audio]
        starts, ends = found.starts[own], found.ends[own]
        assert len(own) == 100
        assert (ends - starts > 0.1).all()
        # The times have six digits, and a sample is 0.000125 s long.
        samples_from, samples_to = starts * 8_000, ends * 8_000
        assert np.abs(samples_from - samples_from.round()).max() < 0.01
        assert samples_from.round().tolist() == [0, *samples_to.round().tolist()[:-1]]
        assert round(samples_to[-1]) == facts.frames


def test_unknown_samples_are_refused() -> None:
    assert is_sample("sample:weather")
    assert not is_sample("weather.csv")
    with pytest.raises(DataError, match="did you mean 'sample:weather'"):
        sample_path("sample:wether", "forecasting")
    with pytest.raises(DataError, match="no sample for translation"):
        sample_path("sample:weather", "translation")
    with pytest.raises(DataError, match="no sample for language-modeling 'sample:weather'"):
        sample_path("sample:weather", "language-modeling")
    with pytest.raises(DataError, match="no sample for forecasting 'sample:shakespeare'"):
        sample_path("sample:shakespeare", "forecasting")
    with pytest.raises(DataError, match="no sample for speech-recognition 'sample:weather'"):
        sample_path("sample:weather", "speech-recognition")
