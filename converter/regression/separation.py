"""Where there is no maximum-likelihood estimate: which terms tell the classes apart.

Albert & Anderson, Biometrika 71 (1984): it does not exist if some linear predictor never errs,
and errs for nobody's benefit: no row's likelihood falls, and some row's rises, however far one
goes. Such a direction is found by a linear program (Konis, DPhil thesis, Oxford 2007).
"""

from __future__ import annotations

import numpy as np

from converter.regression.families import Likelihood
from converter.regression.multinomial import Multinomial

# Unknowns times constraints that a program may have.
_LARGEST = 1 << 26
_ZERO = 1e-6
# Rows of the first program, those that are added where it errs, and how often.
_FIRST, _ROUNDS = 2000, 50


def separating(likelihood: Likelihood, X: np.ndarray, y: np.ndarray) -> list[int]:
    """Return the parameters of a direction along which the likelihood never falls.

    Parameters
    ----------
    likelihood : Likelihood
        Of classes or counts.
    X : ndarray, shape (n, p)
    y : ndarray, shape (n,)

    Returns
    -------
    list of int
        Places among the parameters; empty if there is no such direction, or the program is too
        large to look for it.
    """
    from scipy.optimize import linprog

    lengths = np.abs(X).max(axis=0)
    rows, level = _constraints(likelihood, X / np.where(lengths > 0, lengths, 1.0), y)
    if rows.size > _LARGEST:
        return []
    chosen, kept = np.arange(min(_FIRST, len(rows))), np.arange(min(_FIRST, len(level)))
    for _ in range(_ROUNDS):
        found = linprog(
            -rows[chosen].sum(axis=0),
            A_ub=-rows[chosen],
            b_ub=np.zeros(len(chosen)),
            A_eq=level[kept] if len(kept) else None,
            b_eq=np.zeros(len(kept)) if len(kept) else None,
            bounds=(-1.0, 1.0),
            method="highs",
        )
        if not found.success or -found.fun <= _ZERO:
            return []
        # What some of the rows allow, all must.
        along, off = rows @ found.x, -np.abs(level @ found.x)
        wrong, missed = _lowest(along), _lowest(off)
        if not len(wrong) and not len(missed):
            return [int(place) for place in np.flatnonzero(np.abs(found.x) > _ZERO)]
        chosen, kept = np.union1d(chosen, wrong), np.union1d(kept, missed)
    return []


def _lowest(values: np.ndarray) -> np.ndarray:
    """Return the places of the most negative values."""
    lowest = np.argsort(values)[:_FIRST]
    return lowest[values[lowest] < -_ZERO]


def _constraints(
    likelihood: Likelihood, X: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows whose product with a direction may not be negative, and those where it is 0."""
    if likelihood.name == "poisson":
        # Along the direction a count of zero may become ever less likely to be anything else.
        return -X[y == 0], X[y > 0]
    if not isinstance(likelihood, Multinomial):
        return X * (2.0 * y - 1.0)[:, None], X[:0]
    codes, (count, width) = y.astype(int), X.shape
    equations = likelihood.classes - 1
    blocks = []
    for other in range(likelihood.classes):
        rows = np.zeros((count, likelihood.classes, width))
        rows[np.arange(count), codes] += X
        rows[:, other] -= X
        blocks.append(rows[codes != other, 1:].reshape(-1, equations * width))
    return np.concatenate(blocks), np.zeros((0, equations * width))
