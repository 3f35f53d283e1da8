"""A pass over the rows at given coefficients: from families and rows to `Moments`.

Few rows are triangularised by Householder reflections, in extended precision. Of many rows the sums
of products are taken in a basis in which the columns are orthonormal: X'X in the columns' own units
would square the condition number; there it is near one, and only the weights of the rows can make
it worse.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converter.regression.families import Likelihood
from converter.regression.moments import (
    Basis,
    Moments,
    condition_of,
    decomposed,
    equilibrated,
    inverse_of,
)

# Rows that are triangularised at once.
_ROWS = 1 << 14
# Multiplications up to which the rows are triangularised in extended precision (where the
# platform has it): some 30 ms, for three more digits on ill-conditioned designs.
_EXTENDED = 1 << 22
#: Rows whose sums of products are taken at once: they stay in a processor's cache.
BLOCK = 1 << 13
# Condition of sums of products of the columns as they are, up to which they give a basis.
_GRAM = 1e12
# Condition of columns whose triangle can be inverted with digits enough.
_CERTAIN = 1e6
#: Condition of columns whose sums of products lose no digits that matter.
NEAR = 32.0
# Condition of sums of products up to which their Cholesky factor has digits enough.
_CONDITION = 1e6
# Multiplications that triangularising rows may cost where that is not so.
_AFFORDABLE = 1 << 36


def moments_at(
    family: Likelihood,
    X: np.ndarray,
    y: np.ndarray,
    beta: np.ndarray,
    weights: np.ndarray | None = None,
    like: Moments | None = None,
) -> Moments:
    """Return the state of all rows at given coefficients.

    Parameters
    ----------
    family : Likelihood
    X : ndarray of float64, shape (n, p)
    y : ndarray of float64, shape (n,)
    beta : ndarray of float64, shape (parameters,)
    weights : ndarray of float64, shape (n,), optional
        Analytic weights.
    like : Moments, optional
        At other coefficients: of a linear response the design is the same; and the coefficients
        can move in the same directions.
    """
    found = _moments_at(family, X, y, beta, weights, like)
    return found if like is None or like.tangent is None else replace(found, tangent=like.tangent)


def _moments_at(
    family: Likelihood,
    X: np.ndarray,
    y: np.ndarray,
    beta: np.ndarray,
    weights: np.ndarray | None,
    like: Moments | None,
) -> Moments:
    if len(X) * len(beta) ** 2 <= _EXTENDED:
        X, y, beta = (a.astype(np.longdouble) for a in (X, y, beta))
    elif family.scaled and like is not None and like.condition < _CONDITION:
        return _same_design(X, y - X @ beta, weights, like)
    else:
        basis = _basis(X) if like is None or like.basis is None else like.basis
        found = _by_products(family, X, y, beta, weights, basis)
        if found is not None:
            return found
    return triangulated(family, X, y, beta, weights)


def triangulated(
    family: Likelihood,
    X: np.ndarray,
    y: np.ndarray,
    beta: np.ndarray,
    weights: np.ndarray | None = None,
) -> Moments:
    """Return the state of rows by Householder reflections, whatever their condition."""
    state, gradient = Moments.empty(len(beta)), np.zeros(len(beta), beta.dtype)
    for start in range(0, len(X), _ROWS):
        rows = slice(start, start + _ROWS)
        design, residual = family.rows(X[rows], y[rows], beta)
        if not family.linear:
            eta = X[rows] @ beta.reshape(-1, X.shape[1]).T
            gradient += (family.observed(y[rows], eta).score.T @ X[rows]).ravel()
            residual = np.zeros_like(residual)
        if weights is not None:
            root = np.sqrt(weights[rows])
            design, residual = design * root[:, None], residual * root
        state = state.update(design, residual)
    return replace(
        state,
        nobs=len(X),
        value=family.total(X, y, beta),
        gradient=None if family.linear else gradient,
        projected=family.linear,
    )


def _by_products(
    family: Likelihood,
    X: np.ndarray,
    y: np.ndarray,
    beta: np.ndarray,
    weights: np.ndarray | None,
    basis: Basis,
) -> Moments | None:
    """Return the state of many rows by sums of products; None if these are ill-conditioned."""
    found = Products(family, beta, basis)
    found.add(X, y, weights)
    dear = len(X) * found.equations * len(beta) ** 2 > _AFFORDABLE
    return found.moments(1e12 if dear else _CONDITION)


class Products:
    """Sums of products of rows in a basis, at given coefficients.

    Parameters
    ----------
    family : Likelihood
    beta : ndarray, shape (parameters,)
    basis : Basis
    """

    def __init__(self, family: Likelihood, beta: np.ndarray, basis: Basis) -> None:
        self.family, self.beta, self.basis = family, beta, basis
        self.width, terms = basis.back.shape
        self.equations = len(beta) // terms
        size = self.equations * self.width
        self.products, self.gradient = np.zeros((size, size)), np.zeros(size)
        self.squares, self.value, self.nobs = 0.0, 0.0, 0

    def add(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> None:
        """Add rows, some at a time so that they stay in a processor's cache."""
        for start in range(0, len(X), BLOCK):
            rows = slice(start, start + BLOCK)
            self.add_block(X[rows], y[rows], None if weights is None else weights[rows])

    def add_block(
        self, X: np.ndarray, y: np.ndarray, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Add a few rows.

        Returns
        -------
        block : ndarray, shape (n, r)
            The rows in the basis.
        eta, score : ndarray, shape (n, equations)
            Linear predictors, and the derivatives of the log-likelihood, as they weigh.
        """
        width, block = self.width, X
        eta = block @ self.beta.reshape(self.equations, -1).T
        found = self.family.observed(y, eta)
        self.value += found.value
        self.nobs += len(X)
        score = found.score if weights is None else found.score * weights[:, None]
        if self.basis.to is not None:
            block = block @ self.basis.to
        self.gradient += (score.T @ block).ravel()
        self.squares += found.squares(weights)
        for i in range(self.equations):
            for j in range(i + 1):
                part = self.products[i * width : (i + 1) * width, j * width : (j + 1) * width]
                if self.family.scaled and weights is None:
                    part += block.T @ block
                    continue
                weight = found.information(i, j)
                if weights is not None:
                    weight = weight * weights
                if i == j:
                    rooted = block * np.sqrt(weight)[:, None]
                    part += rooted.T @ rooted
                else:
                    part += block.T @ (block * weight[:, None])
        return block, eta, score

    def merge(self, other: Products) -> Products:
        """Add the rows of another, in the same basis."""
        self.products += other.products
        self.gradient += other.gradient
        self.squares += other.squares
        self.value += other.value
        self.nobs += other.nobs
        return self

    def moments(self, worst: float = _CONDITION) -> Moments | None:
        """Return the state of the rows; None if the sums are conditioned worse than `worst`."""
        triangle = cholesky(self.products, worst)
        if triangle is None:
            return None
        projection = np.linalg.solve(triangle.T, self.gradient)
        factor = np.zeros((len(self.beta) + 1, len(self.beta) + 1))
        count, shape = len(triangle), (self.equations, self.width)
        factor[:count, :-1] = (triangle.reshape(count, *shape) @ self.basis.back).reshape(count, -1)
        factor[:count, -1] = projection
        factor[-1, -1] = np.sqrt(max(self.squares - float(projection @ projection), 0.0))
        whole = None
        if not self.family.linear:  # in the columns' own terms
            whole = (self.gradient.reshape(shape) @ self.basis.back).ravel()
        return Moments(factor, self.nobs, self.value, gradient=whole, basis=self.basis)


def _same_design(
    X: np.ndarray, residual: np.ndarray, weights: np.ndarray | None, like: Moments
) -> Moments:
    """Return a state with other residuals of the same rows."""
    weighted = residual if weights is None else residual * weights
    factor = like.factor.copy()
    factor[:-1, -1] = np.linalg.solve(like.design.T, X.T @ weighted)
    beyond = float(weighted @ residual) - float(factor[:-1, -1] @ factor[:-1, -1])
    factor[-1, -1] = np.sqrt(max(beyond, 0.0))
    return Moments(factor, len(X), basis=like.basis)


def _basis(X: np.ndarray) -> Basis:
    """Return a basis in which the columns are orthonormal."""
    products = np.zeros((X.shape[1], X.shape[1]))
    for start in range(0, len(X), BLOCK):
        block = X[start : start + BLOCK]
        products += block.T @ block
    triangle = cholesky(products, _GRAM)
    if triangle is not None:
        if condition_of(triangle) < NEAR:
            return Basis(None, np.eye(len(triangle)), triangle)
        return Basis(inverse_of(triangle), triangle, triangle)
    # The columns are dependent, or nearly: what is not certain is left to the rows' own triangle.
    return basis_of(Moments.empty(X.shape[1]).update(X, np.zeros(len(X))))


def basis_of(columns: Moments) -> Basis:
    """Return a basis in which columns are orthonormal.

    Parameters
    ----------
    columns : Moments
        Of the rows without a residual.
    """
    triangle = columns.design
    if columns.rank == columns.terms and columns.condition < NEAR:
        return Basis(None, np.eye(columns.terms), triangle)
    if columns.rank == columns.terms and columns.condition < _CERTAIN:
        return Basis(inverse_of(triangle), triangle, triangle)
    lengths = np.sqrt((triangle**2).sum(axis=0))
    rank, _, sizes, axes = decomposed(equilibrated(triangle), columns.nobs)
    sizes, axes = sizes[:rank], axes[:rank]
    to = (axes.T / sizes) / np.where(lengths > 0, lengths, 1.0)[:, None]
    back = sizes[:, None] * axes * lengths
    return Basis(to, back, back)


def cholesky(products: np.ndarray, worst: float) -> np.ndarray | None:
    """Return the upper triangular factor of sums of products.

    Of `products` the lower half is read; None if their condition, with columns of length one, is
    worse than `worst`.
    """
    lengths = np.sqrt(np.diag(products))
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        return None
    scaled = products / np.outer(lengths, lengths)
    sizes = np.linalg.eigvalsh(scaled)
    if not sizes[0] * worst > sizes[-1]:
        return None
    return np.asarray(np.linalg.cholesky(scaled).T * lengths)


def columns_of(X: np.ndarray, like: Moments) -> Moments:
    """Return the state of the columns themselves, whatever the rows weigh.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    like : Moments
        Of these rows.
    """
    width = X.shape[1]
    if like.basis is None and len(X) * width**2 <= _EXTENDED:
        return Moments.empty(width).update(X.astype(np.longdouble), np.zeros(len(X), np.longdouble))
    basis = like.basis or _basis(X)
    factor = np.zeros((width + 1, width + 1))
    factor[: len(basis.triangle), :-1] = basis.triangle
    return Moments(factor, len(X))
