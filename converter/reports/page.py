"""Pages from templates: what they hold is escaped, and they load nothing."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from converter.errors import printable

# Characters of a name or a sentence that a page shows.
_LONGEST = 4_000


def render(template: str, **context: Any) -> str:
    """Return a page.

    Parameters
    ----------
    template : str
        Name of a file in converter/reports/templates.
    **context
        What it names. Text is escaped, and characters that do not print are spelled out.
    """
    return str(_environment().get_template(template).render(**context))


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader("converter.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Names come out of files that strangers wrote: nothing of them may act, or mislead.
        finalize=lambda value: printable(value, _LONGEST) if type(value) is str else value,
    )
    made.filters["number"] = number
    made.filters["exact"] = exact
    made.filters["trusted"] = Markup  # of what this package drew or wrote itself
    made.globals["asset"] = lambda name: Markup(_asset(name))
    made.globals["digest"] = lambda name: _policy(_asset(name))
    return made


@cache
def _asset(name: str) -> str:
    return (files("converter.reports") / "templates" / name).read_text(encoding="utf-8")


def _policy(text: str) -> str:
    """Return how a page's policy names a script or a style that stands in it (CSP level 2)."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def number(value: Any, digits: int = 6) -> str:
    """Return a number as a page shows it."""
    if value is None:
        return "\u2013"
    value = float(value)
    if np.isnan(value):
        return "\u2013"
    return f"{value:.{digits}g}"


def exact(value: float) -> str:
    """Return the shortest number that reads back as the same double."""
    return "\u2013" if np.isnan(value) else repr(float(value))


def size(count: int | None) -> str:
    """Return a number of bytes for people."""
    if count is None:
        return "\u2013"
    if count < 1000:
        return f"{count} bytes"
    value, units = float(count), iter(("kB", "MB", "GB", "TB"))
    unit = ""
    while value >= 999.5:
        value, unit = value / 1000.0, next(units)
    return f"{value:.3g} {unit} ({count:,} bytes)"
