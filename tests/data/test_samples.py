"""The data that ships: whole, licensed, and with the roles of its columns."""

from __future__ import annotations

import pytest

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
