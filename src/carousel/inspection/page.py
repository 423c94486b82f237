"""One self-contained HTML page of one inspection, or of two side by side.

Knows where the page's parts lie and how they become one file; what is in them stands in
``page_data`` (numbers) and ``page_files`` (what a browser does with them). Every word that comes
from outside is data: escaped, and never part of the script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib import metadata, resources
from string import Template
from typing import Any

from carousel.inspection.contents import Contents
from carousel.inspection.page_blocks import PRECISIONS
from carousel.inspection.page_data import page_data

BUDGET = 14_800_000  # characters; opens in a second, and mail takes it still

STYLES = ("controls", "picture", "cards", "charts")  # what stands later outranks what is before it

# In the order in which the script is put together: what a part uses stands before it.
SCRIPTS = (
    "numbers",
    "blocks",
    "recorded",
    "colours",
    "view",
    "elements",
    "canvases",
    "lost",
    "sequence",
    "heat_map",
    "panes",
    "equations",
    "unit",
    "search",
    "charts",
    "gates",
    "gradients",
    "attention",
    "layers",
    "saving",
    "keys",
    "start",
)


def page_bytes(contents: Contents, other: Contents | None = None) -> bytes:
    """Returns one HTML file that shows an inspection without a server, a network or a library.

    Numbers have as many bits as fit into about 15 MB, float32 where they can; the page says how
    many, and how large an error may be.

    Args:
        contents: what was seen.
        other: what was seen of the same model at another sequence, to compare with; layers are
            matched by name, and steps by number.

    Returns:
        The file, in UTF-8.
    """
    style, script = "\n".join(_file(f"{name}.css") for name in STYLES), _script()
    both = [contents] if other is None else [contents, other]
    facts, blocks = page_data(both, BUDGET - len(style) - len(script), PRECISIONS)
    facts["version"] = metadata.version("carousel-lstm")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    page = Template(_file("page.html")).substitute(
        policy=policy,
        title=escape(contents.title),
        style=style,
        script=script,
        facts=_json(facts),
        blocks="\n".join(
            f'<script type="text/plain" id="block-{number}">{text}</script>'
            for number, text in enumerate(blocks)
        ),
    )
    # A name may hold half a surrogate pair, which is no character and cannot be written.
    return page.encode("utf-8", errors="xmlcharrefreplace")


def _script() -> str:
    """Returns the page's only script: all parts in a scope of their own."""
    parts = "\n".join(_file(f"{name}.js") for name in SCRIPTS)
    text = f'(() => {{\n"use strict";\n{parts}\n}})();\n'
    assert "</script" not in text, "HTML would see the end of the script there"
    assert "<!--" not in text, "HTML would see a comment there"
    return text


def _file(name: str) -> str:
    return (resources.files("carousel.inspection") / "page_files" / name).read_text("utf-8")


def _digest(text: str) -> str:
    """Returns what a content security policy knows a text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(values: dict[str, Any]) -> str:
    """Returns JSON in ASCII that stays JSON inside HTML, whatever its words are."""
    text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
