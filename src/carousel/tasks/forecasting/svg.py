"""A figure of matplotlib as bytes, or as SVG inside a page: small, in the page's font and colours.

Knows nothing of what is drawn.
"""

from __future__ import annotations

import html
import re
from typing import Any

from carousel.data.extras import import_extra
from carousel.data.pictures import picture_bytes
from carousel.tasks.forecasting.panels import COLOURS, FAINT, INK

# What the page's style sheet calls the colours; it has others for dark screens.
VARIABLES = {
    INK: "--ink",
    FAINT: "--faint",
    **{colour: f"--series-{k}" for k, colour in enumerate(COLOURS)},
}


def inline_svg(figure: Any, prefix: str, title: str) -> str:
    """Returns the figure as one ``<svg>`` element.

    Args:
        figure: of matplotlib; its colours that are in ``VARIABLES`` become the page's.
        prefix: letters and digits that no other figure of the page has: its identifiers begin so.
        title: what screen readers say of it.
    """
    matplotlib = import_extra("matplotlib", "forecasting")
    # Text stays text, which is small, can be searched, and needs no font file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        text = picture_bytes(figure, format="svg", transparent=True).decode()
    text = text[text.index("<svg") :]
    for part in (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<style .*?</style>"):
        text = re.sub(part, "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None
    names = _names(body, prefix)
    # A user's words stand between tags and are left as they are.
    body = re.sub(r"<[^>]*>", lambda tag: _rewritten(tag.group(), names), body)
    label = html.escape(title, quote=True)
    body = re.sub(r"\s*\n\s*", "\n", body).strip()
    return f'<svg {view.group()} role="img" aria-label="{label}">\n{body}'


def _names(body: str, prefix: str) -> dict[str, str]:
    """Returns a short name that is the page's own for each identifier that is referred to."""
    tags = "".join(re.findall(r"<[^>]*>", body))
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', tags))
    return {name: f"{prefix}-{number}" for number, name in enumerate(used)}


def _rewritten(tag: str, names: dict[str, str]) -> str:
    """Puts the page's identifiers, font and colours into one tag."""

    def identifier(found: re.Match[str]) -> str:
        name = names.get(found.group(1))
        return "" if name is None else f' id="{name}"'

    tag = re.sub(r' id="([^"]*)"', identifier, tag)
    tag = re.sub(
        r'(href="#|url\(#)([^")]+)', lambda found: found.group(1) + names[found.group(2)], tag
    ).replace("xlink:href", "href")
    tag = re.sub(r'font: ([0-9.]+px) [^;"]*', r"font-size: \1", tag)
    for colour, name in VARIABLES.items():
        tag = tag.replace(f": {colour}", f": var({name})")
    # Coordinates to a hundredth of a point are finer than any screen.
    return re.sub(r"(-?\d+\.\d{2})\d+", r"\1", tag)
