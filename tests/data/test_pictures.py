"""Pictures appear whole or not at all, and a user's words neither stop them nor change them."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import matplotlib
import pytest
from matplotlib.figure import Figure

from carousel.data.pictures import picture, shortened
from carousel.errors import OptionError, OutputError


@pytest.mark.parametrize(
    ("ending", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")]
)
def test_a_picture_is_of_the_kind_that_its_name_says(
    ending: str, begin: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "new" / f"x.{ending}"
    for _ in range(2):  # the second time over the first
        with picture(path, (3.0, 2.0)) as figure:
            figure.add_subplot().set_title("found again")
            assert tuple(figure.get_size_inches()) == (3.0, 2.0)
    assert path.read_bytes().startswith(begin)
    assert [name.name for name in path.parent.iterdir()] == [path.name]


def test_text_of_an_svg_stays_text(tmp_path: Path) -> None:
    with picture(tmp_path / "x.svg", (3.0, 2.0)) as figure:
        figure.add_subplot().set_title("found again")
    assert ">found again</text>" in (tmp_path / "x.svg").read_text("utf-8")


def test_what_was_there_stays_where_drawing_or_saving_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(figure: Figure, content: BinaryIO, **how: object) -> None:
        content.write(b"half of it")
        raise RuntimeError("while saving")

    path = tmp_path / "x.png"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="while drawing"), picture(path, (3.0, 2.0)):
        raise RuntimeError("while drawing")
    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(RuntimeError, match="while saving"), picture(path, (3.0, 2.0)):
        pass
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_endings_and_places_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    refusals = [
        ("x.html", OptionError, r"\.png or \.svg, got 'x\.html'"),
        ("x", OptionError, r"\.png or \.svg, got 'x'"),
        ("x.png", OutputError, "found a folder"),
    ]
    for name, kind, words in refusals:
        begun = False
        with pytest.raises(kind, match=words):  # noqa: SIM117
            with picture(tmp_path / name, (3.0, 2.0)):
                begun = True
        assert not begun
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_matplotlibs_settings_is_changed(fails: bool, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    try:
        with picture(tmp_path / "x.svg", (3.0, 2.0)) as figure:
            figure.add_subplot()
            assert matplotlib.rcParams["svg.fonttype"] == "none"
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_script_that_the_font_lacks_is_no_reason_to_stop(ending: str, tmp_path: Path) -> None:
    """Warnings are errors here."""
    with picture(tmp_path / f"x.{ending}", (3.0, 2.0)) as figure:
        figure.add_subplot().set_title("東京 हिन्दी שלום")
    assert (tmp_path / f"x.{ending}").stat().st_size > 500


def test_names_are_cut_to_one_line() -> None:
    assert shortened("a" * 60) == "a" * 60
    assert shortened("a" * 61) == "a" * 59 + "…"
    assert shortened("line\nbreak\x1b[31m", 20) == "line break [31m"
    assert shortened(12.5) == "12.5"
