"""The families of regression that a network can be: Gaussian and binomial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converter.links import expit

# Information of an observation whose fitted probability has rounded to 0 or 1. It keeps the
# square root and the quotient below finite.
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Family:
    """A generalised linear model with its canonical link.

    Parameters
    ----------
    name : str
        ``gaussian`` or ``binomial``.
    mean : callable
        Linear predictor -> expected response.
    information : callable
        Linear predictor -> Fisher information of one observation about it (at scale one).
    log_likelihood : callable
        Response, linear predictor -> log-likelihood of each observation; None for the
        Gaussian, whose scale is estimated.
    regression : str
        What statsmodels calls the model.
    """

    name: str
    mean: Callable[[np.ndarray], np.ndarray]
    information: Callable[[np.ndarray], np.ndarray]
    log_likelihood: Callable[[np.ndarray, np.ndarray], np.ndarray] | None
    regression: str


def _bernoulli_information(eta: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(eta))
    return np.maximum(small / (1.0 + small) ** 2, _TINY)


def _bernoulli_log_likelihood(y: np.ndarray, eta: np.ndarray) -> np.ndarray:
    return y * eta - np.logaddexp(0.0, eta)


FAMILIES: dict[str, Family] = {
    "gaussian": Family("gaussian", lambda eta: eta, np.ones_like, None, "OLS"),
    "binomial": Family(
        "binomial", expit, _bernoulli_information, _bernoulli_log_likelihood, "Logit"
    ),
}

#: Covariances of coefficients that statsmodels can compute, by its names.
COVARIANCES = (
    *("nonrobust", "fixed scale", "HC0", "HC1", "HC2", "HC3", "HAC", "cluster"),
    *("hac-panel", "hac-groupsum"),
)
