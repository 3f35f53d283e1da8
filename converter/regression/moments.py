"""What rows say about a linear predictor, as a small mergeable state.

At coefficients beta, with score s and information w of each row, the rows ``sqrt(w) [x, s / w]``
are a least-squares problem whose solution is the Newton step from beta. Its triangular factor
holds everything that estimation and testing need, and never forms X'X, which would square the
condition number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

_ROWS = 1 << 14
# Parts of a gradient, beside its largest, that are no rounding errors.
_HIDDEN = 1e-6


@dataclass(frozen=True)
class Basis:
    """Columns in which others are orthonormal (or nearly so), and back.

    Parameters
    ----------
    to : ndarray, shape (p, r), or None
        None if the columns are orthogonal enough as they are.
    back : ndarray, shape (r, p)
    triangle : ndarray, shape (r, p)
        A factor of the columns' own sums of products.
    """

    to: np.ndarray | None
    back: np.ndarray
    triangle: np.ndarray


@dataclass(frozen=True)
class Moments:
    """The triangular factor of weighted rows ``[X, residual]``.

    Parameters
    ----------
    factor : ndarray of float64, shape (k, p + 1), k <= p + 1
        R of the QR decomposition of the rows; the last column belongs to the residual.
    nobs : int
        Rows seen.
    value : float
        Log-likelihood of the rows; 0 for the Gaussian family, whose scale is not known.
    tangent : ndarray of float64, shape (p, k), or None
        Directions in which the coefficients can move, where these are not all: estimation and
        tests are then those of the regression restricted to them.
    gradient : ndarray, shape (p,), or None
        Of the log-likelihood. Residuals of rows whose weight is next to nothing are huge, and
        rotations of them would drown the others; the gradient has them as they count.
    projected : bool
        Whether the factor's last column holds the projection of the residual all the same.
    basis : Basis or None
        In which sums of products of these rows were taken.
    """

    factor: np.ndarray
    nobs: int
    value: float = 0.0
    tangent: np.ndarray | None = None
    gradient: np.ndarray | None = None
    projected: bool = True
    basis: Basis | None = field(default=None, repr=False, compare=False)

    @classmethod
    def empty(cls, terms: int) -> Moments:
        """Return the state before any row."""
        return cls(np.zeros((0, terms + 1)), 0)

    def update(self, X: np.ndarray, residual: np.ndarray) -> Moments:
        """Return the state after more rows.

        Parameters
        ----------
        X : ndarray of float64, shape (n, p)
        residual : ndarray of float64, shape (n,)
        """
        state = self
        for start in range(0, len(X), _ROWS):
            rows = slice(start, start + _ROWS)
            block = np.column_stack([X[rows], residual[rows]])
            state = state.merge(Moments(block, len(block)))
        return state

    def merge(self, other: Moments) -> Moments:
        """Return the state of both sets of rows."""
        stacked = np.vstack([self.factor, other.factor])
        gradient = None
        if self.gradient is not None and other.gradient is not None:
            gradient = self.gradient + other.gradient
        return Moments(
            triangular(stacked),
            self.nobs + other.nobs,
            self.value + other.value,
            gradient=gradient,
            projected=self.projected,
        )

    @property
    def extended(self) -> bool:
        """Whether it is known in more digits than double precision has."""
        return self.factor.dtype != np.float64

    @property
    def terms(self) -> int:
        return self.factor.shape[1] - 1

    @cached_property
    def _padded(self) -> np.ndarray:
        size = self.terms + 1
        full = np.zeros((size, size), self.factor.dtype)
        full[: len(self.factor)] = self.factor
        return full

    @property
    def design(self) -> np.ndarray:
        """The triangular factor R of the weighted design, shape (p, p)."""
        return self._padded[:-1, :-1]

    @property
    def projection(self) -> np.ndarray:
        """``Q' residual``, shape (p,): its square is what a full step gains."""
        if self.gradient is not None and not self.projected:
            return np.asarray(self.inverse.T @ self.gradient)
        return self._padded[:-1, -1]

    @property
    def gain(self) -> float:
        """What a full step takes off the sum of squares."""
        reached = self._reached
        return float(reached @ reached)

    @property
    def _reached(self) -> np.ndarray:
        """The part of `projection` in the column space of the design.

        Where columns depend on each other, the last rows of the factor are rounding errors in
        the design and still hold a part of the residual, which no step can remove.
        """
        basis = self._decomposition[3]
        return self.projection if basis is None else basis.T @ self.projection

    @property
    def remainder(self) -> float:
        """Sum of squares that no step can remove."""
        beyond = 0.0
        if self._decomposition[3] is not None:
            beyond = max(float(self.projection @ self.projection) - self.gain, 0.0)
        return float(self._padded[-1, -1] ** 2) + beyond

    @property
    def total(self) -> float:
        """Sum of squares at the coefficients."""
        return float(self.projection @ self.projection) + float(self._padded[-1, -1] ** 2)

    @cached_property
    def _decomposition(self) -> tuple[np.ndarray, int, np.ndarray, np.ndarray | None]:
        """Return R^-1 (or its pseudo-inverse), the rank, the null space, the column space.

        The last is None where it is everything.

        The columns are brought to length one first, so that the rank does not depend on units.
        """
        lengths = np.sqrt((self.design**2).sum(axis=0))
        empty = lengths == 0
        lengths[empty] = 1.0
        scaled = self.design / lengths
        rank, u, s, vt = decomposed(scaled.astype(np.float64), self.nobs)
        if self.tangent is None and rank == self.terms:
            return inverse_of(scaled) / lengths[:, None], rank, vt[:0], None
        null = vt[rank:]
        # With directions T the regression is one on X T, whose coefficients are those of T.
        along = np.eye(self.terms)
        if self.tangent is not None:
            along = self.tangent * lengths[:, None]
            sizes = np.sqrt((along**2).sum(axis=0))
            along = along / np.where(sizes > 0, sizes, 1.0)
            rank, u, s, vt = decomposed((scaled @ along).astype(np.float64), self.nobs)
        inverse = along @ (vt[:rank].T / s[:rank]) @ u[:, :rank].T
        if self.tangent is None:
            inverse[empty] = 0.0
        return inverse / lengths[:, None], rank, null, u[:, :rank]

    @property
    def hides_gradient(self) -> bool:
        """Whether the log-likelihood rises along a direction that the design does not have."""
        if self.gradient is None or self.tangent is not None or self.rank == self.terms:
            return False
        lengths = np.sqrt((self.design**2).sum(axis=0))
        scaled = (self.gradient / np.where(lengths > 0, lengths, 1.0)).astype(np.float64)
        hidden = self._decomposition[2] @ scaled
        empty = scaled[np.asarray(lengths == 0)]
        size = max(np.abs(hidden).max(initial=0.0), np.abs(empty).max(initial=0.0))
        least = max(float(np.abs(scaled).max(initial=0.0)), float(np.sqrt(self.nobs)) * _HIDDEN)
        return bool(size > _HIDDEN * least)

    @property
    def nearly_dependent(self) -> list[int]:
        """Columns that take part in the nearest thing to a linear dependence."""
        weights = np.abs(np.linalg.svd(equilibrated(self.design.astype(np.float64)))[2][-1])
        return [int(i) for i in np.flatnonzero(weights > 0.05 * weights.max())]

    @cached_property
    def condition(self) -> float:
        """Condition number of the design with its columns brought to length one."""
        return condition_of(self.design.astype(np.float64))

    @property
    def rank(self) -> int:
        return self._decomposition[1]

    @property
    def inverse(self) -> np.ndarray:
        """R^-1, shape (p, p); the pseudo-inverse where the design is rank-deficient."""
        return self._decomposition[0]

    @property
    def dependent(self) -> list[int]:
        """Columns that take part in a linear dependence."""
        null = self._decomposition[2]
        return [int(i) for i in np.flatnonzero(np.abs(null).max(axis=0, initial=0.0) > 1e-6)]

    @property
    def step(self) -> np.ndarray:
        """The Newton step, shape (p,)."""
        return np.asarray(self.inverse @ self.projection, dtype=np.float64)

    @property
    def covariance(self) -> np.ndarray:
        """``(X' W X)^-1``, shape (p, p)."""
        return np.asarray(self.inverse @ self.inverse.T, dtype=np.float64)

    @property
    def standard_errors(self) -> np.ndarray:
        """Square roots of the diagonal of `covariance`: the row norms of R^-1."""
        return np.sqrt((self.inverse**2).sum(axis=1)).astype(np.float64)


def triangular(rows: np.ndarray) -> np.ndarray:
    """Return R of the QR decomposition, by Householder reflections."""
    if rows.dtype == np.float64:
        return np.asarray(np.linalg.qr(rows, mode="r"))
    factor = rows.copy()
    for column in range(min(factor.shape)):
        reflector = factor[column:, column].copy()
        length = np.sqrt(reflector @ reflector)
        if length == 0:
            continue
        reflector[0] += np.copysign(length, reflector[0])
        reflector /= np.sqrt(reflector @ reflector)
        rest = factor[column:, column:]
        rest -= 2.0 * np.outer(reflector, reflector @ rest)
        factor[column + 1 :, column] = 0.0
    return factor[: rows.shape[1]]


def decomposed(matrix: np.ndarray, nobs: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return the numerical rank and the singular value decomposition."""
    u, s, vt = np.linalg.svd(matrix)
    largest = s[0] if len(s) else 0.0
    tolerance = largest * max(nobs, len(matrix)) * np.finfo(float).eps
    return int((s > tolerance).sum()), u, s, vt


def equilibrated(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix with its columns brought to length one."""
    lengths = np.sqrt((matrix**2).sum(axis=0))
    return np.asarray(matrix / np.where(lengths > 0, lengths, 1.0))


def condition_of(matrix: np.ndarray) -> float:
    """Return the condition number of a matrix with its columns brought to length one."""
    sizes = np.linalg.svd(equilibrated(matrix), compute_uv=False)
    return float(sizes[0] / sizes[-1]) if sizes[-1] > 0 else float("inf")


def inverse_of(triangle: np.ndarray) -> np.ndarray:
    """Return the inverse of an upper triangular matrix, in its own precision."""
    if triangle.dtype == np.float64:
        # Nothing is below the pivots: it comes down to back substitution.
        return np.linalg.inv(triangle)
    identity = np.eye(len(triangle), dtype=triangle.dtype)
    for row in range(len(triangle) - 1, -1, -1):
        identity[row] -= triangle[row, row + 1 :] @ identity[row + 1 :]
        identity[row] /= triangle[row, row]
    return identity
