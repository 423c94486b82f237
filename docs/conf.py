"""Settings of the documentation; `make docs` builds it, and a warning fails the build."""

from __future__ import annotations

import importlib.metadata

project = "Carousel"
author = "The Carousel authors"
copyright = "The Carousel authors, Apache-2.0"
release = importlib.metadata.version("carousel-lstm")
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]
nitpicky = False

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Reference", "References"), ("Raises (on construction)", "Raises")]

html_static_path = ["_static"]
html_theme = "alabaster"
html_theme_options = {
    "description": "The LSTM, end to end",
    "fixed_sidebar": True,
    "page_width": "1000px",
}
