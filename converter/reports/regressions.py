"""The part of a report that is about one conversion: tables, plots, tests, caveats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from converter.reports import plots
from converter.reports.diagnostics import (
    Dependence,
    Observations,
    calibration_of,
    dependence_of,
    observed_of,
    residuals_of,
    shown_terms,
    spread_of,
)
from converter.reports.explanations import explanation_of
from converter.reports.page import number
from converter.reports.tables import Grid, tables_of

if TYPE_CHECKING:
    from converter.regression.conversion import Conversion

# Largest drifts of the verdicts; see `converter.regression.optimality`.
_BOUNDS = (0.01, 0.1)
#: Rows of a table of terms that a page shows.
MOST = 500
# Numbers that an axis can show.
_LARGEST = 1e100
_GONE = (
    "The rows were streamed and cannot be read again (their file has changed or is not there, or "
    "this is a copy of the conversion): what is shown of single rows is missing."
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot, and in words what it shows.

    Parameters
    ----------
    svg : str
    title : str
    text : str
        For those who do not see it, and below it for everybody.
    """

    svg: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Term:
    """A row of the comparison of network and optimum."""

    name: str
    estimate: float
    error: float
    low: float
    high: float
    optimum: float
    optimum_error: float
    drift: float


@dataclass(frozen=True, slots=True)
class Told:
    """A caveat: its sentence, its section in the documentation, and what that says (HTML)."""

    sentence: str
    topic: str
    explanation: str


@dataclass(slots=True)
class Regression:
    """One conversion as a report shows it.

    Parameters
    ----------
    slug : str
        Prefix of the identifiers on the page.
    name : str
        Of the output; empty if there is only one.
    verdict : str
        See `Optimality`.
    sentence : str
        The verdict in words.
    tests : list of (str, str)
        What it rests on, by name.
    grids : list of Grid
        statsmodels' tables, at the network.
    notes : list of str
    terms : list of Term
        Those with the largest drift, if they are many.
    omitted : int
        Terms that are not among them.
    figures : list of Figure
    caveats : list of Told
    dependence : Dependence or None
        None if there are no columns to look at.
    refit : list of Grid
        The table of coefficients at the optimum, where that is not the network.
    missing : str
        Why plots of the rows are missing; empty if they are not.
    """

    slug: str
    name: str
    verdict: str
    sentence: str
    tests: list[tuple[str, str]]
    grids: list[Grid]
    notes: list[str]
    terms: list[Term]
    omitted: int
    figures: list[Figure]
    caveats: list[Told]
    dependence: Dependence | None
    missing: str = ""
    refit: list[Grid] = field(default_factory=list)


def regression_of(made: Conversion, slug: str, name: str, plots: bool = True) -> Regression:
    """Return what a report shows of a conversion.

    Parameters
    ----------
    made : Conversion
    slug, name : str
        See `Regression`.
    plots : bool
        False leaves out what needs the rows.
    """
    grids, notes = tables_of(made.results)
    rows = observed_of(made) if plots else None
    terms = _terms(made)
    places = shown_terms([term.drift for term in terms], MOST)
    return Regression(
        slug=slug,
        name=name,
        verdict=made.optimality.verdict,
        sentence=made.verdict_sentence,
        tests=_tests(made),
        grids=grids,
        notes=notes,
        terms=[terms[place] for place in places],
        omitted=len(terms) - len(places),
        figures=_figures(made, rows, terms, slug) if plots else [],
        caveats=[Told(str(one), one.topic, explanation_of(one.topic)) for one in made.caveats],
        dependence=dependence_of(made, rows) if plots else None,
        missing=_GONE if plots and rows is None else "",
        refit=_refit(made) if plots else [],
    )


def _refit(made: Conversion) -> list[Grid]:
    """Return the table of coefficients at the optimum; nothing if the network is there."""
    if made.optimality.verdict == "optimum" or not made.optimality.converged:
        return []
    try:
        grids = [grid for grid in tables_of(made.refit)[0] if grid.header]
    except ValueError:  # rows that were streamed, and cannot be read again
        return []
    what = "Coefficients at the optimum"
    return [
        replace(grid, title=f"{what}, {grid.header[0]}" if grid.header[0] else what)
        for grid in grids
    ]


def _tests(made: Conversion) -> list[tuple[str, str]]:
    found = made.optimality
    name = "F" if len(found.df) == 2 else "Chi-squared"
    left_out = f" ({made.dropped:,} left out)" if made.dropped else ""
    drift = "not known" if np.isnan(found.max_drift) else f"{number(found.max_drift, 4)} std errs"
    return [
        ("Verdict", found.verdict),
        ("Largest drift", drift),
        (f"{name} ({', '.join(map(str, found.df))})", number(found.statistic, 5)),
        ("p-value", number(found.pvalue, 4)),
        ("Rows used", f"{made.nobs:,}{left_out}"),
    ]


def _terms(made: Conversion) -> list[Term]:
    table = made.tidy()
    columns = [
        *("estimate", "std_error", "conf_low", "conf_high"),
        *("optimum", "optimum_std_error", "drift"),
    ]
    return [
        Term(name, *map(float, row))
        for name, row in zip(made.labels, table[columns].to_numpy(float), strict=True)
    ]


def _figures(
    made: Conversion, rows: Observations | None, terms: list[Term], slug: str
) -> list[Figure]:
    figures = [_coefficients(made, rows, terms, slug), drift_figure(terms, slug)]
    if rows is not None and not made._likelihood.linear:
        figures.append(_calibration(made, rows, slug))
    elif rows is not None:
        figures += _residuals(made, rows, slug)
    return [one for one in figures if one is not None]


def _coefficients(
    made: Conversion, rows: Observations | None, terms: list[Term], slug: str
) -> Figure | None:
    """Plot coefficients times the spread of their columns: else units decide what is seen."""
    spread = spread_of(made, rows)
    label = "change of the linear predictor for one standard deviation of the column"
    if made._likelihood.linear:
        label = f"change of {made._design.target} for one standard deviation of the column"
    if spread is None:
        spread, label = np.ones(len(terms)), "coefficient"
    moving = [place for place, one in enumerate(spread) if one > 0]
    if not moving:
        return None
    sizes = [abs(terms[place].estimate * spread[place]) for place in moving]
    chosen = [moving[place] for place in shown_terms(sizes, plots.MOST)]
    text = f"Circles are the network's coefficients{_squares(made)}, lines their 95 % intervals; "
    if rows is None:
        text += "each is in its own units, for the rows are not there to bring them to one."
    else:
        text += (
            "each is multiplied by the standard deviation of its column, so that units do not "
            "matter. The intercept is left out."
        )
    if len(chosen) < len(moving):
        text += f" Shown are the {len(chosen)} largest of {len(moving)}."
    return coefficient_figure([terms[p] for p in chosen], spread[chosen], slug, label, text)


def _squares(made: Conversion) -> str:
    return ", squares those of the optimum" if made._optimum.converged else ""


def coefficient_figure(
    terms: Sequence[Term], factors: np.ndarray, slug: str, label: str, text: str
) -> Figure:
    """Return the plot of some coefficients and the optimum's.

    Parameters
    ----------
    terms : sequence of Term, length p
    factors : ndarray, shape (p,)
        What each is multiplied by, to be on one scale.
    slug : str
    label, text : str
        Of the axis, and what the plot shows.
    """
    table = np.array(
        [
            [
                one.estimate,
                (one.high - one.low) / 2.0,
                one.optimum,
                (one.high - one.low) / 2.0 * one.optimum_error / one.error if one.error else 0.0,
            ]
            for one in terms
        ]
    )
    with np.errstate(all="ignore"):
        table = table * factors[:, None]
    table = np.where(np.abs(table) < _LARGEST, table, np.nan)
    svg = plots.coefficients(
        f"{slug}-coefficients",
        plots.height_of(len(terms)),
        [one.name for one in terms],
        *(table[:, 0], np.nan_to_num(table[:, 1]), table[:, 2], np.nan_to_num(table[:, 3])),
        label,
    )
    return Figure(svg, "Coefficients, network against optimum", text)


def drift_figure(terms: list[Term], slug: str) -> Figure | None:
    """Return the plot of the drifts; None if not all of them are numbers."""
    finite = [one for one in terms if abs(one.drift) < _LARGEST]
    if not finite or len(finite) < len(terms):
        return None
    chosen = [finite[place] for place in shown_terms([one.drift for one in finite], plots.MOST)]
    svg = plots.drift(
        f"{slug}-drift",
        plots.height_of(len(chosen)),
        [one.name for one in chosen],
        np.array([one.drift for one in chosen]),
        _BOUNDS,
    )
    worst = max(finite, key=lambda one: abs(one.drift))
    text = (
        "How far each of the network's coefficients is from the optimum, in standard errors at "
        f"the optimum. The largest is {worst.drift:.3g}, of {worst.name}. Up to 0.01 (dotted) the "
        "network counts as at the optimum, up to 0.1 (dashed) as close."
    )
    if len(chosen) < len(terms):
        text += f" Shown are the {len(chosen)} largest of {len(terms)}."
    return Figure(svg, "Drift", text)


def _calibration(made: Conversion, rows: Observations, slug: str) -> Figure:
    series = calibration_of(made, rows)
    share = made.family != "poisson"
    svg = plots.calibration(f"{slug}-calibration", 4.2, series, share)
    groups = [one for _, found in series for one in found]
    outside = sum(not one.low <= one.predicted <= one.high for one in groups)
    what = "share" if share else "mean"
    text = (
        f"Rows in groups of like predictions: the observed {what} of each, with its 95 % interval, "
        f"against the {what} that the network predicts. On the line it is calibrated; of "
        f"{len(groups)} intervals {outside} miss it{_sampled(rows)}."
    )
    classes = len(made._outcomes) + 1
    if classes > max(len(series), 2):
        text += f" Shown are the first {len(series)} of {classes} classes."
    return Figure(svg, "Calibration", text)


def _residuals(made: Conversion, rows: Observations, slug: str) -> list[Figure]:
    found = residuals_of(rows)
    many = "" if len(found.fitted) == made.nobs else f" Shown are {len(found.fitted):,} rows."
    some = f" They are of a sample of {len(rows.y):,} rows." if rows.sampled else ""
    weighted = " (times the square root of their weights)" if rows.weights is not None else ""
    trend = "A trend that leaves the line of zero says that something is not linear."
    if made.family == "quantile":
        trend = "The line that they are on both sides of is the quantile's, not that of the mean."
    first = Figure(
        plots.residuals(f"{slug}-residuals", 3.8, found.fitted, found.residual, found.trend),
        "Residuals against fitted values",
        f"What the network leaves unexplained{weighted}, against what it predicts. {trend} A "
        "funnel says that the errors are not alike everywhere (then use a robust "
        f"covariance).{many}",
    )
    if found.moments is None:
        return [first]
    skew, excess = found.moments
    second = Figure(
        plots.quantiles(f"{slug}-quantiles", 4.2, found.expected, found.standardised),
        "Normal Q-Q plot of the residuals",
        "Residuals that are normal lie on the line. Skewness "
        f"{skew:.2g}, excess kurtosis {excess:.2g}; both are 0 of normal ones.{some}",
    )
    return [first, second]


def _sampled(rows: Observations) -> str:
    return f" (a sample of {len(rows.y):,} rows)" if rows.sampled else ""
