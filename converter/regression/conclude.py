"""From a regression and its rows to a conversion: estimate, compare, and say what to know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converter.errors import DataError, printable
from converter.regression.arguments import kept_of
from converter.regression.caveats import Caveat, network, rows
from converter.regression.conversion import Conversion
from converter.regression.moments import Moments
from converter.regression.optimality import Optimality, Optimum, compare, is_exact, optimum_of
from converter.regression.passes import columns_of
from converter.regression.prepared import Prepared, Regression
from converter.regression.restriction import Restriction
from converter.regression.robust import MEstimator

# Sums of squares of larger numbers overflow.
_LARGEST = 1e145


@dataclass(frozen=True)
class Estimate:
    """What was estimated of a regression.

    Parameters
    ----------
    moments : Moments
        At the network.
    columns : Moments
        Of the columns, whatever the rows weigh.
    parameters : float
        What was estimated from the rows.
    optimum : Optimum
    found : Optimality
    apart : list of int
        Parameters that tell the outcomes apart, along which there is no optimum.
    exact : bool
        Whether the optimum leaves nothing but rounding errors.
    """

    moments: Moments
    columns: Moments
    parameters: float
    optimum: Optimum
    found: Optimality
    apart: list[int]
    exact: bool


def conclude(
    one: Prepared,
    restriction: Restriction | None,
    together: np.ndarray | None,
    rounded: Callable[[], list[np.ndarray]],
) -> Conversion:
    """Estimate, compare, and say what there is to say.

    Parameters
    ----------
    one : Prepared
    restriction : Restriction or None
    together : ndarray or None
        See `together_of`.
    rounded : callable
        Returns the coefficients of the network with its weights rounded otherwise.
    """
    design, request, likelihood = one.design, one.request, one.choice.likelihood
    for name, column in (*zip(one.terms, one.exog.T, strict=True), (design.target, design.y)):
        with np.errstate(over="ignore", under="ignore"):
            length = float(np.sqrt(column @ column))
        # Of a column that is all but zero the squares are nothing, and it is something.
        check_size(name, length or float(np.abs(column).max()))
    kwds = kept_of(request.cov_kwds, design.kept, len(design.y))
    moments = one.moments
    if restriction is not None:
        moments = replace(moments, tangent=restriction.tangent)
    columns = columns_of(one.exog, moments)
    parameters = parameters_of(one, columns, restriction)
    check_rows(one, parameters)
    saturated = restriction is None and moments.rank < parameters
    optimum, found, apart = _estimated(one, moments, restriction, saturated)
    exact = is_exact(likelihood, one.exog, design.y, optimum)
    estimate = Estimate(moments, columns, parameters, optimum, found, apart, exact)
    groups = rows.group_caveats(request.cov_type, kwds, len(one.params))
    return Conversion(
        model=one.model,
        family=likelihood.name,
        nobs=len(design.y),
        dropped=design.dropped,
        optimality=found,
        caveats=caveats_of(one, estimate, restriction, together, rounded, groups),
        training_data=request.training_data,
        parameters=parameters,
        _design=design,
        _likelihood=likelihood,
        _exog=one.exog,
        _terms=one.terms,
        _outcomes=one.outcomes,
        _params=one.params,
        _moments=moments,
        _optimum=optimum,
        _cov_type=request.cov_type,
        _cov_kwds=kwds,
        _null=one.null,
        _covariance=None
        if restriction is None or restriction.joint is None
        else restriction.joint.covariance,
    )


def together_of(prepared: Sequence[Regression]) -> np.ndarray | None:
    """Return the coefficients of all outputs that have the same regressors, if they are several."""
    names = prepared[0].design.names
    if len(prepared) == 1 or any(one.design.names != names for one in prepared):
        return None
    return np.concatenate([one.equations for one in prepared])


def check_size(name: str, length: float) -> None:
    """Refuse a column whose sum of squares overflows, or vanishes.

    Raises
    ------
    DataError
    """
    if not length < _LARGEST or 0 < length < 1.0 / _LARGEST:
        how = "vanish" if length < 1 else "overflow"
        raise DataError(f"{printable(name)!r} holds numbers whose squares {how}; use another unit")


def parameters_of(one: Regression, columns: Moments, restriction: Restriction | None) -> float:
    """Return how many parameters are estimated from the rows."""
    if restriction is not None:
        return restriction.parameters
    # Of the columns: rows that say nothing do not make them dependent.
    return float(columns.rank * (len(one.params) // columns.terms))


def caveats_of(
    one: Regression,
    estimate: Estimate,
    restriction: Restriction | None,
    together: np.ndarray | None,
    rounded: Callable[[], list[np.ndarray]],
    groups: Sequence[Caveat],
) -> list[Caveat]:
    """Return what to know before believing the numbers.

    Parameters
    ----------
    one, restriction, together, rounded
        As for `conclude`.
    estimate : Estimate
    groups : sequence of Caveat
        What there is to say about clusters.
    """
    choice, design, request = one.choice, one.design, one.request
    likelihood, moments, optimum = choice.likelihood, estimate.moments, estimate.optimum
    restricted, count = restriction is not None, len(one.params)
    said = [
        *rows.fit_caveats(one, moments),
        *rows.perfect_fit(estimate.exact),
        *network.evaluation_caveats(likelihood, request.training_data),
        *network.estimator_caveats(likelihood, one.model, request.cov_type, choice.tuned),
        *network.training_caveats(one.model, likelihood.regression),
        *network.restriction_caveats(restriction, count),
        *network.structure_caveats(one.equations, design.names, restricted, together),
        *(() if design.coding is None else rows.coding_caveats(design.coding)),
        *rows.design_caveats(estimate.columns, one.terms),
        *rows.saturation_caveats(moments, estimate.parameters),
        *groups,
        *rows.intercept_caveats(one, restricted),
        *rows.response_caveats(one, optimum),
        *rows.separation_caveats([one.labels[place] for place in estimate.apart]),
        *rows.unknown_separation(optimum.doubted and not optimum.converged and not estimate.apart),
        *_rounding_caveats(one, moments, optimum, estimate.found, rounded),
    ]
    if design.dropped:
        said.append(rows.dropped_rows(design.dropped))
    return said


def _estimated(
    one: Prepared, moments: Moments, restriction: Restriction | None, saturated: bool
) -> tuple[Optimum, Optimality, list[int]]:
    """Return the optimum, the distance from it, and parameters along which there is none."""
    if restriction is not None and restriction.joint is not None:
        return restriction.joint.optimum, restriction.joint.found, []
    likelihood, X, y, params = one.choice.likelihood, one.exog, one.design.y, one.params
    optimum = optimum_of(likelihood, X, y, params, moments, one.design.weights)
    apart: list[int] = []
    if optimum.doubted:
        from converter.regression.separation import separating

        found_apart = separating(likelihood, X, y, moments.tangent)
        apart = found_apart or []
        optimum = replace(optimum, converged=optimum.converged and found_apart == [])
    variance, gain = 1.0, float("inf") if saturated and moments.hides_gradient else None
    if isinstance(likelihood, MEstimator):
        variance = likelihood.variance(y - X @ params)
        gain = likelihood.gain(X, y, params, moments)
    found = compare(
        likelihood,
        one.labels,
        params,
        moments,
        optimum,
        variance=variance,
        gain=gain,
        evaluated=not one.request.training_data,
    )
    return optimum, found, apart


def _rounding_caveats(
    one: Regression,
    moments: Moments,
    optimum: Optimum,
    found: Optimality,
    rounded: Callable[[], list[np.ndarray]],
) -> list[Caveat]:
    """Say so where single precision of the weights is what keeps a network from its optimum."""
    if (
        found.verdict in ("optimum", "consistent")
        or not optimum.converged
        or np.isnan(moments.gain)
    ):
        return []
    # What single precision can move is small beside the coefficients: nothing else is looked at.
    design = moments.design.astype(np.float64)
    scale = np.linalg.norm(design, axis=0) @ np.abs(one.params)
    if not np.sqrt(moments.gain) <= rows.SINGLE * scale:
        return []
    moved = [float(((design @ (other - one.params)) ** 2).sum()) for other in rounded()]
    return rows.rounding_caveats(moments.gain, moved)


def check_rows(one: Regression, parameters: float) -> None:
    """Refuse rows that are too few.

    Raises
    ------
    DataError
    """
    likelihood, count, width = one.choice.likelihood, one.response.count, len(one.terms)
    if likelihood.linear and count <= parameters:
        raise DataError(
            f"{count} rows are too few for {len(one.params)} coefficients: nothing is left to "
            "estimate the residual variance from"
        )
    if not likelihood.linear and count <= min(parameters, width):
        raise DataError(
            f"{count} rows are too few for {width} columns: any outcome is predicted "
            "without error, and there is no maximum-likelihood estimate"
        )
