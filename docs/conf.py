"""Sphinx builds the guides; pydoctor builds the API reference beside them (docs/pydoctor.ini)."""

from __future__ import annotations

import rvoip

project = "rvoip"
author = copyright = "rvoip contributors"
release = version = rvoip.__version__
extensions = ["myst_parser"]
exclude_patterns = ["_build", "decisions/template.md"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"rvoip {release}"
html_show_copyright = False
nitpicky = True
