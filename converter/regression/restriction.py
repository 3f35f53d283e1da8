"""Regressions whose coefficients the architecture restricts.

The coefficients that the weights can reach are, near the saved ones, a plane: its directions T are
the range of the Jacobian of (weights -> coefficients). Estimation within the plane is least squares
on X T; the covariance is ``T (T' I T)^-1 T'`` with I the information. Outputs that share parameters
(a layer narrower than inputs and outputs makes a reduced-rank regression) are estimated together:
the sum of squared errors over the outputs is what training minimised, so the estimate is not
efficient where errors are correlated, and its covariance is a sandwich (Reinsel & Velu,
Multivariate Reduced-Rank Regression, Springer 1998, section 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.linalg import block_diag

from converter.errors import DataError
from converter.model import AffineModel
from converter.regression.optimality import Optimality, Optimum, is_exact, verdict_of
from converter.regression.passes import moments_at
from converter.weights import span

if TYPE_CHECKING:
    from converter.regression.prepared import Regression
    from converter.weights import Neighbourhood

# Singular values, beside the largest, of directions that are none.
_NONE = 1e-11


@dataclass(frozen=True)
class Joint:
    """What was estimated of an output together with others.

    Parameters
    ----------
    parameters : int
        Of all outputs.
    covariance : ndarray, shape (p, p)
        Of this output's coefficients, at the network.
    optimum : Optimum
    found : Optimality
        Of all outputs in one test.
    """

    parameters: int
    covariance: np.ndarray
    optimum: Optimum
    found: Optimality


@dataclass(frozen=True)
class Restriction:
    """What the architecture lets a regression estimate.

    Parameters
    ----------
    tangent : ndarray, shape (p, k), or None
        Directions in which the coefficients can move; None if these are all.
    parameters : float
        Their number; of outputs that share parameters, this one's part.
    says_what_is_trained : bool
        Whether the file tells what was trained.
    notes : tuple of str
    joint : Joint or None
        Where outputs share parameters.
    """

    tangent: np.ndarray | None
    parameters: float
    says_what_is_trained: bool
    notes: tuple[str, ...]
    joint: Joint | None = None


def restrict(
    around: Neighbourhood,
    prepared: Sequence[Regression],
    reading: Callable[[Sequence[AffineModel]], list[np.ndarray]],
) -> list[Restriction]:
    """Return the restriction of each regression of a network.

    Parameters
    ----------
    around : Neighbourhood
    prepared : sequence of Regression
    reading : callable
        From the models of a network with other weights to the coefficients of each regression.

    Raises
    ------
    DataError
        If outputs share parameters in a way for which there is no covariance.
    """
    tangent, notes = around.tangent(lambda models: np.concatenate(reading(models)))
    ends = np.cumsum([len(one.params) for one in prepared])[:-1]
    bases = [tangent] if len(prepared) == 1 else [span(rows) for rows in np.split(tangent, ends)]

    def restriction(one: Regression, basis: np.ndarray) -> Restriction:
        free = basis.shape[1] == len(one.params)
        rank = replace(one.moments, tangent=None if free else basis).rank
        return Restriction(None if free else basis, float(rank), around.says_what_is_trained, notes)

    found = [restriction(one, basis) for one, basis in zip(prepared, bases, strict=True)]
    if len(prepared) == 1 or tangent.shape[1] == sum(basis.shape[1] for basis in bases):
        return found
    return _together(prepared, tangent, found)


def _together(
    regressions: Sequence[Regression],
    tangent: np.ndarray,
    alone: Sequence[Restriction],
) -> list[Restriction]:
    """Estimate outputs that share parameters, by least squares over all of them."""
    prepared = [one.held for one in regressions]
    first = prepared[0]
    if not all(one.choice.likelihood.scaled for one in prepared):
        raise DataError(
            "the outputs share parameters, and are not all linear regressions: there is no "
            "restricted covariance for them together; choose one with output= (--output)"
        )
    if first.request.cov_type != "nonrobust":
        raise DataError(
            "the outputs share parameters: their restricted covariance is known for "
            "cov_type='nonrobust' only"
        )
    if any(
        one.exog.shape != first.exog.shape or not np.array_equal(one.exog, first.exog)
        for one in prepared[1:]
    ):
        raise DataError(
            "the outputs share parameters, and their rows differ (missing values); leave out the "
            "rows that lack any of the targets"
        )
    moments = [one.moments for one in prepared]
    rows, count = len(first.design.y), len(prepared)
    factor = np.asarray(block_diag(*(one.design.astype(np.float64) for one in moments)))
    tangent = tangent / np.linalg.norm(factor @ tangent, axis=0)
    basis, sizes, axes = np.linalg.svd(factor @ tangent, full_matrices=False)
    kept = sizes > _NONE * sizes[0]
    # Coefficients of an orthonormal basis of the plane, and back to those of the terms.
    basis, back = basis[:, kept], tangent @ (axes[kept].T / sizes[kept])
    projected = basis.T @ np.concatenate([one.projection.astype(np.float64) for one in moments])
    width = len(first.params)
    params = [
        one.params + step
        for one, step in zip(prepared, np.split(back @ projected, count), strict=True)
    ]
    reached = [
        replace(
            moments_at(one.choice.likelihood, one.exog, one.design.y, at, one.design.weights),
            tangent=own.tangent,
        )
        for one, at, own in zip(prepared, params, alone, strict=True)
    ]
    rank = basis.shape[1]
    each = rank / count
    if rows <= max(each, width):
        raise DataError(f"{rows} rows are too few for {rank} parameters of {count} outputs")

    def covariance(at: Sequence[np.ndarray], estimated: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the covariance of `projected`, and of all coefficients."""
        root = 1.0 if first.design.weights is None else np.sqrt(first.design.weights)
        errors = np.stack(
            [root * (one.design.y - one.exog @ b) for one, b in zip(prepared, at, strict=True)]
        )
        sigma = errors @ errors.T / (rows - estimated)
        blocks = basis.reshape(count, width, rank)
        middle = np.einsum("iaj,ik,kal->jl", blocks, sigma, blocks, optimize=True)
        return middle, back @ middle @ back.T

    estimated = each if first.request.training_data else 0.0
    _, at_network = covariance([one.params for one in prepared], estimated)
    middle, at_optimum = covariance(params, each)
    exact = all(
        is_exact(one.choice.likelihood, one.exog, one.design.y, Optimum(at, own, True, 1))
        for one, at, own in zip(prepared, params, reached, strict=True)
    )
    # Outputs with the same errors make it singular: what does not vary is not tested.
    variances, axes_ = np.linalg.eigh(middle)
    varies = variances > 1e-10 * variances.max(initial=0.0)
    statistic = float(((axes_[:, varies].T @ projected) ** 2 / variances[varies]).sum())
    rank = int(varies.sum())
    if exact:
        statistic = 0.0
    pvalue = float(stats.chi2.sf(statistic, rank))
    made = []
    for place, (one, own) in enumerate(zip(prepared, alone, strict=True)):
        block = slice(place * width, (place + 1) * width)
        errors = np.sqrt(np.diag(at_optimum)[block])
        best = Optimum(params[place], reached[place], True, 1, covariance=at_optimum[block, block])
        found = verdict_of(
            one.labels,
            np.where(exact, 0.0, one.params - params[place]),
            errors,
            (statistic, pvalue, (rank,)),
            evaluated=not one.request.training_data,
        )
        made.append(
            replace(
                own,
                parameters=each,
                joint=Joint(basis.shape[1], at_network[block, block], best, found),
            )
        )
    return made
