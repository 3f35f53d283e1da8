"""Formulas as MathML, which browsers draw by themselves: no script, and nothing from a network.

The translation from LaTeX is that of docutils (docutils.utils.math), which Sphinx stands on.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

_log = logging.getLogger(__name__)


def _translated(node: Any, as_block: bool) -> str:
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        _log.warning("formula: %s: %s", error, node.astext(), location=node)
        return ""


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(_translated(node, as_block=False))
    raise nodes.SkipNode


def _displayed(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{_translated(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
