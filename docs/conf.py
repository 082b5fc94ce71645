"""This module is how the documentation is built: Sphinx reads it, `make docs` calls Sphinx."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
# Moments in recorded samples read the same wherever the pages are built.
os.environ["TZ"] = "UTC"
time.tzset()

from foreshard import __version__  # noqa: E402 - the clock is set first

project = "Foreshard"
author = "the Foreshard authors"
project_copyright = "the Foreshard authors, Apache License 2.0"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docs.machinery.sphinx_extension",
]
exclude_patterns = ["machinery", "samples", "schema"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["deflist", "colon_fence", "fieldlist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]

# Docstrings are written for people: `code` in single backticks, tables and blocks as in Markdown.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_use_type_comments = False
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
nitpicky = True
# Nothing is fetched while building, so only our own names can be looked up; what is private or
# an alias of a type has no page of its own.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!foreshard\.).*"),
    (r"py:.*", r"foreshard\.(?:.*\.)?_.*"),
    (r"py:.*", r"foreshard\..*\.(?:Floats|Flags|Guard|T|Heard|Said)(?:_contra)?"),
]

html_theme = "furo"
html_title = f"Foreshard {release}"
html_static_path = ["_static"]
html_css_files = ["foreshard.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"
