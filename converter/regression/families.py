"""The families of regression with one linear predictor: what an observation says about it.

McCullagh & Nelder, Generalized Linear Models (2nd ed. 1989), chapters 2, 4 and 6. Everything is a
function of the response y and the linear predictor eta of one observation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converter.links import expit, normal_cdf

# Information of an observation whose fitted probability has rounded to 0 or 1. It keeps the
# square root and the quotient below finite.
_TINY = 1e-300
# Beyond, an expected count overflows.
_LARGEST = 700.0

_Function = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Observed:
    """What some observations say about their linear predictors.

    Parameters
    ----------
    value : float
        Their log-likelihood; 0 for the Gaussian family.
    score : ndarray, shape (n, equations)
        Its derivative.
    diagonal : ndarray, shape (n, equations)
        Minus the second derivatives, of each predictor by itself.
    """

    value: float
    score: np.ndarray
    diagonal: np.ndarray

    def information(self, i: int, j: int) -> np.ndarray:
        """Return minus the mixed second derivatives of two predictors, shape (n,)."""
        assert i == j == 0
        return self.diagonal[:, 0]

    def squares(self, weights: np.ndarray | None) -> float:
        """Return the sum of score' information^-1 score."""
        each = self.score[:, 0] ** 2 / self.diagonal[:, 0]
        return float(each.sum() if weights is None else each @ weights)


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
class Likelihood:
    """A kind of regression, as the search for the optimum and its test know it.

    Parameters
    ----------
    name : str
        ``gaussian``, ``binomial``, ``multinomial`` or ``poisson``.
    link : str
        See `converter.links.LINKS`.
    regression : str
        What statsmodels calls the model.
    """

    name: str
    link: str
    regression: str

    @property
    def scaled(self) -> bool:
        """Whether a residual variance is estimated beside the coefficients."""
        return False

    @property
    def linear(self) -> bool:
        """Whether the response is a number that a linear output predicts, in any unit."""
        return self.scaled

    def rows(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least-squares problem whose solution is the Newton step from `beta`.

        Parameters
        ----------
        X : ndarray, shape (n, p)
        y : ndarray, shape (n,)
        beta : ndarray, shape (parameters,)

        Returns
        -------
        design : ndarray, shape (rows, parameters)
        residual : ndarray, shape (rows,)
        """
        raise NotImplementedError

    def observed(self, y: np.ndarray, eta: np.ndarray) -> Observed:
        """Return what observations say about their linear predictors.

        Parameters
        ----------
        y : ndarray, shape (n,)
        eta : ndarray, shape (n, equations)
        """
        raise NotImplementedError

    def total(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> float:
        """Return the log-likelihood of all rows; 0 for the Gaussian family."""
        raise NotImplementedError

    def null(self, y: np.ndarray, has_constant: bool) -> float:
        """Return the log-likelihood of the model without regressors, at its best constant."""
        raise NotImplementedError

    def furthest(self, X: np.ndarray, beta: np.ndarray) -> float:
        """Return the largest linear predictor in absolute value."""
        return float(np.abs(X @ beta).max())


@dataclass(frozen=True)
class Family(Likelihood):
    """A regression with one linear predictor.

    Parameters
    ----------
    mean : callable
        eta -> expected response.
    score : callable
        y, eta -> derivative of the log-likelihood (at scale one) with respect to eta.
    information : callable
        y, eta -> minus its second derivative; positive.
    log_likelihood : callable
        y, eta -> log-likelihood; None for the Gaussian, whose scale is estimated.
    null_log_likelihood : callable
        y, whether there is an intercept -> log-likelihood of all rows without regressors.
    """

    mean: Callable[[np.ndarray], np.ndarray]
    score: _Function
    information: _Function
    log_likelihood: _Function | None
    null_log_likelihood: Callable[[np.ndarray, bool], float] | None = None

    @property
    def scaled(self) -> bool:
        return self.log_likelihood is None

    def rows(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        eta = X @ beta
        root = np.sqrt(self.information(y, eta))
        return X * root[:, None], self.score(y, eta) / root

    def observed(self, y: np.ndarray, eta: np.ndarray) -> Observed:
        one = eta[:, 0]
        value = 0.0 if self.log_likelihood is None else float(self.log_likelihood(y, one).sum())
        score, information = self.score(y, one), self.information(y, one)
        return Observed(value, score[:, None], information[:, None])

    def total(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> float:
        if self.log_likelihood is None:
            return 0.0
        return float(self.log_likelihood(y, X @ beta).sum())

    def null(self, y: np.ndarray, has_constant: bool) -> float:
        assert self.null_log_likelihood is not None
        return self.null_log_likelihood(np.asarray(y, dtype=np.float64), has_constant)


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
        p = np.maximum(self._probabilities(X, beta), _TINY)
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

    def null(self, y: np.ndarray, has_constant: bool) -> float:
        if not has_constant:
            return -len(y) * float(np.log(self.classes))
        counts = np.bincount(y.astype(int), minlength=self.classes)
        counts = counts[counts > 0]
        return float(counts @ np.log(counts / len(y)))

    def furthest(self, X: np.ndarray, beta: np.ndarray) -> float:
        return float(np.abs(self._predictors(X, beta)).max())


def _bernoulli_null(y: np.ndarray, has_constant: bool) -> float:
    share = y.mean() if has_constant else 0.5
    ones = float(y.sum())
    zeros = len(y) - ones
    return float(
        (ones * np.log(share) if ones else 0.0) + (zeros * np.log1p(-share) if zeros else 0.0)
    )


def _poisson_null(y: np.ndarray, has_constant: bool) -> float:
    mean = y.mean() if has_constant else 1.0
    eta = np.full(len(y), np.log(mean) if mean > 0 else -_LARGEST)
    return float(_poisson_log_likelihood(y, eta).sum())


def _logit_information(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(eta))
    return np.maximum(small / (1.0 + small) ** 2, _TINY)


def _logit_log_likelihood(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    return y * eta - np.logaddexp(0.0, eta)


def _signed(y: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which class was observed as a sign, and how far eta lies on its side."""
    sign = np.asarray(2.0 * y - 1.0, dtype=np.float64)
    return sign, sign * np.asarray(eta, dtype=np.float64)


def _mills(z: np.ndarray) -> np.ndarray:
    """Return phi(z) / Phi(z), the inverse of Mills' ratio at -z."""
    from scipy.special import log_ndtr

    return np.asarray(np.exp(-0.5 * z * z - 0.5 * np.log(2.0 * np.pi) - log_ndtr(z)))


def _probit_score(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    sign, z = _signed(y, eta)
    return sign * _mills(z)


def _probit_information(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Return the observed information, as statsmodels uses it: the link is not canonical."""
    _, z = _signed(y, eta)
    ratio = _mills(z)
    return np.maximum(ratio * (ratio + z), _TINY)


def _probit_log_likelihood(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    from scipy.special import log_ndtr

    return np.asarray(log_ndtr(_signed(y, eta)[1]))


def _count(eta: np.ndarray) -> np.ndarray:
    return np.exp(np.minimum(eta, _LARGEST))


def _poisson_log_likelihood(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    from scipy.special import gammaln

    return np.asarray(y * eta - _count(eta) - gammaln(np.asarray(y, dtype=np.float64) + 1.0))


GAUSSIAN = Family(
    "gaussian",
    "identity",
    "OLS",
    lambda eta: eta,
    lambda y, eta: y - eta,
    lambda y, eta: np.ones_like(eta),
    None,
)
LOGIT = Family(
    "binomial",
    "logit",
    "Logit",
    expit,
    lambda y, eta: y - expit(eta),
    _logit_information,
    _logit_log_likelihood,
    _bernoulli_null,
)
PROBIT = Family(
    "binomial",
    "probit",
    "Probit",
    normal_cdf,
    _probit_score,
    _probit_information,
    _probit_log_likelihood,
    _bernoulli_null,
)
POISSON = Family(
    "poisson",
    "log",
    "Poisson",
    _count,
    lambda y, eta: y - _count(eta),
    lambda y, eta: np.maximum(_count(eta), _TINY),
    _poisson_log_likelihood,
    _poisson_null,
)

#: By the link of the network.
FAMILIES: dict[str, Family] = {one.link: one for one in (GAUSSIAN, LOGIT, PROBIT, POISSON)}

#: Covariances of coefficients that statsmodels can compute, by its names, and what each of them
#: must be told (`cov_kwds`).
COVARIANCES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("nonrobust", "fixed scale", "HC0", "HC1", "HC2", "HC3"), ()),
    "HAC": ("maxlags",),
    "cluster": ("groups",),
    "hac-panel": ("maxlags",),
    "hac-groupsum": ("maxlags", "time"),
}

#: Of regressions that have kinds of covariance of their own, these; the first is the default.
OWN_COVARIANCES: dict[str, tuple[str, ...]] = {
    "QuantReg": ("robust", "iid"),
    "RLM": ("H1", "H2", "H3"),
}
