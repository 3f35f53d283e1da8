"""Robust covariances of rows that were streamed past, from sums of their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from statsmodels.base.covtype import descriptions

from converter.regression.families import Likelihood
from converter.regression.moments import Moments
from converter.regression.streams.sums import Groups, State

#: Kinds of covariance that a pass can sum up.
KINDS = ("nonrobust", "fixed scale", "HC0", "HC1", "cluster")
#: Those that are statsmodels' HC0 of all regressions but linear ones.
ALIKE = ("HC2", "HC3")


def robust_of(
    likelihood: Likelihood,
    state: State,
    moments: Moments,
    cov_type: str,
    cov_kwds: dict[str, Any] | None,
    df_resid: float,
) -> dict[str, Any]:
    """Return what statsmodels sets on results with a robust covariance; nothing of another.

    Parameters
    ----------
    likelihood : Likelihood
    state : State
        With the sums of scores at the coefficients, or near them.
    moments : Moments
        There.
    cov_type, cov_kwds
        As statsmodels takes them.
    df_resid : float
        Rows less parameters that were estimated.

    Notes
    -----
    White (Econometrica 48, 1980); Cameron, Gelbach & Miller (Journal of Business & Economic
    Statistics 29, 2011) for two ways of grouping. Corrections for small samples are statsmodels'.
    """
    if not cov_type.startswith(("HC", "cluster")):
        return {}
    assert state.products is not None
    nobs, settings = state.products.nobs, dict(cov_kwds or {})
    # From scores to coefficients.
    inverse = moments.inverse.astype(np.float64)
    back = np.kron(np.eye(likelihood.equations), state.plan.basis.back)
    out = inverse if state.plan.scores is not None else inverse @ (inverse.T @ back.T)
    told: dict[str, Any] = {
        "use_t": False,
        "adjust_df": False,
        "description": descriptions[cov_type],
    }
    found = {"cov_type": cov_type, "use_t": False, "cov_kwds": told}
    if cov_type != "cluster":
        # statsmodels corrects linear regressions only.
        factor = nobs / df_resid if cov_type == "HC1" and likelihood.scaled else 1.0
        told["scaling_factor"] = None
        return {**found, "cov_params_default": factor * (out @ state.meat @ out.T)}
    corrected = settings.get("use_correction", True)

    def part(one: Groups) -> np.ndarray:
        with np.errstate(divide="ignore"):
            factor = (
                one.count / (one.count - 1.0) * (np.float64(nobs - 1.0) / (nobs - moments.terms))
            )
        return np.asarray((factor if corrected else 1.0) * (out @ one.meat @ out.T))

    parts = [part(one) for one in state.groups]
    covariance = parts[0] if len(parts) == 1 else parts[0] + parts[1] - parts[2]
    counts = [one.count for one in state.groups[:2]]
    adjusted = settings.get("df_correction") is not False
    told |= {"adjust_df": adjusted, "use_correction": corrected, "scaling_factor": None}
    if adjusted:
        found["n_groups"] = counts[0] if len(counts) == 1 else tuple(counts)
        found["df_resid_inference"] = min(counts) - 1
    return {**found, "cov_params_default": covariance}
