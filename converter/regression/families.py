"""The families of regression with one linear predictor: what an observation says about it.

McCullagh & Nelder, Generalized Linear Models (2nd ed. 1989), chapters 2, 4 and 6. Everything is a
function of the response y and the linear predictor eta of one observation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converter.links import expit, normal_cdf
from converter.regression.response import Response

#: Information of an observation whose fitted probability has rounded to 0 or 1. It keeps the
#: square root and the quotient below finite.
TINY = 1e-300
# Distance from which on five terms of the series of Mills' ratio are exact.
_MILLS = 50.0
# Beyond, an expected count overflows.
_LARGEST = 700.0

_Parts = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


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

    @property
    def equations(self) -> int:
        """Linear predictors of an observation."""
        return 1

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

    def response(
        self, y: np.ndarray, weights: np.ndarray | None = None, keep: bool = False
    ) -> Response:
        """Return the state of some responses; see `Response.of`."""
        return Response.of(y, weights, counts=self.name == "poisson", keep=keep)

    def null(self, response: Response, has_constant: bool) -> float:
        """Return the log-likelihood of the model without regressors, at its best constant."""
        raise NotImplementedError

    def start(self, response: Response) -> np.ndarray:
        """Return the linear predictors of the model without regressors, shape (equations,)."""
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
    parts : callable
        y, eta -> log-likelihood of each observation (at scale one; any constant for the Gaussian,
        whose scale is estimated), its derivative with respect to eta, and minus its second
        derivative, which is positive.
    null_log_likelihood : callable
        Response, whether there is an intercept -> log-likelihood of all rows without regressors.
    """

    mean: Callable[[np.ndarray], np.ndarray]
    parts: _Parts
    null_log_likelihood: Callable[[Response, bool], float] | None = None

    @property
    def scaled(self) -> bool:
        return self.null_log_likelihood is None

    def rows(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        _, score, information = self.parts(y, X @ beta)
        root = np.sqrt(information)
        return X * root[:, None], score / root

    def observed(self, y: np.ndarray, eta: np.ndarray) -> Observed:
        value, score, information = self.parts(y, eta[:, 0])
        return Observed(float(np.sum(value)), score[:, None], information[:, None])

    def total(self, X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> float:
        return float(np.sum(self.parts(y, X @ beta)[0]))

    def null(self, response: Response, has_constant: bool) -> float:
        assert self.null_log_likelihood is not None
        return self.null_log_likelihood(response, has_constant)

    def start(self, response: Response) -> np.ndarray:
        from scipy.special import ndtri

        mean = response.mean
        if self.name == "binomial":
            mean = min(max(mean, 0.5 / response.count), 1.0 - 0.5 / response.count)
        if self.link == "logit":
            return np.array([np.log(mean) - np.log1p(-mean)])
        if self.link == "probit":
            return np.array([ndtri(mean)])
        return np.array([np.log(max(mean, 0.5 / response.count))])


def _bernoulli_null(response: Response, has_constant: bool) -> float:
    ones = round(response.mean * response.count)
    zeros = response.count - ones
    share = ones / response.count if has_constant else 0.5
    return float(
        (ones * np.log(share) if ones else 0.0) + (zeros * np.log1p(-share) if zeros else 0.0)
    )


def _poisson_null(response: Response, has_constant: bool) -> float:
    mean = response.mean if has_constant else 1.0
    each = response.mean * np.log(mean) - mean if mean > 0 else 0.0
    return float(response.count * each - response.log_factorials)


def _gaussian(y: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros(1), y - eta, np.ones_like(eta)


def _logit(y: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # The exponential that cannot overflow serves all three.
    small = np.exp(-np.abs(eta))
    whole = 1.0 + small
    least = small / whole
    value = y * eta - np.maximum(eta, 0.0) - np.log1p(small)
    score = y - np.where(eta >= 0, 1.0 / whole, least)
    return value, score, np.maximum(least / whole, TINY)


def _probit(y: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the parts with the observed information, as statsmodels has it.

    The link is not canonical. phi(z) / Phi(z) is the inverse of Mills' ratio at -z.
    """
    from scipy.special import erfcx, log_ndtr

    sign = np.asarray(2.0 * y - 1.0, dtype=np.float64)
    z = sign * np.asarray(eta, dtype=np.float64)
    value = np.asarray(log_ndtr(z))
    below = np.sqrt(2.0 / np.pi) / erfcx(-np.minimum(z, 0.0) / np.sqrt(2.0))
    ratio = np.where(z < 0, below, np.exp(-0.5 * z * z - 0.5 * np.log(2.0 * np.pi) - value))
    # Far out both cancel: the asymptotic series of Mills' ratio (Abramowitz & Stegun 26.2.12).
    square = 1.0 / np.maximum(z * z, _MILLS**2)
    series = 1.0 - square * (2.0 - square * (10.0 - square * (74.0 - square * 706.0)))
    beyond = np.where(z < -_MILLS, np.sqrt(square) * series, ratio + z)
    return value, sign * ratio, np.maximum(ratio * beyond, TINY)


def _count(eta: np.ndarray) -> np.ndarray:
    return np.exp(np.minimum(eta, _LARGEST))


def _poisson(y: np.ndarray, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.special import gammaln

    mean = _count(eta)
    value = y * eta - mean - gammaln(np.asarray(y, dtype=np.float64) + 1.0)
    return value, y - mean, np.maximum(mean, TINY)


GAUSSIAN = Family("gaussian", "identity", "OLS", np.asarray, _gaussian)
LOGIT = Family("binomial", "logit", "Logit", expit, _logit, _bernoulli_null)
PROBIT = Family("binomial", "probit", "Probit", normal_cdf, _probit, _bernoulli_null)
POISSON = Family("poisson", "log", "Poisson", _count, _poisson, _poisson_null)

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

#: What each of them may be told.
SETTINGS: dict[str, tuple[str, ...]] = {
    "fixed scale": ("scale",),
    "HAC": ("maxlags", "kernel", "weights_func", "use_correction", "df_correction"),
    "cluster": ("groups", "use_correction", "df_correction"),
    "hac-panel": (
        *("groups", "time", "maxlags", "kernel", "weights_func", "use_correction", "df_correction"),
    ),
    "hac-groupsum": (
        *("time", "maxlags", "kernel", "weights_func", "use_correction", "df_correction"),
    ),
}

#: Of regressions that have kinds of covariance of their own, these; the first is the default.
OWN_COVARIANCES: dict[str, tuple[str, ...]] = {
    "QuantReg": ("robust", "iid"),
    "RLM": ("H1", "H2", "H3"),
}
