"""A missing library is named with the command that brings it."""

from __future__ import annotations

import json

import pytest

from carousel.data.extras import import_extra
from carousel.errors import MissingDependencyError


def test_what_is_there_is_imported() -> None:
    assert import_extra("json", "forecasting") is json


def test_what_is_missing_is_named_with_its_remedy() -> None:
    with pytest.raises(MissingDependencyError, match=r'pip install "carousel-lstm\[speech\]"'):
        import_extra("no_such_library.part", "speech")
