"""statsmodels results objects at coefficients that statsmodels did not estimate.

The only module that touches statsmodels' results classes. What it returns are those classes
themselves, with nothing of ours inside, so that they can be saved and loaded anywhere. What
statsmodels would derive by assuming that the parameters minimise the loss is computed as a Wald
statistic at the parameters and put into the objects' own cache.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.base.model import LikelihoodModelResults
from statsmodels.discrete.discrete_model import (
    BinaryResultsWrapper,
    Logit,
    LogitResults,
    MNLogit,
    MultinomialResults,
    MultinomialResultsWrapper,
    Poisson,
    PoissonResults,
    PoissonResultsWrapper,
    Probit,
    ProbitResults,
)
from statsmodels.regression.linear_model import (
    OLS,
    WLS,
    OLSResults,
    RegressionResults,
    RegressionResultsWrapper,
)

from converter.regression.families import Likelihood
from converter.regression.moments import Moments


def ols_results(
    exog: pd.DataFrame,
    endog: pd.Series,
    params: np.ndarray,
    moments: Moments,
    rss: float,
    *,
    has_constant: bool,
    weights: np.ndarray | None = None,
    cov_type: str = "nonrobust",
    cov_kwds: dict[str, Any] | None = None,
    estimated: float | None = None,
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
    weights : ndarray, shape (n,), optional
    cov_type, cov_kwds
        As statsmodels takes them.
    estimated : float, optional
        Parameters that were estimated from these rows; by default the rank.
    covariance : ndarray, shape (p, p), optional
        Of the parameters, where it is not the scale times that of `moments`.
    """
    estimated = float(moments.rank) if estimated is None else estimated
    if weights is None:
        model: Any = OLS(endog, exog, hasconst=has_constant)
    else:
        model = WLS(endog, exog, weights=weights, hasconst=has_constant)
    df_resid = float(len(endog) - estimated)
    scale = rss / df_resid
    together = covariance is not None
    covariance = moments.covariance if covariance is None else covariance / scale
    # statsmodels judges the rank in the columns' own units, and only when it fits.
    model.rank = moments.rank
    model.df_model = float(moments.rank - int(has_constant))
    model.df_resid = df_resid
    model.normalized_cov_params = covariance
    model.pinv_wexog = covariance @ np.asarray(model.wexog).T
    model.wexog_singular_values = np.linalg.svd(moments.design.astype(np.float64), compute_uv=False)
    model._data_attr.extend(["pinv_wexog"])
    kind = OLSResults if weights is None else RegressionResults
    results = kind(
        model,
        params,
        normalized_cov_params=covariance,
        scale=scale,
        cov_type=cov_type,
        cov_kwds=dict(cov_kwds or {}),
    )
    # The constructor drops the scale it is given and would sum rounded residuals again.
    results._cache["ssr"], results._cache["scale"] = rss, np.float64(scale)
    slopes = moments.rank - int(has_constant)
    statistic = np.nan
    if slopes:
        if cov_type == "nonrobust" and not together and moments.tangent is None:
            with np.errstate(divide="ignore", invalid="ignore"):
                statistic = _explained(model, params, has_constant) / results.scale / slopes
        else:
            statistic = _wald(results, has_constant) / slopes
    # Clusters leave fewer degrees of freedom than rows do.
    denominator = getattr(results, "df_resid_inference", None) or model.df_resid
    results._cache["fvalue"] = statistic
    results._cache["f_pvalue"] = stats.f.sf(statistic, slopes, denominator) if slopes else np.nan
    return RegressionResultsWrapper(results)


def likelihood_results(
    likelihood: Likelihood,
    exog: pd.DataFrame,
    endog: pd.Series,
    y: np.ndarray,
    params: np.ndarray,
    moments: Moments,
    *,
    has_constant: bool,
    method: str,
    converged: bool = True,
    iterations: int = 0,
    cov_type: str = "nonrobust",
    cov_kwds: dict[str, Any] | None = None,
    estimated: float | None = None,
) -> Any:
    """Return maximum-likelihood results at given parameters; others as for `ols_results`.

    Parameters
    ----------
    likelihood : Likelihood
    endog : Series, shape (n,)
        As statsmodels wants it: of several classes, the labels.
    y : ndarray, shape (n,)
        As `likelihood` wants it.
    method : str
        What the summary says of how the parameters came about.
    converged : bool
    iterations : int
    """
    kind, results_kind, wrapper = _KINDS[likelihood.regression]
    model = kind(endog, exog, check_rank=False, hasconst=has_constant)
    equations = moments.terms // exog.shape[1]
    slopes = moments.rank - equations * int(has_constant)
    estimated = float(moments.rank) if estimated is None else estimated
    model.df_model, model.df_resid = float(slopes), float(len(endog) - estimated)
    robust = {"cov_type": cov_type, "cov_kwds": dict(cov_kwds or {})}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        fit = LikelihoodModelResults(
            model, params, moments.covariance, scale=1.0, use_t=False, **robust
        )
        fit.mle_retvals = {"converged": converged, "iterations": iterations}
        fit.mle_settings = {"optimizer": method, "start_params": None}
        if likelihood.regression == "MNLogit":
            fit.params = params.reshape(exog.shape[1], -1, order="F")
        results = results_kind(model, fit)
    results.method = method
    llf, llnull = likelihood.total(exog.to_numpy(), y, params), likelihood.null(y, has_constant)
    results.set_null_options(llnull=llnull, attach_results=False)
    # statsmodels' own overflows far from the optimum, and counts df_model + 1 parameters,
    # intercept or not.
    results._cache["llf"] = llf
    results._cache["aic"] = -2.0 * llf + 2.0 * estimated
    results._cache["bic"] = -2.0 * llf + np.log(len(endog)) * estimated
    results._cache["llr_pvalue"] = stats.chi2.sf(2.0 * (llf - llnull), slopes) if slopes else np.nan
    return wrapper(results)


_KINDS: dict[str, tuple[Any, Any, Any]] = {
    "Logit": (Logit, LogitResults, BinaryResultsWrapper),
    "MNLogit": (MNLogit, MultinomialResults, MultinomialResultsWrapper),
    "Poisson": (Poisson, PoissonResults, PoissonResultsWrapper),
    "Probit": (Probit, ProbitResults, BinaryResultsWrapper),
}


def _explained(model: Any, params: np.ndarray, has_constant: bool) -> Any:
    """Return the sum of squares of the fitted values about their mean.

    Over the scale it is the Wald statistic of all slopes (Frisch, Waugh and Lovell), without
    inverting a covariance, and whatever the rank.
    """
    fitted = np.asarray(model.exog) @ params
    weights = np.broadcast_to(np.asarray(model.weights), fitted.shape)
    center = np.average(fitted, weights=weights) if has_constant else 0.0
    return weights @ (fitted - center) ** 2


def _wald(results: Any, has_constant: bool) -> float:
    """Return the Wald statistic of all slopes at the parameters (not divided by their number)."""
    chosen = slice(1 if has_constant else 0, None)
    slopes = np.asarray(results.params)[chosen]
    covariance = np.asarray(results.cov_params())[chosen, chosen]
    if not len(slopes):
        return float("nan")
    # Correlations are better conditioned than covariances of columns in different units.
    deviations = np.sqrt(np.diag(covariance))
    if not (deviations > 0).all():
        return float("inf") if slopes.any() else float("nan")
    correlation = covariance / np.outer(deviations, deviations)
    z = slopes / deviations
    return float(z @ np.linalg.lstsq(correlation, z, rcond=None)[0])
