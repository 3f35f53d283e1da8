"""Links from one file of the repository to another, where both are pages here."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

# Files that pages include, and these pages.
PAGES = {"README.md": "manual", "CONTRIBUTING.md": "contributing", "CHANGELOG.md": "changes"}


def _resolved(app: Sphinx, env: Any, node: Any, contents: Any) -> Any:
    page = PAGES.get(node.get("reftarget", "").removeprefix("../"))
    if page is None:
        return None
    return make_refnode(app.builder, node["refdoc"], page, None, contents)


def setup(app: Sphinx) -> dict[str, Any]:
    """Look such links up before they are reported as missing."""
    app.connect("missing-reference", _resolved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
