"""Inverse link functions of generalised linear models, on numbers.

McCullagh & Nelder, Generalized Linear Models (2nd ed. 1989), sections 2.2.3, 4.3 and 5.2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

#: The links that a folded network may have, by the name that `AffineModel.link` gives them.
LINKS = ("identity", "logit", "softmax", "log", "probit", "cloglog")


def expit(x: Any) -> np.ndarray:
    """Return ``1 / (1 + exp(-x))``, the inverse of logit."""
    x = np.asarray(x)
    if x.dtype != np.longdouble:
        x = x.astype(np.float64)
    # Both branches see only arguments whose exponential cannot overflow.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small))


def normal_cdf(x: Any) -> np.ndarray:
    """Return the standard normal distribution function, the inverse of probit."""
    from scipy.special import ndtr

    return np.asarray(ndtr(np.asarray(x, dtype=np.float64)))


def _identity(x: Any) -> np.ndarray:
    return np.asarray(x)


def _exp(x: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(x)


def _inverse_cloglog(x: Any) -> np.ndarray:
    return -np.expm1(-_exp(x))


_ELEMENTWISE: dict[str, Callable[[Any], np.ndarray]] = {
    "identity": _identity,
    "logit": expit,
    "log": _exp,
    "probit": normal_cdf,
    "cloglog": _inverse_cloglog,
}


def softmax(x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Return ``exp(x) / sum(exp(x))`` along some axes together."""
    e = np.exp(x - np.max(x, axis=tuple(axes), keepdims=True))
    return np.asarray(e / np.sum(e, axis=tuple(axes), keepdims=True))


def inverse_link(link: str, eta: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the mean that a linear predictor stands for.

    Parameters
    ----------
    link : str
        One of `LINKS`.
    eta : ndarray of float64, shape (n, outputs)
    groups : ndarray of int, shape (outputs,), optional
        For a softmax: which columns share one. By default all of them.

    Returns
    -------
    ndarray of float64, shape (n, outputs)
    """
    if link != "softmax":
        return _ELEMENTWISE[link](eta)
    result = np.empty_like(eta)
    numbers = np.zeros(eta.shape[1], dtype=int) if groups is None else groups
    for number in np.unique(numbers):
        columns = np.flatnonzero(numbers == number)
        result[:, columns] = softmax(eta[:, columns], (1,))
    return result
