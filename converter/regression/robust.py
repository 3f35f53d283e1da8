"""Regressions whose loss is not a likelihood: quantile regression, and Huber's.

Koenker, Quantile Regression (Cambridge 2005); Huber & Ronchetti, Robust Statistics (2nd ed. 2009),
chapter 7. Both minimise a sum of convex functions of the residuals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converter.regression.families import Likelihood, Observed
from converter.regression.moments import Moments
from converter.regression.response import Response

# Rows of the first linear program of a quantile regression, for each column and at least.
_FIRST, _LEAST = 40, 2000
_MAX_ITERATIONS = 500
_REWEIGHTED = 15
# Roundings that a fitted value may have gone through, beside those of the data.
_ROUNDINGS = 8.0
# Residuals, beside their spread, of rows that are fitted exactly; and such rows that differ.
_FITTED, _EDGES = 1e-6, 2000
# Rounding in single precision.
_SINGLE = 2.0**-24
# Newton's decrement, in proportion to the loss, below which nothing is left to gain.
_DECREMENT = 1e-20


@dataclass(frozen=True)
class MEstimator(Likelihood):
    """A regression that minimises the sum of a convex function of the residuals.

    Parameters
    ----------
    tuning : float
        The quantile, or the residual at which Huber's loss goes over from a parabola to a line.
    """

    tuning: float

    @property
    def linear(self) -> bool:
        return True

    def loss(self, residual: np.ndarray) -> np.ndarray:
        """Return the loss of each residual."""
        raise NotImplementedError

    def psi(self, residual: np.ndarray) -> np.ndarray:
        """Return the derivative of the loss."""
        raise NotImplementedError

    def variance(self, residual: np.ndarray) -> float:
        """Return the variance of `psi` where the coefficients are the true ones."""
        raise NotImplementedError

    def minimise(
        self, X: np.ndarray, y: np.ndarray, start: np.ndarray
    ) -> tuple[np.ndarray, bool, int]:
        """Return the coefficients of the smallest loss, whether they were found, and iterations."""
        raise NotImplementedError

    def gain(self, X: np.ndarray, y: np.ndarray, params: np.ndarray, moments: Moments) -> float:
        """Return the square of the loss's gradient, in units of ``X'X``."""
        return moments.gain

    def covariance(
        self, X: np.ndarray, y: np.ndarray, params: np.ndarray, moments: Moments
    ) -> np.ndarray:
        """Return the covariance of the coefficients that statsmodels has by default.

        Parameters
        ----------
        X : ndarray, shape (n, p)
        y : ndarray, shape (n,)
        params : ndarray, shape (p,)
        moments : Moments
            Of these rows.

        Returns
        -------
        ndarray, shape (p, p)
        """
        raise NotImplementedError

    def shape(self, y: np.ndarray, residual: np.ndarray) -> dict[str, float]:
        """Return what is estimated of the residuals' distribution, by name."""
        raise NotImplementedError

    def observed(self, y: np.ndarray, eta: np.ndarray) -> Observed:
        residual = y - eta[:, 0]
        value = -float(self.loss(residual).sum())
        return Observed(value, self.psi(residual)[:, None], np.ones_like(eta))

    def rows(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return X, self.psi(y - X @ beta)

    def total(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> float:
        return -float(self.loss(y - X @ beta).sum())

    def null(self, response: Response, has_constant: bool) -> float:
        y = response.values
        assert y is not None
        if not has_constant:
            return -float(self.loss(y).sum())
        best = self.minimise(np.ones((len(y), 1)), y, np.array([np.median(y)]))[0]
        return -float(self.loss(y - best).sum())


@dataclass(frozen=True)
class Quantile(MEstimator):
    """Quantile regression; `tuning` is the quantile, one half for the absolute error."""

    def loss(self, residual: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(self.tuning * residual, (self.tuning - 1.0) * residual))

    def psi(self, residual: np.ndarray) -> np.ndarray:
        # At a residual of zero any slope between the two is one.
        return np.where(residual > 0, self.tuning, np.where(residual < 0, self.tuning - 1.0, 0.0))

    def variance(self, residual: np.ndarray) -> float:
        return self.tuning * (1.0 - self.tuning)

    def gain(self, X: np.ndarray, y: np.ndarray, params: np.ndarray, moments: Moments) -> float:
        """Return the square of the smallest gradient that the loss has here.

        At a row that is fitted exactly, as an optimum fits as many as there are coefficients, it
        has an edge: any slope between the two is a derivative.
        """
        from scipy.optimize import lsq_linear

        residual = y - X @ params
        low, high = np.percentile(residual, [25, 75])
        size = np.abs(X) @ np.abs(params)
        fitted = np.abs(residual) <= _SINGLE * size + _FITTED * (high - low)
        if not fitted.any():
            return moments.gain
        # Equal rows have one slope between them, as much wider as they are many.
        rows, counts = np.unique(X[fitted], axis=0, return_counts=True)
        if len(rows) > _EDGES:
            return moments.gain
        inverse = moments.inverse.astype(np.float64)
        rest = inverse.T @ (X[~fitted].T @ self.psi(residual[~fitted]))
        edges = inverse.T @ (rows * counts[:, None]).T
        found = lsq_linear(edges, -rest, (self.tuning - 1.0, self.tuning))
        return float(2.0 * found.cost)

    def minimise(
        self, X: np.ndarray, y: np.ndarray, start: np.ndarray
    ) -> tuple[np.ndarray, bool, int]:
        """Solve the linear program, of the rows near the solution alone.

        Rows far off keep the signs of their residuals and enter as one sum (Portnoy & Koenker,
        Statistical Science 12, 1997, section 4); where a sign was wrong, it is solved again with
        more rows.
        """
        lengths = np.sqrt((X**2).sum(axis=0))
        lengths[lengths == 0] = 1.0
        scale = float(np.abs(y).max()) or 1.0
        rows, response = X / lengths * np.sqrt(len(X)), y / scale
        squares, *_ = np.linalg.lstsq(rows, response, rcond=None)
        given = start * lengths / np.sqrt(len(X)) / scale
        beta = min(
            self._near(rows, response, squares),
            given,
            key=lambda one: float(self.loss(response - rows @ one).sum()),
        )
        kept = max(_FIRST * X.shape[1], _LEAST)
        for iteration in range(1, _MAX_ITERATIONS + 1):
            residual = response - rows @ beta
            near = np.zeros(len(y), dtype=bool)
            near[np.argsort(np.abs(residual), kind="stable")[:kept]] = True
            slopes = self.psi(residual[~near]) @ rows[~near]
            size = float(np.abs(residual[near]).max()) or 1.0
            found = self._program(rows[near], residual[near] / size, slopes)
            if found is not None:
                beta = beta + found * size
                residual, before = response - rows @ beta, residual
                wrong = (residual * before < 0) & ~near
                if not wrong.any():
                    return beta / lengths * np.sqrt(len(X)) * scale, True, iteration
            if kept >= len(y):
                break
            kept *= 2
        return start, False, iteration

    def _near(self, rows: np.ndarray, y: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """Return coefficients near the optimum, by reweighted least squares."""
        for _ in range(_REWEIGHTED):
            residual = y - rows @ beta
            size = np.maximum(self.loss(residual), 1e-6 * float(np.abs(residual).mean()))
            squared = residual**2
            weights = size / np.maximum(squared, squared.mean() * 1e-9)
            found = np.linalg.lstsq(rows.T @ (rows * weights[:, None]), rows.T @ (weights * y))[0]
            beta = found
        return beta

    def _program(self, rows: np.ndarray, y: np.ndarray, slopes: np.ndarray) -> np.ndarray | None:
        """Return the minimum of the loss minus `slopes` times the coefficients, if there is one."""
        from scipy.optimize import linprog

        # The dual: a weight for each row between tau - 1 and tau, whose sum of rows is -slopes.
        found = linprog(
            -y,
            A_eq=rows.T,
            b_eq=-slopes,
            bounds=(self.tuning - 1.0, self.tuning),
            method="highs",
        )
        if not found.success:
            return None
        # Rows strictly between are fitted exactly: they give the coefficients to the last digit.
        slack = np.minimum(found.x - (self.tuning - 1.0), self.tuning - found.x)
        fitted = np.flatnonzero(slack > 1e-9)
        if len(fitted) == rows.shape[1]:
            try:
                return np.linalg.solve(rows[fitted], y[fitted])
            except np.linalg.LinAlgError:
                pass
        return np.asarray(-found.eqlin.marginals)

    def shape(self, y: np.ndarray, residual: np.ndarray) -> dict[str, float]:
        """Return the sparsity, one over the residuals' density at the quantile, and a bandwidth.

        Epanechnikov's kernel; the bandwidth is Hall & Sheather's (JRSS B 50, 1988), scaled as by
        statsmodels and Stata.
        """
        from scipy import stats

        z = stats.norm.ppf(self.tuning)
        share = (
            len(residual) ** (-1 / 3)
            * stats.norm.ppf(0.975) ** (2 / 3)
            * (1.5 * stats.norm.pdf(z) ** 2 / (2.0 * z**2 + 1.0)) ** (1 / 3)
        )
        # Of few rows it reaches beyond the distribution.
        while not share < min(self.tuning, 1.0 - self.tuning):
            share /= 2.0
        low, high = np.percentile(residual, [25, 75])
        reach = stats.norm.ppf([self.tuning - share, self.tuning + share])
        width = float(min(np.std(y), (high - low) / 1.34) * (reach[1] - reach[0]))
        if width == 0.0:
            return {"sparsity": 0.0, "bandwidth": 0.0}
        near = residual[np.abs(residual) <= width] / width
        mass = 0.75 * float((1.0 - near**2).sum())
        sparsity = len(residual) * width / mass if mass > 0 else float("inf")
        return {"sparsity": sparsity, "bandwidth": width}

    def covariance(
        self, X: np.ndarray, y: np.ndarray, params: np.ndarray, moments: Moments
    ) -> np.ndarray:
        """Return statsmodels' ``vcov="robust"`` (Greene, Econometric Analysis, 6th ed., 14.11).

        Rows that are fitted exactly, as an optimum fits as many as there are coefficients, count
        half to either side: the sign of a rounding error decides nothing.
        """
        residual = y - X @ params
        above, below = self.tuning, 1.0 - self.tuning
        weights = np.where(residual > 0, above, below)
        fitted = np.abs(residual) <= rounding_of(X, params)
        weights[fitted] = np.sqrt((above**2 + below**2) / 2.0)
        weights *= self.shape(y, residual)["sparsity"]
        inverse = moments.inverse.astype(np.float64)
        rows = (X @ inverse) * weights[:, None]
        return np.asarray(inverse @ (rows.T @ rows) @ inverse.T)


@dataclass(frozen=True)
class Huber(MEstimator):
    """Huber's loss: ``r^2 / 2`` up to `tuning`, a line beyond."""

    def loss(self, residual: np.ndarray) -> np.ndarray:
        size = np.abs(residual)
        return np.where(
            size <= self.tuning, 0.5 * residual**2, self.tuning * (size - 0.5 * self.tuning)
        )

    def psi(self, residual: np.ndarray) -> np.ndarray:
        return np.clip(residual, -self.tuning, self.tuning)

    def variance(self, residual: np.ndarray) -> float:
        return float(np.mean(self.psi(residual) ** 2))

    def minimise(
        self, X: np.ndarray, y: np.ndarray, start: np.ndarray
    ) -> tuple[np.ndarray, bool, int]:
        """Take Newton's steps, and where these do not help, those of reweighted least squares.

        The loss is piecewise a parabola: once the rows on the lines are known, Newton's step is
        exact. A step of reweighted least squares never fails to lower the loss (Huber & Ronchetti,
        section 7.8).
        """
        lengths = np.sqrt((X**2).sum(axis=0))
        lengths[lengths == 0] = 1.0
        triangle = np.linalg.qr(X / lengths, mode="r")
        _, sizes, vt = np.linalg.svd(triangle, full_matrices=False)
        kept = sizes > sizes[0] * max(X.shape) * np.finfo(float).eps
        to_params = vt[kept].T / sizes[kept] / lengths[:, None]
        basis = X @ to_params
        squares = basis.T @ y
        given = basis.T @ (X @ start)
        losses = [float(self.loss(y - basis @ one).sum()) for one in (squares, given)]
        now, value = (squares, losses[0]) if losses[0] <= losses[1] else (given, losses[1])
        for iteration in range(1, _MAX_ITERATIONS + 1):
            residual = y - basis @ now
            psi = self.psi(residual)
            gradient = basis.T @ psi
            size = np.maximum(np.abs(residual), self.tuning)
            best, decrement = None, float(gradient @ gradient)
            for weights in (size <= self.tuning, self.tuning / size):
                step = _solved(basis, weights.astype(np.float64), gradient)
                if step is None:
                    continue
                decrement = float(gradient @ step)
                reached = float(self.loss(y - basis @ (now + step)).sum())
                # Close by, the difference of two sums is a rounding error, and the step right.
                if reached <= value - 1e-4 * decrement or decrement <= 1e-12 * value:
                    best = step
                    break
            if best is None:
                return to_params @ now, False, iteration
            now, value = now + best, reached
            if decrement <= _DECREMENT * value:
                return to_params @ now, True, iteration
        return to_params @ now, False, _MAX_ITERATIONS

    def shape(self, y: np.ndarray, residual: np.ndarray) -> dict[str, float]:
        """Return the scale, the median absolute deviation from zero, of normal residuals' size."""
        from scipy import stats

        spread = float(np.median(np.abs(residual)) / stats.norm.ppf(0.75))
        # More than half of the rows are fitted exactly: any scale does, for the bend is given.
        return {"scale": spread if spread > 0 else self.tuning}

    def covariance(
        self, X: np.ndarray, y: np.ndarray, params: np.ndarray, moments: Moments
    ) -> np.ndarray:
        """Return Huber's ``H1`` (Huber & Ronchetti, section 7.6)."""
        residual = y - X @ params
        inside = np.abs(residual) <= self.tuning
        count, share = len(y), float(np.mean(inside))
        if share == 0.0:
            return np.full_like(moments.covariance, np.inf)
        correction = 1.0 + moments.rank / count * float(np.var(inside)) / share**2
        spread = float((self.psi(residual) ** 2).sum()) / (count - moments.rank)
        return np.asarray(correction**2 * spread / share**2 * moments.covariance)


def rounding_of(X: np.ndarray, params: np.ndarray) -> np.ndarray:
    """Return the size of rounding errors of fitted values, shape (n,)."""
    return np.asarray(_ROUNDINGS * np.finfo(float).eps * (np.abs(X) @ np.abs(params)))


def _solved(basis: np.ndarray, weights: np.ndarray, gradient: np.ndarray) -> np.ndarray | None:
    """Return the step with these weights of the rows; None if they determine none."""
    products = basis.T @ (basis * weights[:, None])
    sizes, axes = np.linalg.eigh(products)
    if not sizes[0] > 1e-8 * sizes[-1]:
        return None
    return np.asarray(axes @ ((axes.T @ gradient) / sizes))
