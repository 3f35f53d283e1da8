"""What the rows do to the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.errors import printable
from converter.regression.caveats import BAD_FIT, NULL, Caveat, some
from converter.regression.coding import Coding
from converter.regression.families import POISSON, Likelihood
from converter.regression.moments import Moments
from converter.regression.optimality import Optimum

if TYPE_CHECKING:
    from converter.regression.prepared import Regression

# Groups below which clustered standard errors are known to be too small (Cameron & Miller, Journal
# of Human Resources 50, 2015: 20 to 50).
_FEW_GROUPS = 30
# Standard deviations beyond which a dispersion is said to be another than Poisson's.
_UNUSUAL = 4.0
# Condition, of columns brought to length one, beyond which digits are lost that matter.
_CONDITION = 1e7

#: Rounding of numbers in single precision, in proportion, with room for sums of many.
SINGLE = 1e-5


def coding_caveats(coding: Coding) -> list[Caveat]:
    """Say how categories were coded."""
    return [Caveat("categories", sentence) for sentence in coding.sentences]


def intercept_caveats(one: Regression, restricted: bool) -> list[Caveat]:
    """Say what a regression without an intercept is compared with, and where one comes from."""
    regression, said = one.choice.likelihood.regression, []
    if one.has_constant:
        if not one.choice.model.has_intercept.any() and one.design.coding is None:
            said.append(
                Caveat(
                    "scaled-intercept",
                    "The network has no intercept; the regression has one because the scaler "
                    "shifts. The network could not choose it"
                    + (
                        ", and it is counted as no parameter."
                        if restricted
                        else ": it has one parameter less than the regression counts. "
                        "restricted=True (--restricted) counts what it has."
                    ),
                )
            )
        return said
    said.append(
        Caveat(
            "no-intercept",
            "The network has no intercept, so neither has the regression: "
            + (
                "R2 is uncentred and not comparable with that of a model that has one."
                if regression == "OLS"
                else f"the null model is {NULL[regression][1]}."
            ),
        )
    )
    level = one.constant_columns
    if level:
        said.append(
            Caveat(
                "constant-column",
                f"{some(level)} is the same in all rows: it acts as the intercept, of which R2 "
                "and the null model here know nothing.",
            )
        )
    return said


def design_caveats(moments: Moments, terms: list[str]) -> list[Caveat]:
    """Say which columns are linearly dependent, or nearly so."""
    if moments.dependent:
        dependent = [terms[i] for i in moments.dependent]
        return [
            Caveat(
                "dependent-columns",
                f"The columns {some(dependent)} are linearly dependent on these rows: their "
                "coefficients cannot be told apart. The optimum is the one nearest to the "
                "network's coefficients, and the standard errors are those of what the rows do "
                "determine (the minimum-norm solution in columns of equal length).",
            )
        ]
    condition = moments.condition
    if not condition > _CONDITION:
        return []
    near = [terms[i] for i in moments.nearly_dependent]
    digits = max(int(-np.log10(np.finfo(float).eps * min(condition, 1e16))), 0)
    return [
        Caveat(
            "ill-conditioned",
            f"The columns {some(near)} are nearly dependent (condition number {condition:.1g} "
            "with columns of equal length): rounding the data in their last digit moves the "
            f"coefficients; of them and their standard errors some {digits} digits are certain.",
        )
    ]


def saturation_caveats(moments: Moments, parameters: float) -> list[Caveat]:
    """Say so where the network's predictions are so extreme that its information is singular."""
    restricted = moments.tangent is not None
    if restricted or (moments.rank >= parameters and np.isfinite(moments.standard_errors).all()):
        return []
    return [
        Caveat(
            "saturated",
            "The network's predictions are so extreme on most of these rows that the rows say "
            "nothing about some coefficients there: the information at the network is singular to "
            "rounding, and the standard errors in its table are not those of all coefficients. The "
            "columns themselves are independent; use the refit.",
        )
    ]


def fit_caveats(one: Regression, moments: Moments) -> list[Caveat]:
    """Say so when the network predicts worse than no model at all, or a probability badly."""
    likelihood, response = one.choice.likelihood, one.response
    scaled = (one.request.scaler is not None, one.request.target_scaler is not None)
    if not likelihood.scaled:
        return _bad_fit(likelihood, -moments.value, -one.null, None, scaled)
    total = response.squares if one.has_constant else response.about_zero
    said = []
    if response.binary:
        said.append(
            Caveat(
                "zero-one-target",
                "The target is 0/1 and the output is linear: if the network was trained from "
                "logits, ask for the logistic regression with family='binomial' (--family "
                "binomial).",
            )
        )
    if total > 0:
        rss = moments.total
        said += _bad_fit(likelihood, rss, total, 1.0 - rss / total, scaled)
    return said


def group_caveats(cov_type: str, cov_kwds: dict[str, Any] | None, terms: int) -> list[Caveat]:
    """Say so where there are too few groups for what is computed from them.

    Parameters
    ----------
    cov_type : str
    cov_kwds : dict
        With groups and times as whole numbers.
    terms : int
        How many coefficients there are.
    """
    if not cov_type.startswith(("cluster", "hac-")):
        return []
    settings = cov_kwds or {}
    groups, time = settings.get("groups"), settings.get("time")
    if cov_type == "cluster" or (cov_type == "hac-panel" and groups is not None):
        ways = np.asarray(groups).reshape(len(np.asarray(groups)), -1).T
        if cov_type == "cluster":
            count = min(len(np.unique(way)) for way in ways)
        else:
            count = 1 + int((ways[0][1:] != ways[0][:-1]).sum())
    else:
        count = 1 + int((np.asarray(time)[1:] < np.asarray(time)[:-1]).sum())
    if count == 1 and settings.get("df_correction") is not False:
        return [
            Caveat(
                "few-groups",
                f"statsmodels counts one group for the {cov_type} covariance, because the times "
                "never start again from one row to the next; of a linear regression no degrees of "
                "freedom are left for p-values and intervals. Sort the rows by unit and then by "
                "time, or pass df_correction=False.",
            )
        ]
    return few_groups(count, terms) if cov_type == "cluster" else []


def few_groups(count: int, terms: int) -> list[Caveat]:
    """Say so where clusters are few.

    Parameters
    ----------
    count, terms : int
        Clusters, and coefficients.
    """
    if count >= _FEW_GROUPS and count > terms:
        return []
    return [
        Caveat(
            "few-groups",
            f"The standard errors rest on {count} groups, which is few: they tend to be too "
            "small."
            + (
                f" Joint tests of more than {count - 1} coefficients do not exist, and are "
                "shown as nan."
                if count <= terms
                else ""
            ),
        )
    ]


def _bad_fit(
    likelihood: Likelihood,
    network: float,
    null: float,
    r2: float | None,
    scaled: tuple[bool, bool],
) -> list[Caveat]:
    regression = likelihood.regression
    if network <= null:
        return []
    causes = []
    if not scaled[0]:
        causes.append(
            "the columns were scaled before training (give the scaler: --scale FILE.json, or "
            "scaler=)"
        )
    causes.append("the columns stand in another order")
    if likelihood.linear and not scaled[1]:
        causes.append(
            "the target was scaled or is in another unit (--scale-target or target_scaler=)"
        )
    if r2 is not None:
        how = f"R2 = {r2:.3g}"
    elif likelihood.linear:
        how = f"loss {network:.4g} against {null:.4g}"
    else:
        how = f"log-likelihood {-network:.4g} against {-null:.4g}"
    causes.append("this is not the target that the network was trained for")
    causes.append("training had not finished")
    return [
        Caveat(
            BAD_FIT,
            f"The network predicts this table worse than {NULL[regression][0]} would ({how}). "
            f"Usual causes: {'; '.join(causes)}.",
        )
    ]


def response_caveats(one: Regression, optimum: Optimum) -> list[Caveat]:
    """Say how labels were numbered, what is compared with what, and whether counts are counts."""
    said = []
    choice, design = one.choice, one.design
    name = printable(design.target)
    if design.labels:
        shown = [f"{printable(str(label))} is {n}" for n, label in enumerate(design.labels[:8])]
        more = ", ..." if len(design.labels) > 8 else ""
        said.append(
            Caveat(
                "labels",
                f"The classes of {name!r} were taken for numbers: {', '.join(shown)}{more}.",
            )
        )
    if choice.classes:
        first, *others = design.labels or choice.classes
        against = printable(str(others[0])) if len(others) == 1 else "each other class"
        said.append(
            Caveat(
                "contrasts",
                f"Coefficients are contrasts, of the unit of {against} with that of the base class "
                f"{printable(str(first))}; what is added to all units alike has no effect.",
            )
        )
    if choice.likelihood is POISSON:
        if not one.response.whole:
            said.append(
                Caveat(
                    "no-counts",
                    f"{name!r} holds numbers that are no counts: the coefficients are those of a "
                    "quasi-likelihood, and robust standard errors (cov_type='HC0') are wanted.",
                )
            )
        if optimum.converged:
            robust = one.request.cov_type not in ("nonrobust", "fixed scale")
            df = one.response.count - optimum.moments.rank
            said += dispersion_caveats(*one.pearson(optimum.params), df, robust)
    return said


def perfect_fit(exact: bool) -> list[Caveat]:
    """Say so when there are no errors to estimate anything from."""
    if not exact:
        return []
    return [
        Caveat(
            "perfect-fit",
            "On these rows the target is an exact linear function of the columns, up to rounding: "
            "there are no errors to estimate a variance from, and standard errors, tests and "
            "intervals mean nothing.",
        )
    ]


def rounding_caveats(gain: float, moved: Sequence[float]) -> list[Caveat]:
    """Say so when single precision of the weights is what keeps the network from the optimum.

    Parameters
    ----------
    gain : float
        What the step to the optimum gains.
    moved : sequence of float
        What it would have gained, from the optimum, had the weights been rounded at random.
    """
    if not moved or gain > 4.0 * max(moved):
        return []
    return [
        Caveat(
            "single-precision",
            "What separates the network from the optimum is the rounding of its weights to single "
            "precision, as networks whose weights are rounded otherwise are as far off: no longer "
            "training would bring it nearer. Scale the columns before training, or train and save "
            "in double precision.",
        )
    ]


def dropped_rows(count: int) -> Caveat:
    """Say how many rows were left out."""
    return Caveat("dropped-rows", f"{count} rows with missing or infinite values were left out.")


def streamed_caveats(
    likelihood: Likelihood,
    passes: int,
    last: float,
    there: bool,
    converged: bool,
    robust: bool,
) -> Caveat:
    """Say how the optimum was found on rows that were not kept.

    Parameters
    ----------
    likelihood : Likelihood
    passes : int
        How often the rows were read.
    last : float
        The last step of the search, in standard errors.
    there : bool
        Whether it was looked at where it led.
    converged : bool
        Whether there is an optimum.
    robust : bool
        Whether a covariance of scores was asked for.
    """
    often = "once" if passes == 1 else f"{passes} times"
    if likelihood.scaled:
        how = "the least-squares estimate is exact"
        if robust and not there:
            how += ", its robust covariance is made of the network's residuals"
    elif not converged:
        how = "no optimum was found"
    elif there:
        how = "the optimum was iterated until nothing changed"
    else:
        how = (
            f"the optimum is one step from where they were read last, of {last:.2g} standard "
            "errors, and its standard errors are those there; more passes (passes=, --passes) "
            "make it exact"
        )
    return Caveat(
        "streamed",
        f"The rows were streamed past {often} and not kept: {how}. What needs the rows themselves "
        "(residuals, influence) is not there.",
    )


def separation_caveats(terms: list[str]) -> list[Caveat]:
    """Say which terms tell the classes apart, so that no coefficient is large enough."""
    if not terms:
        return []
    return [
        Caveat(
            "separation",
            f"A combination of {some(terms)} tells the outcomes of these rows apart without "
            "error, at least for some of them: the likelihood grows for ever along it, and the "
            "network's finite coefficients are where its training stopped. A penalised fit "
            "(Firth, ridge) has an optimum; statsmodels' standard errors have no meaning here.",
        )
    ]


def unknown_separation(suspected: bool) -> list[Caveat]:
    """Say so where no optimum was found, and why is not known."""
    if not suspected:
        return []
    return [
        Caveat(
            "separation",
            "No finite optimum was found: the search goes ever further out along some combination "
            "of the terms, as it does where that tells the outcomes apart without error. That was "
            "not proved, for these rows are too many or the search itself failed.",
        )
    ]


def pearson_of(y: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """Return Pearson's statistic of counts, and its variance; both are sums over the rows."""
    mean = np.maximum(mean, 1e-300)
    return float(((y - mean) ** 2 / mean).sum()), float((2.0 + 1.0 / mean).sum())


def dispersion_caveats(chi2: float, variance: float, df: int, robust: bool = False) -> list[Caveat]:
    """Say so when counts vary more, or less, than Poisson counts do.

    Parameters
    ----------
    chi2, variance : float
        Pearson's statistic at the optimum, and its variance.
    df : int
        Degrees of freedom.
    robust : bool
        Whether the standard errors allow for it.

    Notes
    -----
    Pearson's statistic of Poisson counts has the variance ``sum(2 + 1 / mean)``, much more than
    that of a chi2 where the counts are rare (McCullagh, JRSS B 47, 1985). What is smaller than a
    tenth changes no standard error by more than a twentieth.
    """
    deviation = (chi2 - df) / float(np.sqrt(variance))
    if df <= 0 or abs(deviation) <= _UNUSUAL or abs(chi2 / df - 1.0) <= 0.1:
        return []
    ratio = chi2 / df
    remedy = (
        "the standard errors that were asked for allow for that, the log-likelihood and what rests "
        "on it do not."
        if robust
        else f"multiply the standard errors by {np.sqrt(ratio):.3g}, or ask for robust ones "
        "(cov_type='HC0', --cov-type HC0)."
    )
    return [
        Caveat(
            "dispersion",
            f"The counts vary {'more' if ratio > 1 else 'less'} than Poisson counts do (Pearson "
            f"chi2 / df = {ratio:.3g}): {remedy}",
        )
    ]
