"""One pass over the rows: what the data say about a linear predictor, as a small mergeable state.

At coefficients beta, with score s and information w of each row, the rows ``sqrt(w) [x, s / w]``
are a least-squares problem whose solution is the Newton step from beta. Its triangular factor
holds everything that estimation and testing need. Few rows are triangularised by Householder
reflections, in extended precision. Of many rows the sums of products are taken in a basis in which
the columns are orthonormal: X'X in the columns' own units would square the condition number; there
it is near one, and only the weights of the rows can make it worse.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from converter.regression.families import Likelihood

_ROWS = 1 << 14
# Multiplications up to which the rows are triangularised in extended precision (where the
# platform has it): some 30 ms, for three more digits on ill-conditioned designs.
_EXTENDED = 1 << 22
# Rows whose sums of products are taken at once: they stay in a processor's cache.
_BLOCK = 1 << 13
# Condition of sums of products of the columns as they are, up to which they give a basis.
_GRAM = 1e12
# Condition of columns whose sums of products lose no digits that matter.
_NEAR = 32.0
# Condition of sums of products up to which their Cholesky factor has digits enough.
_CONDITION = 1e6
# Multiplications that triangularising rows may cost where that is not so.
_AFFORDABLE = 1 << 36


@dataclass(frozen=True)
class Basis:
    """Columns in which others are orthonormal (or nearly so), and back.

    Parameters
    ----------
    to : ndarray, shape (p, r), or None
        None if the columns are orthogonal enough as they are.
    back : ndarray, shape (r, p)
    """

    to: np.ndarray | None
    back: np.ndarray


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
    basis : Basis or None
        In which sums of products of these rows were taken.
    """

    factor: np.ndarray
    nobs: int
    value: float = 0.0
    tangent: np.ndarray | None = None
    gradient: np.ndarray | None = None
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
            _triangular(stacked),
            self.nobs + other.nobs,
            self.value + other.value,
            gradient=gradient,
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
        if self.gradient is not None:
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
        rank, u, s, vt = _decomposed(scaled.astype(np.float64), self.nobs)
        if self.tangent is None and rank == self.terms:
            return _inverse(scaled) / lengths[:, None], rank, vt[:0], None
        null = vt[rank:]
        # With directions T the regression is one on X T, whose coefficients are those of T.
        along = np.eye(self.terms)
        if self.tangent is not None:
            along = self.tangent * lengths[:, None]
            sizes = np.sqrt((along**2).sum(axis=0))
            along = along / np.where(sizes > 0, sizes, 1.0)
            rank, u, s, vt = _decomposed((scaled @ along).astype(np.float64), self.nobs)
        inverse = along @ (vt[:rank].T / s[:rank]) @ u[:, :rank].T
        if self.tangent is None:
            inverse[empty] = 0.0
        return inverse / lengths[:, None], rank, null, u[:, :rank]

    @property
    def nearly_dependent(self) -> list[int]:
        """Columns that take part in the nearest thing to a linear dependence."""
        weights = np.abs(np.linalg.svd(_equilibrated(self.design.astype(np.float64)))[2][-1])
        return [int(i) for i in np.flatnonzero(weights > 0.05 * weights.max())]

    @cached_property
    def condition(self) -> float:
        """Condition number of the design with its columns brought to length one."""
        return _condition(self.design.astype(np.float64))

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
    equations, (width, terms) = len(beta) // X.shape[1], basis.back.shape
    products = np.zeros((equations * width, equations * width))
    gradient, squares, value = np.zeros(len(products)), 0.0, 0.0
    for start in range(0, len(X), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = X[rows]
        own = None if weights is None else weights[rows]
        found = family.observed(y[rows], block @ beta.reshape(equations, terms).T)
        value += found.value
        score = found.score if own is None else found.score * own[:, None]
        if basis.to is not None:
            block = block @ basis.to
        gradient += (score.T @ block).ravel()
        squares += found.squares(own)
        for i in range(equations):
            for j in range(i + 1):
                weight = found.information(i, j)
                if own is not None:
                    weight = weight * own
                part = products[i * width : (i + 1) * width, j * width : (j + 1) * width]
                if i == j:
                    rooted = block * np.sqrt(weight)[:, None]
                    part += rooted.T @ rooted
                else:
                    part += block.T @ (block * weight[:, None])
    dear = len(X) * equations * len(beta) ** 2 > _AFFORDABLE
    triangle = _cholesky(products, 1e12 if dear else _CONDITION)
    if triangle is None:
        return None
    projection = np.linalg.solve(triangle.T, gradient)
    factor = np.zeros((len(beta) + 1, len(beta) + 1))
    count = len(triangle)
    factor[:count, :-1] = (triangle.reshape(count, equations, width) @ basis.back).reshape(
        count, -1
    )
    factor[:count, -1] = projection
    factor[-1, -1] = np.sqrt(max(squares - float(projection @ projection), 0.0))
    return Moments(factor, len(X), value, basis=basis)


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
    for start in range(0, len(X), _BLOCK):
        block = X[start : start + _BLOCK]
        products += block.T @ block
    triangle = _cholesky(products, _GRAM)
    if triangle is not None:
        if _condition(triangle) < _NEAR:
            return Basis(None, np.eye(len(triangle)))
        return Basis(_inverse(triangle), triangle)
    # The columns are dependent, or nearly: what is not certain is left to the rows' own triangle.
    triangle = Moments.empty(X.shape[1]).update(X, np.zeros(len(X))).design
    lengths = np.sqrt((triangle**2).sum(axis=0))
    rank, _, sizes, axes = _decomposed(_equilibrated(triangle), len(X))
    sizes, axes = sizes[:rank], axes[:rank]
    to = (axes.T / sizes) / np.where(lengths > 0, lengths, 1.0)[:, None]
    return Basis(to, sizes[:, None] * axes * lengths)


def _cholesky(products: np.ndarray, worst: float) -> np.ndarray | None:
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


def _triangular(rows: np.ndarray) -> np.ndarray:
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


def columns_of(X: np.ndarray, like: Moments) -> Moments:
    """Return the state of the columns themselves, whatever the rows weigh.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    like : Moments
        Of these rows.
    """
    width = X.shape[1]
    if like.basis is not None and like.basis.to is not None:
        factor = np.zeros((width + 1, width + 1))
        factor[: len(like.basis.back), :-1] = like.basis.back
        return Moments(factor, len(X))
    if like.basis is not None or len(X) * width**2 > _EXTENDED:
        return Moments(np.pad(_basis(X).back, ((0, 0), (0, 1))), len(X), basis=like.basis)
    return Moments.empty(width).update(X.astype(np.longdouble), np.zeros(len(X), np.longdouble))


def _decomposed(matrix: np.ndarray, nobs: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Return the numerical rank and the singular value decomposition."""
    u, s, vt = np.linalg.svd(matrix)
    largest = s[0] if len(s) else 0.0
    tolerance = largest * max(nobs, len(matrix)) * np.finfo(float).eps
    return int((s > tolerance).sum()), u, s, vt


def _equilibrated(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix with its columns brought to length one."""
    lengths = np.sqrt((matrix**2).sum(axis=0))
    return np.asarray(matrix / np.where(lengths > 0, lengths, 1.0))


def _condition(matrix: np.ndarray) -> float:
    sizes = np.linalg.svd(_equilibrated(matrix), compute_uv=False)
    return float(sizes[0] / sizes[-1]) if sizes[-1] > 0 else float("inf")


def _inverse(triangle: np.ndarray) -> np.ndarray:
    """Return the inverse of an upper triangular matrix, in its own precision."""
    if triangle.dtype == np.float64:
        # Nothing is below the pivots: it comes down to back substitution.
        return np.linalg.inv(triangle)
    identity = np.eye(len(triangle), dtype=triangle.dtype)
    for row in range(len(triangle) - 1, -1, -1):
        identity[row] -= triangle[row, row + 1 :] @ identity[row + 1 :]
        identity[row] /= triangle[row, row]
    return identity
