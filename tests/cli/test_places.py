"""Where verbs may write: refused before any work is done, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from carousel.cli.places import PLOT_FORMATS, check_ending, check_place
from carousel.data.pictures import FORMATS
from carousel.errors import OptionError, OutputError
from carousel.tasks.loading import TASKS


def test_a_file_that_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    place = tmp_path / "a.png"
    for force in (False, True):
        check_place(None, force)
        check_place(place, force)
    assert list(tmp_path.iterdir()) == []
    place.write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        check_place(place, False)
    check_place(place, True)
    with pytest.raises(OutputError):
        check_place(tmp_path, True)  # a folder
    assert place.read_text() == "mine"


def test_only_known_endings_are_taken() -> None:
    check_ending("--plot", None, (".png", ".svg"))
    check_ending("--plot", Path("a.PNG"), (".png", ".svg"))
    for name in ("a", "a.pdf", "png", "a.png.gz"):
        with pytest.raises(OptionError) as caught:
            check_ending("--plot", Path(name), (".png", ".svg", ".html"))
        words = f"--plot expects a name ending in .png, .svg or .html, got {name!r}"
        assert str(caught.value) == words
    with pytest.raises(OptionError, match=r"ending in \.png or \.svg, got 'a\.html'"):
        check_ending("--plot", Path("a.html"), (".png", ".svg"))


def test_every_task_has_its_pictures() -> None:
    assert set(PLOT_FORMATS) == set(TASKS)
    assert all(set(FORMATS) <= set(formats) for formats in PLOT_FORMATS.values())
