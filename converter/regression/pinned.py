"""statsmodels results objects at coefficients that statsmodels did not estimate.

With `overrides`, the only module that touches statsmodels' results classes. What is returned are
those classes' own wrappers around subclasses that are saved as statsmodels' own, so that they can
be loaded anywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.base.covtype import get_robustcov_results
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.discrete.discrete_model import (
    BinaryResultsWrapper,
    Logit,
    MNLogit,
    MultinomialResultsWrapper,
    Poisson,
    PoissonResultsWrapper,
    Probit,
)
from statsmodels.regression.linear_model import (
    OLS,
    WLS,
    RegressionResultsWrapper,
)

from converter.regression.families import Likelihood
from converter.regression.formulas import with_formula
from converter.regression.likelihood_overrides import (
    GivenLogitResults,
    GivenMultinomialResults,
    GivenPoissonResults,
    GivenProbitResults,
)
from converter.regression.moments import Moments
from converter.regression.overrides import GivenOLSResults, GivenWLSResults


def ols_results(
    exog: pd.DataFrame,
    endog: pd.Series,
    params: np.ndarray,
    moments: Moments,
    rss: float,
    *,
    has_constant: bool,
    astray: str | None = None,
    label: str | None = None,
    weights: np.ndarray | None = None,
    cov_type: str = "nonrobust",
    cov_kwds: dict[str, Any] | None = None,
    estimated: float | None = None,
    rank: int | None = None,
    covariance: np.ndarray | None = None,
) -> RegressionResultsWrapper:
    """Return OLS (or WLS) results at given parameters.

    Parameters
    ----------
    exog : DataFrame, shape (n, p)
        With the intercept column, if any.
    endog : Series, shape (n,)
    params : ndarray, shape (p,)
    moments : Moments
        At `params`.
    rss : float
        Weighted residual sum of squares at `params`.
    has_constant : bool
        Whether the model has an intercept; R2 is uncentred without.
    astray : str, optional
        How far `params` are from the optimum, in words, if they are not it: methods that only
        make sense there then refuse.
    label : str, optional
        What the summary says of how the parameters came about, if not by a fit.
    weights : ndarray, shape (n,), optional
    cov_type, cov_kwds
        As statsmodels takes them.
    estimated : float, optional
        Parameters that were estimated from these rows; by default the rank.
    rank : int, optional
        Of the columns; by default that of `moments`.
    covariance : ndarray, shape (p, p), optional
        Of the parameters, where it is not the scale times that of `moments`.
    """
    if weights is None:
        model: Any = OLS(endog, exog, hasconst=has_constant)
    else:
        model = WLS(endog, exog, weights=weights, hasconst=has_constant)
    results = given_regression(
        GivenOLSResults if weights is None else GivenWLSResults,
        model,
        params,
        moments,
        rss,
        len(endog),
        astray=astray,
        label=label,
        cov_type=cov_type,
        cov_kwds=cov_kwds,
        estimated=estimated,
        rank=rank,
        covariance=covariance,
    )
    model._data_attr.extend(["pinv_wexog"])
    adjust_nothing(results)
    check_variances(results, cov_type)
    return with_formula(RegressionResultsWrapper(results), has_constant)


def given_regression(
    kind: Any,
    model: Any,
    params: np.ndarray,
    moments: Moments,
    rss: float,
    nobs: int,
    *,
    astray: str | None = None,
    label: str | None = None,
    cov_type: str = "nonrobust",
    cov_kwds: dict[str, Any] | None = None,
    estimated: float | None = None,
    rank: int | None = None,
    covariance: np.ndarray | None = None,
) -> Any:
    """Return the results of a model at given parameters, without a wrapper.

    Parameters
    ----------
    kind : type
    model : OLS or WLS
    nobs : int
    params, moments, rss, ...
        As for `ols_results`.
    """
    rank = moments.rank if rank is None else rank
    estimated = float(rank) if estimated is None else estimated
    df_resid = float(nobs - estimated)
    scale = rss / df_resid
    together = covariance is not None
    covariance = moments.covariance if covariance is None else covariance / scale
    # statsmodels judges the rank in the columns' own units, and only when it fits.
    model.rank = rank
    model.df_model = float(rank - int(model.k_constant))
    model.df_resid = df_resid
    model.normalized_cov_params = covariance
    wexog, inverse = np.asarray(model.wexog), moments.inverse.astype(np.float64)
    # In this order the digits of the columns' condition are lost once, not twice.
    model.pinv_wexog = covariance @ wexog.T if together else inverse @ (inverse.T @ wexog.T)
    model.wexog_singular_values = np.linalg.svd(moments.design.astype(np.float64), compute_uv=False)
    # Sandwiches of pinv_wexog are statsmodels' own; others it makes in the columns' own units.
    own = cov_type.startswith(("HC", "fixed", "nonrobust")) or together
    results = kind(
        model,
        params,
        normalized_cov_params=covariance,
        scale=scale,
        cov_type=cov_type if own else "nonrobust",
        cov_kwds=dict(cov_kwds or {}) if own else {},
    )
    if not own:
        scores = wexog * (np.asarray(model.wendog) - wexog @ params)[:, None]
        put(results, _robust(scores, moments, cov_type, cov_kwds or {}))
    results._astray, results._label = astray, label
    # The constructor drops the scale it is given and would sum rounded residuals again.
    results._cache["ssr"] = rss
    if cov_type != "fixed scale":
        results._cache["scale"] = np.float64(scale)
    results._tied = together or moments.tangent is not None
    return results


def likelihood_results(
    likelihood: Likelihood,
    exog: pd.DataFrame,
    endog: pd.Series,
    y: np.ndarray,
    params: np.ndarray,
    moments: Moments,
    llnull: float,
    *,
    has_constant: bool,
    astray: str | None = None,
    label: str | None = None,
    converged: bool = True,
    iterations: int = 0,
    cov_type: str = "nonrobust",
    cov_kwds: dict[str, Any] | None = None,
    estimated: float | None = None,
    rank: int | None = None,
) -> Any:
    """Return maximum-likelihood results at given parameters; others as for `ols_results`.

    Parameters
    ----------
    likelihood : Likelihood
    endog : Series, shape (n,)
        As statsmodels wants it: of several classes, the labels.
    y : ndarray, shape (n,)
        As `likelihood` wants it.
    llnull : float
        Log-likelihood without regressors.
    converged : bool
    iterations : int
    """
    kind, results_kind, wrapper = KINDS[likelihood.regression]
    model = kind(endog, exog, check_rank=False, hasconst=has_constant)
    robust = {}
    if cov_type != "nonrobust":
        scores = _scores(likelihood, exog.to_numpy(), y, params)
        robust = _robust(scores, moments, cov_type, cov_kwds or {})
    results = given_likelihood(
        results_kind,
        model,
        params,
        moments,
        len(endog),
        (likelihood.total(exog.to_numpy(), y, params), llnull),
        robust,
        astray=astray,
        label=label,
        converged=converged,
        iterations=iterations,
        estimated=estimated,
        rank=rank,
    )
    check_variances(results, cov_type)
    return with_formula(wrapper(results), has_constant)


def given_likelihood(
    kind: Any,
    model: Any,
    params: np.ndarray,
    moments: Moments,
    nobs: int,
    values: tuple[float, float],
    robust: Mapping[str, Any],
    *,
    astray: str | None = None,
    label: str | None = None,
    converged: bool = True,
    iterations: int = 0,
    estimated: float | None = None,
    rank: int | None = None,
) -> Any:
    """Return the results of a model at given parameters, without a wrapper.

    Parameters
    ----------
    kind : type
    model : statsmodels model
    nobs : int
    values : tuple of float
        Log-likelihood, and that without regressors.
    robust : mapping
        What statsmodels sets on results with a robust covariance.
    params, moments, ...
        As for `likelihood_results`.
    """
    (llf, llnull), width = values, model.exog.shape[1]
    rank = moments.rank if rank is None else rank
    estimated = float(rank) if estimated is None else estimated
    slopes = rank - moments.terms // width * int(model.k_constant)
    model.df_model, model.df_resid = float(slopes), float(nobs - estimated)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        fit = LikelihoodModelResults(
            model, params, moments.covariance, scale=1.0, use_t=False, cov_type="nonrobust"
        )
        put(fit, robust)
        method = label or "MLE"
        fit.mle_retvals = {"converged": converged, "iterations": iterations}
        fit.mle_settings = {"optimizer": method, "start_params": None}
        if isinstance(model, MNLogit):
            fit.params = params.reshape(width, -1, order="F")
        results = kind(model, fit)
    results.method = method
    results._astray, results._label = astray, label
    results.set_null_options(llnull=llnull, attach_results=False)
    # statsmodels' own overflows far from the optimum, and counts df_model + 1 parameters,
    # intercept or not.
    results._cache["llf"] = llf
    results._cache["aic"] = -2.0 * llf + 2.0 * estimated
    results._cache["bic"] = -2.0 * llf + np.log(nobs) * estimated
    results._cache["llr_pvalue"] = stats.chi2.sf(2.0 * (llf - llnull), slopes) if slopes else np.nan
    return results


#: Model, results and wrapper of each regression, by its name.
KINDS: dict[str, tuple[Any, Any, Any]] = {
    "Logit": (Logit, GivenLogitResults, BinaryResultsWrapper),
    "MNLogit": (MNLogit, GivenMultinomialResults, MultinomialResultsWrapper),
    "Poisson": (Poisson, GivenPoissonResults, PoissonResultsWrapper),
    "Probit": (Probit, GivenProbitResults, BinaryResultsWrapper),
}


def _scores(
    likelihood: Likelihood, exog: np.ndarray, y: np.ndarray, params: np.ndarray
) -> np.ndarray:
    """Return the score of each observation, shape (n, p)."""
    design, residual = likelihood.rows(exog, y, params)
    return np.asarray((design * residual[:, None]).reshape(len(exog), -1, len(params)).sum(axis=1))


def _robust(
    scores: np.ndarray, moments: Moments, cov_type: str, cov_kwds: dict[str, Any]
) -> dict[str, Any]:
    """Return what statsmodels sets on results with a robust covariance.

    Its sandwich is made in a basis in which the columns are orthonormal: in the columns' own units
    it would lose twice the digits of their condition, and statsmodels would invert the information
    there, and none of a rank-deficient design.
    """
    if cov_type == "fixed scale":
        raise ValueError("cov_type 'fixed scale' is for a regression with a residual variance")
    back = moments.inverse.astype(np.float64)
    inside = scores @ back
    found = SimpleNamespace(
        model=SimpleNamespace(wexog=inside),
        wresid=np.ones(len(scores)),
        normalized_cov_params=np.eye(inside.shape[1]),
    )
    get_robustcov_results(found, cov_type, use_self=True, **{"use_t": False, **cov_kwds})
    found.cov_params_default = back @ found.cov_params_default @ back.T
    own = ("model", "wresid", "normalized_cov_params")
    return {name: one for name, one in vars(found).items() if name not in own}


def put(results: Any, robust: Mapping[str, Any]) -> None:
    """Set on results what statsmodels sets where their covariance is a robust one."""
    for name, value in robust.items():
        setattr(results, name, value)


def adjust_nothing(results: Any) -> None:
    """Leave R2 as it is where nothing was estimated."""
    if results.df_resid == results.nobs:
        results._cache["rsquared_adj"] = results.rsquared


def check_variances(results: Any, cov_type: str) -> None:
    """Refuse a covariance that is none.

    Raises
    ------
    ValueError
        If a variance is negative.
    """
    variances = np.diag(results.cov_params())
    if (variances < 0).any():
        raise ValueError(
            f"the {cov_type} covariance has negative variances on these rows, as two-way clusters "
            "and kernels without positive weights can have: cluster one way, or choose another"
        )
