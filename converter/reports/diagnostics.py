"""What a report shows of a conversion's rows: residuals, calibration, and how columns depend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from converter.links import inverse_link
from converter.reports.plots import Group

if TYPE_CHECKING:
    from converter.regression.conversion import Conversion

# Rows of a stream that are looked at, and those that a plot shows.
_SAMPLE, _SHOWN, _TAIL = 20_000, 2_000, 500
# Groups of a calibration plot, the rows that each has at least, and classes that are shown.
_GROUPS, _LEAST, CLASSES = 10, 8, 5
# 97.5 % quantile of the standard normal distribution.
_Z = 1.959963984540054
# Numbers of columns up to which all pairs are looked at.
_PAIRS = 500


@dataclass(frozen=True, slots=True)
class Observations:
    """Rows of a conversion, all of them or a sample.

    Parameters
    ----------
    X : ndarray, shape (n, p)
        Regressors, the column of ones among them.
    y : ndarray, shape (n,)
        Response; of classes their places.
    mean : ndarray, shape (n, k)
        What the network expects; of classes their probabilities.
    weights : ndarray, shape (n,), or None
    sampled : bool
        Whether there are more rows than these.
    """

    X: np.ndarray
    y: np.ndarray
    mean: np.ndarray
    weights: np.ndarray | None
    sampled: bool


def observed_of(made: Conversion) -> Observations | None:
    """Return the rows of a conversion; None if they were streamed and cannot be read again."""
    from converter.regression.design import Design

    weights = None
    if made._exog is not None and isinstance(made._design, Design):
        X, y, weights = made._exog, made._design.y, made._design.weights
    else:
        rows = getattr(made, "_rows", None)
        if rows is None or rows.source.stamp != rows.stamp:
            return None
        X, y, weights = rows.sample(_SAMPLE)
    X = np.asarray(X, dtype=np.float64)
    equations = max(len(made._outcomes), 1)
    eta = X @ np.asarray(made._params, dtype=np.float64).reshape(equations, -1).T
    link = made._likelihood.link
    if link == "softmax":
        eta = np.concatenate([np.zeros((len(X), 1)), eta], axis=1)
    return Observations(X, y, inverse_link(link, eta), weights, len(y) < made.nobs)


def calibration_of(made: Conversion, rows: Observations) -> list[tuple[str, list[Group]]]:
    """Return what was observed in groups of like predictions; of several classes, for each."""
    if not made._outcomes:
        interval = wilson if made.family == "binomial" else garwood
        return [("", _groups(rows.mean[:, 0], rows.y, interval))]
    names = [str(one) for one in made._design.labels]
    if len(names) != len(made._outcomes) + 1:
        first = "0" if made._outcomes == list(map(str, range(1, len(made._outcomes) + 1))) else ""
        names = [first or "the first class", *made._outcomes]
    return [
        (name, _groups(rows.mean[:, place], (rows.y == place).astype(float), wilson))
        for place, name in enumerate(names[:CLASSES])
    ]


def _groups(
    predicted: np.ndarray, y: np.ndarray, interval: Callable[[float, int], tuple[float, float]]
) -> list[Group]:
    """Return groups of about equally many rows, in the order of the prediction.

    Rows that are predicted alike are in one group: else their order in the table would decide what
    is observed.
    """
    order = np.argsort(predicted, kind="stable")
    ranked = predicted[order]
    count = int(np.clip(len(y) // _LEAST, 1, _GROUPS))
    wanted = np.linspace(0, len(y), count + 1)[1:-1].round().astype(int)
    cuts = np.unique(np.searchsorted(ranked, ranked[wanted]))  # before the first of its kind
    found = []
    for part in np.split(order, cuts[cuts > 0]):
        mean = float(y[part].mean())
        low, high = interval(mean, len(part))
        found.append(Group(float(predicted[part].mean()), mean, low, high, len(part)))
    return found


def garwood(mean: float, count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of the mean of counts that follow Poisson's distribution.

    Garwood, Biometrika 28 (1936) 437-442.
    """
    from scipy.special import gammaincinv

    total = mean * count
    low = float(gammaincinv(total, 0.025)) if total > 0 else 0.0
    return low / count, float(gammaincinv(total + 1.0, 0.975)) / count


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Wilson, JASA 22 (1927) 209-212: it stays within 0 and 1, and has a width at both.
    """
    square = _Z * _Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    reach = (
        _Z / (1 + square / count) * (share * (1 - share) / count + square / (4 * count**2)) ** 0.5
    )
    # At the ends rounding could put the share outside.
    return min(max(middle - reach, 0.0), share), max(min(middle + reach, 1.0), share)


@dataclass(frozen=True, slots=True)
class Residuals:
    """Residuals of a linear regression, as plots show them.

    Parameters
    ----------
    fitted, residual : ndarray, shape (n,)
        The latter in units of its standard deviation where `weights` were given.
    trend : ndarray, shape (k, 2)
        Lowess (Cleveland, JASA 74, 1979) of the residuals over the fitted values.
    expected, standardised : ndarray, shape (n,)
        Normal quantiles at (i - 3/8) / (n + 1/4) (Blom 1958), and the residuals in their order.
    moments : (float, float) or None
        Skewness and excess kurtosis of all rows; None if there are no residuals to speak of.
    """

    fitted: np.ndarray
    residual: np.ndarray
    trend: np.ndarray
    expected: np.ndarray
    standardised: np.ndarray
    moments: tuple[float, float] | None


def residuals_of(rows: Observations) -> Residuals:
    """Return the residuals of some rows, or of a sample of them."""
    from scipy.special import ndtri
    from statsmodels.nonparametric.smoothers_lowess import lowess

    fitted, residual = rows.mean[:, 0], rows.y - rows.mean[:, 0]
    if rows.weights is not None:
        residual = residual * np.sqrt(rows.weights)
    count = len(residual)
    spread = float(residual.std())
    expected = ndtri((np.arange(1, count + 1) - 0.375) / (count + 0.25))
    standardised = np.sort(residual - residual.mean()) / (spread or 1.0)
    skew, excess = float(np.mean(standardised**3)), float(np.mean(standardised**4)) - 3.0
    if count > _SHOWN:
        # All of the tails, and of the middle what a line needs.
        kept = np.unique(np.linspace(0, count - 1, _SHOWN // 2).round().astype(int))
        kept = np.union1d(kept, [*range(_TAIL), *range(count - _TAIL, count)])
        expected, standardised = expected[kept], standardised[kept]
    if len(fitted) > _SHOWN:
        chosen = np.random.default_rng(0).choice(len(fitted), _SHOWN, replace=False)
        fitted, residual = fitted[chosen], residual[chosen]
    trend = np.zeros((0, 2))
    if len(fitted) >= 20 and np.ptp(fitted) > 0:
        trend = lowess(residual, fitted, frac=2 / 3, it=3, delta=0.01 * np.ptp(fitted))
        trend = trend[np.isfinite(trend).all(axis=1)]
    moments = (skew, excess) if spread > 0 else None
    return Residuals(fitted, residual, trend, expected, standardised, moments)


@dataclass(frozen=True, slots=True)
class Dependence:
    """How far the columns are from being told apart.

    Parameters
    ----------
    condition : float
        Condition number of the design at the network, its columns brought to length one.
    inflation : tuple of (str, float)
        Variance inflation factors above 10, the largest first.
    pairs : tuple of (str, str, float)
        Correlations of columns beyond 0.9, the largest first.
    seen : bool
        Whether the columns were there to be looked at, and few enough.
    """

    condition: float
    inflation: tuple[tuple[str, float], ...]
    pairs: tuple[tuple[str, str, float], ...]
    seen: bool

    @property
    def large(self) -> bool:
        """Whether anything of it is worth a warning.

        A condition of 30 and more makes trouble: Belsley, Kuh and Welsch (1980), section 3.2.
        """
        return self.condition > 30.0 or bool(self.inflation) or bool(self.pairs)


def dependence_of(made: Conversion, rows: Observations | None, most: int = 12) -> Dependence:
    """Return how the columns of a conversion depend on each other."""
    inflation: list[tuple[str, float]] = []
    pairs: list[tuple[str, str, float]] = []
    start = len(made._terms) - len(made._design.names)
    seen = rows is not None and rows.X.shape[1] - start <= _PAIRS
    if rows is not None and seen:
        names, X = made._terms[start:], rows.X[:, start:]
        if len(X) > _SAMPLE:
            X = X[np.random.default_rng(0).choice(len(X), _SAMPLE, replace=False)]
        centred = X - X.mean(axis=0)
        # Without an intercept it is not what a column has beside its mean that counts.
        factors = inflation_of(centred if start else X)
        inflation = [
            (names[place], float(factors[place]))
            for place in np.argsort(-factors)
            if factors[place] > 10.0
        ]
        lengths = np.sqrt((centred**2).sum(axis=0))
        there = np.flatnonzero(lengths > 0)
        unit = centred[:, there] / lengths[there]
        correlation = unit.T @ unit
        upper = np.argwhere(np.triu(np.abs(correlation) > 0.9, 1)).tolist()
        pairs = sorted(
            (
                (names[there[i]], names[there[j]], float(np.clip(correlation[i, j], -1.0, 1.0)))
                for i, j in upper
            ),
            key=lambda pair: -abs(pair[2]),
        )
    condition = float(made._moments.condition)
    return Dependence(condition, tuple(inflation[:most]), tuple(pairs[:most]), seen)


def inflation_of(X: np.ndarray) -> np.ndarray:
    """Return the factor by which dependence on the others inflates each coefficient's variance.

    The diagonal of the inverse of X'X with columns of length one, by singular values of the columns
    themselves: products of them would hide what is nearly dependent. Infinite where a column is a
    combination of the others.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    """
    lengths = np.sqrt((X**2).sum(axis=0))
    factors = np.ones(X.shape[1])
    there = np.flatnonzero(lengths > 0)
    if len(there) < 2:
        return factors
    triangle = np.linalg.qr(X[:, there] / lengths[there], mode="r")
    _, sizes, basis = np.linalg.svd(triangle)
    sizes = np.concatenate([sizes, np.zeros(len(there) - len(sizes))])
    none = sizes <= sizes[0] * max(X.shape) * np.finfo(float).eps
    found = ((basis[~none] / sizes[~none, None]) ** 2).sum(axis=0)
    found[(np.abs(basis[none]) > 1e-8).any(axis=0)] = np.inf
    factors[there] = found
    return factors


def spread_of(made: Conversion, rows: Observations | None) -> np.ndarray | None:
    """Return the standard deviation of each term's column, shape (p,); 0 of the intercept."""
    if rows is None:
        return None
    spread: np.ndarray = rows.X.std(axis=0)
    return np.tile(spread, max(len(made._outcomes), 1))


def shown_terms(values: Sequence[float] | np.ndarray, most: int) -> np.ndarray:
    """Return the places of the largest values, in their own order; all if they are few."""
    sizes = np.nan_to_num(np.abs(np.asarray(values, dtype=float)), nan=0.0, posinf=np.inf)
    if len(sizes) <= most:
        return np.arange(len(sizes))
    return np.sort(np.argsort(-sizes, kind="stable")[:most])
