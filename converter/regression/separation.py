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
# Elements of a direction, beside the largest, that take part in it.
_NAMED = 1e-3
# Rows of the first program, those that are added where it errs, and how often.
_FIRST, _ROUNDS = 2000, 50


def separating(
    likelihood: Likelihood, X: np.ndarray, y: np.ndarray, tangent: np.ndarray | None = None
) -> list[int] | None:
    """Return the parameters of a direction along which the likelihood never falls.

    Parameters
    ----------
    likelihood : Likelihood
        Of classes or counts.
    X : ndarray, shape (n, p)
    y : ndarray, shape (n,)
    tangent : ndarray, shape (p, k), optional
        Directions in which the parameters of one equation can move, where these are not all.

    Returns
    -------
    list of int, or None
        Places among the parameters; empty if there is no such direction. None if the program is
        too large to look for it.
    """
    if tangent is not None:
        if len(tangent) != X.shape[1]:  # several equations that share parameters
            return None
        along = separating(likelihood, X @ tangent, y)
        reached = np.abs(tangent[:, along or []]).max(axis=1, initial=0.0) > 0
        return along if not along else [int(one) for one in np.flatnonzero(reached)]
    lengths = np.abs(X).max(axis=0)
    rows, level = _constraints(likelihood, X / np.where(lengths > 0, lengths, 1.0), y)
    if rows.size > _LARGEST:
        return None
    direction = _direction(rows, level)
    if direction is None:
        return []
    # Of many such directions, the one of the fewest terms is the one to name.
    simple = _direction(rows, level, rows.mean(axis=0))
    direction = direction if simple is None else simple
    size = np.abs(direction)
    return [int(place) for place in np.flatnonzero(size > _NAMED * size.max())]


def _direction(
    rows: np.ndarray, level: np.ndarray, along: np.ndarray | None = None
) -> np.ndarray | None:
    """Return a direction whose products with `rows` are not negative, and with `level` zero.

    Of the box from -1 to 1 the one of the largest products; or, where `along` is given, that of
    the smallest sum of absolute elements whose product with it is one.
    """
    from scipy.optimize import linprog

    chosen, kept = np.arange(min(_FIRST, len(rows))), np.arange(min(_FIRST, len(level)))
    width = rows.shape[1]
    for _ in range(_ROUNDS):
        above, equal, value = rows[chosen], level[kept], np.zeros(len(kept))
        cost, box = -above.sum(axis=0), np.array([-1.0, 1.0])
        if along is not None:  # as a difference of two directions that are not negative
            equal, value = np.concatenate([equal, along[None]]), np.append(value, 1.0)
            above, equal = (np.concatenate([one, -one], axis=1) for one in (above, equal))
            cost, box = np.ones(2 * width), np.array([0.0, np.inf])
        found = linprog(
            cost,
            A_ub=-above,
            b_ub=np.zeros(len(chosen)),
            A_eq=equal if len(value) else None,
            b_eq=value if len(value) else None,
            bounds=box,
            method="highs",
        )
        if not found.success or (along is None and -found.fun <= _ZERO):
            return None
        x = found.x if along is None else found.x[:width] - found.x[width:]
        x = x / np.abs(x).max()
        # What some of the rows allow, all must.
        wrong, missed = _lowest(rows @ x), _lowest(-np.abs(level @ x))
        if not len(wrong) and not len(missed):
            return np.asarray(x)
        chosen, kept = np.union1d(chosen, wrong), np.union1d(kept, missed)
    return None


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
