"""Regressions as a ledger recorded them: what a report can show without their rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converter.reports import plots
from converter.reports.diagnostics import shown_terms
from converter.reports.explanations import explanation_of
from converter.reports.page import number
from converter.reports.regressions import (
    MOST,
    Figure,
    Regression,
    Term,
    Told,
    coefficient_figure,
    drift_figure,
)
from converter.reports.tables import Cell, Grid

_GLANCE = {
    "nobs": "No. Observations",
    "df_model": "Df Model",
    "df_resid": "Df Residuals",
    "parameters": "Parameters",
    "r_squared": "R-squared",
    "adj_r_squared": "Adj. R-squared",
    "pseudo_r_squared": "Pseudo R-squared",
    "sigma": "Residual std. error",
    "statistic": "Statistic of the model",
    "p_value": "Its p-value",
    "log_lik": "Log-Likelihood",
    "aic": "AIC",
    "bic": "BIC",
}
_COLUMNS = ("coef", "bse", "statistic", "p", "low", "high")
_HEADER = ("", "coef", "std err", "statistic", "p-value", "[0.025", "0.975]")

Row = dict[str, Any]


def regressions_of(
    rows: Sequence[Row], coefficients: Sequence[Row], caveats: Sequence[Row], model: Row
) -> list[Regression]:
    """Return the regressions of a model.

    Parameters
    ----------
    rows, coefficients, caveats : sequence of dict
        Rows of the ledger's tables; see docs/ledger.md.
    model : dict
        Its row of the table ``model``.
    """
    made = []
    for place, row in enumerate(rows):
        own = [one for one in coefficients if one["output"] == row["output"]]
        told = [one for one in caveats if one["output"] in (row["output"], "")]
        name = row["output"] if len(rows) > 1 else ""
        made.append(_regression(f"r{place}", name, row, own, told, model))
    return made


def _regression(
    slug: str, name: str, row: Row, coefficients: Sequence[Row], caveats: Sequence[Row], model: Row
) -> Regression:
    names = [": ".join(filter(None, (one["outcome"], one["term"]))) for one in coefficients]
    terms = [
        Term(
            name,
            *(
                _float(one[key])
                for key in ("coef", "bse", "low", "high", "optimum", "optimum_bse", "drift")
            ),
        )
        for name, one in zip(names, coefficients, strict=True)
    ]
    places = shown_terms([term.drift for term in terms], MOST)
    shown = [coefficients[place] for place in places]
    dropped = f" ({model['dropped']:,} left out)" if model["dropped"] else ""
    return Regression(
        slug=slug,
        name=name,
        verdict=row["verdict"] or "",
        sentence=row["sentence"] or "",
        tests=[
            ("Verdict", row["verdict"] or ""),
            ("Largest drift", f"{number(row['max_drift'], 4)} standard errors"),
            ("Statistic", number(row["optimality_statistic"], 5)),
            ("p-value", number(row["optimality_p_value"], 4)),
            ("Rows used", f"{row['nobs'] or 0:,}{dropped}"),
        ],
        grids=[
            _glance(row),
            Grid(
                "Coefficients",
                _HEADER,
                tuple(
                    (
                        Cell(names[place], "row"),
                        *(Cell(number(one[key], 5)) for key in _COLUMNS),
                    )
                    for place, one in zip(places, shown, strict=True)
                ),
            ),
        ],
        notes=[],
        terms=[terms[place] for place in places],
        omitted=len(terms) - len(places),
        figures=_figures(terms, slug),
        caveats=[
            Told(one["sentence"], one["topic"], explanation_of(one["topic"])) for one in caveats
        ],
        dependence=None,
    )


def _glance(row: Row) -> Grid:
    known = [
        (title, number(row[name], 6)) for name, title in _GLANCE.items() if row[name] is not None
    ]
    return Grid(
        f"{row['family']}, link {row['link']}",
        (),
        tuple((Cell(title, "row"), Cell(value)) for title, value in known),
    )


def _figures(terms: list[Term], slug: str) -> list[Figure]:
    """Return the plots; without rows, coefficients are in units of their standard errors."""
    there = [one for one in terms if one.error > 0 and np.isfinite(one.estimate)]
    chosen = [
        there[place]
        for place in shown_terms([one.estimate / one.error for one in there], plots.MOST)
    ]
    figures: list[Figure | None] = []
    if chosen:
        text = (
            "Circles are the network's coefficients, squares those of the optimum, lines their "
            "95 % intervals; each is divided by its standard error at the network."
        )
        if len(chosen) < len(terms):
            text += f" Shown are {len(chosen)} of {len(terms)}."
        factors = 1.0 / np.array([one.error for one in chosen])
        label = "coefficient in standard errors"
        figures.append(coefficient_figure(chosen, factors, slug, label, text))
    figures.append(drift_figure(terms, slug))
    return [one for one in figures if one is not None]


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)
