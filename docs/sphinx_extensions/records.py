"""Records as their readers see them: fields are attributes, and nobody makes one by hand."""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any

from sphinx.application import Sphinx


def _as_attributes(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    if what == "class" and is_dataclass(obj):
        for place in range(len(lines) - 1):
            if lines[place] == "Parameters" and set(lines[place + 1]) == {"-"}:
                lines[place : place + 2] = ["Attributes", "----------"]


def _unsigned(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    return ("", "") if what == "class" else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Have docstrings changed before numpydoc reads them, and constructors left out."""
    app.connect("autodoc-process-docstring", _as_attributes, priority=100)
    app.connect("autodoc-process-signature", _unsigned)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
