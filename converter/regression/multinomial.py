"""Multinomial logistic regression: several linear predictors for one response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converter.regression.families import TINY, Likelihood, Observed
from converter.regression.response import Response


@dataclass(frozen=True)
class _Shares(Observed):
    """Of a multinomial response; `diagonal` holds the probabilities' variances.

    Parameters
    ----------
    shares : ndarray, shape (n, equations)
        Probabilities of all classes but the first.
    """

    shares: np.ndarray

    def information(self, i: int, j: int) -> np.ndarray:
        if i == j:
            return self.diagonal[:, i]
        return -self.shares[:, i] * self.shares[:, j]

    def squares(self, weights: np.ndarray | None) -> float:
        return 0.0  # no variance is estimated from it


@dataclass(frozen=True)
class Multinomial(Likelihood):
    """Multinomial logistic regression: K classes, contrasts with the first.

    The response is the place of a class, from 0 on. The parameters are, one class behind the other
    but for the first, its coefficients minus those of the first.

    Parameters
    ----------
    classes : int
    """

    classes: int

    @property
    def equations(self) -> int:
        return self.classes - 1

    def _predictors(self, X: np.ndarray, beta: np.ndarray) -> np.ndarray:
        return np.asarray(X @ beta.reshape(self.classes - 1, -1).T)

    def _probabilities(self, X: np.ndarray, beta: np.ndarray) -> np.ndarray:
        eta = self._predictors(X, beta)
        eta = np.concatenate([np.zeros_like(eta[:, :1]), eta], axis=1)
        e = np.exp(eta - eta.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    def observed(self, y: np.ndarray, eta: np.ndarray) -> Observed:
        largest = np.maximum(eta.max(axis=1), 0.0)
        shares = np.exp(eta - largest[:, None])
        base = np.exp(-largest)
        total = base + shares.sum(axis=1)
        shares /= total[:, None]
        classes = y.astype(int)
        places = np.flatnonzero(classes)
        chosen = (places, classes[places] - 1)
        value = eta[chosen].sum() - (np.log(total) + largest).sum()
        # 1 - p of a probable class is what the others have: no cancellation.
        others = np.empty_like(shares)
        for j in range(shares.shape[1]):
            others[:, j] = base / total + shares[:, :j].sum(axis=1) + shares[:, j + 1 :].sum(axis=1)
        score = -shares
        score[chosen] = others[chosen]
        return _Shares(float(value), score, shares * others, shares)

    def rows(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least-squares problem; K - 1 rows for each observation.

        The information of one observation about its K - 1 predictors is W = diag(p) - p p'. Its
        triangular factor W = L L' is known in closed form (Tanabe & Sagae, JRSS B 54, 1992): with
        s_j what is left of the probabilities behind the j-th class, L_jj = sqrt(p_j s_j / s_j-1)
        and L_ij = -p_i sqrt(p_j / (s_j s_j-1)). The rows are L' (x) x, the residual L^-1 (y - p).
        """
        p = np.maximum(self._probabilities(X, beta), TINY)
        # The first class comes last: it is what is left.
        p = np.concatenate([p[:, 1:], p[:, :1]], axis=1)
        left = np.cumsum(p[:, ::-1], axis=1)[:, ::-1]
        observed = (np.asarray(y, dtype=np.float64)[:, None] == np.arange(1, self.classes)) * 1.0
        rest = (observed - p[:, :-1]).astype(p.dtype)
        count, width = X.shape
        design = np.zeros((count, self.classes - 1, self.classes - 1, width), dtype=p.dtype)
        residual = np.zeros((count, self.classes - 1), dtype=p.dtype)
        for j in range(self.classes - 1):
            diagonal = np.sqrt(p[:, j] * left[:, j + 1] / left[:, j])
            below = np.sqrt(p[:, j] / (left[:, j + 1] * left[:, j]))
            residual[:, j] = rest[:, j] / diagonal
            design[:, j, j] = X * diagonal[:, None]
            for i in range(j + 1, self.classes - 1):
                factor = -p[:, i] * below
                design[:, j, i] = X * factor[:, None]
                rest[:, i] -= factor * residual[:, j]
        return design.reshape(-1, (self.classes - 1) * width), residual.reshape(-1)

    def total(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> float:
        eta = self._predictors(X, beta)
        eta = np.concatenate([np.zeros_like(eta[:, :1]), eta], axis=1)
        largest = eta.max(axis=1)
        total = np.log(np.exp(eta - largest[:, None]).sum(axis=1)) + largest
        return float((eta[np.arange(len(y)), y.astype(int)] - total).sum())

    def response(
        self, y: np.ndarray, weights: np.ndarray | None = None, keep: bool = False
    ) -> Response:
        return Response.of(y, weights, classes=self.classes, keep=keep)

    def start(self, response: Response) -> np.ndarray:
        counts = np.maximum(response.classes, 0.5)
        return np.asarray(np.log(counts[1:] / counts[0]))

    def null(self, response: Response, has_constant: bool) -> float:
        if not has_constant:
            return -response.count * float(np.log(self.classes))
        counts = response.classes[response.classes > 0]
        return float(counts @ np.log(counts / response.count))

    def furthest(self, X: np.ndarray, beta: np.ndarray) -> float:
        return float(np.abs(self._predictors(X, beta)).max())
