"""statsmodels results of quantile and Huber's regression at coefficients that it did not estimate.

See `converter.regression.pinned`: what is returned are statsmodels' own classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.regression.linear_model import RegressionResultsWrapper
from statsmodels.regression.quantile_regression import QuantReg
from statsmodels.robust.norms import HuberT
from statsmodels.robust.robust_linear_model import RLM, RLMResultsWrapper

from converter.regression.formulas import with_formula
from converter.regression.moments import Moments
from converter.regression.robust import MEstimator
from converter.regression.robust_overrides import GivenQuantRegResults, GivenRLMResults


def robust_results(
    estimator: MEstimator,
    exog: pd.DataFrame,
    endog: pd.Series,
    params: np.ndarray,
    moments: Moments,
    iterations: int = 0,
    *,
    has_constant: bool,
    astray: str | None = None,
    label: str | None = None,
    cov_type: str = "nonrobust",
    cov_kwds: dict[str, Any] | None = None,
    estimated: float | None = None,
    rank: int | None = None,
) -> Any:
    """Return results at given parameters; arguments as for `converter.regression.pinned`."""
    rank = moments.rank if rank is None else rank
    estimated = float(rank) if estimated is None else estimated
    df_model = float(rank - int(has_constant))
    df_resid = float(len(endog) - estimated)
    X, y = exog.to_numpy(), endog.to_numpy()
    shape = estimator.shape(y, y - X @ params)
    if estimator.name == "huber":
        model: Any = RLM(endog, exog, M=HuberT(t=estimator.tuning / shape["scale"]))
        # statsmodels judges the rank in the columns' own units.
        model.df_model, model.df_resid = float(rank - 1), df_resid
        model.normalized_cov_params = moments.covariance
        model.scale = shape["scale"]
        model.weights = model.M.weights((y - X @ params) / shape["scale"])
        cov = "H1" if cov_type == "nonrobust" else cov_type
        results = GivenRLMResults(model, params, moments.covariance, shape["scale"], cov=cov)
        results.df_model = df_model
        results.fit_history = {
            "params": [params],
            "scale": [shape["scale"]],
            "iteration": iterations,
        }
        results.fit_options = {
            "cov": cov,
            "scale_est": "mad",
            "norm": "HuberT",
            "conv": "network weights" if iterations == 0 else "dev",
        }
        results._astray, results._label = astray, label
        return with_formula(RLMResultsWrapper(results), has_constant)
    model = QuantReg(endog, exog, hasconst=has_constant)
    model.rank, model.df_model, model.df_resid = rank, df_model, df_resid
    if cov_type == "iid":
        covariance = estimator.variance(y) * shape["sparsity"] ** 2 * moments.covariance
    else:
        covariance = estimator.covariance(X, y, params, moments)
    results = GivenQuantRegResults(model, params, normalized_cov_params=covariance)
    results.q, results.iterations = estimator.tuning, iterations
    results.sparsity, results.bandwidth = shape["sparsity"], shape["bandwidth"]
    results._astray, results._label = astray, label
    results.history = {"params": [params], "mse": []}
    return with_formula(RegressionResultsWrapper(results), has_constant)
