"""Sphinx' settings. Build with ``python -m sphinx -W -b html docs build/docs``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "sphinx_extensions"))

import converter

project = "converter"
version = release = converter.__version__
project_copyright = ""
html_show_copyright = False

extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "records",
    "repository",
    "sphinx.ext.autodoc",
]
root_doc = "index"
exclude_patterns = ["build"]

# Nothing that the pages need comes from a network: the theme brings its fonts' names and scripts
# along, formulas are MathML, and the search is an index beside the pages.
html_theme = "furo"
html_title = f"converter {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {"top_of_page_buttons": []}

# Anchors of headings down to the third level: a caveat's topic is one (docs/caveats.md).
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections say the types
numpydoc_show_class_members = False
default_role = "py:obj"  # `name` in a docstring is a link where it is the name of something here
# Sections in their order, and no parameter that the function does not have.
numpydoc_validation_checks = {"GL06", "GL07", "PR02", "PR03", "PR10", "RT02", "YD01"}


def setup(app: Any) -> dict[str, Any]:
    """Declare what builds may do at once."""
    return {"parallel_read_safe": True, "parallel_write_safe": True}
