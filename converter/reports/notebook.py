"""What a notebook shows of inspections, folded models and conversions (`_repr_html_`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from converter.reports.coefficients import table_of
from converter.reports.contents import Page, verdict_of
from converter.reports.report import page_of, page_without_file, show

if TYPE_CHECKING:
    from converter.inspection import Inspection
    from converter.model import AffineModel
    from converter.regression.conversion import Conversion
    from converter.regression.joint import JointConversion


def inspection_html(found: Inspection) -> str:
    """Return an inspection as HTML."""
    return page_of(found).fragment()


def model_html(model: AffineModel) -> str:
    """Return a folded model as HTML: its coefficients."""
    page = Page(
        title="",
        verdict=verdict_of([(model.link, model.family)], ()),
        accepted=True,
        notes=list(model.notes),
        tables=[table_of(model)],
    )
    return page.fragment()


def conversion_html(made: Conversion | JointConversion) -> str:
    """Return a conversion as HTML: statsmodels' tables, network against optimum, the caveats."""
    page = page_without_file(made)
    page.about, page.outputs = [], []
    show(page, made, plots=False)
    return page.fragment()
