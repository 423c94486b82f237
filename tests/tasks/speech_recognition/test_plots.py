"""What the picture of a report shows, read from the axes before they become a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from tests.tasks.speech_recognition.test_report import OURS, SPEAKERS, made
from tests.tasks.translation.test_plots import BEGINS, words_of

from carousel.errors import OptionError, OutputError
from carousel.tasks.speech_recognition.plots import draw_report
from carousel.tasks.speech_recognition.scores import Counts


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is saved."""
    found: list[Figure] = []
    save = Figure.savefig

    def seen(figure: Figure, *args: Any, **values: Any) -> None:
        found.append(figure)
        save(figure, *args, **values)

    monkeypatch.setattr(Figure, "savefig", seen)
    return found


def bars_of(figure: Figure) -> Any:
    (axes,) = figure.axes
    (bars,) = axes.containers
    return bars


@pytest.mark.parametrize("ending", ["png", "svg", "SVG", "PNG"])
def test_a_report_is_drawn(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"x.{ending}"
    assert made().plot(path) == path
    assert path.read_bytes().startswith(BEGINS[ending.lower()])
    assert made().plot(str(path)) == path  # over the one that is there


def test_bars_are_the_speakers_and_a_line_is_all(tmp_path: Path, figures: list[Figure]) -> None:
    named = {name: counts for name, counts in SPEAKERS.items() if name}
    report = made(speakers=named)
    draw_report(report, tmp_path / "x.svg")
    (axes,) = figures[0].axes
    # bob, cid, ann: the worst first, and that is at the top.
    assert [bar.get_width() for bar in bars_of(figures[0])] == pytest.approx([60, 50, 10])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bob", "cid", "ann"]
    assert axes.get_yticks().tolist() == [0, 1, 2]
    assert axes.yaxis_inverted()
    assert [text.get_text() for text in axes.texts] == ["6 of 10", "1 of 2", "1 of 10"]
    assert [line.get_xdata()[0] for line in axes.lines] == [10.0]
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] >= 60 * 1.2  # the words beside the longest bar need room
    words = words_of(tmp_path / "x.svg")
    for word in ("bob", "cid", "ann", "6 of 10", "errors per word, %", "Errors by speaker",
                 "all together: 10.00 % (8.00–12.00)"):  # fmt: skip
        assert word in words
    assert words.index("bob") < words.index("cid") < words.index("ann")


def test_the_interval_is_shaded(tmp_path: Path, figures: list[Figure]) -> None:
    draw_report(made((30.0, 22.5, 41.0)), tmp_path / "x.svg")
    (axes,) = figures[0].axes
    bars = set(bars_of(figures[0]).patches)
    (band,) = [patch for patch in axes.patches if patch not in bars]
    sides = band.get_extents().transformed(axes.transData.inverted())
    assert (sides.x0, sides.x1) == pytest.approx((22.5, 41.0))


def test_of_many_speakers_the_forty_worst_are_drawn(tmp_path: Path, figures: list[Figure]) -> None:
    many = {f"s{k:02}": Counts(99 - k, k) for k in range(45)}
    draw_report(made(speakers=many), tmp_path / "x.svg")
    draw_report(made(speakers=dict(list(many.items())[:40])), tmp_path / "y.svg")
    (axes,), (other,) = figures[0].axes, figures[1].axes
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [f"s{k:02}" for k in range(44, 4, -1)]
    assert axes.get_title(loc="left") == "Errors by speaker, the 40 worst of 45"
    assert other.get_title(loc="left") == "Errors by speaker"
    assert len(bars_of(figures[1])) == 40
    # A bar needs its height: the picture grows with them.
    draw_report(made(speakers={"ann": OURS}), tmp_path / "z.svg")
    heights = [float(figure.get_size_inches()[1]) for figure in figures]
    assert heights[0] == heights[1] > 2 * heights[2]


def test_names_are_never_read_as_formulas_or_tags_and_are_cut(tmp_path: Path) -> None:
    names = ["$5", "$5 and $6", r"$\bad{$", r"\$", "<b>&amp;", "_x", "two\nli\x00nes", "W" * 300]
    shown = [*names[:6], "two li nes", "W" * 23 + "…"]
    speakers = {name: Counts(90 - k, 10 + k) for k, name in enumerate(names)}
    words = words_of(made(speakers=speakers).plot(tmp_path / "x.svg"))
    assert [word for word in words if word in shown] == shown[::-1]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_names_of_any_script_are_drawn(ending: str, tmp_path: Path) -> None:
    """Also where the font lacks their letters; warnings are errors here."""
    names = ["東京", "हिन्दी", "Ελένη", "Jürgen", "عمر", "😀", "東" * 300]
    speakers = {name: Counts(90 - k, 10 + k) for k, name in enumerate(names)}
    path = made(speakers=speakers).plot(tmp_path / f"x.{ending}")
    assert path.read_bytes().startswith(BEGINS[ending])
    if ending == "svg":
        shown = [*names[:6], "東" * 23 + "…"]
        assert [word for word in words_of(path) if word in shown] == shown[::-1]


def test_where_nobody_is_named_there_is_one_bar_of_all(
    tmp_path: Path, figures: list[Figure]
) -> None:
    made(speakers={"": OURS}).plot(tmp_path / "x.svg")
    assert [bar.get_width() for bar in bars_of(figures[0])] == pytest.approx([100 * OURS.rate])
    assert "all" in words_of(tmp_path / "x.svg")


def test_those_who_are_not_named_among_others_are_not_all(tmp_path: Path) -> None:
    words = words_of(made().plot(tmp_path / "x.svg"))
    assert "unknown" in words  # as in the table
    assert "all" not in words


def test_no_error_and_endless_errors_are_drawn(tmp_path: Path, figures: list[Figure]) -> None:
    """Warnings are errors here."""
    nothing = (0.0, 0.0, 0.0)
    made(nothing, speakers={"ann": Counts(9)}).plot(tmp_path / "x.png")
    assert figures[0].axes[0].get_xlim() == (0, 1)
    noise = {"ann": Counts(insertions=3), "bob": Counts(9)}
    made(speakers=noise).plot(tmp_path / "y.svg")
    assert [bar.get_width() for bar in bars_of(figures[1])] == [1_000, 0]
    assert "3 of 0" in words_of(tmp_path / "y.svg")


def test_other_endings_and_places_are_refused(tmp_path: Path) -> None:
    for name in ("x.html", "x.pdf", "x"):
        with pytest.raises(OptionError, match=rf"\.png or \.svg, got '{name}'"):
            made().plot(tmp_path / name)
    (tmp_path / "x.png").mkdir()
    with pytest.raises(OutputError, match="found a folder"):
        made().plot(tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_what_was_there_stays_where_drawing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("while saving")

    path = tmp_path / "x.svg"
    path.write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(RuntimeError, match="while saving"):
        made().plot(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
