"""How far the network's coefficients are from the optimum, measured and tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from converter.regression.families import Likelihood
from converter.regression.moments import Moments
from converter.regression.passes import columns_of, moments_at
from converter.regression.robust import MEstimator, rounding_of

_OPTIMUM = 0.01
_CLOSE = 0.1
_SIGNIFICANT = 0.05
_MAX_ITERATIONS = 100
# Differences from the optimum, in standard errors, that are rounding errors.
_SAME = 1e-9
# Linear predictors that are large, and errors of them that leave nothing known.
_FAR, _UNKNOWN = 4.0, 4.0
# Part of a Newton step below which no part of it helps.
_SHORTEST = 1e-13
# Half of it is what is left to gain: near the optimum, and where a full step is always right.
_NEAR, _CLOSE_BY = 1e-10, 1e-2
# Roundings that a fitted value may have gone through, beside those of the data.
_ROUNDINGS = 4.0
# Half the squared Newton decrement bounds how much log-likelihood is left to gain.
_DECREMENT = 1e-18


@dataclass(frozen=True, slots=True)
class Optimum:
    """The least-squares or maximum-likelihood estimate on the same rows.

    Parameters
    ----------
    params : ndarray of float64, shape (p,)
    moments : Moments
        At `params`.
    converged : bool
        False if there is no finite optimum (separated classes), or none was found.
    iterations : int
    doubted : bool
        Whether what was found may be the bound of a likelihood that has no maximum.
    covariance : ndarray, shape (p, p), or None
        Of the coefficients, where it is not that of `moments`.
    """

    params: np.ndarray
    moments: Moments
    converged: bool
    iterations: int
    doubted: bool = False
    covariance: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Optimality:
    """Network against optimum.

    Parameters
    ----------
    drift : dict of str to float
        By term: (network - optimum) / standard error at the optimum.
    max_drift : float
        The largest in absolute value.
    statistic : float
        Gaussian: ``F = ((RSS_net - RSS_hat) / p) / s2_hat``; else the score statistic
        ``g' V^-1 g`` at the network, with V the information (of quantile and Huber regression the
        variance of the gradient).
    pvalue : float
        Of `statistic` under F(p, n - p) or chi2(p).
    df : tuple of int
        ``(p, n - p)`` or ``(p,)``.
    verdict : {"optimum", "close", "not at the optimum", "consistent", "contradicted"}
        Largest drift at most 0.01, at most 0.1, or more; also "not at the optimum" when the test
        rejects (collinear terms can hide a joint drift). The last two are of rows that the network
        never saw: whether the test rejects its coefficients.
    converged : bool
        False if no finite optimum exists on these rows.
    """

    drift: dict[str, float]
    max_drift: float
    statistic: float
    pvalue: float
    df: tuple[int, ...]
    verdict: str
    converged: bool

    def to_dict(self) -> dict[str, object]:
        """Return the result as plain Python values, ready for JSON."""
        return {
            "verdict": self.verdict,
            "max_drift": self.max_drift,
            "drift": dict(self.drift),
            "statistic": self.statistic,
            "pvalue": self.pvalue,
            "df": list(self.df),
            "converged": self.converged,
        }


def optimum_of(
    family: Likelihood,
    X: np.ndarray,
    y: np.ndarray,
    start: np.ndarray,
    at_start: Moments,
    weights: np.ndarray | None = None,
) -> Optimum:
    """Find the optimum by Newton's method (Fisher scoring) with step halving.

    Parameters
    ----------
    family : Likelihood
    X : ndarray of float64, shape (n, p)
    y : ndarray of float64, shape (n,)
    start : ndarray of float64, shape (p,)
        The network's coefficients.
    at_start : Moments
        At `start`. For the Gaussian family one step from there is exact.
    weights : ndarray, shape (n,), optional
    """
    if family.scaled:
        params = start + at_start.step
        moments = moments_at(family, X, y, params, weights, at_start)
        # A second step from the first repairs what cancellation cost it: iterative refinement.
        params = params + moments.step
        return Optimum(params, moments_at(family, X, y, params, weights, at_start), True, 2)
    if isinstance(family, MEstimator):
        return _minimise(family, X, y, start, at_start)
    found = _maximise(family, X, y, start, at_start)
    if not found.converged and start.any() and at_start.tangent is None:
        zero = np.zeros_like(start)
        again = _maximise(family, X, y, zero, moments_at(family, X, y, zero))
        found = again if again.converged else found
    return found


def _minimise(
    family: MEstimator, X: np.ndarray, y: np.ndarray, start: np.ndarray, at_start: Moments
) -> Optimum:
    along = at_start.tangent
    if (np.abs(y - X @ start) <= rounding_of(X, start)).all():  # no loss is smaller
        params, converged, iterations = start, True, 0
    elif along is None:
        params, converged, iterations = family.minimise(X, y, start)
    else:
        moved, converged, iterations = family.minimise(
            X @ along, y - X @ start, np.zeros(along.shape[1])
        )
        params = start + along @ moved
    moments = moments_at(family, X, y, params, None, at_start)
    covariance = family.covariance(X, y, params, moments)
    return Optimum(params, moments, converged, iterations, covariance=covariance)


def _maximise(
    family: Likelihood,
    X: np.ndarray,
    y: np.ndarray,
    params: np.ndarray,
    moments: Moments,
) -> Optimum:
    before = np.inf
    for iteration in range(1, _MAX_ITERATIONS + 1):
        decrement, value = moments.gain, moments.value
        # Rounding errors keep it from zero: near the optimum it no longer falls.
        floor = decrement < _NEAR and decrement > before / 4.0
        if decrement <= _DECREMENT * max(1.0, abs(value)) or floor:
            if moments.tangent is None and moments.rank < columns_of(X, moments).rank * (
                len(params) // X.shape[1]
            ):
                # Rows that say nothing here hide a direction, and the gradient along it.
                return Optimum(params, moments, False, iteration, True)
            doubted = in_doubt(
                moments,
                family.furthest(X, params),
                lambda: np.abs(X).max(axis=0),
                iteration,
            )
            if not doubted:  # the step is known, and squares what error is left
                params = params + moments.step
                if moments.extended:  # of many rows, the state there is the same to its digits
                    moments = moments_at(family, X, y, params, None, moments)
            return Optimum(params, moments, True, iteration, doubted)
        before, step, scale = decrement, moments.step, 1.0
        while True:
            trial = params + scale * step
            reached = moments_at(family, X, y, trial, None, moments)
            gained = reached.value
            # Close by, a full step never fails, whatever is left of the difference of two sums.
            if np.isfinite(gained) and (
                decrement < _CLOSE_BY or gained >= value - 1e-12 * abs(value)
            ):
                break
            scale /= 2.0
            if scale < _SHORTEST:
                return Optimum(params, moments, False, iteration, True)
        params, moments = trial, reached
    return Optimum(params, moments, False, _MAX_ITERATIONS, True)


def in_doubt(
    moments: Moments, furthest: float, reach: Callable[[], np.ndarray], iterations: int
) -> bool:
    """Tell a likelihood that may have run into its bound from one that has a maximum.

    Parameters
    ----------
    moments : Moments
        Where the search came to its end.
    furthest : float
        The largest linear predictor there, in absolute value.
    reach : callable
        Returns the largest absolute value of each column, shape (p,).
    iterations : int
        Of Newton's method.

    Notes
    -----

    Separated classes let Newton's method gain about one unit of the linear predictor each
    iteration, for ever, while a maximum is reached in a dozen. And where it started far out, they
    leave a linear predictor that is large and not known at all.
    """
    if moments.value > -1e-6:
        return True
    if furthest <= _FAR:
        return False
    reached = reach()
    uncertain = float((moments.standard_errors.reshape(-1, len(reached)) * reached).max())
    return iterations > 12 or not uncertain <= _UNKNOWN


def compare(
    family: Likelihood,
    names: list[str],
    network: np.ndarray,
    at_network: Moments,
    optimum: Optimum,
    *,
    variance: float = 1.0,
    gain: float | None = None,
    evaluated: bool = False,
) -> Optimality:
    """Measure the distance between the network's coefficients and the optimum.

    The quadratic form of the difference is a sum of squares of ``Q' residual``, never a
    difference of two sums of squares and never an inverse of a covariance.

    Parameters
    ----------
    family : Likelihood
    names : list of str
    network : ndarray, shape (p,)
    at_network : Moments
    optimum : Optimum
    variance : float
        Of the derivative of the loss with respect to the linear predictor, in units of the
        information.
    gain : float, optional
        What a step from the network gains, where `at_network` does not say it.
    evaluated : bool
        The network never saw these rows: the test is one of its coefficients, not of its training.
    """
    gained = at_network.gain if gain is None else gain
    rank, nobs = at_network.rank, at_network.nobs
    errors = optimum.moments.standard_errors
    if family.scaled:
        exact = _exact(optimum.params, optimum.moments)
        scale = 0.0 if exact else optimum.moments.remainder / (nobs - rank)
        errors = errors * np.sqrt(scale)
        statistic = _ratio(gained / rank, scale) if rank else 0.0
        pvalue = float(stats.f.sf(statistic, rank, nobs - rank))
        df: tuple[int, ...] = (rank, nobs - rank)
    else:
        if optimum.covariance is not None:
            errors = np.sqrt(np.diag(optimum.covariance))
        statistic, df = gained / variance, (rank,)
        pvalue = float(stats.chi2.sf(statistic, rank))
    if not rank:  # nothing can move: there is nothing to test
        pvalue = 1.0
    differences = network - optimum.params
    if isinstance(family, MEstimator) and (np.abs(differences) <= _SAME * errors).all():
        # Where the loss has an edge, its derivative there is none.
        statistic, pvalue = 0.0, 1.0
    if family.scaled and exact and _exact(network, at_network, gained):
        differences, statistic, pvalue = np.zeros_like(differences), 0.0, 1.0
    return verdict_of(
        names,
        differences,
        errors,
        (statistic, pvalue, df),
        converged=optimum.converged,
        evaluated=evaluated,
    )


def verdict_of(
    names: list[str],
    differences: np.ndarray,
    errors: np.ndarray,
    test: tuple[float, float, tuple[int, ...]],
    *,
    converged: bool = True,
    evaluated: bool = False,
) -> Optimality:
    """Judge differences from the optimum.

    Parameters
    ----------
    names : list of str
    differences, errors : ndarray, shape (p,)
        Network minus optimum, and the standard errors there.
    test : tuple
        Statistic, its p-value, and its degrees of freedom.
    converged, evaluated : bool
        As for `compare`.
    """
    statistic, pvalue, df = test
    drift = {
        name: _ratio(float(difference), float(error))
        for name, difference, error in zip(names, differences, errors, strict=True)
    }
    if not converged:
        drift = dict.fromkeys(drift, float("nan"))
    largest = max(abs(value) for value in drift.values())
    if evaluated:
        verdict = "contradicted" if pvalue < _SIGNIFICANT else "consistent"
    elif not converged or largest > _CLOSE or pvalue < _SIGNIFICANT:
        verdict = "not at the optimum"
    else:
        verdict = "optimum" if largest <= _OPTIMUM else "close"
    return Optimality(drift, largest, statistic, pvalue, df, verdict, converged)


def fits_exactly(optimum: Optimum) -> bool:
    """Tell whether a least-squares estimate leaves nothing but rounding errors."""
    return _exact(optimum.params, optimum.moments)


def is_exact(family: Likelihood, X: np.ndarray, y: np.ndarray, optimum: Optimum) -> bool:
    """Tell whether the optimum of a linear response leaves nothing but rounding errors."""
    if family.scaled:
        return fits_exactly(optimum)
    if not isinstance(family, MEstimator):
        return False
    return bool((np.abs(y - X @ optimum.params) <= rounding_of(X, optimum.params)).all())


def _exact(params: np.ndarray, moments: Moments, beyond: float = 0.0) -> bool:
    """Tell whether coefficients fit the response up to rounding errors.

    What is left of the response is then no estimate of a variance. Fitted values are rounded by
    some units in the last place of what they are sums of: in the norm, at most of that of each
    column times its coefficient.
    """
    lengths = np.sqrt((moments.design.astype(np.float64) ** 2).sum(axis=0))
    noise = _ROUNDINGS * np.finfo(float).eps * float(lengths @ np.abs(params))
    return bool(np.sqrt(max(moments.remainder, beyond)) <= noise)


def _ratio(a: float, b: float) -> float:
    """Return a / b, with 0 / 0 = 0 (a perfect fit reproduced perfectly)."""
    if b == 0.0:
        return 0.0 if a == 0.0 else float(np.copysign(np.inf, a))
    return a / b
