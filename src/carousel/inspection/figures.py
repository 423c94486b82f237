"""Which figures there are, what each can be told, and what must have been looked at for it.

How each is drawn stands in ``heat_maps``, ``unit_figure``, ``curves`` and ``attribution_figure``.
"""

from __future__ import annotations

from pathlib import Path

from carousel.errors import OptionError
from carousel.inspection.attribution_figure import draw_attributions
from carousel.inspection.contents import QUANTITIES, TEXTS, Contents, GradientFlow
from carousel.inspection.curves import draw_gradients, draw_half_lives, draw_saturation
from carousel.inspection.heat_maps import draw_attention, draw_heat_map, is_projected
from carousel.inspection.orders import ORDERS
from carousel.inspection.unit_figure import MOST_STEPS, draw_unit
from carousel.options import option, options

# What each figure listens to, beside its name.
FIGURES = {
    "heat-map": ("layer", "quantity", "order", "steps"),
    "unit": ("layer", "quantity", "unit", "steps"),
    "saturation": ("layer",),
    "half-lives": ("layer",),
    "gradients": ("layer",),
    "attention": (),
    "attribution": ("steps",),
}


@options
class FigureOptions:
    """Which figure is drawn, of what."""

    draw: str | None = option(
        default=None,
        help="which figure; default: unit where one is given, else heat-map",
        choices=tuple(FIGURES),
    )
    layer: str | None = option(
        default=None, help="name of the layer; default: the first, or all in figures of several"
    )
    quantity: str | None = option(
        default=None,
        help="of a heat map or a unit: gate, candidate, memory cell or hidden state; default c",
        choices=QUANTITIES,
    )
    unit: int | None = option(default=None, help="number of the unit, counted from 0", low=0)
    order: str | None = option(
        default=None,
        help="of a heat map's units; default: by half-life",
        choices=ORDERS,
    )
    steps: tuple[int, ...] = option(
        default=(),
        help="begin and end of the part that is drawn, counted from 0, the end left out; "
        "default: all",
        low=0,
    )

    def __post_init__(self) -> None:
        given = [name for name in ("layer", "quantity", "unit", "order") if self._has(name)]
        given += ["steps"] * bool(self.steps)
        for name in given:
            if name not in FIGURES[self.figure]:
                users = [figure for figure, heard in FIGURES.items() if name in heard]
                raise OptionError(
                    f"option {name!r} does nothing for the figure {self.figure!r}; leave it out, "
                    f"or draw {' or '.join(users)}"
                )
        if self.figure == "unit" and self.unit is None:
            raise OptionError("the figure 'unit' needs option 'unit', the number of it")
        if self.steps and (len(self.steps) != 2 or self.steps[0] >= self.steps[1]):
            raise OptionError(
                f"option 'steps' expects a begin and a later end, such as 0 and 200, got "
                f"{' '.join(map(str, self.steps))}"
            )

    @property
    def figure(self) -> str:
        """Name of the figure."""
        return self.draw or ("heat-map" if self.unit is None else "unit")

    def check(self, contents: Contents) -> None:
        """Refuses what is not there to be drawn.

        Raises:
            OptionError: for a layer, a unit or steps that are not there, or a figure of what was
                not looked at.
        """
        self.check_names(contents)
        if self.figure == "gradients" and not self.flows(contents):
            raise OptionError(
                "there are no gradients to draw; ask for them: seen.with_gradients(), or --flow"
            )
        if self.figure == "attribution" and not contents.attributions:
            raise OptionError(
                "there is no attribution to draw; ask for one, such as explain='both' (--explain)"
            )

    def check_names(self, contents: Contents) -> None:
        """Refuses what will not be there however long one looks: all but gradients and shares.

        Raises:
            OptionError: as ``check``.
        """
        if not contents.layers or not all(map(len, contents.layers.values())):
            raise OptionError("there is nothing to draw: no layer, or a sequence without a step")
        values = contents.layer(self.one_layer(contents))
        if self.figure == "attention" and not contents.attentions:
            raise OptionError("there is no attention to draw: this model does not attend")
        if self.unit is not None:
            count = getattr(values, self.quantity or "c").shape[1]
            if self.unit >= count:
                raise OptionError(
                    f"option 'unit' expects a number from 0 to {count - 1} in layer "
                    f"{self.one_layer(contents)!r}, got {self.unit}"
                )
        if self.order not in (None, "number") and is_projected(values, self.quantity or "c"):
            raise OptionError(
                f"order {self.order!r}: h of layer {self.one_layer(contents)!r} is a projection to "
                f"{values.h.shape[1]} numbers, which are no units; leave the order out"
            )
        for name in self._axes(contents):
            count = len(contents.axis(name))
            if self.steps and self.steps[1] > count:
                raise OptionError(
                    f"option 'steps' expects an end of {count} at most, as long as axis {name!r} "
                    f"is, got {self.steps[1]}"
                )
        axis = contents.axis(values.axis)
        begin, end = self.steps or (0, len(axis))
        if self.figure == "unit" and axis.kind in TEXTS and end - begin > MOST_STEPS:
            raise OptionError(
                f"a figure of a text expects at most {MOST_STEPS:,} steps, got {end - begin:,}; "
                f"draw a part of it, such as the steps {begin} to {begin + MOST_STEPS}"
            )

    def one_layer(self, contents: Contents) -> str:
        """Returns the name of the layer in a figure of one."""
        return self.layer if self.layer is not None else next(iter(contents.layers))

    def flows(self, contents: Contents) -> list[GradientFlow]:
        """Returns the gradients that are drawn: of the layer, and of other models beside it."""
        return [
            flow
            for flow in contents.flows
            if self.layer in (None, flow.layer) or flow.layer not in contents.layers
        ]

    def _axes(self, contents: Contents) -> list[str]:
        """Returns the names of the axes that the figure has along one side."""
        if self.figure == "attribution":
            return [one.axis for one in contents.attributions]
        return [contents.layer(self.one_layer(contents)).axis]

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None


def draw_figure(contents: Contents, path: Path, chosen: FigureOptions) -> Path:
    """Draws one figure of what was seen.

    Args:
        contents: what was seen.
        path: where to, ``.png`` or ``.svg``; a file that is there is replaced.
        chosen: which, and of what.

    Returns:
        The path.

    Raises:
        OptionError: for another ending, and for what is not there to be drawn.
        OutputError: where the file cannot be written.
        MissingDependencyError: where matplotlib is not installed.
    """
    chosen.check(contents)
    one = chosen.one_layer(contents)
    several = list(contents.layers) if chosen.layer is None else [chosen.layer]
    quantity = chosen.quantity or "c"
    steps = range(*chosen.steps) if chosen.steps else None
    whole = range(len(contents.layer(one)))
    if chosen.figure == "heat-map":
        draw_heat_map(contents, path, one, quantity, chosen.order, steps or whole)
    elif chosen.figure == "unit":
        assert chosen.unit is not None
        draw_unit(contents, path, one, quantity, chosen.unit, steps or whole)
    elif chosen.figure == "saturation":
        draw_saturation(contents, path, several)
    elif chosen.figure == "half-lives":
        draw_half_lives(contents, path, several)
    elif chosen.figure == "gradients":
        draw_gradients(contents, path, chosen.flows(contents))
    elif chosen.figure == "attention":
        draw_attention(contents, path)
    else:
        draw_attributions(contents, path, steps)
    return path
