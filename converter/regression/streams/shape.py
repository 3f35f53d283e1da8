"""The shape of residuals as a mergeable state: what statsmodels' summary tests of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

# Residuals below which the test of normality is none.
_FEW = 8
#: What stands in a summary where nothing is known of the residuals.
UNKNOWN: dict[str, object] = {
    "jarque_bera": (np.nan,) * 4,
    "omni_normtest": (np.nan,) * 2,
    "durbin_watson": np.nan,
}
# numpy's numbers overflow to infinity, where Python's raise.
_ZERO = np.float64(0.0)


@dataclass(frozen=True)
class Shape:
    """Moments of a series of residuals, and of its differences.

    Parameters
    ----------
    count : int
    mean : float
    sums : tuple of float
        Of the second, third and fourth powers of distances from the mean.
    steps : float
        Sum of squares of the differences of neighbours.
    first, last : float
        The ends of the series.
    """

    count: int = 0
    mean: np.float64 = _ZERO
    sums: tuple[np.float64, np.float64, np.float64] = (_ZERO, _ZERO, _ZERO)
    steps: np.float64 = _ZERO
    first: np.float64 = _ZERO
    last: np.float64 = _ZERO

    @classmethod
    def of(cls, residual: np.ndarray) -> Shape:
        """Return the state of some residuals, one at least."""
        with np.errstate(all="ignore"):  # what overflows here is refused by the columns' sizes
            mean = residual.mean()
            away = residual - mean
            square = away * away
            steps = np.diff(residual)
            second, third, fourth = map(np.float64, (square.sum(), square @ away, square @ square))
            moved, ends = np.float64(steps @ steps), (residual[0], residual[-1])
            return cls(len(residual), mean, (second, third, fourth), moved, *ends)

    def merge(self, other: Shape) -> Shape:
        """Return the state of these residuals and those that follow them.

        Pebay, Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
        statistical moments, Sandia report SAND2008-6212 (2008), equations 2.1 and 2.2.
        """
        if not self.count or not other.count:
            return self if self.count else other
        with np.errstate(all="ignore"):
            return self._merged(other)

    def _merged(self, other: Shape) -> Shape:
        n, m = self.count, other.count
        total, apart = n + m, other.mean - self.mean
        (a2, a3, a4), (b2, b3, b4) = self.sums, other.sums
        step = apart / total
        second = a2 + b2 + apart * step * n * m
        third = a3 + b3 + apart * step**2 * n * m * (n - m) + 3.0 * step * (n * b2 - m * a2)
        fourth = (
            a4
            + b4
            + apart * step**3 * n * m * (n * n - n * m + m * m)
            + 6.0 * step**2 * (n * n * b2 + m * m * a2)
            + 4.0 * step * (n * b3 - m * a3)
        )
        return Shape(
            total,
            self.mean + step * m,
            (second, third, fourth),
            self.steps + other.steps + (other.first - self.last) ** 2,
            self.first,
            other.last,
        )

    def tests(self) -> dict[str, object]:
        """Return what statsmodels' summary computes of the residuals, under its names."""
        with np.errstate(all="ignore"):
            return self._tests()

    def _tests(self) -> dict[str, object]:
        n, (a2, a3, a4) = self.count, self.sums
        variance = a2 / n
        squares = a2 + n * self.mean**2
        if not variance > 0:
            skew, kurtosis, watson = np.nan, np.nan, np.nan
        else:
            skew, kurtosis = a3 / n / variance**1.5, a4 / n / variance**2
            watson = self.steps / squares
        jb = n / 6.0 * (skew**2 + (kurtosis - 3.0) ** 2 / 4.0)
        return {
            "jarque_bera": (jb, stats.chi2.sf(jb, 2), skew, kurtosis),
            "omni_normtest": _normality(n, skew, kurtosis),
            "durbin_watson": watson,
        }


def _normality(n: int, skew: float, kurtosis: float) -> tuple[float, float]:
    """Return D'Agostino's and Pearson's K2 (Biometrika 60, 1973), and its p-value.

    The transformation of the skewness is D'Agostino's (Biometrika 57, 1970), that of the kurtosis
    Anscombe's and Glynn's (Biometrika 70, 1983).
    """
    if n < _FEW:
        return np.nan, np.nan
    y = skew * np.sqrt((n + 1) * (n + 3) / (6.0 * (n - 2)))
    spread = 3.0 * (n * n + 27 * n - 70) * (n + 1) * (n + 3)
    spread /= (n - 2.0) * (n + 5) * (n + 7) * (n + 9)
    w2 = -1.0 + np.sqrt(2.0 * (spread - 1.0))
    z1 = np.arcsinh(y / np.sqrt(2.0 / (w2 - 1.0))) / np.sqrt(0.5 * np.log(w2))
    mean = 3.0 * (n - 1) / (n + 1)
    variance = 24.0 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3.0) * (n + 5))
    x = (kurtosis - mean) / np.sqrt(variance)
    root = 6.0 * (n * n - 5 * n + 2) / ((n + 7.0) * (n + 9))
    root *= np.sqrt(6.0 * (n + 3) * (n + 5) / (n * (n - 2.0) * (n - 3)))
    a = 6.0 + 8.0 / root * (2.0 / root + np.sqrt(1.0 + 4.0 / root**2))
    below = 1.0 + x * np.sqrt(2.0 / (a - 4.0))
    z2 = (1.0 - 2.0 / (9.0 * a) - np.cbrt((1.0 - 2.0 / a) / below)) / np.sqrt(2.0 / (9.0 * a))
    k2 = z1**2 + z2**2
    return float(k2), float(stats.chi2.sf(k2, 2))
