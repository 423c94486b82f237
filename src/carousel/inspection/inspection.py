"""What was seen of a model, and the ways to look at it: words, pictures, frames, one page.

Knows nothing of modules or tasks; what it holds is ``contents``, how it is shown stands in the
modules that its methods name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.data.storage import check_file_target, write_atomically
from carousel.errors import OptionError
from carousel.inspection.contents import Contents
from carousel.inspection.figures import FigureOptions, draw_figure
from carousel.inspection.following import Following, followed
from carousel.inspection.frames import contents_frame
from carousel.inspection.gradient_flow import gradient_flow
from carousel.inspection.page import page_bytes
from carousel.inspection.statistics import LayerStatistics, layer_statistics
from carousel.inspection.summary import summary_text, summary_values

if TYPE_CHECKING:
    import pandas
    import polars

PAGE_FORMATS = (".html",)


@dataclass(frozen=True, kw_only=True)
class Inspection(Contents):
    """Everything that was seen of one model at one sequence, and ways to look at it.

        seen = carousel.inspect(model, x)
        print(seen)
        seen.save_page("seen.html")

    The values themselves are attributes, arrays of NumPy: ``seen.layers["lstm.l0"].f`` is (T, H).
    """

    def __str__(self) -> str:
        return self.summary()

    def statistics(self, layer: str | None = None) -> LayerStatistics:
        """Returns what gates and memory of each unit of a layer did on the whole.

        Args:
            layer: its name; by default the first.

        Returns:
            Arrays of (H,): saturation of the gates, half-lives, budgets, dead and duplicate units.

        Raises:
            OptionError: for a layer that is not there.
        """
        return layer_statistics(self.layer(self.first if layer is None else layer))

    def followed(self, layer: str | None = None, quantity: str = "c") -> list[Following]:
        """Returns the correlation of every unit of a layer with each thing that it may follow.

        Args:
            layer: its name; by default the first.
            quantity: which of its values, one of ``f, i, g, o, c, h``.

        Raises:
            OptionError: for a layer or a quantity that is not there.
        """
        values = self.layer(self.first if layer is None else layer)
        return followed(values, self.axis(values.axis), quantity)

    def summary(self, layers: str | Sequence[str] | None = None, *, color: bool = False) -> str:
        """Returns what a terminal shows: the numbers of each layer, and what its units follow.

        Args:
            layers: names of those to show; by default all.
            color: with the control codes by which a terminal sets bold and colours.

        Raises:
            OptionError: for a layer that is not there.
        """
        return summary_text(self, layers, color=color)

    def to_dict(self, layers: str | Sequence[str] | None = None) -> dict[str, Any]:
        """Returns the numbers of each layer as plain values, with None for infinity and NaN.

        Args:
            layers: names of those to tell of; by default all.

        Raises:
            OptionError: for a layer that is not there.
        """
        return summary_values(self, layers)

    def with_gradients(self, ends: Sequence[int] | None = None, count: int = 24) -> Inspection:
        """Returns the same with the gradients of every layer from some steps to all before.

        Args:
            ends: those steps; by default ``count`` of them, evenly apart.
            count: how many.

        Raises:
            OptionError: where no layer has the textbook's cell, by whose equations they are
                computed.
        """
        flows = [
            gradient_flow(name, layer, ends, count)
            for name, layer in self.layers.items()
            if layer.weights is not None
        ]
        for name, layer in self.layers.items() if not flows else ():
            if layer.broken_from is not None:
                raise OptionError(
                    f"flow: expected numbers, but the values of {name} are none from step "
                    f"{layer.broken_from} on: the model has diverged, or its input has such values"
                )
        if not flows:
            raise OptionError(
                f"flow: expected a layer of the textbook's cell, by whose equations gradients are "
                f"computed, but no layer here has its cell; {', '.join(self.layers)}: a variant, a "
                f"projection, a state changed between steps. Look at the gates alone"
            )
        others = [flow for flow in self.flows if flow.layer not in self.layers]
        return dataclasses.replace(self, flows=[*flows, *others])

    def plot(self, path: str | Path, chosen: FigureOptions | None = None, **values: Any) -> Path:
        """Draws one figure, for a paper or a notebook.

            seen.plot("memory.png", quantity="c", order="similarity")
            seen.plot("quotes.svg", layer="lstm.l1", unit=17)

        Args:
            path: where to, ``.png`` or ``.svg``; a file that is there is replaced.
            chosen: which figure, of what.
            **values: single options of ``FigureOptions``, in place of an object.

        Returns:
            The path.

        Raises:
            OptionError: for a name or a number that is not there, or a figure of what was not
                looked at.
            OutputError: where the file cannot be written.
            MissingDependencyError: where matplotlib is not installed.
        """
        if chosen is not None and values:
            raise OptionError("give either an options object or single options, not both")
        return draw_figure(self, Path(path), chosen or FigureOptions(**values))

    def save_page(
        self, path: str | Path, other: Contents | None = None, force: bool = False
    ) -> Path:
        """Writes one HTML file that shows everything, by itself, without a server or a network.

        Args:
            path: where to, ``.html``.
            other: what was seen of the same model at another sequence, to stand beside this one.
            force: replace a file that exists.

        Returns:
            The path.

        Raises:
            OptionError: for another ending.
            OutputError: where the file exists or cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in PAGE_FORMATS:
            raise OptionError(f"a page's name ends in .html, got {path.name!r}")
        check_file_target(path, force=force)
        write_atomically(path, page_bytes(self, other))
        return path

    def to_polars(self, layers: str | Sequence[str] | None = None) -> polars.DataFrame:
        """Returns every value as a frame of polars, a row for each layer, step and unit.

        The columns are ``layer, step, name, unit, f, i, g, o, c, h``; ``h`` is null for the units
        that a projection leaves without one.

        Args:
            layers: names of those wanted; by default all.

        Raises:
            OptionError: for a layer that is not there.
            MissingDependencyError: where polars is not installed.
        """
        return contents_frame(self, "polars", layers)

    def to_pandas(self, layers: str | Sequence[str] | None = None) -> pandas.DataFrame:
        """Returns every value as a frame of pandas; see ``to_polars``."""
        return contents_frame(self, "pandas", layers)

    @property
    def first(self) -> str:
        """Name of the first layer."""
        return next(iter(self.layers))
