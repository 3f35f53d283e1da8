"""Links from one file of the repository to another, as they stand there, to the pages made of them.

``../README.md#data`` in a file of docs/, ``CONTRIBUTING.md`` in the README: readers of the
repository follow these, and here they lead to the pages that include the files.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

# Files that pages include, and these pages.
PAGES = {"README": "manual", "CONTRIBUTING": "contributing", "CHANGELOG": "changes"}


def _to_pages(app: Sphinx, doctree: nodes.document) -> None:
    for link in doctree.findall(addnodes.pending_xref):
        target, _, place = link["reftarget"].partition("#")
        page = PAGES.get(target.removeprefix(f"{app.srcdir.parent}/").removesuffix(".md"))
        if link["reftype"] == "myst" and page is not None:
            link["refdomain"], link["reftarget"] = "doc", page
            link["reftargetid"] = link.get("reftargetid") or place or None


def setup(app: Sphinx) -> dict[str, Any]:
    """Change such links before they are looked up."""
    app.connect("doctree-read", _to_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
